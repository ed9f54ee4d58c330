//! Flags to command.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::{check, envoy, explain, key, levels, models, serve};
use crate::app::StartError;
use crate::extproc::envoy::Site;

const EXAMPLES: &str = "\
Examples:
  sluice                                 serve a simulated provider, to try it out
  sluice key new --name web              make a key for a policy file
  sluice check --config sluice.yaml      say everything that is wrong with a config
  sluice explain --config sluice.yaml --key web --model fast   limits, price and targets of a request
  sluice serve --config sluice.yaml      serve it; reloads on change and on SIGHUP
  sluice envoy --config sluice.yaml      print a config for the Envoy in front of it
  sluice models --config sluice.yaml     which models there are, and what they cost
  sluice levels --watch                  what is left of each limit, and who waits, live

Logs go to stderr (SLUICE_LOG=debug for more), one access-log line per request to stdout.";

/// An AI inference gateway: true token quotas in front of OpenAI-compatible providers.
///
/// Without a command it serves a built-in simulated provider on 127.0.0.1:8080.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a config file until SIGTERM; then let open streams finish
    Serve {
        /// The config file
        #[arg(long, value_name = "FILE", env = "SLUICE_CONFIG")]
        config: PathBuf,
    },
    /// Validate config, policies and catalog; exit 0, or print every error and exit 1
    Check {
        /// The config file
        #[arg(long, value_name = "FILE", env = "SLUICE_CONFIG", required_unless_present = "schema")]
        config: Option<PathBuf>,
        /// Print the JSON Schema of the config (`policy` for that of a policy file) instead
        #[arg(long, value_name = "WHICH", num_args = 0..=1, default_missing_value = "config", value_parser = ["config", "policy"])]
        schema: Option<String>,
    },
    /// Say what would become of a request: identity, limits, price bound, targets; none is sent
    Explain {
        /// The config file
        #[arg(long, value_name = "FILE", env = "SLUICE_CONFIG")]
        config: PathBuf,
        /// The name of the key that asks; `tenant/name` where tenants share one
        #[arg(long)]
        key: String,
        /// The public model it asks for
        #[arg(long)]
        model: String,
        /// The body of a chat request; else a short one
        #[arg(long, value_name = "FILE")]
        body: Option<PathBuf>,
        /// The `admin` address of a running gateway, for its levels and the health of targets
        #[arg(long, value_name = "ADDR")]
        admin: Option<String>,
    },
    /// List the models of a config with windows and prices
    Models {
        /// The config file
        #[arg(long, value_name = "FILE", env = "SLUICE_CONFIG")]
        config: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show limits, debts, leases and queues of a running gateway
    Levels {
        /// Its `admin` address
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090")]
        admin: String,
        /// As JSON
        #[arg(long)]
        json: bool,
        /// Again every so many seconds
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1")]
        watch: Option<u64>,
    },
    /// Print an Envoy config that puts this gateway into an Envoy
    Envoy {
        /// The config file
        #[arg(long, value_name = "FILE", env = "SLUICE_CONFIG")]
        config: PathBuf,
        /// Who calls the provider: Sluice (serve) or Envoy (steer). Default what the config says
        #[arg(long, value_parser = ["serve", "steer"])]
        mode: Option<String>,
        /// Steer: let Envoy try a model's targets in turn, each translated and signed by a filter of its cluster
        #[arg(long)]
        attempts: bool,
        /// Where Envoy takes requests
        #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:10000")]
        listen: SocketAddr,
        /// Envoy's admin address
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9901")]
        admin: SocketAddr,
        /// A replica as Envoy reaches it, a host with a port or a Unix socket; may be repeated. Default what the config says
        #[arg(long = "gateway", value_name = "HOST:PORT|unix:/PATH")]
        gateways: Vec<String>,
    },
    /// Make virtual keys
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Print a fresh key, once, and the line to paste into a policy file
    New {
        /// The key's name in logs and limits
        #[arg(long)]
        name: String,
    },
}

/// Runs the command that the flags ask for. An error is for the person at the terminal.
pub fn run(cli: Cli) -> Result<(), StartError> {
    match cli.command {
        None => runtime()?.block_on(serve::demo()),
        Some(Command::Serve { config }) => runtime()?.block_on(serve::run(&config)),
        Some(Command::Check { schema: Some(which), .. }) => check::schema(&which),
        Some(Command::Check { config: Some(config), .. }) => check::run(&config),
        Some(Command::Check { .. }) => Err("--config or --schema is needed".into()),
        Some(Command::Explain { config, key, model, body, admin }) => {
            let ask = explain::Ask { config, key, model, body, admin };
            runtime()?.block_on(explain::run(&ask))
        }
        Some(Command::Models { config, json }) => models::run(&config, json),
        Some(Command::Levels { admin, json, watch }) => runtime()?.block_on(levels::run(&admin, json, watch)),
        Some(Command::Envoy { config, mode, attempts, listen, admin, gateways }) => {
            envoy::run(&config, mode.as_deref(), &Site { listen, admin, attempts, gateways })
        }
        Some(Command::Key { command: KeyCommand::New { name } }) => key::new(&name),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
