//! Whether replicas together grant more than their limit, also when one dies or the store stalls.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use http::StatusCode;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::Failure;
use crate::client::{Client, Question, Reply};
use crate::fetch::Page;
use crate::fleet::Fleet;
use crate::measure::float;
use crate::policy::{self, LOAD, Policy};
use crate::report::{Bounds, Table, brief, progress};

/// Tokens per minute, and the most that can be saved up.
const LIMIT: u64 = 50_000;
/// The share of a bucket that replicas may spend in all while they do not reach Redis.
const SLICE: f64 = 0.25;
/// How long Redis is stopped.
const STALL: Duration = Duration::from_secs(10);
/// Leases of a replica that died must be gone after this.
const LEASE: Duration = Duration::from_secs(30);
/// Between two looks at the open leases.
const LOOK: Duration = Duration::from_millis(250);
/// Looks in a row that find none: the counts of several replicas are not of one moment.
const LOOKS: u32 = 5;
/// More than the longest wait and the longest answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// The gateway to measure
    #[arg(long, default_value = "target/release/sluice")]
    sluice: PathBuf,
    /// Gateways that share the load
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(2..))]
    gateways: u16,
    /// Clients at once
    #[arg(long, default_value_t = 300)]
    clients: usize,
    /// Length of each of the three runs
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(20..))]
    seconds: u64,
}

/// What happens in the middle of a run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Kill,
    Stall,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::None => "plain",
            Self::Kill => "a gateway killed",
            Self::Stall => "Redis stopped for 10 s",
        }
    }

    /// Makes it happen. Tells how long a dead gateway's leases stayed.
    async fn happen(self, fleet: &mut Fleet, half: Duration) -> Result<Option<Duration>, Failure> {
        match self {
            Self::None => {}
            Self::Kill => {
                sleep(half).await;
                return kill(fleet).await;
            }
            Self::Stall => {
                sleep(half.saturating_sub(STALL / 2)).await;
                progress("Redis stops");
                fleet.redis.pause()?;
                sleep(STALL).await;
                fleet.redis.resume()?;
                progress("Redis goes on");
            }
        }
        Ok(None)
    }
}

/// What clients were answered.
#[derive(Default)]
struct Tally {
    /// Tokens of all answers.
    granted: u64,
    answers: u64,
    /// Answers that waited for their turn.
    waited: u64,
    refused: u64,
    errors: u64,
    /// The first error.
    error: Option<String>,
    /// The last moment at which an answer can have been granted.
    last: Duration,
}

impl Tally {
    fn take(&mut self, reply: &Reply, granted: Duration) {
        match reply.status {
            StatusCode::OK => {
                self.granted += reply.tokens;
                self.answers += 1;
                self.waited += u64::from(!reply.queued.is_zero());
                self.last = self.last.max(granted);
            }
            StatusCode::TOO_MANY_REQUESTS => self.refused += 1,
            other => self.fail(format!("status {other}")),
        }
    }

    fn fail(&mut self, error: String) {
        self.errors += 1;
        self.error.get_or_insert(error);
    }

    fn add(&mut self, other: Self) {
        self.granted += other.granted;
        self.answers += other.answers;
        self.waited += other.waited;
        self.refused += other.refused;
        self.errors += other.errors;
        self.error = self.error.take().or(other.error);
        self.last = self.last.max(other.last);
    }

    /// Tokens that the limit lets pass up to the last grant.
    fn allowed(&self) -> f64 {
        float(LIMIT) * (1.0 + self.last.as_secs_f64() / 60.0)
    }

    fn ratio(&self) -> f64 {
        float(self.granted) / self.allowed()
    }
}

/// One run.
struct Outcome {
    fault: Fault,
    tally: Tally,
    leases_gone: Option<Duration>,
}

impl Outcome {
    fn bound(&self) -> f64 {
        let slices = if self.fault == Fault::Stall { SLICE * float(LIMIT) / self.tally.allowed() } else { 0.0 };
        1.0 + slices
    }
}

/// Runs plainly and with each fault, and prints the table.
pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let mut outcomes = Vec::new();
    for fault in [Fault::None, Fault::Kill, Fault::Stall] {
        progress(&format!("{}: {} clients for {} s", fault.name(), options.clients, options.seconds));
        outcomes.push(trial(options, fault).await?);
    }
    table(&outcomes).print()?;
    check(options, &outcomes)
}

async fn trial(options: &Options, fault: Fault) -> Result<Outcome, Failure> {
    let limit = format!("{}k tokens/min per tenant", LIMIT / 1000);
    let policy =
        Policy { keys: &[(LOAD, "standard")], classes: &["standard: { rank: 1, max_wait: 2s }"], limits: &[&limit] };
    let mut fleet = Fleet::start(&options.sluice, options.gateways, &policy::models(None), &policy).await?;
    let (time, begin) = (Duration::from_secs(options.seconds), Instant::now());
    let gateways = fleet.clients(LOAD)?;
    let mut clients = JoinSet::new();
    for number in 0..options.clients {
        clients.spawn(client(gateways.clone(), number, begin, time));
    }
    let leases_gone = fault.happen(&mut fleet, time / 2).await?;
    let mut tally = Tally::default();
    while let Some(one) = clients.join_next().await {
        tally.add(one?);
    }
    if let Some(error) = &tally.error {
        progress(&format!("{}: {} errors, one of them: {error}", fault.name(), tally.errors));
    }
    Ok(Outcome { fault, tally, leases_gone })
}

/// Sends request after request. One whose gateway is gone goes to the next.
async fn client(gateways: Vec<Client>, mut number: usize, begin: Instant, time: Duration) -> Tally {
    let mut tally = Tally::default();
    while begin.elapsed() < time {
        let question = question();
        let Some(gateway) = gateways.get(number % gateways.len()) else { return tally };
        let before = tally.answers;
        match timeout(PATIENCE, gateway.reply(question.body())).await {
            Ok(Ok(reply)) => tally.take(&reply, begin.elapsed().saturating_sub(question.service)),
            Ok(Err(error)) => {
                tally.fail(error.to_string());
                number += 1;
            }
            Err(_) => tally.fail(format!("no answer in {PATIENCE:?}")),
        }
        if tally.answers == before {
            // As an SDK does before it tries again.
            sleep(Duration::from_millis(rand::random_range(100..400))).await;
        }
    }
    tally
}

/// Uses what it reserved or less: half of the answers stop before their bound.
fn question() -> Question {
    let max_tokens = rand::random_range(16..=512);
    let answer = if rand::random() { max_tokens } else { rand::random_range(1..=max_tokens) };
    let service = Duration::from_millis(rand::random_range(200..=2000));
    Question { words: rand::random_range(20..=400), max_tokens, answer, service }
}

/// Kills the first gateway while it holds leases. Tells how long they stayed, `None` if they did
/// not go.
async fn kill(fleet: &mut Fleet) -> Result<Option<Duration>, Failure> {
    let (victim, others) = fleet.gateways.split_first_mut().ok_or("there is no gateway")?;
    let own = Page::new(victim.admin, "/levels")?;
    let pages: Result<Vec<Page>, Failure> = others.iter().map(|other| Page::new(other.admin, "/levels")).collect();
    let (pages, begin) = (pages?, Instant::now());
    // One that holds nothing leaves nothing behind.
    let held = loop {
        let held = leases(&own).await?.own;
        if held > 0 || begin.elapsed() > LEASE {
            break held;
        }
        sleep(Duration::from_millis(5)).await;
    };
    victim.server.kill()?;
    let (killed, mut looks, mut gone) = (Instant::now(), 0, Duration::ZERO);
    progress(&format!("a gateway is killed with {held} leases open"));
    while killed.elapsed() < LEASE + LOOK * LOOKS * 4 {
        // One that cannot tell at the moment has not told that they are gone.
        if orphans(&pages).await.unwrap_or(u64::MAX) > 0 {
            looks = 0;
        } else {
            if looks == 0 {
                gone = killed.elapsed();
            }
            looks += 1;
        }
        if looks == LOOKS {
            progress(&format!("its leases are gone after {:.1} s", gone.as_secs_f64()));
            return Ok(Some(gone));
        }
        sleep(LOOK).await;
    }
    Ok(None)
}

/// Open leases as one gateway knows them.
struct Leases {
    own: u64,
    /// Those of all gateways, if it shares a store.
    total: Option<u64>,
}

async fn leases(page: &Page) -> Result<Leases, Failure> {
    let levels = page.json().await?;
    let own = levels["leases_open"].as_u64().ok_or("/levels has no `leases_open`")?;
    Ok(Leases { own, total: levels["leases_open_total"].as_u64() })
}

/// Leases in the store that none of the living gateways holds.
async fn orphans(living: &[Page]) -> Result<u64, Failure> {
    let (mut total, mut held) = (None, 0);
    for page in living {
        let leases = leases(page).await?;
        if total.is_none() {
            total = Some(leases.total.unwrap_or(leases.own));
        }
        held += if leases.total.is_some() { leases.own } else { 0 };
    }
    Ok(total.unwrap_or(0).saturating_sub(held))
}

fn table(outcomes: &[Outcome]) -> Table {
    let header =
        ["run", "granted", "allowed", "ratio", "bound", "answers", "waited", "429", "errors", "leases gone, s"];
    let mut table = Table::new(header.map(str::to_owned).to_vec());
    for outcome in outcomes {
        let tally = &outcome.tally;
        table.row(vec![
            outcome.fault.name().to_owned(),
            tally.granted.to_string(),
            format!("{:.0}", tally.allowed()),
            format!("{:.4}", tally.ratio()),
            format!("{:.4}", outcome.bound()),
            tally.answers.to_string(),
            tally.waited.to_string(),
            tally.refused.to_string(),
            tally.errors.to_string(),
            outcome.leases_gone.map_or_else(|| "-".to_owned(), |gone| brief(gone.as_secs_f64())),
        ]);
    }
    table
}

fn check(options: &Options, outcomes: &[Outcome]) -> Result<(), Failure> {
    let mut bounds = Bounds::default();
    for outcome in outcomes {
        let (name, tally, bound) = (outcome.fault.name(), &outcome.tally, outcome.bound());
        bounds.check(tally.ratio() <= bound, || format!("{name}: ratio {:.4} is above {bound:.4}", tally.ratio()));
        // Whoever grants nothing is never over.
        let enough = tally.granted > LIMIT && tally.waited > 0 && tally.refused > 0;
        bounds.check(enough, || format!("{name}: the limit was not put to the test"));
        let cut = match outcome.fault {
            Fault::None => 0,
            Fault::Kill => options.clients as u64,
            Fault::Stall => u64::MAX,
        };
        bounds.check(tally.errors <= cut, || format!("{name}: {} errors", tally.errors));
        if outcome.fault == Fault::Kill {
            let gone = outcome.leases_gone.is_some_and(|gone| gone <= LEASE);
            bounds.check(gone, || format!("{name}: its leases are not gone after {LEASE:?}"));
        }
    }
    bounds.result()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_may_cost_its_slices() {
        let tally = Tally { granted: 100_000, last: Duration::from_mins(1), ..Tally::default() };
        assert!((tally.ratio() - 1.0).abs() < 1e-9);
        let outcome = Outcome { fault: Fault::Stall, tally, leases_gone: None };
        assert!((outcome.bound() - 1.125).abs() < 1e-9);
    }
}
