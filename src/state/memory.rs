//! The in-memory engine: levels, leases and queues of one process behind one short lock.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use parking_lot::Mutex;
use sluice_policies::{Demand, Pool, UnixMillis};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use self::books::{Books, Decision};
pub(in crate::state) use self::bucket::Bucket;
use super::alarms::Alarms;
use super::{Ask, Entry, LeaseId, Levels, Place, Store, StoreError};

mod books;
mod bucket;
mod pools;

/// A store for a single process. Cheap: a decision is a few map look-ups under one lock that is
/// never held across an await.
pub struct MemoryStore {
    books: Mutex<Books>,
    alarms: Alarms,
    clock: Clock,
}

/// Reads the time, milliseconds since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store on the system clock.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(system_now))
    }

    /// An empty store on a clock of the caller's.
    pub fn with_clock(clock: Clock) -> Self {
        Self { books: Mutex::new(Books::default()), alarms: Alarms::default(), clock }
    }

    /// Runs `work` on the books, then sets the alarms it asked for.
    fn with<T>(&self, work: impl FnOnce(&mut Books, UnixMillis) -> T) -> T {
        let now = (self.clock)();
        let mut books = self.books.lock();
        let result = work(&mut books, now);
        for (pool, at) in books.alarms.drain(..) {
            self.alarms.set(&pool, Duration::from_millis(at.saturating_sub(now)));
        }
        result
    }

    /// Looks whether time has made room in a pool.
    pub fn look(&self, pool: &str) {
        self.with(|books, now| books.dispatch(pool, now));
    }
}

/// For an engine that uses this one while its own store is gone.
impl MemoryStore {
    /// The bucket a scope begins with, if there is none yet.
    pub(in crate::state) fn preset(&self, scope: &str, bucket: impl FnOnce(UnixMillis) -> Bucket) {
        self.with(|books, now| {
            books.levels.entry(Arc::from(scope)).or_insert_with(|| bucket(now));
        });
    }

    /// Takes note of a pool's new capacity, and lets in whom it has room for.
    pub(in crate::state) fn resize(&self, pool: &Arc<Pool>) {
        self.with(|books, now| {
            books.configure(pool);
            books.dispatch(&pool.name, now);
        });
    }

    /// Ends a lease of which another engine has taken charge.
    pub(in crate::state) fn forget(&self, lease: LeaseId) {
        self.with(|books, now| books.settle(lease, &Demand { input: 0, output: 0, cost_micros: 0 }, now));
    }

    /// Whether a lease is open.
    pub(in crate::state) fn holds(&self, lease: LeaseId) -> bool {
        self.books.lock().leases.contains_key(&lease)
    }

    /// Forgets all levels and wakes everybody who waits. Open leases stay open.
    pub(in crate::state) fn renew(&self) {
        self.with(|books, _| {
            books.levels.clear();
            books.waiters.values_mut().for_each(|waiter| drop(waiter.wake.take()));
        });
    }
}

fn system_now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[async_trait]
impl Store for MemoryStore {
    async fn enter(&self, ask: &Arc<Ask>, wait: Duration) -> Result<Entry, StoreError> {
        Ok(self.with(|books, now| match books.enter(ask, wait, now) {
            Decision::Granted(grant) => Entry::Granted(grant),
            Decision::Denied(refusal) => Entry::Denied(refusal),
            Decision::Queued(ahead) => {
                let (wake, woken) = oneshot::channel();
                if let Some(waiter) = books.waiters.get_mut(&ask.lease) {
                    waiter.wake = Some(wake);
                }
                Entry::Queued(Place { ahead, woken })
            }
        }))
    }

    async fn settle(&self, lease: LeaseId, used: Demand) -> Result<(), StoreError> {
        self.with(|books, now| books.settle(lease, &used, now));
        Ok(())
    }

    async fn hold(&self, pool: &Arc<Pool>, time: Duration) -> Result<(), StoreError> {
        self.with(|books, now| books.hold(pool, time, now));
        Ok(())
    }

    async fn levels(&self) -> Result<Levels, StoreError> {
        Ok(self.with(|books, now| books.show(now)))
    }

    fn open_leases(&self) -> usize {
        self.books.lock().leases.len()
    }

    async fn run(&self, stop: CancellationToken) {
        loop {
            let due = tokio::select! {
                due = self.alarms.next() => due,
                () = stop.cancelled() => return,
            };
            for pool in &due {
                self.look(pool);
            }
        }
    }
}

#[cfg(test)]
mod tests;
