//! The in-memory engine: one map of levels and one of leases behind one short lock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use parking_lot::Mutex;
use sluice_policies::{Demand, Level, Limit, Mode, Reservation, UnixMillis};

use super::{Ask, Charge, Entry, Grant, LeaseId, LevelRow, Refusal, Seen, Store, StoreError};

/// Buckets that are back at rest are swept whenever the map has doubled since the last sweep.
const SWEEP_FLOOR: usize = 1024;

/// A store for a single process. Cheap: a decision is a few map look-ups under one lock that is
/// never held across an await.
pub struct MemoryStore {
    inner: Mutex<Inner>,
    clock: fn() -> UnixMillis,
}

struct Inner {
    levels: HashMap<String, Bucket>,
    leases: HashMap<LeaseId, Vec<Held>>,
    sweep_at: usize,
}

struct Bucket {
    limit: Arc<Limit>,
    level: Level,
    /// Open reservations against the bucket: it must not be swept under them.
    held: u32,
}

struct Held {
    scope: String,
    limit: Arc<Limit>,
    reservation: Reservation,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store on the system clock.
    pub fn new() -> Self {
        Self::with_clock(system_now)
    }

    /// An empty store on a clock of the caller's, for tests of time.
    pub fn with_clock(clock: fn() -> UnixMillis) -> Self {
        let inner = Inner { levels: HashMap::new(), leases: HashMap::new(), sweep_at: SWEEP_FLOOR };
        Self { inner: Mutex::new(inner), clock }
    }
}

fn system_now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[async_trait]
impl Store for MemoryStore {
    async fn enter(&self, ask: Ask) -> Result<Entry, StoreError> {
        Ok(self.inner.lock().enter(ask, (self.clock)()))
    }

    async fn settle(&self, lease: LeaseId, used: Demand) -> Result<(), StoreError> {
        self.inner.lock().settle(lease, &used, (self.clock)());
        Ok(())
    }

    async fn levels(&self) -> Result<Vec<LevelRow>, StoreError> {
        let now = (self.clock)();
        let inner = self.inner.lock();
        let rows = inner.levels.iter().map(|(scope, bucket)| LevelRow {
            limit: Arc::clone(&bucket.limit),
            scope: scope.clone(),
            view: bucket.level.view(&bucket.limit, now),
        });
        Ok(rows.collect())
    }

    fn open_leases(&self) -> usize {
        self.inner.lock().leases.len()
    }
}

impl Inner {
    fn enter(&mut self, ask: Ask, now: UnixMillis) -> Entry {
        self.sweep(now);
        let mut refused: Option<(usize, Option<Duration>)> = None;
        let mut observed = Vec::new();
        for (index, charge) in ask.charges.iter().enumerate() {
            let bucket = self.bucket(charge, now);
            let Err(short) = bucket.level.check(&charge.limit, charge.amount, now) else { continue };
            if charge.limit.mode == Mode::Observe {
                observed.push(Arc::clone(&charge.limit.id));
            } else if refused.is_none_or(|(_, worst)| waits_longer(short.retry_after, worst)) {
                refused = Some((index, short.retry_after));
            }
        }
        if let Some((index, retry_after)) = refused {
            let seen = ask.charges.iter().map(|charge| self.seen(charge, now)).collect();
            let charge = &ask.charges[index];
            return Entry::Denied(Refusal {
                limit: Arc::clone(&charge.limit),
                retry_after,
                asked: charge.amount,
                seen,
            });
        }
        let mut seen = Vec::with_capacity(ask.charges.len());
        let mut held = Vec::with_capacity(ask.charges.len());
        for charge in ask.charges {
            // What an observing limit would have refused would not have spent from it either.
            if observed.contains(&charge.limit.id) {
                continue;
            }
            let bucket = self.bucket(&charge, now);
            let reservation = bucket.level.reserve(&charge.limit, charge.amount, now);
            bucket.held += 1;
            seen.push(Seen { view: bucket.level.view(&charge.limit, now), limit: Arc::clone(&charge.limit) });
            held.push(Held { scope: charge.scope, limit: charge.limit, reservation });
        }
        self.leases.insert(ask.lease, held);
        Entry::Granted(Grant { seen, observed })
    }

    fn settle(&mut self, lease: LeaseId, used: &Demand, now: UnixMillis) {
        for held in self.leases.remove(&lease).unwrap_or_default() {
            if let Some(bucket) = self.levels.get_mut(&held.scope) {
                let amount = held.limit.amount_of(used);
                bucket.level.settle(&held.limit, &held.reservation, amount, now);
                bucket.held = bucket.held.saturating_sub(1);
            }
        }
    }

    /// The bucket of a charge. A reload may have changed the limit behind a scope: what was spent
    /// stays spent while the kind of limit is the same, else the bucket starts anew.
    fn bucket(&mut self, charge: &Charge, now: UnixMillis) -> &mut Bucket {
        let fresh = || Bucket { limit: Arc::clone(&charge.limit), level: charge.limit.new_level(now), held: 0 };
        let bucket = self.levels.entry(charge.scope.clone()).or_insert_with(fresh);
        if !Arc::ptr_eq(&bucket.limit, &charge.limit) {
            if bucket.limit.kind != charge.limit.kind || bucket.limit.unit != charge.limit.unit {
                bucket.level = charge.limit.new_level(now);
            }
            bucket.limit = Arc::clone(&charge.limit);
        }
        bucket
    }

    fn seen(&mut self, charge: &Charge, now: UnixMillis) -> Seen {
        let bucket = self.bucket(charge, now);
        Seen { view: bucket.level.view(&charge.limit, now), limit: Arc::clone(&charge.limit) }
    }

    /// Forgets buckets that equal fresh ones, so that a million users seen once cost nothing.
    fn sweep(&mut self, now: UnixMillis) {
        if self.levels.len() < self.sweep_at {
            return;
        }
        self.levels.retain(|_, bucket| bucket.held > 0 || !bucket.level.is_idle(&bucket.limit, now));
        self.sweep_at = (self.levels.len() * 2).max(SWEEP_FLOOR);
    }
}

/// `None` means never: the longest wait of all.
fn waits_longer(a: Option<Duration>, b: Option<Duration>) -> bool {
    match (a, b) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(a), Some(b)) => a > b,
    }
}

#[cfg(test)]
mod tests;
