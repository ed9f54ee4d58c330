//! What clients see when a target begins to fail, is killed, or falls silent, and when it is back.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use tokio::task::JoinSet;

use crate::Failure;
use crate::client::{Client, Traced, ask};
use crate::generate::pace;
use crate::measure::float;
use crate::report::{Bounds, Table, brief, progress};
use crate::rig::{Rig, behave};

/// Of an engine that is well: before its first word, and between words.
const FIRST_TOKEN_MS: u64 = 20;
/// Before a fault, and after it is gone.
const CALM: Duration = Duration::from_secs(5);
/// By then most of a fault must be hidden.
const ONSET: Duration = Duration::from_secs(2);
/// Errors after the onset, of all requests.
const MOST_ERRORS: f64 = 0.001;
/// The default of `retry.budget_percent`.
const BUDGET: f64 = 1.2;
/// The default is that a dead target costs less than this.
const MOST_EXTRA: Duration = Duration::from_secs(1);
/// `first_token` of the silent run.
const FIRST_TOKEN: Duration = Duration::from_millis(500);

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// The gateway to measure
    #[arg(long, default_value = "target/release/sluice")]
    sluice: PathBuf,
    /// Requests per second
    #[arg(long, default_value_t = 500.0, value_parser = crate::measure::positive)]
    rate: f64,
    /// How long the fault lasts
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(4..))]
    seconds: u64,
}

/// What happens to the first of three targets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It answers half of its requests with 500.
    Half,
    /// Its process is killed.
    Killed,
    /// Its process is stopped: it accepts and says nothing.
    Silent,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Half => "half of its requests fail",
            Self::Killed => "killed",
            Self::Silent => "falls silent",
        }
    }
}

/// One request: when it was sent, and what became of it.
struct Shot {
    at: Duration,
    traced: Option<Traced>,
}

impl Shot {
    fn good(&self) -> bool {
        self.traced.as_ref().is_some_and(|traced| traced.whole)
    }
}

struct Run {
    fault: Fault,
    shots: Vec<Shot>,
    begun: Duration,
    ended: Duration,
}

impl Run {
    /// Requests sent between two moments.
    fn between(&self, from: Duration, to: Duration) -> impl Iterator<Item = &Shot> {
        self.shots.iter().filter(move |shot| (from..to).contains(&shot.at))
    }

    fn errors(&self, from: Duration, to: Duration) -> (u64, u64) {
        self.between(from, to).fold((0, 0), |(bad, all), shot| (bad + u64::from(!shot.good()), all + 1))
    }

    /// Share of requests that the first target answered.
    fn share(&self, from: Duration, to: Duration) -> f64 {
        let (mut own, mut all) = (0, 0);
        for traced in self.between(from, to).filter_map(|shot| shot.traced.as_ref()) {
            own += u64::from(traced.target.starts_with("e0/"));
            all += 1;
        }
        float(own) / float(all.max(1))
    }

    fn attempts(&self, from: Duration, to: Duration) -> f64 {
        let (mut attempts, mut all) = (0, 0);
        for traced in self.between(from, to).filter_map(|shot| shot.traced.as_ref()) {
            attempts += u64::from(traced.attempts);
            all += 1;
        }
        float(attempts) / float(all.max(1))
    }

    /// Percentiles of what failing over added to the time of requests, over the median of calm ones.
    fn extra(&self) -> Option<(Duration, Duration, usize)> {
        let mut calm: Vec<Duration> =
            self.between(Duration::ZERO, self.begun).filter_map(|shot| Some(shot.traced.as_ref()?.took)).collect();
        calm.sort_unstable();
        let usual = *calm.get(calm.len() / 2)?;
        let again = self.shots.iter().filter(|shot| shot.at + MOST_EXTRA >= self.begun && shot.good());
        let again = again.filter_map(|shot| shot.traced.as_ref()).filter(|traced| traced.attempts > 1);
        let mut extra: Vec<Duration> = again.map(|traced| traced.took.saturating_sub(usual)).collect();
        extra.sort_unstable();
        let at = |percent: usize| extra.get((extra.len() * percent / 100).min(extra.len().saturating_sub(1))).copied();
        Some((at(50)?, at(99)?, extra.len()))
    }

    /// From the end of the fault to the first answer of the target.
    fn back(&self) -> Option<Duration> {
        let mut after = self.shots.iter().filter(|shot| shot.at >= self.ended && shot.good());
        let first = after.find(|shot| shot.traced.as_ref().is_some_and(|traced| traced.target.starts_with("e0/")));
        first.map(|shot| shot.at.saturating_sub(self.ended))
    }
}

/// Runs every fault and prints the table.
pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let mut runs = Vec::new();
    for fault in [Fault::Half, Fault::Killed, Fault::Silent] {
        progress(&format!("{}: {} requests/s over three targets", fault.name(), options.rate));
        runs.push(trial(options, fault).await?);
    }
    table(&runs).print()?;
    check(&runs)
}

async fn trial(options: &Options, fault: Fault) -> Result<Run, Failure> {
    let well = json!({"first_token_ms": FIRST_TOKEN_MS, "tokens": 5});
    let settings = match fault {
        Fault::Silent => format!("balance: p2c, timeouts: {{ first_token: {}ms, total: 5s }}", FIRST_TOKEN.as_millis()),
        _ => "balance: p2c".to_owned(),
    };
    let mut rig = Rig::start(&options.sluice, 3, &well, &settings).await?;
    let client = rig.client()?;
    let (lasts, begin) = (Duration::from_secs(options.seconds), Instant::now());
    // A killed target does not come back.
    let after = if fault == Fault::Half { CALM * 3 } else { Duration::ZERO };
    let mut load = JoinSet::new();
    load.spawn(shoot(client, options.rate, CALM + lasts + after, begin));
    tokio::time::sleep(CALM).await;
    let first = rig.engine(0)?;
    let begun = begin.elapsed();
    match fault {
        Fault::Half => {
            let ill = json!({"first_token_ms": FIRST_TOKEN_MS, "tokens": 5, "status": 500, "status_percent": 50});
            behave(first, &ill).await?;
        }
        Fault::Killed => rig.engines.first_mut().ok_or("there is no engine")?.kill()?,
        Fault::Silent => rig.engines.first().ok_or("there is no engine")?.signal("STOP")?,
    }
    tokio::time::sleep(lasts).await;
    let ended = begin.elapsed();
    if fault == Fault::Half {
        behave(first, &well).await?;
    }
    let shots = load.join_next().await.ok_or("there is no load")???;
    Ok(Run { fault, shots, begun, ended })
}

/// Streams at a fixed rate, whatever becomes of them.
async fn shoot(client: Client, rate: f64, time: Duration, begin: Instant) -> Result<Vec<Shot>, Failure> {
    let body = ask(true, &json!({}));
    let (mut due, mut running, mut shots) = (pace(rate, time), JoinSet::new(), Vec::new());
    loop {
        tokio::select! {
            next = due.recv() => {
                if next.is_none() {
                    break;
                }
                let (client, body, at) = (client.clone(), body.clone(), begin.elapsed());
                running.spawn(async move { Shot { at, traced: client.traced(body).await.ok() } });
            }
            Some(shot) = running.join_next() => shots.push(shot?),
        }
    }
    while let Some(shot) = running.join_next().await {
        shots.push(shot?);
    }
    Ok(shots)
}

fn percent(part: (u64, u64)) -> String {
    format!("{:.3}", 100.0 * float(part.0) / float(part.1.max(1)))
}

fn table(runs: &[Run]) -> Table {
    let header = [
        "the first of three",
        "requests",
        "errors in 2 s, %",
        "errors after, %",
        "attempts/request",
        "failed over",
        "extra p50, ms",
        "extra p99, ms",
        "its share before, %",
        "at the end, %",
        "back after, s",
    ];
    let mut table = Table::new(header.map(str::to_owned).to_vec());
    for run in runs {
        let (begun, ended) = (run.begun, run.ended);
        let end = run.shots.iter().map(|shot| shot.at).max().unwrap_or_default();
        let extra = run.extra();
        let millis =
            |time: Option<Duration>| time.map_or_else(|| "-".to_owned(), |time| brief(time.as_secs_f64() * 1000.0));
        table.row(vec![
            run.fault.name().to_owned(),
            run.shots.len().to_string(),
            percent(run.errors(begun, begun + ONSET)),
            percent(run.errors(begun + ONSET, end)),
            format!("{:.3}", run.attempts(begun, ended)),
            extra.map_or(0, |(_, _, count)| count).to_string(),
            millis(extra.map(|(p50, _, _)| p50)),
            millis(extra.map(|(_, p99, _)| p99)),
            brief(100.0 * run.share(Duration::ZERO, begun)),
            brief(100.0 * run.share(end.saturating_sub(ONSET), end)),
            if run.fault == Fault::Half {
                run.back().map_or_else(|| "-".to_owned(), |back| brief(back.as_secs_f64()))
            } else {
                "-".to_owned()
            },
        ]);
    }
    table
}

fn check(runs: &[Run]) -> Result<(), Failure> {
    let mut bounds = Bounds::default();
    for run in runs {
        let name = run.fault.name();
        let end = run.shots.iter().map(|shot| shot.at).max().unwrap_or_default();
        let (bad, all) = run.errors(run.begun + ONSET, end);
        let rate = float(bad) / float(all.max(1));
        bounds.check(rate < MOST_ERRORS, || format!("{name}: {bad} of {all} requests failed after the onset"));
        let attempts = run.attempts(run.begun, run.ended);
        bounds.check(attempts <= BUDGET, || format!("{name}: {attempts:.3} attempts per request"));
        let extra = run.extra();
        let tested = extra.is_some_and(|(_, _, count)| count > 0);
        bounds.check(tested, || format!("{name}: nothing failed over"));
        let most = if run.fault == Fault::Silent { FIRST_TOKEN + MOST_EXTRA / 2 } else { MOST_EXTRA };
        let slow = extra.is_some_and(|(_, p99, _)| p99 < most);
        bounds.check(slow, || format!("{name}: failing over costs more than {most:?}"));
        if run.fault == Fault::Half {
            let share = run.share(end.saturating_sub(ONSET), end);
            bounds.check(share > 0.2, || format!("{name}: it is healed and has {:.0} % of the traffic", share * 100.0));
        }
    }
    bounds.result()
}
