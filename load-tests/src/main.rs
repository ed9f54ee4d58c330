//! Measures the gateway under load, side by side with its provider alone.

mod answers;
mod balance;
mod cache;
mod cache_prompts;
mod client;
mod crowd;
mod drain;
mod envoy;
mod failover;
mod fetch;
mod fleet;
mod generate;
mod large;
mod measure;
mod noop;
mod overhead;
mod policy;
mod prefix;
mod priority;
mod process;
mod quota;
mod redis;
mod report;
mod rig;
mod store;
mod usage;

use std::error::Error;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sluice_mock::Mock;

/// Any failure; it ends the run.
type Failure = Box<dyn Error + Send + Sync>;

#[derive(Parser)]
#[command(about = "Measures the gateway under load", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// What the gateway adds to a request and to a stream, in time, CPU and memory.
    Overhead(overhead::Options),
    /// What a conversation of a megabyte costs, known to the gateway or new to it.
    Large(large::Options),
    /// Whether replicas together ever grant more tokens than a limit allows, whatever fails.
    Quota(quota::Options),
    /// Who is served first at a full pool, and whether keys of one class get the same.
    Priority(priority::Options),
    /// How busy a pool's slots are while a long queue drains into it.
    Drain(drain::Options),
    /// What sharing limits through Redis adds to keeping them in memory.
    Store(store::Options),
    /// How soon replicas have each other's answers, and what a look-up in Redis costs.
    Answers(answers::Options),
    /// What Sluice costs inside an Envoy, in both modes, beside Envoy alone and Sluice alone.
    Envoy(envoy::Options),
    /// What clients see when a target fails, is killed or falls silent, and when it is back.
    Failover(failover::Options),
    /// How much of long conversations is found in the engines' caches, by the way targets are picked.
    Prefix(prefix::Options),
    /// What the cache adds to requests that it cannot answer, and what is left of those that it can.
    Cache(cache::Options),
    /// Balancing over simulated engines, one of them slow, against an oracle.
    Balance(balance::Options),
    /// The provider; the measurements start it as a process of its own.
    #[command(hide = true)]
    Mock,
    /// An external processor that changes nothing.
    #[command(hide = true)]
    Noop,
}

async fn mock() -> Result<(), Failure> {
    let mock = Mock::new().start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    writeln!(io::stdout(), "listening on {}", mock.addr())?;
    std::future::pending().await
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Overhead(options) => overhead::run(&options).await,
        Command::Large(options) => large::run(&options).await,
        Command::Quota(options) => quota::run(&options).await,
        Command::Priority(options) => priority::run(&options).await,
        Command::Drain(options) => drain::run(&options).await,
        Command::Store(options) => store::run(&options).await,
        Command::Answers(options) => answers::run(&options).await,
        Command::Envoy(options) => envoy::run(&options).await,
        Command::Failover(options) => failover::run(&options).await,
        Command::Prefix(options) => prefix::run(&options).await,
        Command::Cache(options) => cache::run(&options).await,
        Command::Balance(options) => balance::run(&options),
        Command::Mock => mock().await,
        Command::Noop => noop::serve().await,
    };
    let Err(error) = done else { return ExitCode::SUCCESS };
    report::progress(&format!("failed: {error}"));
    ExitCode::FAILURE
}
