//! The same random operations on memory and on Redis: every answer and every level is the same.
//!
//! Neither engine does its own work behind the requests here. Each operation runs on Redis first;
//! memory then runs it at the very moment, by the server's clock, at which Redis did.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sluice::config::RedisMode;
use sluice::state::{Ask, Entry, MemoryStore, SharedStore, Store};
use sluice_policies::{Demand, Pool};

use crate::servers::{Cluster, Server};
use crate::world::{World, config, limit_of, shared};

const CLASSES: &str = "classes:\n  \
    standard: { rank: 1, weight: 3, age_after: 8ms, max_depth: 6 }\n  \
    second: { rank: 1, weight: 1, age_after: 5ms, reserved: 1 }\n  \
    batch: { rank: 2, age_after: 0s }\n";
const LIMITS: [&str; 6] = [
    "2k tokens/s per key",
    "9k tokens/day per tenant",
    "20k input tokens/month per key",
    "3 concurrent per key",
    "400 requests/s per tenant burst 10",
    "300 output tokens/s per user burst 800 observe",
];

#[derive(Clone, Debug)]
enum Op {
    Enter { pool: usize, class: usize, key: u8, input: u64, output: u64, wait: u64 },
    Again { which: usize, wait: u64 },
    Settle { which: usize, input: u64, output: u64 },
    Hold { pool: usize, millis: u64 },
    Sleep(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let wait = prop_oneof![Just(0u64), 1..40u64, Just(60_000u64)];
    let op = prop_oneof![
        8 => (0..2usize, 0..4usize, 0..3u8, 0..700u64, 0..500u64, wait.clone())
            .prop_map(|(pool, class, key, input, output, wait)| Op::Enter { pool, class, key, input, output, wait }),
        3 => (any::<usize>(), wait).prop_map(|(which, wait)| Op::Again { which, wait }),
        6 => (any::<usize>(), 0..900u64, 0..500u64)
            .prop_map(|(which, input, output)| Op::Settle { which, input, output }),
        1 => (0..2usize, 1..20u64).prop_map(|(pool, millis)| Op::Hold { pool, millis }),
        2 => (0..12u64).prop_map(Op::Sleep),
    ];
    proptest::collection::vec(op, 1..70)
}

struct Pair {
    redis: Arc<SharedStore>,
    memory: MemoryStore,
    now: Arc<AtomicU64>,
    world: World,
    pools: [Arc<Pool>; 2],
    asks: Vec<Arc<Ask>>,
}

/// What an answer says, without what differs by nature.
fn shown(entry: &Entry) -> String {
    match entry {
        Entry::Granted(grant) => {
            let views: Vec<_> = grant.seen.iter().map(|seen| seen.view).collect();
            format!("granted {views:?} observed {:?}", grant.observed)
        }
        Entry::Queued(place) => format!("queued behind {}", place.ahead),
        Entry::Denied(refusal) => {
            let views: Vec<_> = refusal.seen.iter().map(|seen| seen.view).collect();
            format!("denied by {} for {:?} {views:?}", limit_of(refusal), refusal.retry_after)
        }
    }
}

impl Pair {
    async fn new(redis: Arc<SharedStore>) -> Self {
        redis.connect().await.unwrap();
        let now = Arc::new(AtomicU64::new(0));
        let clock = Arc::clone(&now);
        let memory = MemoryStore::with_clock(Arc::new(move || clock.load(Ordering::SeqCst)));
        let world = World::with(&LIMITS, CLASSES, Pool::new("m", Some(1), None, Vec::new()));
        let reserved = || vec![(Arc::from("second"), 1)];
        let pools = [
            Arc::new(Pool::new("a", Some(3), None, reserved())),
            Arc::new(Pool::new("b", None, Some(60_000), reserved())),
        ];
        Self { redis, memory, now, world, pools, asks: Vec::new() }
    }

    async fn enter(&self, ask: &Arc<Ask>, wait: u64) -> (String, String) {
        let wait = Duration::from_millis(wait);
        let there = self.redis.enter(ask, wait).await.unwrap();
        self.now.store(self.redis.heard_at(), Ordering::SeqCst);
        let here = self.memory.enter(ask, wait).await.unwrap();
        (shown(&there), shown(&here))
    }

    async fn run(&mut self, op: &Op) -> (String, String) {
        let same = (String::new(), String::new());
        match *op {
            Op::Enter { pool, class, key, input, output, wait } => {
                let class = ["interactive", "standard", "second", "batch"][class];
                let demand = Demand { input, output, cost_micros: 0 };
                let ask = self.world.ask_in(&self.pools[pool], &format!("k{key}"), class, demand);
                self.asks.push(Arc::clone(&ask));
                self.enter(&ask, wait).await
            }
            Op::Again { which, wait } if !self.asks.is_empty() => {
                let ask = Arc::clone(&self.asks[which % self.asks.len()]);
                self.enter(&ask, wait).await
            }
            Op::Settle { which, input, output } if !self.asks.is_empty() => {
                let ask = self.asks.swap_remove(which % self.asks.len());
                let used = Demand { input, output, cost_micros: 0 };
                self.redis.settle(ask.lease, used).await.unwrap();
                self.now.store(self.redis.heard_at(), Ordering::SeqCst);
                self.memory.settle(ask.lease, used).await.unwrap();
                same
            }
            Op::Hold { pool, millis } => {
                let (pool, time) = (&self.pools[pool], Duration::from_millis(millis));
                self.redis.hold(pool, time).await.unwrap();
                self.now.store(self.redis.heard_at(), Ordering::SeqCst);
                self.memory.hold(pool, time).await.unwrap();
                self.memory.look(&pool.name);
                same
            }
            Op::Sleep(millis) => {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                same
            }
            Op::Again { .. } | Op::Settle { .. } => same,
        }
    }

    /// Everything that is not at rest, in order.
    async fn levels(&self) -> (Vec<String>, Vec<String>) {
        let there = self.redis.levels().await.unwrap();
        self.now.store(self.redis.heard_at(), Ordering::SeqCst);
        let here = self.memory.levels().await.unwrap();
        let rows = |levels: sluice::state::Levels| {
            let rest = |row: &&sluice::state::LevelRow| row.view.remaining != i64::try_from(row.view.amount).unwrap();
            let limits = levels.limits.iter().filter(rest).map(|row| format!("{} {:?}", row.scope, row.view));
            let pools = levels.pools.iter().map(|pool| {
                let mut waiting = pool.waiting.clone();
                waiting.sort();
                format!("{} {} {:?} {waiting:?}", pool.name, pool.in_use, pool.held_for)
            });
            let mut rows: Vec<String> = limits.chain(pools).collect();
            rows.sort();
            rows
        };
        (rows(there), rows(here))
    }
}

/// Runs cases on stores that `store` makes, each with a prefix of its own.
fn compare(cases: u32, store: impl Fn(&str) -> Arc<SharedStore>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let case = AtomicU64::new(0);
    let config =
        ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&ops(), |ops| {
        let prefix = format!("case{}", case.fetch_add(1, Ordering::SeqCst));
        runtime.block_on(async {
            let mut pair = Pair::new(store(&prefix)).await;
            for (number, op) in ops.iter().enumerate() {
                let (there, here) = pair.run(op).await;
                prop_assert_eq!(there, here, "operation {}: {:?}", number, op);
            }
            let (there, here) = pair.levels().await;
            prop_assert_eq!(there, here);
            // Who waits gives up, all leases end: nothing is left in use.
            while let Some(ask) = pair.asks.pop() {
                let used = Demand { input: 1, output: 1, cost_micros: 0 };
                pair.redis.settle(ask.lease, used).await.unwrap();
                pair.now.store(pair.redis.heard_at(), Ordering::SeqCst);
                pair.memory.settle(ask.lease, used).await.unwrap();
            }
            let (there, here) = pair.levels().await;
            prop_assert!(!there.iter().any(|row| row.contains("concurrent")), "{:?}", there);
            prop_assert_eq!(there, here);
            prop_assert_eq!(pair.redis.open_leases(), 0);
            Ok(())
        })
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn memory_and_redis_answer_the_same() {
    let server = Server::start(&[]);
    compare(150, |prefix| {
        shared(&sluice::config::Redis { prefix: prefix.to_owned(), ..config(&[server.url()], RedisMode::Single) })
    });
}

#[test]
fn memory_and_a_cluster_answer_the_same() {
    let cluster = Cluster::start();
    compare(40, |prefix| {
        shared(&sluice::config::Redis { prefix: prefix.to_owned(), ..config(&cluster.urls(), RedisMode::Cluster) })
    });
}
