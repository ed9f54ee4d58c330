//! The store over random operations: what is granted stays within the limits, leases settle once,
//! levels end where the arithmetic says; and buckets at rest are forgotten.

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use sluice_policies::{PolicyFile, PolicySet, Subject};

use super::*;

/// The tests of this file share one clock; each test process runs one test at a time on it.
static NOW: AtomicU64 = AtomicU64::new(0);
const NOON: u64 = 1_709_208_000_000;

fn now() -> UnixMillis {
    NOW.load(Ordering::SeqCst)
}

fn policies(limits: &[&str]) -> PolicySet {
    let lines: String = limits.iter().map(|limit| format!("  - {limit}\n")).collect();
    let text = format!("tenant: t\nlimits:\n{lines}");
    PolicySet::compile(&[PolicyFile { name: "p".to_owned(), text }]).unwrap()
}

fn ask(set: &PolicySet, key: &str, demand: &Demand) -> Ask {
    let who = Subject { tenant: "t", key, user: None, class: "standard", model: "m" };
    let charge = |limit: &Arc<Limit>| Charge {
        scope: limit.scope_key(&who),
        amount: limit.amount_of(demand),
        limit: Arc::clone(limit),
    };
    Ask { lease: LeaseId::new(), charges: set.limits_for(&who).map(charge).collect() }
}

fn tokens(input: u64, output: u64) -> Demand {
    Demand { input, output, cost_micros: 0 }
}

fn at(millis: u64) -> Inner {
    NOW.store(millis, Ordering::SeqCst);
    Inner { levels: HashMap::new(), leases: HashMap::new(), sweep_at: SWEEP_FLOOR }
}

#[test]
fn all_limits_or_none() {
    let set = policies(&["1k tokens/day per key", "100 output tokens/day per key"]);
    let mut store = at(NOON);
    let Entry::Denied(refusal) = store.enter(ask(&set, "a", &tokens(10, 101)), NOON) else { panic!("granted") };
    assert!(refusal.limit.id.contains("output") && refusal.retry_after.is_none());
    assert!(refusal.seen.iter().all(|seen| seen.view.remaining == i64::try_from(seen.view.amount).unwrap()));
    assert!(store.leases.is_empty());
}

#[test]
fn settling_twice_or_an_unknown_lease_does_nothing() {
    let set = policies(&["1k tokens/day per key"]);
    let mut store = at(NOON);
    let ask = ask(&set, "a", &tokens(10, 90));
    let (lease, scope) = (ask.lease, ask.charges[0].scope.clone());
    assert!(matches!(store.enter(ask, NOON), Entry::Granted(_)));
    for _ in 0..3 {
        store.settle(lease, &tokens(10, 5), NOON);
        store.settle(LeaseId::new(), &tokens(500, 0), NOON);
    }
    let bucket = &store.levels[&scope];
    assert_eq!(bucket.level.view(&bucket.limit, NOON).remaining, 985);
}

#[test]
fn buckets_at_rest_are_forgotten_and_held_ones_are_not() {
    let set = policies(&["1k tokens/min per key"]);
    let mut store = at(NOON);
    let held = ask(&set, "held", &tokens(1, 0));
    store.enter(held, NOON);
    for index in 0..10_000u64 {
        let ask = ask(&set, &format!("k{index}"), &tokens(10, 0));
        let lease = ask.lease;
        store.enter(ask, NOON + index * 100);
        store.settle(lease, &tokens(10, 0), NOON + index * 100);
    }
    assert!(store.levels.len() <= 2 * SWEEP_FLOOR, "{}", store.levels.len());
    assert!(store.levels.keys().any(|scope| scope.contains("held")));
}

#[test]
fn a_limit_that_changes_its_kind_begins_anew_and_one_that_stays_does_not() {
    let long = |per: &str, amount: &str| {
        let text =
            format!("tenant: t\nlimits:\n  - {{ name: l, amount: {amount}, unit: tokens, per: {per}, scope: key }}\n");
        PolicySet::compile(&[PolicyFile { name: "p".to_owned(), text }]).unwrap()
    };
    let mut store = at(NOON);
    let spend = |store: &mut Inner, set: &PolicySet| {
        let Entry::Granted(grant) = store.enter(ask(set, "a", &tokens(100, 0)), NOON) else { panic!("denied") };
        grant.seen[0].view.remaining
    };
    assert_eq!(spend(&mut store, &long("day", "1000")), 900);
    assert_eq!(spend(&mut store, &long("day", "2000")), 1800, "what was spent stays spent");
    assert_eq!(spend(&mut store, &long("minute", "1000")), 900, "a rate is not a budget");
}

#[tokio::test]
async fn the_clock_given_is_the_clock_used() {
    NOW.store(NOON, Ordering::SeqCst);
    let store = MemoryStore::with_clock(now);
    let set = policies(&["60 tokens/min per key"]);
    assert!(matches!(store.enter(ask(&set, "a", &tokens(60, 0))).await.unwrap(), Entry::Granted(_)));
    let Entry::Denied(refusal) = store.enter(ask(&set, "a", &tokens(5, 0))).await.unwrap() else { panic!("granted") };
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(5)));
    assert_eq!((store.open_leases(), store.levels().await.unwrap().len()), (1, 1));
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
        let set = policies(&["1k tokens/min per key", "5k tokens/day per tenant", "3 concurrent per key", "500 output tokens/min per tenant"]);
        let mut store = Inner { levels: HashMap::new(), leases: HashMap::new(), sweep_at: SWEEP_FLOOR };
        let (mut now, mut used_today) = (NOON, 0u64);
        let mut open: Vec<(LeaseId, u8, u64)> = Vec::new();
        let mut reserved = [0u64; 3];
        for op in ops {
            match op {
                Op::Wait(ms) => now += ms,
                Op::Enter { key, input, output, used } => {
                    let ask = ask(&set, &format!("k{key}"), &tokens(input, output));
                    let lease = ask.lease;
                    if let Entry::Granted(grant) = store.enter(ask, now) {
                        open.push((lease, key, used));
                        reserved[usize::from(key)] += input + output;
                        for seen in &grant.seen {
                            prop_assert!(seen.view.remaining >= 0, "a grant overdrew {}", seen.limit.id);
                        }
                        prop_assert!(open.iter().filter(|(_, other, _)| *other == key).count() <= 3);
                    }
                }
                Op::Settle(index) => if !open.is_empty() {
                    let (lease, _, used) = open.swap_remove(index % open.len());
                    store.settle(lease, &tokens(used, 0), now);
                    used_today += used;
                },
            }
        }
        for (lease, _, used) in open {
            store.settle(lease, &tokens(used, 0), now);
            used_today += used;
        }
        prop_assert!(store.leases.is_empty());
        for (scope, bucket) in &store.levels {
            prop_assert_eq!(bucket.held, 0, "{}", scope);
            let view = bucket.level.view(&bucket.limit, now);
            if scope.contains("tokens/day") {
                prop_assert_eq!(view.remaining, 5_000 - i64::try_from(used_today).unwrap());
            } else if scope.contains("concurrent") {
                prop_assert_eq!(view.remaining, 3);
            }
        }
    }
}
