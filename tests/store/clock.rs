//! Clocks that jump: the server's is followed, a replica's own does not matter.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use sluice::config::RedisMode;
use sluice::state::{Entry, SharedStore, Store};
use sluice_mock::{Behaviour, Mock};
use sluice_policies::Demand;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::servers::{Server, fake_clock, free_port};
use crate::world::{NOTHING, World, config, shared};

fn started(server: &Server) -> (Arc<SharedStore>, JoinSet<()>) {
    let store = shared(&config(&[server.url()], RedisMode::Single));
    let (working, mut work) = (Arc::clone(&store), JoinSet::new());
    work.spawn(async move { working.run(CancellationToken::new()).await });
    (store, work)
}

async fn up(store: &SharedStore) {
    let begun = Instant::now();
    while !store.is_up() {
        assert!(begun.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn left(store: &SharedStore, part: &str) -> Option<i64> {
    let levels = store.levels().await.unwrap();
    levels.limits.iter().find(|row| row.scope.contains(part)).map(|row| row.view.remaining)
}

/// The server's clock jumps an hour forward and back: open leases stay, budgets stay, and a rate
/// does not stand still for the hour.
#[tokio::test]
async fn a_server_whose_clock_jumps_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let clock = dir.path().join("clock");
    std::fs::write(&clock, "+0\n").unwrap();
    let server = Server::with_clock(&clock);
    let (store, _work) = started(&server);
    up(&store).await;
    let world = World::new(&["1k tokens/month per key", "100 input tokens/s per key", "2 concurrent per key"], Some(2));
    let (open, spent) = (world.ask("a", "standard", 100), world.ask("a", "standard", 1));
    assert!(matches!(store.enter(&open, Duration::ZERO).await.unwrap(), Entry::Granted(_)));
    for jump in ["+3600", "+0"] {
        std::fs::write(&clock, format!("{jump}\n")).unwrap();
        // The rate is spent and refills: at once after the jump forward, in a second else.
        let begun = Instant::now();
        loop {
            let next = world.ask("a", "standard", 100);
            let entry = store.enter(&next, Duration::ZERO).await.unwrap();
            if matches!(entry, Entry::Granted(_)) {
                store.settle(next.lease, Demand { input: 100, ..NOTHING }).await.unwrap();
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(8), "{jump}: {entry:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // All leases have run out by the new clock, and are opened again by who lives.
        while store.levels().await.unwrap().leases != 1 || left(&store, "concurrent").await != Some(1) {
            assert!(begun.elapsed() < Duration::from_secs(8), "{jump}: {:?}", store.levels().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    store.settle(open.lease, Demand { input: 100, ..NOTHING }).await.unwrap();
    assert!(matches!(store.enter(&spent, Duration::ZERO).await.unwrap(), Entry::Granted(_) | Entry::Denied(_)));
    store.settle(spent.lease, NOTHING).await.unwrap();
    let begun = Instant::now();
    while left(&store, "month").await != Some(700) {
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", store.levels().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A gateway process, killed when dropped.
struct Gateway {
    child: Child,
    url: String,
}

impl Gateway {
    async fn start(dir: &Path, text: &str, clock: Option<&Path>) -> Self {
        let (port, admin) = (free_port(), free_port());
        let path = dir.join(format!("sluice-{port}.yaml"));
        std::fs::write(&path, format!("listen: 127.0.0.1:{port}\nadmin: 127.0.0.1:{admin}\n{text}")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.arg("serve").arg("--config").arg(&path).stdin(Stdio::null()).stdout(Stdio::null());
        if let Some(clock) = clock {
            fake_clock(&mut command, clock);
        }
        let gateway = Self { child: command.spawn().unwrap(), url: format!("http://127.0.0.1:{port}") };
        let begun = Instant::now();
        let ready = format!("http://127.0.0.1:{admin}/readyz");
        while !reqwest::get(&ready).await.is_ok_and(|answer| answer.status().is_success()) {
            assert!(begun.elapsed() < Duration::from_secs(20), "the gateway is not ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        gateway
    }

    async fn status(&self) -> u16 {
        let body = json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hello"}]});
        let call = reqwest::Client::new().post(format!("{}/v1/chat/completions", self.url)).bearer_auth("k");
        call.body(body.to_string()).send().await.unwrap().status().as_u16()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_whose_clock_jumps_shares_the_same_truth() {
    sluice::app::install_crypto();
    let (server, dir) = (Server::start(&[]), tempfile::tempdir().unwrap());
    let mock = Mock::with_defaults(Behaviour::default()).start(([127, 0, 0, 1], 0).into()).await.unwrap();
    // SHA-256 of `k`.
    let hash = "8254c329a92850f6d539dd376f4816ee2764517da5e0235514af433164480d7a";
    let policy = format!(
        "tenant: t\nkeys:\n  - {{ name: web, key: \"sha256:{hash}\" }}\nclasses:\n  standard: {{ rank: 1, max_wait: 0s }}\n\
         limits:\n  - 6 requests/hour\n"
    );
    std::fs::write(dir.path().join("policy.yaml"), policy).unwrap();
    let text = format!(
        "providers:\n  mock: {{ kind: openai, base_url: \"http://{}/v1\" }}\nmodels:\n  m: [mock/gpt-4o-mini]\n\
         policies: policy.yaml\nredis: {{ url: \"{}\", timeout: 500ms }}\n",
        mock.addr(),
        server.url()
    );
    let clock = dir.path().join("clock");
    std::fs::write(&clock, "+0\n").unwrap();
    let (steady, jumpy) =
        (Gateway::start(dir.path(), &text, None).await, Gateway::start(dir.path(), &text, Some(&clock)).await);
    let mut passed = Vec::new();
    for jump in ["+0", "+86400", "-86400", "+7200"] {
        std::fs::write(&clock, format!("{jump}\n")).unwrap();
        for gateway in [&jumpy, &steady] {
            passed.push(gateway.status().await);
        }
    }
    assert_eq!(passed, [200, 200, 200, 200, 200, 200, 429, 429]);
}
