//! The real binary, as a process of its own.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::common::{config_text, policy};

/// A gateway that serves; it is killed when this is dropped.
pub(crate) struct Binary {
    pub(crate) child: Child,
    /// What it logs after its first line.
    pub(crate) log: BufReader<ChildStderr>,
    pub(crate) access: BufReader<ChildStdout>,
    pub(crate) listen: String,
    _dir: tempfile::TempDir,
}

impl Binary {
    /// With a provider at an address.
    pub(crate) fn serve<'a>(provider: SocketAddr, env: impl IntoIterator<Item = (&'a str, &'a OsStr)>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("policy.yaml"), policy(&["1M tokens/day per key"])).unwrap();
        let path = dir.path().join("sluice.yaml");
        std::fs::write(&path, config_text(provider, "")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.args(["serve", "--config"]).arg(&path).stdout(Stdio::piped()).stderr(Stdio::piped()).envs(env);
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let access = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
        let listen = started["fields"]["listen"].as_str().unwrap().to_owned();
        Self { child, log, access, listen, _dir: dir }
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
