//! The memory engine's own: random operations conserve, buckets at rest are forgotten, a reload
//! keeps levels. What every engine must do is in tests/store.

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use sluice_policies::{Limit, PolicyFile, PolicySet, Pool, Subject};

use super::books::SWEEP_FLOOR;
use super::*;
use crate::state::{Charge, LevelRow};

const NOON: u64 = 1_709_208_000_000;

struct Bench {
    store: MemoryStore,
    now: Arc<AtomicU64>,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new() -> Self {
        let now = Arc::new(AtomicU64::new(NOON));
        let clock = Arc::clone(&now);
        let store = MemoryStore::with_clock(Arc::new(move || clock.load(Ordering::SeqCst)));
        Self { store, now, runtime: tokio::runtime::Builder::new_current_thread().build().unwrap() }
    }

    fn pass(&self, millis: u64) {
        self.now.fetch_add(millis, Ordering::SeqCst);
    }

    fn enter(&self, ask: &Arc<Ask>) -> Entry {
        self.runtime.block_on(self.store.enter(ask, Duration::ZERO)).unwrap()
    }

    fn settle(&self, lease: LeaseId, input: u64) {
        self.runtime.block_on(self.store.settle(lease, tokens(input, 0))).unwrap();
    }

    fn rows(&self) -> Vec<LevelRow> {
        self.runtime.block_on(self.store.levels()).unwrap().limits
    }
}

fn policies(limits: &[&str]) -> PolicySet {
    let lines: String = limits.iter().map(|limit| format!("  - {limit}\n")).collect();
    let text = format!("tenant: t\nlimits:\n{lines}");
    PolicySet::compile(&[PolicyFile { name: "p".to_owned(), text }]).unwrap()
}

fn ask(set: &PolicySet, key: &str, demand: &Demand) -> Arc<Ask> {
    let who = Subject { tenant: "t", key, user: None, class: "standard", model: "m" };
    let charge = |limit: &Arc<Limit>| Charge {
        scope: limit.scope_key(&who).into(),
        amount: limit.amount_of(demand),
        sunk: 0,
        limit: Arc::clone(limit),
    };
    Arc::new(Ask {
        lease: LeaseId::new(),
        pool: Arc::new(Pool::new("m", None, None, Vec::new())),
        pool_rate: None,
        class: Arc::clone(set.classes().find(|class| &*class.name == "standard").unwrap()),
        key: Arc::from(key),
        cost: demand.input + demand.output,
        charges: set.limits_for(&who).map(charge).collect(),
    })
}

fn tokens(input: u64, output: u64) -> Demand {
    Demand { input, output, cost_micros: 0 }
}

#[test]
fn buckets_at_rest_are_forgotten_and_held_ones_are_not() {
    let set = policies(&["1k tokens/min per key"]);
    let bench = Bench::new();
    bench.enter(&ask(&set, "held", &tokens(1, 0)));
    for index in 0..10_000u64 {
        let ask = ask(&set, &format!("k{index}"), &tokens(10, 0));
        bench.enter(&ask);
        bench.settle(ask.lease, 10);
        bench.pass(100);
    }
    let books = bench.store.books.lock();
    assert!(books.levels.len() <= 2 * SWEEP_FLOOR, "{}", books.levels.len());
    assert!(books.levels.keys().any(|scope| scope.contains("held")));
}

#[test]
fn a_limit_that_changes_its_kind_begins_anew_and_one_that_stays_does_not() {
    let long = |per: &str, amount: &str| {
        let text =
            format!("tenant: t\nlimits:\n  - {{ name: l, amount: {amount}, unit: tokens, per: {per}, scope: key }}\n");
        PolicySet::compile(&[PolicyFile { name: "p".to_owned(), text }]).unwrap()
    };
    let bench = Bench::new();
    let spend = |set: &PolicySet| {
        let Entry::Granted(grant) = bench.enter(&ask(set, "a", &tokens(100, 0))) else { panic!("denied") };
        grant.seen[0].view.remaining
    };
    assert_eq!(spend(&long("day", "1000")), 900);
    assert_eq!(spend(&long("day", "2000")), 1800, "what was spent stays spent");
    assert_eq!(spend(&long("minute", "1000")), 900, "a rate is not a budget");
}

#[derive(Clone, Debug)]
enum Op {
    Enter { key: u8, input: u64, output: u64, used: u64 },
    Settle(usize),
    Wait(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        3 => (0..3u8, 0..400u64, 0..400u64, 0..900u64)
            .prop_map(|(key, input, output, used)| Op::Enter { key, input, output, used }),
        2 => any::<usize>().prop_map(Op::Settle),
        1 => (0..5_000u64).prop_map(Op::Wait),
    ];
    proptest::collection::vec(op, 1..150)
}

proptest! {
    /// Over three keys and four limits: no key ever reserves more than its bucket can hold, all
    /// leases settle, and the daily level ends exactly at what was used.
    #[test]
    fn random_operations_conserve(ops in ops()) {
        let limits =
            ["1k tokens/min per key", "5k tokens/day per tenant", "3 concurrent per key", "500 output tokens/min"];
        let set = policies(&limits);
        let bench = Bench::new();
        let mut used_today = 0;
        let mut open: Vec<(LeaseId, u8, u64)> = Vec::new();
        for op in ops {
            match op {
                Op::Wait(ms) => bench.pass(ms),
                Op::Enter { key, input, output, used } => {
                    let ask = ask(&set, &format!("k{key}"), &tokens(input, output));
                    if let Entry::Granted(grant) = bench.enter(&ask) {
                        open.push((ask.lease, key, used));
                        for seen in &grant.seen {
                            prop_assert!(seen.view.remaining >= 0, "a grant overdrew {}", seen.limit.id);
                        }
                        prop_assert!(open.iter().filter(|(_, other, _)| *other == key).count() <= 3);
                    }
                }
                Op::Settle(index) => if !open.is_empty() {
                    let (lease, _, used) = open.swap_remove(index % open.len());
                    bench.settle(lease, used);
                    used_today += used;
                },
            }
        }
        for (lease, _, used) in open {
            bench.settle(lease, used);
            used_today += used;
        }
        prop_assert_eq!(bench.store.open_leases(), 0);
        prop_assert!(bench.store.books.lock().levels.values().all(|bucket| bucket.held == 0));
        for row in bench.rows() {
            if row.scope.contains("tokens/day") {
                prop_assert_eq!(row.view.remaining, 5_000 - i64::try_from(used_today).unwrap());
            }
            prop_assert!(!row.scope.contains("concurrent"), "every slot is back");
        }
    }
}
