//! What limits shared through Redis add to limits in memory: the same load on both, in one run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::Failure;
use crate::client::Client;
use crate::measure::{self, CONNECTIONS, Load, Sample, each, float, measure, positive};
use crate::policy::{self, LOAD, Policy, ROOMY};
use crate::process::{self, Server, Setup};
use crate::redis::{Commands, Redis};
use crate::report::{Table, brief, progress};

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
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
}

/// A gateway and what was measured of it.
struct Subject {
    server: Server,
    client: Client,
    runs: Vec<Run>,
}

/// One load, and what Redis had to do for it.
struct Run {
    sample: Sample,
    redis_cpu: Duration,
    commands: Commands,
}

/// Runs both loads on both and prints the table.
pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let redis = Redis::start(folder.path()).await?;
    let mock = process::mock(folder.path())?;
    let memory = start(&options.sluice, &mock, folder.path(), "memory", "").await?;
    let shared = start(&options.sluice, &mock, folder.path(), "redis", &redis.config()).await?;
    let mut subjects = [memory, shared];
    for subject in &subjects {
        progress(&format!("{}: warming up", subject.server.name));
        measure(&subject.server, &subject.client, Duration::from_secs(1), Load::Most).await?;
    }
    for load in [Load::Most, Load::Steady(options.rate)] {
        for subject in &mut subjects {
            progress(&format!("{}: {}", subject.server.name, load.name()));
            let (cpu, commands) = (redis.cpu()?, redis.commands()?);
            let time = Duration::from_secs(options.seconds);
            let sample = measure(&subject.server, &subject.client, time, load).await?;
            let redis_cpu = redis.cpu()?.saturating_sub(cpu);
            subject.runs.push(Run { sample, redis_cpu, commands: redis.commands()?.since(commands) });
        }
    }
    table(&subjects, options.rate).print()?;
    check(&subjects)
}

/// Starts a gateway whose config has these lines more.
async fn start(binary: &Path, mock: &Server, folder: &Path, name: &str, store: &str) -> Result<Subject, Failure> {
    let policy = Policy { keys: &[(LOAD, "standard")], limits: ROOMY, ..Policy::default() }.text()?;
    let config = format!("{}{store}", policy::models(None));
    let setup = Setup { name, config: &config, policy: &policy };
    let server = process::sluice(binary, mock.addr, folder, &setup).await?.server;
    Ok(Subject { client: Client::new(server.addr, LOAD)?, server, runs: Vec::new() })
}

fn samples(subject: &Subject) -> impl Iterator<Item = &Sample> + Clone {
    subject.runs.iter().map(|run| &run.sample)
}

type Read = fn(&Run) -> Option<f64>;

/// What is read of each load: of both gateways, and of Redis alone.
const BOTH: [(&str, Read); 4] = [
    ("requests/s", |run| Some(run.sample.per_second())),
    ("CPU, µs/request", |run| run.sample.cpu_each()),
    ("p50, µs", |run| Some(run.sample.time(50.0))),
    ("p99, µs", |run| Some(run.sample.time(99.0))),
];
const REDIS: [(&str, Read); 4] = [
    ("Redis CPU, µs/request", |run| each(run.redis_cpu, run.sample.requests())),
    ("decisions/s per Redis core", |run| {
        let cpu = run.redis_cpu.as_secs_f64();
        (cpu > 0.0).then(|| float(run.sample.requests()) / cpu)
    }),
    ("Redis scripts/request", |run| per_request(run, run.commands.scripts)),
    ("Redis commands/request, scripts' own too", |run| per_request(run, run.commands.all)),
];

fn per_request(run: &Run, count: u64) -> Option<f64> {
    let requests = run.sample.requests();
    (requests > 0).then(|| float(count) / float(requests))
}

fn table([memory, redis]: &[Subject; 2], rate: f64) -> Table {
    let header = ["metric", "memory", "redis", "added"];
    let mut table = Table::new(header.map(str::to_owned).to_vec());
    let text = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), brief);
    let loads = [format!("{CONNECTIONS} connections"), format!("{rate} requests/s")];
    for ((load, memory), redis) in loads.iter().zip(&memory.runs).zip(&redis.runs) {
        for (name, read) in BOTH {
            let (memory, redis) = (read(memory), read(redis));
            let added = memory.zip(redis).map(|(memory, redis)| redis - memory);
            table.row(vec![format!("{load}: {name}"), text(memory), text(redis), text(added)]);
        }
        for (name, read) in REDIS {
            table.row(vec![format!("{load}: {name}"), "-".to_owned(), text(read(redis)), "-".to_owned()]);
        }
    }
    table
}

fn check(subjects: &[Subject; 2]) -> Result<(), Failure> {
    let [_, redis] = subjects;
    if redis.runs.iter().any(|run| run.commands.all == 0) {
        return Err("redis: the gateway gave Redis no commands".into());
    }
    subjects.iter().try_for_each(|subject| measure::check(&subject.server.name, samples(subject)))
}
