//! Real Redis servers, single and as a cluster, stopped when dropped.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// One `redis-server`.
pub(crate) struct Server {
    pub(crate) port: u16,
    child: Child,
    _dir: TempDir,
}

impl Server {
    pub(crate) fn start(extra: &[&str]) -> Self {
        Self::start_at(free_port(), extra)
    }

    pub(crate) fn start_at(port: u16, extra: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--save", "", "--appendonly", "no", "--dir"]);
        command.arg(dir.path()).args(extra).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().expect("redis-server does not start; scripts/test installs it");
        let server = Self { port, child, _dir: dir };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "redis-server is not ready");
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// What `redis-cli` answers.
    pub(crate) fn cli(&self, args: &[&str]) -> String {
        let output = Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Three masters that share the slots.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Server>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        // The bus port is the port and 10,000: both must be legal.
        let options =
            ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "2000"];
        let nodes: Vec<Server> = (0..3).map(|_| Server::start_at(low_port(), &options)).collect();
        let addrs: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        let created =
            Command::new("redis-cli").args(["--cluster", "create"]).args(&addrs).arg("--cluster-yes").output();
        let created = created.unwrap();
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stdout));
        let begun = Instant::now();
        while !nodes.iter().all(|node| node.cli(&["cluster", "info"]).contains("cluster_state:ok")) {
            assert!(begun.elapsed() < Duration::from_secs(20), "the cluster is not ready");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { nodes }
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Server::url).collect()
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn low_port() -> u16 {
    loop {
        let port = free_port() % 30_000 + 20_000;
        let bus = TcpListener::bind(("127.0.0.1", port + 10_000));
        if bus.is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
