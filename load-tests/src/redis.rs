//! A Redis of a run's own, and how many commands it has been given.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Failure;
use crate::process::{self, Server};

const INSTALL: &str = "is not on PATH: install Redis (Debian: `apt-get install redis-server`)";

/// A running Redis that keeps nothing on disk.
pub(crate) struct Redis {
    server: Server,
    cli: PathBuf,
}

/// Commands so far. Those that scripts give count too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Commands {
    pub(crate) all: u64,
    /// Runs of scripts.
    pub(crate) scripts: u64,
}

impl Commands {
    pub(crate) fn since(self, before: Self) -> Self {
        Self { all: self.all.saturating_sub(before.all), scripts: self.scripts.saturating_sub(before.scripts) }
    }

    fn parse(stats: &str) -> Self {
        let mut commands = Self { all: 0, scripts: 0 };
        for line in stats.lines() {
            let Some((name, fields)) = line.strip_prefix("cmdstat_").and_then(|line| line.split_once(':')) else {
                continue;
            };
            let calls = fields.split(',').find_map(|field| field.strip_prefix("calls="));
            let calls: u64 = calls.and_then(|calls| calls.parse().ok()).unwrap_or(0);
            // Asking for the counts is not the gateways' doing.
            if name != "info" {
                commands.all += calls;
            }
            if ["eval", "evalsha", "eval_ro", "evalsha_ro", "fcall", "fcall_ro"].contains(&name) {
                commands.scripts += calls;
            }
        }
        commands
    }
}

impl Redis {
    pub(crate) async fn start(folder: &Path) -> Result<Self, Failure> {
        let find = |name| process::on_path(name).ok_or_else(|| Failure::from(format!("{name} {INSTALL}")));
        let (binary, cli) = (find("redis-server")?, find("redis-cli")?);
        let addr = process::free_addr()?;
        let mut command = Command::new(binary);
        command.args(["--bind", "127.0.0.1", "--port"]).arg(addr.port().to_string());
        command.args(["--save", "", "--appendonly", "no", "--dir"]).arg(folder).stdout(Stdio::null());
        let server = Server::spawn("redis", addr, folder, &mut command)?;
        let mut redis = Self { server, cli };
        let (cli, port) = (redis.cli.clone(), addr.port());
        let answers = async || ask(&cli, port, &["ping"]).is_ok_and(|answer| answer.trim() == "PONG");
        redis.server.ready(answers).await?;
        Ok(redis)
    }

    /// The line of a gateway's config that makes it share this store.
    pub(crate) fn config(&self) -> String {
        format!("redis: {{ url: \"redis://{}/0\" }}\n", self.server.addr)
    }

    /// User and system CPU time so far.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        self.server.cpu()
    }

    pub(crate) fn commands(&self) -> Result<Commands, Failure> {
        Ok(Commands::parse(&ask(&self.cli, self.server.addr.port(), &["info", "commandstats"])?))
    }

    /// Stops it in its tracks: connections stay, nothing is answered.
    pub(crate) fn pause(&self) -> Result<(), Failure> {
        self.server.signal("STOP")
    }

    pub(crate) fn resume(&self) -> Result<(), Failure> {
        self.server.signal("CONT")
    }
}

fn ask(cli: &Path, port: u16, command: &[&str]) -> Result<String, Failure> {
    let output = Command::new(cli).arg("-p").arg(port.to_string()).args(command).output()?;
    if !output.status.success() {
        return Err(format!("redis-cli: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_add_up() {
        let stats = "# Commandstats\r\ncmdstat_evalsha:calls=10,usec=60,usec_per_call=6.00,rejected_calls=0\r\n\
                     cmdstat_hget:calls=30,usec=9\r\ncmdstat_client|setinfo:calls=2,usec=1\r\ncmdstat_info:calls=5,usec=1\r\n";
        let commands = Commands::parse(stats);
        assert_eq!(commands, Commands { all: 42, scripts: 10 });
        assert_eq!(commands.since(Commands { all: 40, scripts: 9 }), Commands { all: 2, scripts: 1 });
    }
}
