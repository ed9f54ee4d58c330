//! The load: as fast as it goes, at a fixed rate whatever the replies take, and streams held open.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use hyper::body::Incoming;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::Failure;
use crate::client::Client;

/// Streams being opened at once while they are piled up.
const OPENING: usize = 100;

/// What a run measured; times in microseconds.
pub(crate) struct Measured {
    pub(crate) times: Histogram<u64>,
    /// Of streams only: how late each chunk came, by the time its request was due.
    pub(crate) chunks: Histogram<u64>,
    pub(crate) elapsed: Duration,
    pub(crate) failed: u64,
    /// The first failure.
    pub(crate) error: Option<String>,
}

impl Measured {
    fn new() -> Result<Self, Failure> {
        // From a microsecond to a minute, to three digits.
        let histogram = Histogram::new_with_bounds(1, 60_000_000, 3)?;
        Ok(Self { times: histogram.clone(), chunks: histogram, elapsed: Duration::ZERO, failed: 0, error: None })
    }

    fn fail(&mut self, error: &Failure) {
        self.failed += 1;
        self.error.get_or_insert_with(|| error.to_string());
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Each of `connections` sends its next request when the reply to the last one is there.
pub(crate) async fn closed(
    client: &Client,
    body: &Bytes,
    connections: usize,
    time: Duration,
) -> Result<Measured, Failure> {
    let mut workers = JoinSet::new();
    let begin = Instant::now();
    for _ in 0..connections {
        let (client, body, mut measured) = (client.clone(), body.clone(), Measured::new()?);
        workers.spawn(async move {
            while begin.elapsed() < time {
                let sent = Instant::now();
                match client.whole(body.clone()).await {
                    Ok(()) => measured.times.saturating_record(micros(sent.elapsed())),
                    Err(error) => measured.fail(&error),
                }
            }
            measured
        });
    }
    let mut all = Measured::new()?;
    while let Some(worker) = workers.join_next().await {
        let worker = worker?;
        all.times.add(&worker.times)?;
        all.failed += worker.failed;
        all.error = all.error.or(worker.error);
    }
    all.elapsed = begin.elapsed();
    Ok(all)
}

/// Sends the times at which requests are due, each when it is reached.
///
/// A thread of its own: the runtime's timer is exact to a millisecond only.
pub(crate) fn pace(rate: f64, time: Duration) -> mpsc::UnboundedReceiver<Instant> {
    let (due, receiver) = mpsc::unbounded_channel();
    thread::spawn(move || {
        let begin = Instant::now();
        for number in 0..u32::MAX {
            let after = Duration::from_secs_f64(f64::from(number) / rate);
            if after >= time {
                return;
            }
            thread::sleep((begin + after).saturating_duration_since(Instant::now()));
            if due.send(begin + after).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Requests at `rate` per second; each is timed from when it was due.
pub(crate) async fn open(client: &Client, body: &Bytes, rate: f64, time: Duration) -> Result<Measured, Failure> {
    let next = || {
        let (client, body) = (client.clone(), body.clone());
        async move { client.whole(body).await }
    };
    open_each(next, rate, time).await
}

/// As [`open`], with whatever `next` sends.
pub(crate) async fn open_each<F: Future<Output = Result<(), Failure>> + Send + 'static>(
    mut next: impl FnMut() -> F,
    rate: f64,
    time: Duration,
) -> Result<Measured, Failure> {
    let mut measured = Measured::new()?;
    let begin = Instant::now();
    let mut due = pace(rate, time);
    let mut requests = JoinSet::new();
    let mut note = |done: Result<Duration, Failure>| match done {
        Ok(took) => measured.times.saturating_record(micros(took)),
        Err(error) => measured.fail(&error),
    };
    loop {
        tokio::select! {
            due = due.recv() => {
                let Some(due) = due else { break };
                let request = next();
                requests.spawn(async move { request.await.map(|()| due.elapsed()) });
            }
            Some(done) = requests.join_next() => note(done?),
        }
    }
    while let Some(done) = requests.join_next().await {
        note(done?);
    }
    measured.elapsed = begin.elapsed();
    Ok(measured)
}

/// Streams at `rate` per second whose chunks are due every `pacing` from when the request was due.
pub(crate) async fn streams(
    client: &Client,
    body: &Bytes,
    rate: f64,
    time: Duration,
    pacing: Duration,
) -> Result<Measured, Failure> {
    let mut measured = Measured::new()?;
    let begin = Instant::now();
    let mut due = pace(rate, time);
    let mut running = JoinSet::new();
    let mut note = |done: Result<(Instant, Vec<Instant>), Failure>| match done {
        Ok((due, arrived)) => {
            let mut expected = due;
            for (number, at) in arrived.iter().enumerate() {
                let late = micros(at.saturating_duration_since(expected));
                if number == 0 {
                    measured.times.saturating_record(late);
                }
                measured.chunks.saturating_record(late);
                expected += pacing;
            }
        }
        Err(error) => measured.fail(&error),
    };
    loop {
        tokio::select! {
            next = due.recv() => {
                let Some(due) = next else { break };
                let (client, body) = (client.clone(), body.clone());
                running.spawn(async move { client.stream(body).await.map(|arrived| (due, arrived)) });
            }
            Some(done) = running.join_next() => note(done?),
        }
    }
    while let Some(done) = running.join_next().await {
        note(done?);
    }
    measured.elapsed = begin.elapsed();
    Ok(measured)
}

/// Opens `count` more streams and keeps them in `held`. They are read no further.
pub(crate) async fn hold(client: &Client, body: &Bytes, count: usize, held: &mut Vec<Incoming>) -> Result<(), Failure> {
    let slots = Arc::new(Semaphore::new(OPENING));
    let mut opening = JoinSet::new();
    for _ in 0..count {
        let (client, body, slots) = (client.clone(), body.clone(), slots.clone());
        opening.spawn(async move {
            let _slot = slots.acquire().await?;
            client.open(body).await
        });
    }
    while let Some(opened) = opening.join_next().await {
        held.push(opened??);
    }
    Ok(())
}
