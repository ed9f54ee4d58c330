//! What the cache adds to requests that it cannot answer, and what is left of those that it can.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use serde_json::json;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::fetch::Page;
use crate::generate::{self, Measured};
use crate::measure::{Sample, float, positive};
use crate::policy::{self, LOAD, MODEL, Policy, ROOMY};
use crate::process::{self, Gateway, Server, Setup};
use crate::report::{Bounds, Table, brief, progress};
use crate::{Failure, cache_prompts as prompts};

/// Each load runs so often on each gateway, in turns; the quietest run counts.
const ROUNDS: u32 = 5;
/// What a look-up that misses may take, in microseconds.
const MOST_EXACT: f64 = 50.0;
const MOST_SEMANTIC: f64 = 250.0;
/// What a 99th percentile of such a run is worth, in microseconds either way.
const NOISE: f64 = 100.0;

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// The gateway to measure
    #[arg(long, default_value = "target/release/sluice")]
    sluice: PathBuf,
    /// Requests per second while latency is measured
    #[arg(long, default_value_t = 300.0, value_parser = positive)]
    rate: f64,
    /// Length of each measurement
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Answers kept in one partition, halfway through: misses are kept too
    #[arg(long, default_value_t = 10_000)]
    entries: u64,
}

/// What is sent, and what the gateway must say of it.
#[derive(Clone, Copy, PartialEq)]
enum Load {
    Misses,
    SameWords,
    OtherWords,
}

impl Load {
    const ALL: [Self; 3] = [Self::Misses, Self::SameWords, Self::OtherWords];

    fn name(self) -> &'static str {
        match self {
            Self::Misses => "never asked before",
            Self::SameWords => "asked before",
            Self::OtherWords => "asked before in other words",
        }
    }

    fn outcome(self, mode: &str) -> Option<&'static str> {
        match (self, mode) {
            (Self::Misses, "off") => Some(""),
            (Self::Misses, _) => Some("miss"),
            (Self::SameWords, "exact" | "semantic") => Some("hit-exact"),
            (Self::OtherWords, "semantic") => Some("hit-semantic"),
            _ => None,
        }
    }

    /// Request `number` of this load with `entries` kept. Every round asks what none has asked.
    fn body(self, number: u64, entries: u64) -> Bytes {
        let text = match self {
            Self::Misses => prompts::asked(entries + number),
            Self::SameWords => prompts::asked(number * 7 % entries.max(1)),
            Self::OtherWords => prompts::reworded(number * 7 % entries.max(1)),
        };
        let messages = json!([{"role": "user", "content": text}]);
        json!({"model": MODEL, "messages": messages, "mock": {"tokens": 60}}).to_string().into()
    }
}

/// A gateway and what was measured of it.
struct Subject {
    mode: &'static str,
    gateway: Gateway,
    client: Client,
    /// By load, in the order of [`Load::ALL`].
    samples: [Vec<Sample>; 3],
    /// What a look-up that missed took by the gateway's own clock, in microseconds, in each round.
    missed: Vec<f64>,
    /// Resident bytes that the answers took, and bytes that the gateway counts, for each.
    entry: Option<(f64, f64)>,
}

/// Fills the caches, runs the loads and prints the table.
pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let mock = process::mock(folder.path())?;
    let mut subjects = Vec::new();
    for mode in ["off", "exact", "semantic"] {
        let mut subject = start(&options.sluice, &mock, folder.path(), mode).await?;
        let entries = options.to_begin_with();
        progress(&format!("{mode}: {entries} requests to begin with"));
        fill(&mut subject, entries).await?;
        subjects.push(subject);
    }
    let time = Duration::from_secs(options.seconds);
    let mut asked = 0;
    for round in 1..=ROUNDS {
        let mut sent = 0;
        for (place, load) in Load::ALL.into_iter().enumerate() {
            for subject in &mut subjects {
                let Some(outcome) = load.outcome(subject.mode) else { continue };
                progress(&format!("round {round}, {}: {}", subject.mode, load.name()));
                let body = |number| load.body(asked + number, options.to_begin_with());
                let (before, looked) = (subject.gateway.server.cpu()?, subject.looked().await?);
                let measured = send(&subject.client, body, outcome, (options.rate, time)).await?;
                let cpu = subject.gateway.server.cpu()?.saturating_sub(before);
                sent = sent.max(measured.times.len() + measured.failed);
                if load == Load::Misses {
                    let (taken, count) = subject.looked().await?;
                    subject.missed.push(1e6 * (taken - looked.0) / (count - looked.1).max(1.0));
                }
                if let Some(samples) = subject.samples.get_mut(place) {
                    samples.push(Sample { measured, cpu });
                }
            }
        }
        asked += sent;
    }
    table(&subjects, options).print()?;
    check(&subjects)
}

impl Options {
    /// Answers before anything is measured: at least half of them, however many misses will be kept.
    fn to_begin_with(&self) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of requests")]
        let each = (self.rate * Duration::from_secs(self.seconds).as_secs_f64()) as u64;
        self.entries.saturating_sub(each * u64::from(ROUNDS) / 2).max(self.entries / 2)
    }
}

impl Subject {
    /// Seconds that look-ups took that missed, and how many there were.
    async fn looked(&self) -> Result<(f64, f64), Failure> {
        if self.mode == "off" {
            return Ok((0.0, 0.0));
        }
        let page = Page::new(self.gateway.admin, "/metrics")?;
        let metric =
            async |what: &str| page.metric(&format!("sluice_cache_lookup_seconds_{what}{{result=\"miss\"}}")).await;
        Ok((metric("sum").await?, metric("count").await?))
    }

    /// What a look-up that missed took on average in the quietest round.
    fn look_up(&self) -> Option<f64> {
        self.missed.iter().copied().filter(|_| self.mode != "off").min_by(f64::total_cmp)
    }
}

async fn start(binary: &Path, mock: &Server, folder: &Path, mode: &'static str) -> Result<Subject, Failure> {
    let policy = Policy { keys: &[(LOAD, "standard")], limits: ROOMY, ..Policy::default() }.text()?;
    let cache = if mode == "off" { String::new() } else { format!("cache: {{ mode: {mode} }}\n") };
    let config = format!("{}{cache}", policy::models(None));
    let setup = Setup { name: mode, config: &config, policy: &policy };
    let gateway = process::sluice(binary, mock.addr, folder, &setup).await?;
    let client = Client::new(gateway.server.addr, LOAD)?;
    Ok(Subject { mode, gateway, client, samples: Default::default(), missed: Vec::new(), entry: None })
}

/// Asks so many different questions, a few at a time.
async fn fill(subject: &mut Subject, entries: u64) -> Result<(), Failure> {
    const AT_ONCE: u64 = 16;
    let mut before = 0;
    for begin in (0..entries).step_by(usize::try_from(AT_ONCE)?) {
        let mut requests = JoinSet::new();
        for number in begin..entries.min(begin + AT_ONCE) {
            let (client, body) = (subject.client.clone(), Load::Misses.body(number, 0));
            requests.spawn(async move { client.whole(body).await });
        }
        while let Some(done) = requests.join_next().await {
            done??;
        }
        // What the first requests take is not for their answers.
        if begin / AT_ONCE == entries / AT_ONCE / 10 {
            before = subject.gateway.server.rss()?;
        }
    }
    if subject.mode != "off" {
        let told = Page::new(subject.gateway.admin, "/cache")?.json().await?;
        let count = |name: &str| told[name].as_u64().ok_or("GET /cache tells no size");
        let grown = subject.gateway.server.rss()?.saturating_sub(before);
        let kept = float(count("entries")?).max(1.0);
        subject.entry = Some((float(grown) / (kept * 0.9), float(count("bytes")?) / kept));
    }
    Ok(())
}

/// Requests at a rate; one with another outcome has failed.
async fn send(
    client: &Client,
    body: impl Fn(u64) -> Bytes,
    outcome: &'static str,
    (rate, time): (f64, Duration),
) -> Result<Measured, Failure> {
    let mut number = 0;
    let next = || {
        number += 1;
        let (client, body) = (client.clone(), body(number));
        async move {
            match client.outcome(body).await? {
                told if told == outcome => Ok(()),
                told => Err(format!("x-sluice-cache is {told:?}, not {outcome:?}").into()),
            }
        }
    };
    generate::open_each(next, rate, time).await
}

type Read = fn(&Sample) -> Option<f64>;

const ROWS: [(&str, Read); 3] = [
    ("p50, µs", |sample| Some(sample.time(50.0))),
    ("p99, µs", |sample| Some(sample.time(99.0))),
    ("CPU, µs/request", |sample| sample.cpu_each()),
];

/// Of the quietest round.
fn best(subject: &Subject, load: usize, read: Read) -> Option<f64> {
    subject.samples.get(load)?.iter().filter_map(read).min_by(f64::total_cmp)
}

fn table(subjects: &[Subject], options: &Options) -> Table {
    let mut table = Table::new(["metric", "off", "exact", "added", "semantic", "added"].map(str::to_owned).to_vec());
    for (place, load) in Load::ALL.into_iter().enumerate() {
        for (name, read) in ROWS {
            let mut cells = vec![format!("{}: {name}", load.name())];
            let off = subjects.first().and_then(|subject| best(subject, place, read));
            for (number, subject) in subjects.iter().enumerate() {
                let value = best(subject, place, read);
                cells.push(value.map_or_else(|| "-".to_owned(), brief));
                if number > 0 {
                    cells.push(off.zip(value).map_or_else(|| "-".to_owned(), |(off, v)| format!("{:+.0}", v - off)));
                }
            }
            table.row(cells);
        }
    }
    let entry = |name: &str| format!("{name} ({} to begin with)", options.to_begin_with());
    for (name, read) in [
        ("never asked before: the look-up alone, µs".to_owned(), Subject::look_up as fn(&Subject) -> Option<f64>),
        (entry("memory of an entry, bytes"), |subject| subject.entry.map(|e| e.0.round())),
        (entry("of it counted by the gateway"), |subject| subject.entry.map(|e| e.1.round())),
    ] {
        let mut row = vec![name, "-".to_owned()];
        for subject in subjects.iter().skip(1) {
            row.extend([read(subject).map_or_else(|| "-".to_owned(), brief), "-".to_owned()]);
        }
        table.row(row);
    }
    table
}

/// Every request must end as it should, a look-up take no longer than it may, and a miss wait for nothing else.
fn check(subjects: &[Subject]) -> Result<(), Failure> {
    let mut bounds = Bounds::default();
    let p99 = |subject| best(subject, 0, |sample| Some(sample.time(99.0)));
    let off = subjects.first().and_then(p99);
    for subject in subjects {
        let mode = subject.mode;
        for sample in subject.samples.iter().flatten() {
            let error = sample.measured.error.as_deref().unwrap_or_default();
            let failed = sample.measured.failed;
            bounds.check(failed == 0, || format!("{mode}: {failed} requests failed, the first with: {error}"));
        }
        let most = if mode == "semantic" { MOST_SEMANTIC } else { MOST_EXACT };
        if let (Some(took), Some(off), Some(with)) = (subject.look_up(), off, p99(subject)) {
            bounds.check(took <= most, || format!("{mode}: a look-up took {took:.0} µs, not {most}"));
            let added = with - off;
            let otherwise = || format!("{mode}: the p99 of misses rose by {added:.0} µs, the look-up took {took:.0}");
            bounds.check(added <= took + NOISE, otherwise);
        }
    }
    bounds.result()
}
