//! Real Redis servers, single and as a cluster, stopped when dropped.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
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
        let mut command = command();
        command.args(["--save", "", "--appendonly", "no"]).args(extra);
        Self::run(port, command)
    }

    /// A sentinel; it rewrites its config file.
    pub(crate) fn sentinel(config: &Path) -> Self {
        let mut command = command();
        command.arg(config).arg("--sentinel");
        Self::run(free_port(), command)
    }

    /// A Valkey whose clock is what the file `clock` says: a Redis with jemalloc cannot be lied to.
    pub(crate) fn with_clock(clock: &Path) -> Self {
        let mut command = Command::new(valkey());
        command.args(["--save", "", "--appendonly", "no"]);
        fake_clock(&mut command, clock);
        Self::run(free_port(), command)
    }

    /// A Redis 8, which has vector sets.
    pub(crate) fn with_vector_sets() -> Self {
        let mut command = redis_8();
        command.args(["--save", "", "--appendonly", "no"]);
        Self::run(free_port(), command)
    }

    /// A Valkey with the module of `FT.SEARCH`, and without vector sets.
    pub(crate) fn with_search() -> Self {
        let mut command = Command::new(valkey());
        command.args(["--save", "", "--appendonly", "no", "--loadmodule"]).arg(scratch("redisearch.so"));
        Self::run(free_port(), command)
    }

    fn run(port: u16, mut command: Command) -> Self {
        let dir = tempfile::tempdir().unwrap();
        command.args(["--port", &port.to_string(), "--dir"]).arg(dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
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

/// Makes the wall clock of a process what a file says, such as `+0` or `-3600` seconds, and follow it.
pub(crate) fn fake_clock(command: &mut Command, clock: &Path) {
    let folders = ["x86_64", "aarch64"].map(|arch| format!("/usr/lib/{arch}-linux-gnu/faketime/libfaketime.so.1"));
    let library = folders.iter().find(|path| Path::new(path).exists());
    command.env("LD_PRELOAD", library.expect("libfaketime is missing; scripts/test installs it"));
    command
        .env("FAKETIME_TIMESTAMP_FILE", clock)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
}

/// `redis-server`, or with `STORE_ON=valkey` that.
fn command() -> Command {
    let on_valkey = std::env::var("STORE_ON").is_ok_and(|on| on == "valkey");
    Command::new(if on_valkey { valkey() } else { "redis-server".into() })
}

fn valkey() -> PathBuf {
    scratch("valkey-server")
}

fn redis_8() -> Command {
    Command::new(scratch("redis-8-server"))
}

fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".scratch/bin").join(name)
}

/// Three masters that share the slots.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Server>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        Self::of(command)
    }

    pub(crate) fn with_vector_sets() -> Self {
        Self::of(redis_8)
    }

    fn of(server: impl Fn() -> Command) -> Self {
        // The bus port is the port and 10,000: both must be legal.
        let options =
            ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "2000"];
        let node = |_| {
            let mut command = server();
            command.args(["--save", "", "--appendonly", "no"]).args(options);
            Server::run(low_port(), command)
        };
        let nodes: Vec<Server> = (0..3).map(node).collect();
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
