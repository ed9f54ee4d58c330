//! The trait every engine of limits implements, and the values that cross it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sluice_policies::{Class, Demand, Limit, Pool, View};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Identifies one lease, and before that the place in the queue, on every replica; time-ordered,
/// so that logs sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId(Uuid);

impl LeaseId {
    /// A fresh id (UUID version 7, RFC 9562).
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The inverse of `to_string`.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::parse_str(text).ok().map(Self)
    }
}

impl Default for LeaseId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// What one limit is asked for: amounts are in the limit's own unit.
#[derive(Clone, Debug)]
pub struct Charge {
    /// The limit that applies.
    pub limit: Arc<Limit>,
    /// The bucket of that limit this request falls into.
    pub scope: Arc<str>,
    /// How much is reserved.
    pub amount: u64,
    /// What is charged if nobody ever settles because the replica died: the prompt, which was
    /// sent or was about to be.
    pub sunk: u64,
}

/// One request for a lease: all charges are granted together with a slot of the pool, or none.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The id under which the lease is settled later.
    pub lease: LeaseId,
    /// Where it queues.
    pub pool: Arc<Pool>,
    /// The pool's own rate, if it has one.
    pub pool_rate: Option<Charge>,
    /// Its priority.
    pub class: Arc<Class>,
    /// Fairness is between these: `tenant/key`.
    pub key: Arc<str>,
    /// Tokens, for fairness.
    pub cost: u64,
    /// Every limit that applies to the request.
    pub charges: Vec<Charge>,
}

impl Ask {
    /// The charges of the limits, then that of the pool.
    pub fn all(&self) -> impl Iterator<Item = &Charge> {
        self.charges.iter().chain(&self.pool_rate)
    }
}

/// A limit as it stood right after a decision.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The limit.
    pub limit: Arc<Limit>,
    /// Its level for this request's bucket.
    pub view: View,
}

/// The answer to an [`Ask`].
#[derive(Debug)]
pub enum Entry {
    /// Everything had room; the reservation stands until it is settled.
    Granted(Grant),
    /// It waits; nothing is reserved yet.
    Queued(Place),
    /// Something had no room and waiting was not asked for or would not help; nothing is reserved.
    Denied(Refusal),
}

/// A granted reservation.
#[derive(Debug)]
pub struct Grant {
    /// The levels after the reservation, in the order of the charges.
    pub seen: Vec<Seen>,
    /// Limits in `observe` mode that would have refused.
    pub observed: Vec<Arc<str>>,
}

/// A place in the queue.
#[derive(Debug)]
pub struct Place {
    /// How many are ahead, as things stand.
    pub ahead: u32,
    /// Resolves when it is worth asking again; an error means the same.
    pub woken: oneshot::Receiver<()>,
}

/// Why nothing was reserved.
#[derive(Debug)]
pub struct Refusal {
    /// What had no room.
    pub cause: Cause,
    /// When this same request would be admitted if nothing else came; `None` if it never fits.
    pub retry_after: Option<Duration>,
    /// The levels of all limits that apply.
    pub seen: Vec<Seen>,
}

/// What had no room.
#[derive(Clone, Debug)]
pub enum Cause {
    /// The limit that is furthest from having room.
    Limit {
        /// The limit.
        limit: Arc<Limit>,
        /// How much the request asked for, in its unit.
        asked: u64,
    },
    /// The pool: its slots or its rate.
    Busy,
    /// The pool's provider asked to be left alone for a while.
    Held,
    /// As many wait as the class allows.
    QueueFull,
    /// The shared store cannot be reached, and this limit refuses without it.
    StoreDown(Arc<Limit>),
}

/// One bucket as `/levels` shows it.
#[derive(Clone, Debug)]
pub struct LevelRow {
    /// The limit.
    pub limit: Arc<Limit>,
    /// The bucket, readable.
    pub scope: String,
    /// Its level now.
    pub view: View,
}

/// One pool as `/levels` shows it.
#[derive(Clone, Debug, Default)]
pub struct PoolRow {
    /// The model.
    pub name: String,
    /// Slots, if it is bounded.
    pub slots: Option<u32>,
    /// Slots in use.
    pub in_use: u32,
    /// For how long nothing is sent because its provider asked for it.
    pub held_for: Duration,
    /// Waiters by class.
    pub waiting: Vec<(String, u32)>,
}

/// Everything `/levels` shows.
#[derive(Clone, Debug, Default)]
pub struct Levels {
    /// Buckets that are not at rest.
    pub limits: Vec<LevelRow>,
    /// Pools that are in use.
    pub pools: Vec<PoolRow>,
    /// Leases open on all replicas.
    pub leases: u64,
    /// Replicas alive, this one included.
    pub replicas: u32,
    /// Whether the store that all replicas share answers; `None` for a store that is not shared.
    pub shared: Option<bool>,
}

/// The engine could not answer. Nothing was reserved or settled, or it will be undone.
#[derive(Debug, thiserror::Error)]
#[error("the store of limits is unavailable: {0}")]
pub struct StoreError(pub String);

/// An engine of limits and queues. Every operation is one atomic step; a future that is dropped
/// before it resolves has either happened or not, never half.
#[async_trait]
pub trait Store: Send + Sync {
    /// Reserves all charges of `ask` and a slot, or queues it for at most `wait`, or refuses. To
    /// be called again with the same ask when its place wakes: what was granted meanwhile is
    /// found under its id. With a `wait` of zero a place in the queue is given up.
    async fn enter(&self, ask: &Arc<Ask>, wait: Duration) -> Result<Entry, StoreError>;

    /// Replaces a lease's reservation by what was really used and ends it: the rest is given
    /// back, an excess becomes debt, the slot is free. A place in the queue is given up. Settling
    /// an unknown or settled lease does nothing.
    async fn settle(&self, lease: LeaseId, used: Demand) -> Result<(), StoreError>;

    /// Grants nothing from a pool for this long: its provider said so.
    async fn hold(&self, pool: &Arc<Pool>, time: Duration) -> Result<(), StoreError>;

    /// For `/levels`.
    async fn levels(&self) -> Result<Levels, StoreError>;

    /// How many leases this replica has open.
    fn open_leases(&self) -> usize;

    /// The work behind the requests, until `stop`: moments at which a waiter will fit, renewals.
    async fn run(&self, stop: CancellationToken);
}
