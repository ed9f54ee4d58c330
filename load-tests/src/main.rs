//! Measures the gateway under load, side by side with its provider alone.

mod client;
mod generate;
mod overhead;
mod process;
mod report;
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
    /// The provider; the measurements start it as a process of its own.
    #[command(hide = true)]
    Mock,
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
        Command::Mock => mock().await,
    };
    let Err(error) = done else { return ExitCode::SUCCESS };
    report::progress(&format!("failed: {error}"));
    ExitCode::FAILURE
}
