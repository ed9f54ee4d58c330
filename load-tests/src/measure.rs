//! One load on one server: the time its requests took, and the CPU it spent.

use std::time::Duration;

use serde_json::json;

use crate::Failure;
use crate::client::{Client, ask};
use crate::generate::{self, Measured};
use crate::process::Server;

pub(crate) const CONNECTIONS: usize = 64;
const CHUNKS: u64 = 50;
const PACING: Duration = Duration::from_millis(10);
/// Streams started per second while streams are timed: each lasts half a second.
const STREAM_RATE: f64 = 40.0;

/// What is sent.
#[derive(Clone, Copy)]
pub(crate) enum Load {
    Most,
    Steady(f64),
    Streams,
}

impl Load {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Most => format!("as fast as {CONNECTIONS} connections go"),
            Self::Steady(rate) => format!("{rate} requests/s"),
            Self::Streams => format!("{STREAM_RATE} streams/s of {CHUNKS} chunks"),
        }
    }
}

/// A measurement.
pub(crate) struct Sample {
    pub(crate) measured: Measured,
    pub(crate) cpu: Duration,
}

impl Sample {
    pub(crate) fn requests(&self) -> u64 {
        self.measured.times.len()
    }

    pub(crate) fn per_second(&self) -> f64 {
        float(self.requests()) / self.measured.elapsed.as_secs_f64()
    }

    /// CPU per request, in microseconds.
    pub(crate) fn cpu_each(&self) -> Option<f64> {
        each(self.cpu, self.requests())
    }

    /// CPU per chunk of a stream, in microseconds.
    pub(crate) fn cpu_chunk(&self) -> Option<f64> {
        each(self.cpu, self.measured.chunks.len())
    }

    /// Time of a request, in microseconds.
    pub(crate) fn time(&self, percentile: f64) -> f64 {
        float(self.measured.times.value_at_percentile(percentile))
    }

    /// How late a chunk came, in microseconds.
    pub(crate) fn chunk(&self, percentile: f64) -> f64 {
        float(self.measured.chunks.value_at_percentile(percentile))
    }
}

pub(crate) async fn measure(server: &Server, client: &Client, time: Duration, load: Load) -> Result<Sample, Failure> {
    let before = server.cpu()?;
    let measured = sample(client, time, load).await?;
    Ok(Sample { measured, cpu: server.cpu()?.saturating_sub(before) })
}

/// Times alone, without anybody's CPU.
pub(crate) async fn sample(client: &Client, time: Duration, load: Load) -> Result<Measured, Failure> {
    let whole = ask(false, &json!({}));
    match load {
        Load::Most => generate::closed(client, &whole, CONNECTIONS, time).await,
        Load::Steady(rate) => generate::open(client, &whole, rate, time).await,
        Load::Streams => {
            let stream = ask(true, &json!({"tokens": CHUNKS, "token_ms": PACING.as_millis()}));
            generate::streams(client, &stream, STREAM_RATE, time, PACING).await
        }
    }
}

pub(crate) fn failed<'a>(samples: impl Iterator<Item = &'a Sample>) -> u64 {
    samples.map(|sample| sample.measured.failed).sum()
}

/// Numbers of a run with failures mean little.
pub(crate) fn check<'a>(name: &str, samples: impl Iterator<Item = &'a Sample> + Clone) -> Result<(), Failure> {
    let error = samples.clone().find_map(|sample| sample.measured.error.as_ref());
    error.map_or(Ok(()), |error| {
        Err(format!("{name}: {} requests failed, the first with: {error}", failed(samples)).into())
    })
}

/// Microseconds of `cpu` for each of `count`.
pub(crate) fn each(cpu: Duration, count: u64) -> Option<f64> {
    (count > 0).then(|| cpu.as_secs_f64() * 1e6 / float(count))
}

#[expect(clippy::cast_precision_loss, reason = "counts and bytes far below 2^52")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// Reads a rate from the command line.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if rate.is_finite() && rate > 0.0 { Ok(rate) } else { Err("must be above 0".to_owned()) }
}
