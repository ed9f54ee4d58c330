//! Levels, leases and waiters of the memory engine, and the decision over one request.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use sluice_policies::{Demand, Limit, Mode, Reservation, Turn, UnixMillis};
use tokio::sync::oneshot;

use super::bucket::{Asker, Bucket};
use super::pools::PoolState;
use crate::state::refusal::{Standing, Verdict, judge};
use crate::state::{Ask, Cause, Charge, Grant, LeaseId, LevelRow, Levels, Refusal, Seen};

/// Buckets that are back at rest are swept whenever the map has doubled since the last sweep.
pub(super) const SWEEP_FLOOR: usize = 1024;

/// A request looks up some twenty entries, and the hash of the standard library would be a third of
/// the time. This one is seeded by process too.
type Map<K, V> = HashMap<K, V, RandomState>;

/// Everything the engine knows.
#[derive(Default)]
pub(super) struct Books {
    pub(super) levels: Map<Arc<str>, Bucket>,
    pub(super) leases: Map<LeaseId, Lease>,
    pub(super) waiters: Map<LeaseId, Waiter>,
    pub(super) pools: Map<Arc<str>, PoolState>,
    /// When to look at a pool again; taken by whoever called.
    pub(super) alarms: Vec<(Arc<str>, UnixMillis)>,
    pub(super) sweep_at: usize,
}

pub(super) struct Lease {
    pub(super) pool: Arc<str>,
    pub(super) class: Arc<str>,
    held: Vec<Held>,
    observed: Vec<Arc<str>>,
}

struct Held {
    scope: Arc<str>,
    limit: Arc<Limit>,
    reservation: Reservation,
}

pub(super) struct Waiter {
    pub(super) ask: Arc<Ask>,
    pub(super) turn: Turn,
    /// Until when it is set aside because a limit has no room for it.
    pub(super) aside: Option<UnixMillis>,
    pub(super) wake: Option<oneshot::Sender<()>>,
}

pub(super) enum Decision {
    Granted(Grant),
    Queued(u32),
    Denied(Refusal),
}

/// Whether a request fits.
pub(super) enum Fit {
    Yes,
    /// The pool's rate has no room: when it will, `None` being never.
    Pool(Option<Duration>),
    /// Limits have no room: which charges, and how long each needs.
    Limits(Vec<(usize, Option<Duration>)>),
}

impl Books {
    pub(super) fn enter(&mut self, ask: &Arc<Ask>, wait: Duration, now: UnixMillis) -> Decision {
        self.sweep(now);
        if self.leases.contains_key(&ask.lease) {
            return Decision::Granted(self.granted(ask, now));
        }
        if !self.waiters.contains_key(&ask.lease) {
            self.configure(&ask.pool);
            if let Some(decision) = self.at_once(ask, wait, now) {
                return decision;
            }
            self.enqueue(ask, now);
        }
        self.dispatch(&ask.pool.name, now);
        if self.leases.contains_key(&ask.lease) {
            return Decision::Granted(self.granted(ask, now));
        }
        let Verdict { refusal, least } = self.verdict(ask, now);
        if wait.is_zero() || least.is_none_or(|least| least > wait) {
            self.leave(ask.lease, now);
            return Decision::Denied(refusal);
        }
        let pool = self.pools.get(&ask.pool.name).map(|state| &state.queue);
        let turn = self.waiters.get(&ask.lease).map(|waiter| &waiter.turn);
        Decision::Queued(pool.zip(turn).map_or(0, |(queue, turn)| queue.ahead(ask.lease, turn)))
    }

    /// The decision over a newcomer that need not queue, or may not.
    fn at_once(&mut self, ask: &Arc<Ask>, wait: Duration, now: UnixMillis) -> Option<Decision> {
        let state = self.pool(&ask.pool);
        let waiting = state.queue.waiting(&ask.class.name);
        if state.may_pass(&ask.class.name, now) && matches!(self.fit(ask, newcomer(ask), now), Fit::Yes) {
            self.grant(ask, now);
            return Some(Decision::Granted(self.granted(ask, now)));
        }
        if wait.is_zero() {
            return None;
        }
        let Verdict { mut refusal, least } = self.verdict(ask, now);
        if waiting >= ask.class.max_depth {
            refusal.cause = Cause::QueueFull;
        } else if least.is_some_and(|least| least <= wait) {
            return None;
        }
        Some(Decision::Denied(refusal))
    }

    /// Checks the pool's rate, then every limit that refuses.
    pub(super) fn fit(&mut self, ask: &Ask, asker: Asker, now: UnixMillis) -> Fit {
        if let Some(charge) = &ask.pool_rate
            && let Err(after) = self.bucket(charge, now).check(charge, asker, now)
        {
            return Fit::Pool(after);
        }
        let mut short = Vec::new();
        for (index, charge) in ask.charges.iter().enumerate() {
            if charge.limit.mode == Mode::Enforce
                && let Err(after) = self.bucket(charge, now).check(charge, asker, now)
            {
                short.push((index, after));
            }
        }
        if short.is_empty() { Fit::Yes } else { Fit::Limits(short) }
    }

    /// Takes everything an ask needs; it has been found to fit.
    pub(super) fn grant(&mut self, ask: &Arc<Ask>, now: UnixMillis) {
        let mut held = Vec::with_capacity(ask.charges.len() + 1);
        let mut observed = Vec::new();
        for charge in ask.all() {
            let bucket = self.bucket(charge, now);
            // What an observing limit would have refused would not have spent from it either.
            let observes = charge.limit.mode == Mode::Observe;
            if observes && bucket.level.check(&charge.limit, charge.amount, now).is_err() {
                observed.push(Arc::clone(&charge.limit.id));
                continue;
            }
            bucket.held += 1;
            let reservation = bucket.level.reserve(&charge.limit, charge.amount, now);
            held.push(Held { scope: Arc::clone(&charge.scope), limit: Arc::clone(&charge.limit), reservation });
        }
        self.pool(&ask.pool).take(&ask.class.name);
        let (pool, class) = (Arc::clone(&ask.pool.name), Arc::clone(&ask.class.name));
        self.leases.insert(ask.lease, Lease { pool, class, held, observed });
    }

    fn granted(&mut self, ask: &Ask, now: UnixMillis) -> Grant {
        let observed = self.leases.get(&ask.lease).map(|lease| lease.observed.clone()).unwrap_or_default();
        Grant { seen: self.seen(ask, now), observed }
    }

    pub(super) fn settle(&mut self, id: LeaseId, used: &Demand, now: UnixMillis) {
        let Some(lease) = self.leases.remove(&id) else {
            self.leave(id, now);
            return;
        };
        let mut pools = vec![Arc::clone(&lease.pool)];
        for held in lease.held {
            if let Some(bucket) = self.levels.get_mut(&held.scope) {
                let amount = held.limit.amount_of(used);
                bucket.level.settle(&held.limit, &held.reservation, amount, now);
                bucket.held = bucket.held.saturating_sub(1);
            }
            self.unblock(&held.scope, &mut pools);
        }
        if let Some(state) = self.pools.get_mut(&lease.pool) {
            state.give_back(&lease.class);
        }
        pools.sort();
        for pool in &pools {
            self.dispatch(pool, now);
        }
    }

    /// Why a request does not pass now, and when it would if nothing else came.
    fn verdict(&mut self, ask: &Arc<Ask>, now: UnixMillis) -> Verdict {
        let seen = self.seen(ask, now);
        let state = self.pool(&ask.pool);
        let held = Duration::from_millis(state.held_until.saturating_sub(now));
        let standing = Standing { seen, held, slot: state.has_slot(&ask.class.name) };
        judge(ask, standing, |charge| self.bucket(charge, now).check(charge, newcomer(ask), now))
    }

    pub(super) fn bucket(&mut self, charge: &Charge, now: UnixMillis) -> &mut Bucket {
        let fresh = || Bucket::new(Arc::clone(&charge.limit), charge.limit.new_level(now));
        let bucket = self.levels.entry(Arc::clone(&charge.scope)).or_insert_with(fresh);
        bucket.follow(&charge.limit, now);
        bucket
    }

    fn seen(&mut self, ask: &Ask, now: UnixMillis) -> Vec<Seen> {
        let one = |charge: &Charge| {
            let bucket = self.bucket(charge, now);
            Seen { view: bucket.level.view(&charge.limit, now), limit: Arc::clone(&charge.limit) }
        };
        ask.all().map(one).collect()
    }

    pub(super) fn show(&self, now: UnixMillis) -> Levels {
        let rows = self.levels.iter().filter(|(_, bucket)| !bucket.is_idle(now)).map(|(scope, bucket)| LevelRow {
            limit: Arc::clone(&bucket.limit),
            scope: scope.to_string(),
            view: bucket.level.view(&bucket.limit, now),
        });
        let limits = rows.collect();
        let pools = self.pools.values().filter_map(|state| state.show(now)).collect();
        Levels { limits, pools, leases: self.leases.len() as u64, replicas: 1, shared: None }
    }

    /// Forgets buckets that equal fresh ones, so that a million users seen once cost nothing.
    fn sweep(&mut self, now: UnixMillis) {
        if self.levels.len() < self.sweep_at.max(SWEEP_FLOOR) {
            return;
        }
        self.levels.retain(|_, bucket| !bucket.is_idle(now));
        self.sweep_at = self.levels.len() * 2;
    }
}

/// A request that is not in the queue has waited for nothing yet.
fn newcomer(ask: &Ask) -> Asker {
    Asker { id: ask.lease, rank: ask.class.rank, aged: false }
}
