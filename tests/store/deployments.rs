//! Other ways to run Redis than one plain node: behind TLS, and watched by sentinels.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use sluice::config::{Redis, RedisMode};
use sluice::state::{Entry, SharedStore, Store};
use sluice_policies::Demand;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::servers::{Server, free_port};
use crate::world::{NOTHING, World, config, shared};

fn openssl(dir: &Path, args: &str) {
    let output = Command::new("openssl").current_dir(dir).args(args.split(' ')).output();
    let output = output.expect("openssl does not start; scripts/test installs it");
    assert!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority of its own (`ca.pem`), and a certificate for 127.0.0.1 by it.
fn certificates() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    std::fs::write(at.join("san"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    openssl(at, "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority");
    openssl(at, "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=redis");
    openssl(
        at,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out server.pem",
    );
    dir
}

#[tokio::test]
async fn tls_with_a_user_and_a_private_authority() {
    let dir = certificates();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let port = free_port();
    let server = Server::start(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &path("server.pem"),
        "--tls-key-file",
        &path("server.key"),
        "--tls-ca-cert-file",
        &path("ca.pem"),
        "--tls-auth-clients",
        "no",
    ]);
    assert_eq!(server.cli(&["acl", "setuser", "sluice", "on", ">pw", "~{test}*", "&{test}*", "+@all"]), "OK");
    let url = format!("rediss://127.0.0.1:{port}/0");
    let distrusted = shared(&config(std::slice::from_ref(&url), RedisMode::Single)).connect().await;
    assert!(distrusted.is_err(), "a certificate of an unknown authority was trusted");
    let trusting = Redis {
        ca: Some(std::fs::read(dir.path().join("ca.pem")).unwrap()),
        username: Some("sluice".to_owned()),
        password: Some(SecretString::from("pw")),
        ..config(&[url], RedisMode::Single)
    };
    let bench = Bench::start(&trusting).await;
    let world = World::new(&["1k tokens/day per key"], Some(1));
    let (first, second) = (world.ask("a", "standard", 10), world.ask("a", "standard", 10));
    assert!(matches!(bench.store.enter(&first, Duration::ZERO).await.unwrap(), Entry::Granted(_)));
    let entered = bench.store.enter(&second, Duration::from_secs(10)).await.unwrap();
    let Entry::Queued(place) = entered else { panic!("not queued") };
    bench.store.settle(first.lease, NOTHING).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), place.woken).await.expect("messages come over TLS too").ok();
    assert!(matches!(bench.store.enter(&second, Duration::ZERO).await.unwrap(), Entry::Granted(_)));
}

/// The master is killed, the sentinels elect its replica, and the store follows them.
#[tokio::test]
async fn sentinels_say_who_is_master() {
    let master = Server::start(&[]);
    let replica = Server::start(&["--replicaof", "127.0.0.1", &master.port.to_string()]);
    while !replica.cli(&["info", "replication"]).contains("master_link_status:up") {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let sentinels: Vec<Server> = (0..3)
        .map(|number| {
            let file = dir.path().join(format!("sentinel{number}.conf"));
            let text = format!(
                "sentinel monitor main 127.0.0.1 {} 2\nsentinel down-after-milliseconds main 500\n\
                 sentinel failover-timeout main 2000\n",
                master.port
            );
            std::fs::write(&file, text).unwrap();
            Server::sentinel(&file)
        })
        .collect();
    for sentinel in &sentinels {
        // They must know of each other and of the replica before one of them can act.
        let known = || sentinel.cli(&["sentinel", "master", "main"]);
        let begun = Instant::now();
        while !(field(&known(), "num-other-sentinels") == "2" && field(&known(), "num-slaves") == "1") {
            assert!(begun.elapsed() < Duration::from_secs(20), "{}", known());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let urls: Vec<String> = sentinels.iter().map(Server::url).collect();
    let bench = Bench::start(&config(&urls, RedisMode::Sentinel("main".to_owned()))).await;
    let world = World::new(&["1k tokens/day per key"], None);
    let spend = async |tokens: u64| {
        let ask = world.ask("a", "standard", tokens);
        let entry = bench.store.enter(&ask, Duration::ZERO).await.unwrap();
        assert!(matches!(entry, Entry::Granted(_)), "{entry:?}");
        bench.store.settle(ask.lease, Demand { input: tokens, ..NOTHING }).await.unwrap();
    };
    spend(100).await;
    assert_eq!(master.cli(&["wait", "1", "2000"]), "1", "the replica has it");
    drop(master);
    // Meanwhile from the slice; it is charged to the new master.
    spend(10).await;
    let begun = Instant::now();
    while bench.left().await != Some(890) {
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", bench.store.levels().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(replica.cli(&["role"]).starts_with("master"), "{}", replica.cli(&["role"]));
}

/// The line after the one with the field's name.
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| *line == name).and_then(|_| lines.next()).unwrap_or_default()
}

/// A connected store at work.
struct Bench {
    store: Arc<SharedStore>,
    _work: JoinSet<()>,
}

impl Bench {
    async fn start(redis: &Redis) -> Self {
        let store = shared(redis);
        store.connect().await.unwrap();
        let (working, mut work) = (Arc::clone(&store), JoinSet::new());
        work.spawn(async move { working.run(CancellationToken::new()).await });
        Self { store, _work: work }
    }

    async fn left(&self) -> Option<i64> {
        let levels = self.store.levels().await.unwrap();
        if levels.shared != Some(true) {
            return None;
        }
        levels.limits.iter().find(|row| row.scope.contains("key=a")).map(|row| row.view.remaining)
    }
}
