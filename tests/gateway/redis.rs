//! Real servers for the tests that need a Redis; `scripts/test` installs them.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct Server {
    port: u16,
    child: Child,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::at(free_port())
    }

    /// On a port that was another server's.
    pub(crate) fn at(port: u16) -> Self {
        Self::run(port, Command::new("redis-server"))
    }

    /// A Redis 8, which has vector sets.
    pub(crate) fn with_vector_sets() -> Self {
        Self::run(free_port(), Command::new(scratch("bin/redis-8-server")))
    }

    /// A Valkey with the module of `FT.SEARCH`, and without vector sets.
    pub(crate) fn with_search() -> Self {
        let mut command = Command::new(scratch("bin/valkey-server"));
        command.arg("--loadmodule").arg(scratch("bin/redisearch.so"));
        Self::run(free_port(), command)
    }

    fn run(port: u16, mut command: Command) -> Self {
        command.args(["--port", &port.to_string(), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let server = Self { port, child: child.expect("the server does not start; scripts/test installs it") };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "redis-server is not ready");
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// What `redis-cli` answers.
    pub(crate) fn cli(&self, args: &[&str]) -> String {
        let output = Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn scratch(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".scratch").join(path)
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
