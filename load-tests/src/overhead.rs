//! What the gateway adds: the same load to the provider alone and through the gateway, in one run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::client::{Client, ask};
use crate::measure::{self, CONNECTIONS, Load, Sample, float, measure, positive};
use crate::policy::{self, LOAD, Policy, ROOMY};
use crate::process::{self, Server, Setup};
use crate::report::{Table, brief, progress};
use crate::{Failure, generate, usage};

/// Files besides those of the streams.
const OTHER_FILES: u64 = 500;
/// Between opening streams and reading the memory they take.
const SETTLE: Duration = Duration::from_secs(2);

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// The gateway to measure
    #[arg(long, default_value = "target/release/sluice")]
    sluice: PathBuf,
    /// Requests per second while latency is measured
    #[arg(long, default_value_t = 500.0, value_parser = positive)]
    rate: f64,
    /// Length of each measurement
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Streams held open at most; memory is also read at a fifth of them
    #[arg(long, default_value_t = 5000)]
    streams: usize,
    /// Measurements of 2 seconds and 500 streams: to see that it works
    #[arg(long)]
    quick: bool,
}

/// One server and everything measured of it.
struct Subject {
    server: Server,
    client: Client,
    results: Results,
}

#[derive(Default)]
struct Results {
    most: Option<Sample>,
    steady: Option<Sample>,
    streams: Option<Sample>,
    /// Bytes at no streams, a fifth of them and all.
    rss: Vec<u64>,
}

/// Runs every measurement and prints the table.
pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let (time, streams) = if options.quick { (2, 500) } else { (options.seconds, options.streams) };
    let time = Duration::from_secs(time.max(1));
    let needed = 2 * streams as u64 + OTHER_FILES;
    usage::need_files(needed, &format!("{streams} streams"), "--streams")?;
    let folder = tempfile::tempdir()?;
    let mut subjects = start(&options.sluice, folder.path()).await?;
    for subject in &mut subjects {
        let one = Duration::from_secs(1);
        progress(&format!("{}: warming up", subject.server.name));
        measure(&subject.server, &subject.client, one, Load::Most).await?;
    }
    for load in [Load::Most, Load::Steady(options.rate), Load::Streams] {
        for subject in &mut subjects {
            progress(&format!("{}: {}", subject.server.name, load.name()));
            let sample = measure(&subject.server, &subject.client, time, load).await?;
            let results = &mut subject.results;
            match load {
                Load::Most => results.most = Some(sample),
                Load::Steady(_) => results.steady = Some(sample),
                Load::Streams => results.streams = Some(sample),
            }
        }
    }
    for subject in subjects.iter_mut().skip(1) {
        subject.results.rss = memory(subject, streams).await?;
    }
    table(&subjects, options.rate, streams).print()?;
    check(&subjects)
}

/// The provider first, then the gateways in front of it.
async fn start(binary: &Path, folder: &Path) -> Result<Vec<Subject>, Failure> {
    let mock = process::mock(folder)?;
    let addr = mock.addr;
    progress(&format!("the mock provider listens on {addr}"));
    let policy = Policy { keys: &[(LOAD, "standard")], limits: ROOMY, ..Policy::default() }.text()?;
    let setup = Setup { name: "sluice", config: &policy::models(None), policy: &policy };
    let mut servers = vec![mock, process::sluice(binary, addr, folder, &setup).await?.server];
    match process::nginx(addr, folder).await? {
        Some(nginx) => servers.push(nginx),
        None => progress("nginx: skipped, not on PATH"),
    }
    let subject =
        |server: Server| Ok(Subject { client: Client::new(server.addr, LOAD)?, server, results: Results::default() });
    servers.into_iter().map(subject).collect()
}

async fn memory(subject: &Subject, streams: usize) -> Result<Vec<u64>, Failure> {
    // A chunk every ten seconds: open, and as good as idle.
    let body = ask(true, &json!({"tokens": 100_000, "token_ms": 10_000}));
    let mut rss = vec![subject.server.rss()?];
    let mut held = Vec::new();
    for count in [streams / 5, streams] {
        progress(&format!("{}: {count} open streams", subject.server.name));
        generate::hold(&subject.client, &body, count - held.len(), &mut held).await?;
        tokio::time::sleep(SETTLE).await;
        rss.push(subject.server.rss()?);
    }
    Ok(rss)
}

type Read = fn(&Results) -> Option<f64>;

/// How a gateway is compared with the provider alone.
#[derive(Clone, Copy)]
enum Compare {
    Ratio,
    Added,
}

fn table(subjects: &[Subject], rate: f64, streams: usize) -> Table {
    let mut header = vec!["metric".to_owned()];
    for subject in subjects {
        header.push(subject.server.name.clone());
        if header.len() > 2 {
            header.push("vs direct".to_owned());
        }
    }
    if subjects.len() < 3 {
        header.push("nginx".to_owned());
    }
    let mut table = Table::new(header);
    let rows: [(String, Compare, Read); 14] = [
        (format!("most requests/s, {CONNECTIONS} connections"), Compare::Ratio, |results| {
            Some(results.most.as_ref()?.per_second())
        }),
        ("CPU at that, µs/request".to_owned(), Compare::Ratio, |results| results.most.as_ref()?.cpu_each()),
        (format!("p50 at {rate} requests/s, µs"), Compare::Added, |results| Some(results.steady.as_ref()?.time(50.0))),
        (format!("p99 at {rate} requests/s, µs"), Compare::Added, |results| Some(results.steady.as_ref()?.time(99.0))),
        (format!("CPU at {rate} requests/s, µs/request"), Compare::Ratio, |results| {
            results.steady.as_ref()?.cpu_each()
        }),
        ("first token p50, µs".to_owned(), Compare::Added, |results| Some(results.streams.as_ref()?.time(50.0))),
        ("first token p99, µs".to_owned(), Compare::Added, |results| Some(results.streams.as_ref()?.time(99.0))),
        ("chunk after its time p50, µs".to_owned(), Compare::Added, |results| {
            Some(results.streams.as_ref()?.chunk(50.0))
        }),
        ("chunk after its time p99, µs".to_owned(), Compare::Added, |results| {
            Some(results.streams.as_ref()?.chunk(99.0))
        }),
        ("CPU at 10 ms a chunk, µs/chunk".to_owned(), Compare::Ratio, |results| results.streams.as_ref()?.cpu_chunk()),
        ("memory without streams, MiB".to_owned(), Compare::Added, |results| mib(results, 0)),
        (format!("memory with {} streams, MiB", streams / 5), Compare::Added, |results| mib(results, 1)),
        (format!("memory with {streams} streams, MiB"), Compare::Added, |results| mib(results, 2)),
        ("failed requests".to_owned(), Compare::Added, |results| Some(failed(results))),
    ];
    for (name, compare, read) in rows {
        table.row(cells(subjects, name, compare, read));
    }
    table
}

fn cells(subjects: &[Subject], name: String, compare: Compare, read: Read) -> Vec<String> {
    let mut cells = vec![name];
    let direct = subjects.first().and_then(|subject| read(&subject.results));
    for (number, subject) in subjects.iter().enumerate() {
        let value = read(&subject.results);
        cells.push(value.map_or_else(|| "-".to_owned(), brief));
        if number > 0 {
            cells.push(match (direct, value, compare) {
                (Some(direct), Some(value), Compare::Added) => format!("{:+.0}", value - direct),
                (Some(direct), Some(value), Compare::Ratio) if direct > 0.0 => format!("{:.2}x", value / direct),
                _ => "-".to_owned(),
            });
        }
    }
    if subjects.len() < 3 {
        cells.push("skipped".to_owned());
    }
    cells
}

fn mib(results: &Results, at: usize) -> Option<f64> {
    results.rss.get(at).map(|bytes| float(*bytes) / f64::from(1 << 20))
}

fn samples(results: &Results) -> impl Iterator<Item = &Sample> + Clone {
    [&results.most, &results.steady, &results.streams].into_iter().flatten()
}

fn failed(results: &Results) -> f64 {
    float(measure::failed(samples(results)))
}

fn check(subjects: &[Subject]) -> Result<(), Failure> {
    subjects.iter().try_for_each(|subject| measure::check(&subject.server.name, samples(&subject.results)))
}
