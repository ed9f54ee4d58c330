//! How busy the slots of a pool are while a long queue drains into it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use http::StatusCode;
use tokio::task::JoinSet;
use tokio::time::interval;

use crate::client::{Client, Question, Reply};
use crate::fetch::Page;
use crate::fleet::Fleet;
use crate::measure::float;
use crate::policy::{self, LOAD, Policy};
use crate::redis::Commands;
use crate::report::{Bounds, Table, brief, progress};
use crate::{Failure, usage};

/// Requests on one HTTP/2 connection; the gateway lets 1000 be open at once.
const STREAMS: u64 = 500;
/// Files of a gateway beside two for each slot.
const OTHER_FILES: u64 = 500;
const MIN_DEPTH: u64 = 20_000;
/// Slot time that may go unused.
const MAX_IDLE: f64 = 0.02;
/// Between two looks for the first full pool.
const LOOK: Duration = Duration::from_millis(5);

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// The gateway to measure
    #[arg(long, default_value = "target/release/sluice")]
    sluice: PathBuf,
    /// Gateways that share the load
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    gateways: u16,
    /// Requests, all posted at once; more than twice the slots
    #[arg(long, default_value_t = 10_000)]
    waiters: u64,
    /// Slots of the pool
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u64).range(1..))]
    slots: u64,
    /// How long the provider takes for each
    #[arg(long, default_value_t = 500)]
    service_ms: u64,
}

/// The mock's counters at one moment.
#[derive(Clone, Copy)]
struct Counts {
    now: u64,
    max: u64,
    busy_ms: f64,
    at_ms: f64,
}

impl Counts {
    async fn read(page: &Page) -> Result<Self, Failure> {
        let json = page.json().await?;
        let unreadable = "unreadable /inflight";
        Ok(Self {
            now: json["now"].as_u64().ok_or(unreadable)?,
            max: json["max"].as_u64().ok_or(unreadable)?,
            busy_ms: json["busy_ms"].as_f64().ok_or(unreadable)?,
            at_ms: json["at_ms"].as_f64().ok_or(unreadable)?,
        })
    }

    /// The part of the time of `slots` slots since `begin` in which they had no request.
    fn idle_since(self, begin: Self, slots: u64) -> f64 {
        1.0 - (self.busy_ms - begin.busy_ms) / (float(slots) * (self.at_ms - begin.at_ms))
    }
}

/// What a drain was like.
#[derive(Default)]
struct Outcome {
    answered: u64,
    failed: u64,
    /// The first failure.
    error: Option<String>,
    elapsed: Duration,
    /// The sum of all requests' times.
    waiting: Duration,
    /// From the first full pool to when there are no more requests than slots.
    window: (Option<Counts>, Option<Counts>),
    max: u64,
}

impl Outcome {
    fn take(&mut self, reply: Result<Reply, Failure>, took: Duration) {
        let error = match reply {
            Ok(reply) if reply.status == StatusCode::OK => None,
            Ok(reply) => Some(format!("status {}", reply.status)),
            Err(error) => Some(error.to_string()),
        };
        self.waiting += took;
        self.answered += u64::from(error.is_none());
        self.failed += u64::from(error.is_some());
        self.error = self.error.take().or(error);
    }

    fn idle(&self, slots: u64) -> Option<f64> {
        let (begin, end) = self.window;
        Some(end?.idle_since(begin?, slots))
    }
}

/// Drains the queue and prints the table.
pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let slots = options.slots;
    if options.waiters <= 2 * slots {
        return Err("--waiters must be more than twice --slots".into());
    }
    usage::need_files(2 * slots + OTHER_FILES, &format!("{slots} slots"), "--slots")?;
    let class =
        format!("batch: {{ rank: 2, max_wait: 10m, max_depth: {} }}", options.waiters.saturating_mul(2).max(MIN_DEPTH));
    let policy = Policy { keys: &[(LOAD, "batch")], classes: &[&class], limits: &[] };
    let fleet = Fleet::start(&options.sluice, options.gateways, &policy::models(Some(slots)), &policy).await?;
    let clients = clients(&fleet, options)?;
    progress(&format!("{} requests, {slots} slots of {} ms", options.waiters, options.service_ms));
    let before = fleet.redis.commands()?;
    let outcome = drain(&fleet, &clients, options).await?;
    let commands = fleet.redis.commands()?.since(before);
    table(options, &outcome, commands).print()?;
    check(options, &outcome)
}

/// One client for each connection, those of the gateways in turn.
fn clients(fleet: &Fleet, options: &Options) -> Result<Vec<Client>, Failure> {
    let mut clients = Vec::new();
    for _ in 0..options.waiters.div_ceil(STREAMS * u64::from(options.gateways)) {
        for gateway in &fleet.gateways {
            clients.push(Client::http2(gateway.server.addr, LOAD)?);
        }
    }
    Ok(clients)
}

async fn drain(fleet: &Fleet, clients: &[Client], options: &Options) -> Result<Outcome, Failure> {
    let service = Duration::from_millis(options.service_ms);
    let body = Question { words: 20, max_tokens: 1, answer: 1, service }.body();
    let page = Page::new(fleet.mock.addr, "/inflight")?;
    let (mut outcome, begin) = (Outcome::default(), Instant::now());
    let mut waiters = JoinSet::new();
    for (_, client) in (0..options.waiters).zip(clients.iter().cycle()) {
        let (client, body) = (client.clone(), body.clone());
        waiters.spawn(async move { (client.reply(body).await, begin.elapsed()) });
    }
    let (mut looks, mut left) = (interval(LOOK), options.waiters);
    loop {
        tokio::select! {
            next = waiters.join_next() => {
                let Some(done) = next else { break };
                let (reply, took) = done?;
                outcome.take(reply, took);
                left -= 1;
                if left == options.slots {
                    outcome.window.1 = Some(Counts::read(&page).await?);
                }
                if left % 1000 == 0 {
                    progress(&format!("{left} left after {:.1} s", begin.elapsed().as_secs_f64()));
                }
            }
            _ = looks.tick(), if outcome.window.0.is_none() => {
                outcome.window.0 = Some(Counts::read(&page).await?).filter(|counts| counts.now >= options.slots);
            }
        }
    }
    outcome.elapsed = begin.elapsed();
    outcome.max = Counts::read(&page).await?.max;
    Ok(outcome)
}

fn table(options: &Options, outcome: &Outcome, commands: Commands) -> Table {
    let waiters = float(options.waiters);
    let idle = outcome.idle(options.slots);
    let rows = [
        ("answered".to_owned(), outcome.answered.to_string()),
        ("failed".to_owned(), outcome.failed.to_string()),
        ("time, s".to_owned(), brief(outcome.elapsed.as_secs_f64())),
        ("idle slot time, %".to_owned(), idle.map_or_else(|| "-".to_owned(), |idle| format!("{:.2}", idle * 100.0))),
        (format!("most in flight, of {}", options.slots), outcome.max.to_string()),
        ("Redis scripts per waiter".to_owned(), format!("{:.2}", float(commands.scripts) / waiters)),
        ("Redis commands per waiter, scripts' own too".to_owned(), format!("{:.2}", float(commands.all) / waiters)),
        (
            "Redis commands per waiter and second of its wait".to_owned(),
            format!("{:.2}", float(commands.all) / outcome.waiting.as_secs_f64()),
        ),
    ];
    let mut table = Table::new(vec!["metric".to_owned(), "value".to_owned()]);
    for (name, value) in rows {
        table.row(vec![name, value]);
    }
    table
}

fn check(options: &Options, outcome: &Outcome) -> Result<(), Failure> {
    let mut bounds = Bounds::default();
    let slots = options.slots;
    let error = outcome.error.as_deref().unwrap_or_default();
    bounds.check(outcome.failed == 0, || format!("{} requests failed, one of them with: {error}", outcome.failed));
    bounds.check(outcome.max <= slots, || format!("{} requests in flight at {slots} slots", outcome.max));
    let idle = outcome.idle(slots);
    bounds.check(idle.is_some(), || "the pool was never full".to_owned());
    let idle = idle.unwrap_or(0.0);
    bounds.check(idle < MAX_IDLE, || format!("slots were idle for {:.2} % of the time", idle * 100.0));
    bounds.result()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_busy_is_idle() {
        let counts = |busy_ms, at_ms| Counts { now: 4, max: 4, busy_ms, at_ms };
        let idle = counts(4900.0, 2000.0).idle_since(counts(1000.0, 1000.0), 4);
        assert!((idle - 0.025).abs() < 1e-9);
    }
}
