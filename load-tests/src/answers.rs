//! How soon one replica gives the answers that another keeps, and what a look-up in Redis costs, by what the
//! server can search with.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use hdrhistogram::Histogram;
use http::HeaderMap;
use secrecy::SecretString;
use serde_json::json;
use sluice::cache::{Answer, Ask, Cache, Control, Owner};
use sluice::config::{CacheRules, Redis, RedisMode};
use sluice::telemetry::SharedCacheMetrics;
use sluice_policies::Demand;
use sluice_providers::{Call, Endpoint};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Failure;
use crate::process::{self, Server};
use crate::report::{Bounds, Table, brief, progress};

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// A server and its arguments; may be given more than once
    #[arg(long = "server", default_value = "redis-server")]
    servers: Vec<String>,
    /// Prompts in the partition while look-ups are measured
    #[arg(long, default_value_t = 10_000)]
    prompts: usize,
    /// Look-ups of each kind
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    lookups: u64,
}

/// An answer that takes longer than this from one replica to the other is late.
const SOON: Duration = Duration::from_secs(1);
/// And than this is lost.
const NEVER: Duration = Duration::from_secs(10);
/// Answers that are followed from one replica to the other, of each kind.
const FOLLOWED: usize = 100;
const ROOM: u64 = 1 << 30;

/// What was measured on one server.
struct Measured {
    index: String,
    /// Of the same words, and of others: from keeping to finding.
    lags: [Histogram<u64>; 2],
    /// The same words, others, and what nobody has asked: how long it took.
    times: [Histogram<u64>; 3],
    /// How many of them were answered.
    answered: [u64; 3],
}

/// Measures every server and prints the table.
pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    sluice::app::install_crypto();
    let folder = tempfile::tempdir()?;
    let mut all = Vec::new();
    for (number, line) in options.servers.iter().enumerate() {
        progress(&format!("{line}: starting"));
        let server = start(line, number, folder.path()).await?;
        all.push(measure(options, &server).await?);
    }
    table(options, &all).print()?;
    let mut bounds = Bounds::default();
    for measured in &all {
        let [same, other] = measured.lags.each_ref().map(Histogram::max);
        let soon = u64::try_from(SOON.as_micros())?;
        let [found, ..] = measured.answered;
        bounds.check(found == options.lookups, || format!("{}: only {found} look-ups found", measured.index));
        bounds.check(same.max(other) <= soon, || {
            format!("{}: an answer took {} ms", measured.index, same.max(other) / 1000)
        });
    }
    bounds.result()
}

async fn start(line: &str, number: usize, folder: &Path) -> Result<Server, Failure> {
    let addr = process::free_addr()?;
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().ok_or("--server is empty")?);
    command.args(["--bind", "127.0.0.1", "--port"]).arg(addr.port().to_string()).args(words);
    command.args(["--save", "", "--appendonly", "no", "--dir"]).arg(folder).stdout(Stdio::null());
    let mut server = Server::spawn(&format!("redis-{number}"), addr, folder, &mut command)?;
    server.ready(async || TcpStream::connect(addr).await.is_ok()).await?;
    Ok(server)
}

/// Replicas on one server.
struct Fleet {
    addr: SocketAddr,
    rules: CacheRules,
    control: Control,
    work: JoinSet<()>,
}

impl Fleet {
    /// A replica that is connected, and has read what others keep.
    async fn replica(&mut self) -> Result<Arc<Cache>, Failure> {
        let redis = Redis {
            urls: vec![SecretString::from(format!("redis://{}/0", self.addr))],
            mode: RedisMode::Single,
            username: None,
            password: None,
            ca: None,
            prefix: "sluice".to_owned(),
            timeout: Duration::from_millis(500),
            lease: Duration::from_secs(30),
            slice_percent: 25,
        };
        let cache = Arc::new(Cache::shared(ROOM, &redis, &SharedCacheMetrics::default())?);
        let working = Arc::clone(&cache);
        self.work.spawn(async move { working.work(CancellationToken::new()).await });
        let begun = Instant::now();
        let unknown = Cache::new(0).stamp();
        while cache.stamp() == unknown {
            if begun.elapsed() > NEVER {
                return Err("the server cannot be used".into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The stream of prompts, where there is one.
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(cache)
    }

    fn ask(&self, cache: &Cache, text: &str) -> Result<Ask, Failure> {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": text}]});
        let call = Call::parse(Endpoint::ChatCompletions, Bytes::from(body.to_string())).map_err(|e| e.to_string())?;
        let owner = Owner { tenant: "acme".into(), key: "web".into(), user: None };
        Ok(Ask::of(&call, owner, &Arc::from("m"), &["p/m"], &self.rules)?.since(cache.stamp()))
    }

    fn keep(&self, cache: &Cache, text: &str) -> Result<(), Failure> {
        let message = json!({"role": "assistant", "content": "A sentence or two, as answers go. ".repeat(20)});
        let value = json!({"id": "c", "model": "m", "choices": [{"message": message, "finish_reason": "stop"}]});
        let answer = Answer::of(Endpoint::ChatCompletions, value.to_string().as_bytes(), false, None);
        let answer = answer.ok_or("not an answer")?;
        cache.keep(self.ask(cache, text)?, answer, Demand { input: 0, output: 0, cost_micros: 0 }, &self.rules);
        Ok(())
    }

    async fn finds(&self, cache: &Cache, text: &str) -> Result<bool, Failure> {
        Ok(cache.find(&self.ask(cache, text)?, &self.control, &self.rules, &()).await.is_some())
    }
}

async fn measure(options: &Options, server: &Server) -> Result<Measured, Failure> {
    let rules = CacheRules { semantic: true, ..CacheRules::default() };
    let control = Control::of(&HeaderMap::new())?;
    let mut fleet = Fleet { addr: server.addr, rules, control, work: JoinSet::new() };
    let (a, b) = (fleet.replica().await?, fleet.replica().await?);
    let index = a.sharing().and_then(|sharing| sharing.index).unwrap_or("none").to_owned();
    progress(&format!("{index}: answers from one replica to the other"));
    let mut lags = [histogram()?, histogram()?];
    for number in 0..FOLLOWED * 2 {
        let place = place(number);
        let other = number % 2;
        fleet.keep(&a, &asked(&place))?;
        let wanted = if other == 1 { other_words(&place) } else { asked(&place) };
        let begun = Instant::now();
        while !fleet.finds(&b, &wanted).await? {
            if begun.elapsed() > NEVER {
                return Err(format!("{index}: the other replica never finds `{wanted}`").into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        record(&mut lags, other, begun.elapsed())?;
    }
    progress(&format!("{index}: {} prompts", options.prompts));
    for number in FOLLOWED * 2..options.prompts {
        fleet.keep(&a, &asked(&place(number)))?;
        let kept = u64::try_from(number)?;
        while a.sharing().is_some_and(|sharing| sharing.written + sharing.lost + 100 < kept) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let (times, answered) = times(options, &mut fleet).await?;
    Ok(Measured { index, lags, times, answered })
}

/// Look-ups of replicas that have nothing in memory.
async fn times(options: &Options, fleet: &mut Fleet) -> Result<([Histogram<u64>; 3], [u64; 3]), Failure> {
    let mut times = [histogram()?, histogram()?, histogram()?];
    let mut answered = [0; 3];
    for (kind, time) in times.iter_mut().enumerate() {
        let fresh = fleet.replica().await?;
        // The first look-up pays for what is made once.
        fleet.finds(&fresh, "What is the weather like?").await?;
        let step = (options.prompts / usize::try_from(options.lookups)?).max(1);
        for number in 0..usize::try_from(options.lookups)? {
            let place = place(number * step % options.prompts.max(1));
            let wanted = match kind {
                0 => asked(&place),
                1 => other_words(&place),
                _ => asked(&self::place(options.prompts + FOLLOWED * 2 + number)),
            };
            let begun = Instant::now();
            let found = fleet.finds(&fresh, &wanted).await?;
            time.record(u64::try_from(begun.elapsed().as_micros())?)?;
            if let Some(count) = answered.get_mut(kind) {
                *count += u64::from(found);
            }
        }
    }
    Ok((times, answered))
}

fn record(all: &mut [Histogram<u64>; 2], which: usize, time: Duration) -> Result<(), Failure> {
    let one = all.get_mut(which).ok_or("no such histogram")?;
    Ok(one.record(u64::try_from(time.as_micros())?)?)
}

fn histogram() -> Result<Histogram<u64>, Failure> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

fn asked(place: &str) -> String {
    format!("What is the capital of {place}?")
}

fn other_words(place: &str) -> String {
    format!("Tell me the capital of {place}")
}

/// A name that no other number has.
fn place(number: usize) -> String {
    const FIRST: [&str; 25] = [
        "Ba", "Ko", "Li", "Mar", "Ne", "Or", "Pa", "Qui", "Ros", "Sel", "Tor", "Ul", "Ver", "Wil", "Xan", "Yor", "Zan",
        "Ald", "Bren", "Cor", "Dal", "Er", "Fen", "Gal", "Hol",
    ];
    const NEXT: [&str; 20] = [
        "ba", "den", "fi", "gor", "ha", "ja", "kel", "lo", "mi", "na", "po", "ra", "su", "ta", "vi", "wa", "xi", "yo",
        "zu", "che",
    ];
    const LAST: [&str; 20] = [
        "land", "stan", "via", "nia", "ria", "burg", "mark", "wick", "ton", "dor", "mont", "gard", "holm", "fell",
        "moor", "shire", "port", "lis", "thal", "bia",
    ];
    let pick = |from: &[&'static str], at: usize| from.get(at % from.len()).copied().unwrap_or_default();
    let (first, rest) = (pick(&FIRST, number), number / FIRST.len());
    let (next, rest) = (pick(&NEXT, rest), rest / NEXT.len());
    let (last, rest) = (pick(&LAST, rest), rest / LAST.len());
    format!("{first}{next}{}{last}", if rest == 0 { "" } else { pick(&NEXT, rest) })
}

fn table(options: &Options, all: &[Measured]) -> Table {
    let mut header = vec!["metric".to_owned()];
    header.extend(all.iter().map(|measured| measured.index.clone()));
    let mut table = Table::new(header);
    let mut rows = |name: &str, divisor: f64, of: &dyn Fn(&Measured) -> Option<&Histogram<u64>>| {
        for percentile in [50.0, 99.0] {
            let mut cells = vec![format!("{name}, p{percentile:.0}")];
            cells.extend(all.iter().map(|measured| {
                #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
                let value = of(measured).map_or(0.0, |one| one.value_at_percentile(percentile) as f64);
                brief(value / divisor)
            }));
            table.row(cells);
        }
    };
    rows("to another replica, the same words, ms", 1000.0, &|m| m.lags.first());
    rows("to another replica, other words, ms", 1000.0, &|m| m.lags.last());
    rows("look-up in Redis, the same words, µs", 1.0, &|m| m.times.first());
    rows("look-up in Redis, other words, µs", 1.0, &|m| m.times.get(1));
    rows("look-up in Redis, a miss, µs", 1.0, &|m| m.times.last());
    let kinds = ["the same words", "other words", "what nobody has asked"];
    for (kind, name) in kinds.into_iter().enumerate() {
        let mut cells = vec![format!("{name}: answered, of {}", options.lookups)];
        cells.extend(all.iter().map(|one| one.answered.get(kind).copied().unwrap_or_default().to_string()));
        table.row(cells);
    }
    table
}
