//! A real Envoy in front of a gateway, with the config that `sluice envoy` prints; `scripts/test` installs it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A running Envoy. It ends when this is dropped.
pub(crate) struct Envoy {
    pub(crate) addr: SocketAddr,
    pub(crate) admin: SocketAddr,
    dir: PathBuf,
    child: Child,
}

/// `ENVOY_BIN`, or the one in the venv of `scripts/test`.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("ENVOY_BIN") {
        return path.into();
    }
    let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join(".scratch/venv/lib");
    let pythons = std::fs::read_dir(lib).into_iter().flatten().flatten();
    let mut found = pythons.map(|python| python.path().join("site-packages/envoy/_bin/envoy"));
    found.find(|path| path.exists()).expect("no Envoy: set ENVOY_BIN, or let scripts/test install one")
}

impl Envoy {
    /// Starts it with a config whose ports are 0, and waits until it takes requests.
    pub(crate) async fn start(dir: &Path, config: &str) -> Self {
        let dir = dir.to_path_buf();
        let file = |name: &str| dir.join(name);
        std::fs::write(file("envoy.yaml"), config).unwrap();
        let mut command = Command::new(binary());
        command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]);
        command.arg("-c").arg(file("envoy.yaml")).arg("--admin-address-path").arg(file("envoy.admin"));
        let log = std::fs::File::create(file("envoy.log")).unwrap();
        let access = std::fs::File::create(file("envoy.access")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(access).stderr(log).spawn().expect("envoy does not start");
        let mut envoy = Self { addr: ([0; 4], 0).into(), admin: ([0; 4], 0).into(), dir, child };
        let begun = Instant::now();
        while !envoy.find().await {
            let ended = envoy.child.try_wait().unwrap();
            assert!(ended.is_none() && begun.elapsed() < Duration::from_secs(30), "envoy: {}", envoy.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        envoy
    }

    /// Learns the ports that it chose; false as long as it is not ready.
    async fn find(&mut self) -> bool {
        let Ok(admin) = std::fs::read_to_string(self.dir.join("envoy.admin")) else { return false };
        let Ok(admin) = admin.trim().parse() else { return false };
        self.admin = admin;
        let Some(ready) = self.get("/ready").await else { return false };
        if ready.trim() != "LIVE" {
            return false;
        }
        let Some(listeners) = self.get("/listeners?format=json").await else { return false };
        let listeners: Value = serde_json::from_str(&listeners).unwrap();
        let socket = &listeners["listener_statuses"][0]["local_address"]["socket_address"];
        let (Some(ip), Some(port)) = (socket["address"].as_str(), socket["port_value"].as_u64()) else { return false };
        self.addr = format!("{ip}:{port}").parse().unwrap();
        true
    }

    /// The answer of its admin interface.
    pub(crate) async fn get(&self, path: &str) -> Option<String> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let response = client.get(format!("http://{}{path}", self.admin)).send().await.ok()?;
        response.text().await.ok()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("envoy.log")).unwrap_or_default()
    }

    /// The lines of its access log so far. It writes them once a second or so.
    pub(crate) fn access(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.join("envoy.access")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("--- envoy\n{}", self.log());
        }
    }
}
