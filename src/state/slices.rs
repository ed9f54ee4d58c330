//! What one replica may spend of shared limits while the store is gone: limits cut down to its
//! share, in an engine of its own.
//!
//! With `f` the configured fraction and `N` the replicas alive, each starts with `f/N` of what was
//! left when the store was last heard, holds at most `f/N` of a full bucket, and refills at `1/N`
//! of the rate. All of them together overshoot by at most `f` of a full bucket in an outage.

use std::sync::Arc;

use sluice_policies::{Kind, Level, Limit, Mode, OnStoreDown, Pool};

use super::memory::Bucket;
use super::{Ask, Charge, MemoryStore};

/// Cuts asks down to this replica's share.
pub(super) struct Slicer {
    percent: u64,
    store: MemoryStore,
}

impl Slicer {
    pub(super) fn new(percent: u8) -> Self {
        Self { percent: u64::from(percent), store: MemoryStore::new() }
    }

    /// The engine of the slices.
    pub(super) fn store(&self) -> &MemoryStore {
        &self.store
    }

    /// An ask against slices. `left` is what was left of a bucket when it was last heard of; a
    /// bucket never heard of counts as full. `in_use` slots of the pool are this replica's leases
    /// of before.
    pub(super) fn ask(&self, ask: &Ask, replicas: u32, in_use: u32, left: impl Fn(&str) -> Option<i64>) -> Ask {
        let replicas = u64::from(replicas.max(1));
        let cut = |charge: &Charge| {
            let sliced =
                Charge { limit: Arc::new(self.limit(charge, replicas, left(&charge.scope))), ..charge.clone() };
            if let Kind::Rate { period_ms, burst } = sliced.limit.kind {
                let begin = left(&charge.scope).map_or(burst, |left| self.share(positive(left), replicas).min(burst));
                self.store.preset(&charge.scope, |now| {
                    let value = i64::try_from(begin.saturating_mul(period_ms)).unwrap_or(i64::MAX);
                    Bucket::new(Arc::clone(&sliced.limit), Level::from_parts(value, now))
                });
            }
            sliced
        };
        let counts =
            |charge: &&Charge| charge.limit.mode == Mode::Enforce && charge.limit.on_store_down == OnStoreDown::Slice;
        Ask {
            pool: Arc::new(pool(&ask.pool, replicas, in_use)),
            pool_rate: ask.pool_rate.as_ref().map(cut),
            charges: ask.charges.iter().filter(counts).map(cut).collect(),
            ..ask.clone()
        }
    }

    fn share(&self, units: u64, replicas: u64) -> u64 {
        let share = u128::from(units) * u128::from(self.percent) / (100 * u128::from(replicas));
        u64::try_from(share).unwrap_or(u64::MAX)
    }

    fn limit(&self, charge: &Charge, replicas: u64, left: Option<i64>) -> Limit {
        let limit = &charge.limit;
        let (kind, amount) = match limit.kind {
            // A period N times as long refills at exactly 1/N of the rate.
            Kind::Rate { period_ms, burst } => {
                let burst = self.share(burst, replicas);
                (Kind::Rate { period_ms: period_ms.saturating_mul(replicas), burst }, limit.amount)
            }
            Kind::Budget(window) => {
                let left = left.map_or(limit.amount, positive);
                (Kind::Budget(window), self.share(left, replicas))
            }
            Kind::Concurrent => (Kind::Concurrent, (limit.amount / replicas).max(1)),
        };
        Limit {
            id: Arc::clone(&limit.id),
            tenant: Arc::clone(&limit.tenant),
            unit: limit.unit,
            amount,
            kind,
            scope: limit.scope,
            mode: limit.mode,
            matcher: limit.matcher.clone(),
            on_store_down: limit.on_store_down,
        }
    }
}

/// This replica's share of a pool's slots, at least one, less those that are in use already.
pub(super) fn pool(pool: &Pool, replicas: u64, in_use: u32) -> Pool {
    let replicas = u32::try_from(replicas.max(1)).unwrap_or(u32::MAX);
    let slots = pool.slots.map(|slots| (slots / replicas).max(1).saturating_sub(in_use));
    let reserved = pool.reserved.iter().map(|(class, count)| (Arc::clone(class), count / replicas)).collect();
    Pool { name: Arc::clone(&pool.name), slots, rate: None, reserved }
}

fn positive(units: i64) -> u64 {
    u64::try_from(units).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Entry, LeaseId, Store};
    use proptest::prelude::*;
    use sluice_policies::{PolicyFile, PolicySet, Subject};
    use std::time::Duration;

    fn ask(limit: &str, tokens: u64) -> Arc<Ask> {
        let text = format!("tenant: t\nlimits:\n  - {limit}\n");
        let set = PolicySet::compile(&[PolicyFile { name: "p".to_owned(), text }]).unwrap();
        let who = Subject { tenant: "t", key: "k", user: None, class: "standard", model: "m" };
        let limit = Arc::clone(set.limits_for(&who).next().unwrap());
        Arc::new(Ask {
            lease: LeaseId::new(),
            pool: Arc::new(Pool::new("m", None, None, Vec::new())),
            pool_rate: None,
            class: Arc::clone(set.classes().next().unwrap()),
            key: Arc::from("t/k"),
            cost: tokens,
            charges: vec![Charge { scope: Arc::clone(&limit.id), amount: tokens, sunk: 0, limit }],
        })
    }

    async fn spend(slicer: &Slicer, limit: &str, replicas: u32, left: Option<i64>, each: u64) -> u64 {
        let mut spent = 0;
        for _ in 0..10_000 {
            let sliced = Arc::new(slicer.ask(&ask(limit, each), replicas, 0, |_| left));
            match slicer.store().enter(&sliced, Duration::ZERO).await.unwrap() {
                Entry::Granted(_) => spent += each,
                _ => break,
            }
        }
        spent
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// The formula of docs/quotas.md: all replicas together spend at most `f` of what was
        /// left, for a limit that does not refill meanwhile.
        #[test]
        fn all_slices_together_stay_in_the_fraction(
            replicas in 1..6u32, percent in 0..=100u8, left in -500..1000i64, each in 1..50u64, day in any::<bool>(),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let limit = if day { "1k tokens/day" } else { "1k tokens/hour" };
            let spent: u64 = (0..replicas)
                .map(|_| runtime.block_on(spend(&Slicer::new(percent), limit, replicas, Some(left), each)))
                .sum();
            let bound = positive(left) * u64::from(percent) / 100;
            prop_assert!(spent <= bound, "{spent} of {bound}");
        }
    }

    #[tokio::test]
    async fn a_bucket_never_heard_of_counts_as_full() {
        assert_eq!(spend(&Slicer::new(25), "1k tokens/hour", 2, None, 5).await, 125);
        assert_eq!(spend(&Slicer::new(25), "1k tokens/day", 1, None, 5).await, 250);
        assert_eq!(spend(&Slicer::new(25), "9 concurrent", 3, None, 5).await, 15);
    }
}
