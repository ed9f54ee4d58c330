//! The pools of the memory engine: slots, and who of the waiters is let in next.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use sluice_policies::{Pool, Queue, UnixMillis};

use super::books::{Books, Fit, Waiter};
use super::bucket::Asker;
use crate::state::{Ask, Charge, LeaseId, PoolRow};

/// Waiters looked at in one go; what is left is looked at a moment later.
const LOOKS: usize = 64;
/// Waiters brought back in one go, when their time has come and when a bucket has got something.
const BACK: usize = 32;
const UNBLOCK: usize = 4;
/// A waiter for a slot of its own limit is woken by whoever frees one; this is for safety.
const SLOT_RETRY: Duration = Duration::from_secs(1);
/// Who stands behind others for a bucket is looked at when they are gone; this is for safety.
const PATIENCE: u64 = 30_000;

/// One pool.
pub(super) struct PoolState {
    pool: Arc<Pool>,
    pub(super) queue: Queue<LeaseId>,
    /// Waiters whose limits have no room, by when they should have.
    aside: BTreeSet<(UnixMillis, LeaseId)>,
    in_use: u32,
    by_class: HashMap<Arc<str>, u32>,
    pub(super) held_until: UnixMillis,
}

impl PoolState {
    fn new(pool: &Arc<Pool>) -> Self {
        Self {
            pool: Arc::clone(pool),
            queue: Queue::default(),
            aside: BTreeSet::new(),
            in_use: 0,
            by_class: HashMap::new(),
            held_until: 0,
        }
    }

    /// Whether a slot is free for a class.
    pub(super) fn has_slot(&self, class: &str) -> bool {
        self.pool.free(class, self.in_use, |class| self.by_class.get(class).copied().unwrap_or(0)) > 0
    }

    /// Whether a newcomer need not queue behind others.
    pub(super) fn may_pass(&self, class: &str, now: UnixMillis) -> bool {
        !self.queue.has_ready() && self.held_until <= now && self.has_slot(class)
    }

    pub(super) fn take(&mut self, class: &Arc<str>) {
        self.in_use += 1;
        *self.by_class.entry(Arc::clone(class)).or_default() += 1;
    }

    pub(super) fn give_back(&mut self, class: &str) {
        self.in_use = self.in_use.saturating_sub(1);
        if let Some(used) = self.by_class.get_mut(class) {
            *used = used.saturating_sub(1);
        }
    }

    pub(super) fn show(&self, now: UnixMillis) -> Option<PoolRow> {
        let waiting: Vec<_> = self.queue.depths().map(|(class, depth)| (class.to_string(), depth)).collect();
        let held_for = Duration::from_millis(self.held_until.saturating_sub(now));
        if self.in_use == 0 && waiting.is_empty() && held_for.is_zero() {
            return None;
        }
        let name = self.pool.name.to_string();
        Some(PoolRow { name, slots: self.pool.slots, in_use: self.in_use, held_for, waiting })
    }
}

impl Books {
    /// The pool of this name, with the capacity that it has.
    pub(super) fn pool(&mut self, pool: &Arc<Pool>) -> &mut PoolState {
        self.pools.entry(Arc::clone(&pool.name)).or_insert_with(|| PoolState::new(pool))
    }

    /// Takes note of a pool's capacity, which a reload may have changed. Not to be told by who has
    /// waited: what that knows may be old.
    pub(super) fn configure(&mut self, pool: &Arc<Pool>) {
        let state = self.pool(pool);
        if !Arc::ptr_eq(&state.pool, pool) {
            state.pool = Arc::clone(pool);
        }
    }

    pub(super) fn enqueue(&mut self, ask: &Arc<Ask>, now: UnixMillis) {
        let turn = self.pool(&ask.pool).queue.push(ask.lease, &ask.class, &ask.key, ask.cost, now);
        self.waiters.insert(ask.lease, Waiter { ask: Arc::clone(ask), turn, aside: None, wake: None });
    }

    /// Lets in whoever is next, for as long as somebody fits. A waiter that a limit has no room
    /// for is set aside and does not block the next.
    pub(super) fn dispatch(&mut self, pool: &str, now: UnixMillis) {
        self.bring_back(pool, now);
        let Some((name, state)) = self.pools.get_key_value(pool) else { return };
        let name = Arc::clone(name);
        if state.held_until > now {
            self.alarms.push((name, state.held_until));
            return;
        }
        for look in 0.. {
            let Some(state) = self.pools.get(pool) else { return };
            let Some(id) = state.queue.first(now, |class| state.has_slot(&class.name)) else { break };
            if look == LOOKS {
                self.alarms.push((Arc::clone(&name), now + 1));
                break;
            }
            let Some(waiter) = self.waiters.get(&id) else { break };
            let (ask, turn) = (Arc::clone(&waiter.ask), waiter.turn.clone());
            let asker = Asker { id, rank: turn.class.rank, aged: turn.is_aged(now) };
            match self.fit(&ask, asker, now) {
                Fit::Yes => self.serve(id, &ask, now),
                Fit::Pool(after) => {
                    let after = after.unwrap_or(SLOT_RETRY);
                    self.alarms.push((Arc::clone(&name), now + millis(after)));
                    break;
                }
                Fit::Limits(short) => self.set_aside(&ask, asker, &short, now),
            }
        }
        let next = self.pools.get(pool).and_then(|state| state.aside.first());
        self.alarms.extend(next.map(|(at, _)| (name, *at)));
    }

    fn serve(&mut self, id: LeaseId, ask: &Arc<Ask>, now: UnixMillis) {
        self.grant(ask, now);
        let Some(waiter) = self.waiters.remove(&id) else { return };
        self.disclaim(ask);
        if let Some(state) = self.pools.get_mut(&ask.pool.name) {
            state.queue.serve(id, &waiter.turn);
        }
        if let Some(wake) = waiter.wake {
            // Nobody listens: the waiter has left and will say so.
            wake.send(()).unwrap_or_default();
        }
        self.follow_up(ask, now);
    }

    /// Sets a waiter aside until the last of its limits should have room. Only the first few for a
    /// bucket are woken by time: the others wait for them.
    fn set_aside(&mut self, ask: &Arc<Ask>, asker: Asker, short: &[(usize, Option<Duration>)], now: UnixMillis) {
        let Some(waiter) = self.waiters.get(&asker.id) else { return };
        let turn = waiter.turn.clone();
        let (rank, finish) = turn.precedence();
        let wait = short.iter().map(|(_, after)| after.unwrap_or(SLOT_RETRY)).max().unwrap_or(SLOT_RETRY);
        let fits = now + millis(wait).max(1);
        let charges: Vec<&Charge> = short.iter().filter_map(|(index, _)| ask.charges.get(*index)).collect();
        let mut top = true;
        for charge in &charges {
            if let Some(bucket) = self.levels.get_mut(&charge.scope) {
                bucket.blocked.insert((rank, finish, asker.id));
                top &= bucket.blocked.iter().take(UNBLOCK).any(|(.., id)| *id == asker.id);
            }
        }
        for charge in charges.iter().filter(|_| top) {
            if let Some(bucket) = self.levels.get_mut(&charge.scope) {
                bucket.claim(asker, fits, now);
            }
        }
        let at = if top { fits } else { now + PATIENCE };
        if let Some(waiter) = self.waiters.get_mut(&asker.id) {
            waiter.aside = Some(at);
        }
        if let Some(state) = self.pools.get_mut(&ask.pool.name) {
            state.queue.set_aside(asker.id, &turn);
            state.aside.insert((at, asker.id));
        }
    }

    /// Those who stood behind a waiter that is gone have their turn.
    fn follow_up(&mut self, ask: &Ask, now: UnixMillis) {
        let mut pools = Vec::new();
        for charge in &ask.charges {
            self.unblock(&charge.scope, &mut pools);
        }
        pools.retain(|pool| *pool != ask.pool.name);
        self.alarms.extend(pools.into_iter().map(|pool| (pool, now)));
    }

    /// Puts waiters back whose time has come.
    fn bring_back(&mut self, pool: &str, now: UnixMillis) {
        let Some(state) = self.pools.get(pool) else { return };
        let due = state.aside.iter().take(BACK).take_while(|(at, _)| *at <= now);
        let due: Vec<LeaseId> = due.map(|(_, id)| *id).collect();
        for id in due {
            self.back(id);
        }
    }

    /// Puts the first few waiters for a bucket back, because something was given back to it or the
    /// one before them is gone.
    pub(super) fn unblock(&mut self, scope: &str, pools: &mut Vec<Arc<str>>) {
        let Some(bucket) = self.levels.get(scope) else { return };
        let first: Vec<LeaseId> = bucket.blocked.iter().take(UNBLOCK).map(|(.., id)| *id).collect();
        for id in first {
            let Some(pool) = self.back(id) else { continue };
            if !pools.contains(&pool) {
                pools.push(pool);
            }
        }
    }

    fn back(&mut self, id: LeaseId) -> Option<Arc<str>> {
        let waiter = self.waiters.get_mut(&id)?;
        let at = waiter.aside.take()?;
        let (rank, finish) = waiter.turn.precedence();
        for charge in &waiter.ask.charges {
            if let Some(bucket) = self.levels.get_mut(&charge.scope) {
                bucket.blocked.remove(&(rank, finish, id));
            }
        }
        let state = self.pools.get_mut(&waiter.ask.pool.name)?;
        state.aside.remove(&(at, id));
        state.queue.ready(id, &waiter.turn);
        Some(Arc::clone(&waiter.ask.pool.name))
    }

    /// A waiter that is not served: its place is free at once.
    pub(super) fn leave(&mut self, id: LeaseId, now: UnixMillis) {
        self.back(id);
        let Some(waiter) = self.waiters.remove(&id) else { return };
        self.disclaim(&waiter.ask);
        if let Some(state) = self.pools.get_mut(&waiter.ask.pool.name) {
            state.queue.leave(id, &waiter.turn);
        }
        self.follow_up(&waiter.ask, now);
        // It may have been what the others of the line waited behind.
        self.dispatch(&waiter.ask.pool.name, now);
    }

    fn disclaim(&mut self, ask: &Ask) {
        for charge in ask.all() {
            if let Some(bucket) = self.levels.get_mut(&charge.scope) {
                bucket.disclaim(ask.lease);
            }
        }
    }

    pub(super) fn hold(&mut self, pool: &Arc<Pool>, time: Duration, now: UnixMillis) {
        let state = self.pool(pool);
        state.held_until = state.held_until.max(now + millis(time));
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 2)
}
