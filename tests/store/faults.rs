//! When Redis is wrong, slow, gone or full: every question is answered in time, as the policy says.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use sluice::config::{Redis, RedisMode};
use sluice::state::{Entry, SharedStore, Store};
use sluice_policies::Demand;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::proxy::Proxy;
use crate::servers::{Cluster, Server, free_port};
use crate::world::{NOTHING, World, config, limit_of, shared};

/// A store at work in front of one server.
struct Bench {
    store: Arc<SharedStore>,
    _stop: DropGuard,
    _work: JoinSet<()>,
}

impl Bench {
    fn new(redis: &Redis) -> Self {
        let store = shared(redis);
        let stop = CancellationToken::new();
        let (working, until) = (Arc::clone(&store), stop.clone());
        let mut work = JoinSet::new();
        work.spawn(async move { working.run(until).await });
        Self { store, _stop: stop.drop_guard(), _work: work }
    }

    async fn up(&self, up: bool) {
        let begun = Instant::now();
        while self.store.is_up() != up {
            assert!(begun.elapsed() < Duration::from_secs(10), "the store is not {up} after 10 s");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Asks, and says what came of it and that it came in time.
    async fn ask(&self, ask: &Arc<sluice::state::Ask>) -> Entry {
        let begun = Instant::now();
        let entry = self.store.enter(ask, Duration::ZERO).await.unwrap();
        // Twice the deadline, and what a busy machine adds.
        assert!(begun.elapsed() < Duration::from_millis(400), "it took {:?}", begun.elapsed());
        entry
    }

    async fn left(&self, part: &str) -> Option<i64> {
        let levels = self.store.levels().await.unwrap();
        levels.limits.iter().find(|row| row.scope.contains(part)).map(|row| row.view.remaining)
    }
}

fn quick(urls: &[String]) -> Redis {
    Redis { timeout: Duration::from_millis(60), ..config(urls, RedisMode::Single) }
}

const LIMITS: [&str; 3] = [
    "1k tokens/hour per key",
    "{ name: hard, amount: 5, unit: requests, per: day, scope: key, match: { key: \"deny*\" }, on_store_down: deny }",
    "{ name: soft, amount: 5, unit: requests, per: day, scope: key, match: { key: \"allow*\" }, on_store_down: allow }",
];

/// Without the store: a slice of a quarter, a refusal, and no limit.
async fn acts_as_the_policy_says(bench: &Bench) {
    let world = World::new(&LIMITS, None);
    bench.up(false).await;
    let mut granted = 0;
    for _ in 0..10 {
        granted += u32::from(matches!(bench.ask(&world.ask("a", "standard", 50)).await, Entry::Granted(_)));
    }
    assert_eq!(granted, 5, "a quarter of 1000 in fifties");
    let Entry::Denied(refusal) = bench.ask(&world.ask("deny", "standard", 1)).await else { panic!("granted") };
    assert!(limit_of(&refusal).contains("hard") && refusal.retry_after.is_some());
    for _ in 0..10 {
        assert!(matches!(bench.ask(&world.ask("allow", "standard", 1)).await, Entry::Granted(_)));
    }
}

#[tokio::test]
async fn a_wrong_url_is_survived() {
    acts_as_the_policy_says(&Bench::new(&quick(&[format!("redis://127.0.0.1:{}/0", free_port())]))).await;
    let store = shared(&quick(&[format!("redis://127.0.0.1:{}/0", free_port())]));
    let error = store.connect().await.unwrap_err();
    assert!(error.contains("refused"), "{error}");
}

#[tokio::test]
async fn a_wrong_password_is_survived_and_named() {
    let server = Server::start(&["--requirepass", "right"]);
    let mut wrong = quick(&[server.url()]);
    wrong.password = Some(SecretString::from("wrong"));
    let error = shared(&wrong).connect().await.unwrap_err();
    assert!(error.contains("redis.password") && !error.contains("wrong\""), "{error}");
    acts_as_the_policy_says(&Bench::new(&wrong)).await;
    let right = Redis { password: Some(SecretString::from("right")), ..quick(&[server.url()]) };
    shared(&right).connect().await.unwrap();
}

#[tokio::test]
async fn a_user_without_scripts_is_survived_and_named() {
    let server = Server::start(&[]);
    let made = server.cli(&["acl", "setuser", "weak", "on", ">pw", "~*", "&*", "+@all", "-eval", "-evalsha"]);
    assert_eq!(made, "OK");
    let mut weak = quick(&[server.url()]);
    (weak.username, weak.password) = (Some("weak".to_owned()), Some(SecretString::from("pw")));
    let error = shared(&weak).connect().await.unwrap_err();
    assert!(error.contains("+evalsha"), "{error}");
    acts_as_the_policy_says(&Bench::new(&weak)).await;
    // What docs/redis.md tells to allow is enough.
    let rules = ["acl", "setuser", "weak", "reset", "on", ">pw", "~{test}*", "&{test}*"];
    let commands = "+eval +evalsha +ping +time +get +set +del +exists +hget +hmget +hset +hsetnx +hdel +hgetall +hscan \
         +zadd +zrem +zrange +zrangebyscore +zremrangebyscore +zscore +zrank +zcard +zcount +sadd +srem +smembers \
         +publish +subscribe +unsubscribe";
    let args: Vec<&str> = rules.into_iter().chain(commands.split_whitespace()).collect();
    assert_eq!(server.cli(&args), "OK");
    let bench = Bench::new(&weak);
    bench.up(true).await;
    let world = World::new(&LIMITS, Some(1));
    let (first, second) = (world.ask("a", "standard", 50), world.ask("a", "standard", 50));
    assert!(matches!(bench.ask(&first).await, Entry::Granted(_)));
    assert!(matches!(bench.store.enter(&second, Duration::from_secs(5)).await.unwrap(), Entry::Queued(_)));
    bench.store.settle(first.lease, NOTHING).await.unwrap();
    assert!(matches!(bench.ask(&second).await, Entry::Granted(_)));
    bench.store.settle(second.lease, NOTHING).await.unwrap();
    assert!(bench.store.is_up() && bench.store.levels().await.unwrap().shared == Some(true));
}

#[tokio::test]
async fn a_replica_that_does_not_write_is_survived_and_named() {
    let master = Server::start(&[]);
    let replica = Server::start(&["--replicaof", "127.0.0.1", &master.port.to_string()]);
    while !replica.cli(&["info", "replication"]).contains("master_link_status:up") {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let error = shared(&quick(&[replica.url()])).connect().await.unwrap_err();
    assert!(error.contains("master"), "{error}");
    acts_as_the_policy_says(&Bench::new(&quick(&[replica.url()]))).await;
}

#[tokio::test]
async fn a_server_out_of_memory_is_survived() {
    let server = Server::start(&[]);
    let bench = Bench::new(&quick(&[server.url()]));
    bench.up(true).await;
    assert_eq!(server.cli(&["config", "set", "maxmemory", "1"]), "OK");
    let world = World::new(&LIMITS, None);
    assert!(matches!(bench.ask(&world.ask("a", "standard", 50)).await, Entry::Granted(_)), "from a slice");
    bench.up(false).await;
    assert_eq!(server.cli(&["config", "set", "maxmemory", "0"]), "OK");
    bench.up(true).await;
}

/// A server that loads its data answers nothing else: it is named, and its levels are still there after.
#[tokio::test]
async fn a_server_that_is_loading_is_survived_and_named() {
    let server = Arc::new(Server::start(&["--enable-debug-command", "yes"]));
    let bench = Bench::new(&quick(&[server.url()]));
    bench.up(true).await;
    let world = World::new(&["1k tokens/day per key"], None);
    let before = world.ask("a", "standard", 100);
    assert!(matches!(bench.ask(&before).await, Entry::Granted(_)));
    bench.store.settle(before.lease, Demand { input: 100, ..NOTHING }).await.unwrap();
    // Two seconds, and it listens every few milliseconds of them: whenever it has read a kilobyte.
    assert_eq!(server.cli(&["config", "set", "rdbcompression", "no"]), "OK");
    assert_eq!(server.cli(&["debug", "populate", "2000", "key", "500"]), "OK");
    assert_eq!(server.cli(&["config", "set", "key-load-delay", "1000"]), "OK");
    assert_eq!(server.cli(&["config", "set", "loading-process-events-interval-bytes", "1024"]), "OK");
    let loads = Arc::clone(&server);
    let loading = tokio::task::spawn_blocking(move || loads.cli(&["debug", "reload"]));
    while !server.cli(&["ping"]).contains("LOADING") {
        assert!(!loading.is_finished(), "it never said that it is loading");
    }
    assert!(matches!(bench.ask(&world.ask("a", "standard", 50)).await, Entry::Granted(_)), "from a slice");
    bench.up(false).await;
    let error = shared(&quick(&[server.url()])).connect().await.unwrap_err();
    assert!(error.contains("loading"), "{error}");
    assert_eq!(loading.await.unwrap(), "OK");
    bench.up(true).await;
    let begun = Instant::now();
    while bench.left("key=a").await != Some(850) {
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", bench.store.levels().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_script_flush_costs_nothing() {
    let server = Server::start(&[]);
    let bench = Bench::new(&quick(&[server.url()]));
    bench.up(true).await;
    let world = World::new(&["1k tokens/day per key"], None);
    for round in 1..=3 {
        assert_eq!(server.cli(&["script", "flush"]), "OK");
        assert!(matches!(bench.ask(&world.ask("a", "standard", 10)).await, Entry::Granted(_)));
        assert_eq!(bench.left("key=a").await, Some(1000 - 10 * round));
        assert!(bench.store.is_up());
    }
}

/// Latency far over the deadline opens the breaker; then nothing waits for it.
#[tokio::test]
async fn half_a_second_of_latency_costs_a_deadline_and_then_nothing() {
    let server = Server::start(&[]);
    let proxy = Proxy::start(server.port).await;
    let bench = Bench::new(&quick(&[proxy.url()]));
    bench.up(true).await;
    let world = World::new(&["1M tokens/hour per key"], None);
    proxy.faults.delay_ms.store(500, Ordering::SeqCst);
    for _ in 0..3 {
        assert!(matches!(bench.ask(&world.ask("a", "standard", 10)).await, Entry::Granted(_)));
    }
    bench.up(false).await;
    let begun = Instant::now();
    for _ in 0..200 {
        assert!(matches!(bench.ask(&world.ask("a", "standard", 10)).await, Entry::Granted(_)));
    }
    assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
    proxy.faults.delay_ms.store(0, Ordering::SeqCst);
    bench.up(true).await;
}

/// What was granted while the outcome of the question was unknown is granted once, and what was
/// used in the outage is charged once, whatever was cut off.
#[tokio::test]
async fn a_reply_cut_in_the_middle_charges_once() {
    let server = Server::start(&[]);
    let proxy = Proxy::start(server.port).await;
    let bench = Bench::new(&quick(&[proxy.url()]));
    bench.up(true).await;
    let world = World::new(&["100k tokens/day per key"], None);
    for round in 1..=5i64 {
        bench.up(true).await;
        proxy.faults.cut.store(true, Ordering::SeqCst);
        let ask = world.ask("a", "standard", 100);
        assert!(matches!(bench.ask(&ask).await, Entry::Granted(_)));
        bench.store.settle(ask.lease, Demand { input: 70, ..NOTHING }).await.unwrap();
        let begun = Instant::now();
        while bench.left("key=a").await != Some(100_000 - 70 * round) || bench.store.levels().await.unwrap().leases > 0
        {
            let levels = bench.store.levels().await.unwrap();
            assert!(begun.elapsed() < Duration::from_secs(8), "round {round}: {levels:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn a_pause_is_survived_and_reconciled() {
    let server = Server::start(&[]);
    let bench = Bench::new(&quick(&[server.url()]));
    bench.up(true).await;
    let world = World::new(&["1k tokens/day per key"], None);
    let before = world.ask("a", "standard", 200);
    assert!(matches!(bench.ask(&before).await, Entry::Granted(_)));
    server.signal("STOP");
    // Three questions find out; a quarter of the 800 that were left is this replica's.
    let mut open = Vec::new();
    for _ in 0..10 {
        let ask = world.ask("a", "standard", 50);
        if matches!(bench.ask(&ask).await, Entry::Granted(_)) {
            open.push(ask);
        }
    }
    assert_eq!(open.len(), 4);
    // One of before and one of the outage end in the outage, the others after it.
    bench.store.settle(before.lease, Demand { input: 150, ..NOTHING }).await.unwrap();
    bench.store.settle(open[0].lease, Demand { input: 40, ..NOTHING }).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.signal("CONT");
    bench.up(true).await;
    for ask in &open[1..] {
        bench.store.settle(ask.lease, Demand { input: 50, ..NOTHING }).await.unwrap();
    }
    let begun = Instant::now();
    while bench.left("key=a").await != Some(1000 - 150 - 40 - 150) {
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", bench.store.levels().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((bench.store.levels().await.unwrap().leases, bench.store.open_leases()), (0, 0));
}

#[tokio::test]
async fn who_waits_when_the_store_dies_waits_on_and_is_served() {
    let port = free_port();
    let server = Server::start_at(port, &[]);
    let bench = Bench::new(&quick(&[server.url()]));
    bench.up(true).await;
    let world = World::new(&[], Some(1));
    let (first, second) = (world.ask("a", "standard", 1), world.ask("a", "standard", 1));
    assert!(matches!(bench.ask(&first).await, Entry::Granted(_)));
    let long = Duration::from_secs(20);
    let Entry::Queued(place) = bench.store.enter(&second, long).await.unwrap() else { panic!("not queued") };
    // kill -9.
    drop(server);
    tokio::time::timeout(Duration::from_secs(5), place.woken).await.expect("the loss wakes who waits").ok();
    // Alone, this replica's share is the one slot, and its own request is in it.
    let Entry::Queued(place) = bench.store.enter(&second, long).await.unwrap() else { panic!("not queued") };
    bench.store.settle(first.lease, NOTHING).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), place.woken).await.expect("a free slot wakes who waits").ok();
    assert!(matches!(bench.store.enter(&second, long).await.unwrap(), Entry::Granted(_)));
    let _again = Server::start_at(port, &[]);
    bench.up(true).await;
    bench.store.settle(second.lease, NOTHING).await.unwrap();
    assert_eq!(bench.store.open_leases(), 0);
}

/// MOVED and ASK: the slot of all keys moves to another node under load.
#[tokio::test]
async fn a_slot_that_moves_is_followed() {
    let cluster = Cluster::start();
    let bench = Bench::new(&Redis { timeout: Duration::from_secs(1), ..config(&cluster.urls(), RedisMode::Cluster) });
    bench.up(true).await;
    let world = World::new(&["1M tokens/day per key"], None);
    let mut spent = 0;
    for round in 0..3 {
        let slot = cluster.nodes[0].cli(&["cluster", "keyslot", "{test}"]);
        let ids: Vec<String> = cluster.nodes.iter().map(|node| node.cli(&["cluster", "myid"])).collect();
        let owner = cluster.nodes.iter().position(|node| node.cli(&["cluster", "countkeysinslot", &slot]) != "0");
        let owner = owner.expect("a node with the keys");
        let target = (owner + 1) % 3;
        let (from, to) = (&cluster.nodes[owner], &cluster.nodes[target]);
        assert_eq!(to.cli(&["cluster", "setslot", &slot, "importing", &ids[owner]]), "OK");
        assert_eq!(from.cli(&["cluster", "setslot", &slot, "migrating", &ids[target]]), "OK");
        loop {
            let keys = from.cli(&["cluster", "getkeysinslot", &slot, "100"]);
            let keys: Vec<&str> = keys.lines().filter(|key| !key.is_empty()).collect();
            if keys.is_empty() {
                break;
            }
            let port = to.port.to_string();
            let mut args = vec!["migrate", "127.0.0.1", &port, "", "0", "5000", "keys"];
            args.extend(keys);
            from.cli(&args);
        }
        for node in [to, from] {
            assert_eq!(node.cli(&["cluster", "setslot", &slot, "node", &ids[target]]), "OK");
        }
        for _ in 0..20 {
            let ask = world.ask("a", "standard", 10);
            let begun = Instant::now();
            assert!(matches!(bench.store.enter(&ask, Duration::ZERO).await.unwrap(), Entry::Granted(_)));
            assert!(begun.elapsed() < Duration::from_secs(3));
            bench.store.settle(ask.lease, Demand { input: 10, ..NOTHING }).await.unwrap();
            spent += 10;
        }
        let begun = Instant::now();
        while bench.left("key=a").await != Some(1_000_000 - spent) {
            assert!(begun.elapsed() < Duration::from_secs(8), "round {round}: {:?}", bench.store.levels().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
