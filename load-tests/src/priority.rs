//! Who is served first at a full pool, and whether keys of one class get the same.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use hdrhistogram::Histogram;
use http::StatusCode;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::client::{Client, Question};
use crate::crowd::Crowd;
use crate::fleet::Fleet;
use crate::measure::{float, positive};
use crate::policy::{self, Policy};
use crate::report::{Bounds, Table, brief, progress};
use crate::{Failure, generate};

const SLOTS: u32 = 8;
/// Clients of the class that is served last.
const BATCH: u32 = 64;
/// How long the provider takes while classes compete.
const SERVICE: Duration = Duration::from_millis(400);
/// Offered by the class that is served first, as a multiple of what the pool can serve.
const TOO_MUCH: f64 = 1.5;
/// Clients of each of two keys.
const EACH: u32 = 16;
/// How long the provider takes while keys compete.
const SHORT_SERVICE: Duration = Duration::from_millis(50);
/// Words of the two keys' prompts.
const LONG: u32 = 10_000;
const BRIEF: u32 = 100;
/// How far from half a key's share may be, as a part of it.
const UNFAIR: f64 = 0.10;
/// Until a new crowd waits in its order.
const SETTLE: Duration = Duration::from_secs(2);

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// The gateway to measure
    #[arg(long, default_value = "target/release/sluice")]
    sluice: PathBuf,
    /// Gateways that share the load
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    gateways: u16,
    /// Interactive requests per second while the pool can serve them
    #[arg(long, default_value_t = 4.0, value_parser = positive)]
    rate: f64,
    /// Length of each of the three measurements
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(5..))]
    seconds: u64,
}

/// Interactive requests against a crowd of batch clients.
struct Contest {
    rate: f64,
    /// How long the interactive requests waited that were answered, in microseconds.
    waits: Histogram<u64>,
    /// Batch requests that got a slot meanwhile.
    batch: u64,
}

impl Contest {
    /// In milliseconds.
    fn wait(&self, percentile: f64) -> f64 {
        float(self.waits.value_at_percentile(percentile)) / 1000.0
    }
}

/// Tokens that each of two keys was served.
struct Shares {
    long: u64,
    brief: u64,
}

impl Shares {
    /// The part of the key with long prompts.
    fn part(&self) -> f64 {
        float(self.long) / float((self.long + self.brief).max(1))
    }
}

/// Runs every measurement and prints the table.
pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let most = f64::from(SLOTS) / SERVICE.as_secs_f64();
    let calm = contest(options, options.rate, "10s", true).await?;
    let flooded = contest(options, most * TOO_MUCH, "2s", false).await?;
    let shares = shares(options).await?;
    table(&calm, &flooded, &shares).print()?;
    check(&calm, &flooded, &shares)
}

/// Starts gateways with a pool, and clients of two keys for each of them.
async fn start(
    options: &Options,
    keys: [(&str, &str); 2],
    classes: &[&str],
) -> Result<(Fleet, [Vec<Client>; 2]), Failure> {
    let policy = Policy { keys: &keys, classes, limits: &[] };
    let fleet = Fleet::start(&options.sluice, options.gateways, &policy::models(Some(SLOTS.into())), &policy).await?;
    let [(one, _), (other, _)] = keys;
    let clients = [fleet.clients(one)?, fleet.clients(other)?];
    Ok((fleet, clients))
}

/// `finish` waits for all answers; more than the pool can serve would take too long.
async fn contest(options: &Options, rate: f64, age_after: &str, finish: bool) -> Result<Contest, Failure> {
    let batch = format!("batch: {{ rank: 2, max_wait: 10m, max_depth: 20000, age_after: {age_after} }}");
    let classes = ["interactive: { rank: 0, max_wait: 10m, max_depth: 20000 }", &batch];
    let keys = [("first", "interactive"), ("last", "batch")];
    let (_fleet, [first, last]) = start(options, keys, &classes).await?;
    progress(&format!("{BATCH} batch clients at {SLOTS} slots, {rate} interactive requests/s"));
    let question = Question { words: 20, max_tokens: 1, answer: 1, service: SERVICE };
    // Slots that all end at one moment would make everybody wait for that moment.
    let apart = SERVICE / SLOTS;
    let mut crowd = Crowd::gather(&last, BATCH, &question, apart);
    sleep(apart * BATCH + SETTLE).await;
    let before = crowd.requests();
    let mut offer = Offer::make(&first, rate, Duration::from_secs(options.seconds), &question).await?;
    // What held a slot before does not show that anybody got one since.
    let batch = crowd.requests().saturating_sub(before + u64::from(SLOTS));
    crowd.check()?;
    if finish {
        while offer.next().await? {}
    }
    Ok(Contest { rate, waits: offer.waits, batch })
}

/// Requests at a fixed rate, and how long those that are answered waited.
struct Offer {
    waits: Histogram<u64>,
    running: JoinSet<Result<Duration, Failure>>,
}

impl Offer {
    async fn make(gateways: &[Client], rate: f64, time: Duration, question: &Question) -> Result<Self, Failure> {
        let mut offer = Self { waits: Histogram::new(3)?, running: JoinSet::new() };
        let (mut due, body) = (generate::pace(rate, time), question.body());
        let mut gateways = gateways.iter().cycle();
        loop {
            tokio::select! {
                next = due.recv() => {
                    let (Some(_), Some(gateway)) = (next, gateways.next()) else { return Ok(offer) };
                    let (gateway, body) = (gateway.clone(), body.clone());
                    offer.running.spawn(async move {
                        let reply = gateway.reply(body).await?;
                        let failed = || Failure::from(format!("interactive: status {}", reply.status));
                        if reply.status == StatusCode::OK { Ok(reply.queued) } else { Err(failed()) }
                    });
                }
                Some(done) = offer.running.join_next() => offer.note(done??)?,
            }
        }
    }

    fn note(&mut self, queued: Duration) -> Result<(), Failure> {
        Ok(self.waits.record(u64::try_from(queued.as_micros())?)?)
    }

    /// Waits for one more answer. False if there is none to come.
    async fn next(&mut self) -> Result<bool, Failure> {
        let Some(done) = self.running.join_next().await else { return Ok(false) };
        self.note(done??)?;
        Ok(true)
    }
}

async fn shares(options: &Options) -> Result<Shares, Failure> {
    let (_fleet, [long, brief]) = start(options, [("long", "standard"), ("brief", "standard")], &[]).await?;
    progress(&format!("{EACH} clients with {LONG} words and {EACH} with {BRIEF} at {SLOTS} slots"));
    let question = |words| Question { words, max_tokens: 1, answer: 1, service: SHORT_SERVICE };
    // A pool that is still empty serves whoever comes: the short ones fill it first.
    let mut brief = Crowd::gather(&brief, EACH, &question(BRIEF), Duration::ZERO);
    sleep(SETTLE).await;
    let mut long = Crowd::gather(&long, EACH, &question(LONG), Duration::ZERO);
    sleep(SETTLE).await;
    let before = (long.tokens(), brief.tokens());
    sleep(Duration::from_secs(options.seconds)).await;
    long.check()?;
    brief.check()?;
    Ok(Shares { long: long.tokens() - before.0, brief: brief.tokens() - before.1 })
}

fn table(calm: &Contest, flooded: &Contest, shares: &Shares) -> Table {
    let mut table = Table::new(vec!["metric".to_owned(), "value".to_owned()]);
    let mut row = |name: String, value: String| table.row(vec![name, value]);
    for contest in [calm, flooded] {
        let rate = contest.rate;
        row(format!("interactive at {rate}/s, answered"), contest.waits.len().to_string());
        row(format!("interactive at {rate}/s, wait p50, ms"), brief(contest.wait(50.0)));
        row(format!("interactive at {rate}/s, wait p99, ms"), brief(contest.wait(99.0)));
        row(format!("interactive at {rate}/s, batch requests meanwhile"), contest.batch.to_string());
    }
    for (words, tokens, part) in [(LONG, shares.long, shares.part()), (BRIEF, shares.brief, 1.0 - shares.part())] {
        row(format!("key with {words} words, tokens"), tokens.to_string());
        row(format!("key with {words} words, share, %"), brief(part * 100.0));
    }
    table
}

fn check(calm: &Contest, flooded: &Contest, shares: &Shares) -> Result<(), Failure> {
    let mut bounds = Bounds::default();
    let wait = calm.wait(99.0);
    bounds.check(Duration::from_secs_f64(wait / 1000.0) < SERVICE, || {
        format!("interactive waits {wait:.0} ms at p99, longer than one service time of {SERVICE:?}")
    });
    for contest in [calm, flooded] {
        let rate = contest.rate;
        bounds.check(contest.batch > 0, || format!("batch starves at {rate} interactive requests/s"));
        bounds.check(!contest.waits.is_empty(), || format!("no interactive request of {rate}/s was answered"));
    }
    let part = shares.part();
    bounds.check((part * 2.0 - 1.0).abs() <= UNFAIR, || {
        format!("the key with long prompts has {:.1} % of the tokens", part * 100.0)
    });
    bounds.result()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_parts_of_all_tokens() {
        assert!((Shares { long: 300, brief: 100 }.part() - 0.75).abs() < 1e-9);
        assert!(Shares { long: 0, brief: 0 }.part().abs() < 1e-9);
    }
}
