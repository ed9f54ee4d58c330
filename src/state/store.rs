//! The trait every engine of limits implements, and the values that cross it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sluice_policies::{Demand, Limit, View};
use uuid::Uuid;

/// Identifies one lease, on every replica; time-ordered, so that logs sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId(Uuid);

impl LeaseId {
    /// A fresh id (UUID version 7, RFC 9562).
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl Default for LeaseId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What one limit is asked for: `amount` is in the limit's own unit.
#[derive(Clone, Debug)]
pub struct Charge {
    /// The limit that applies.
    pub limit: Arc<Limit>,
    /// The bucket of that limit this request falls into.
    pub scope: String,
    /// How much is reserved.
    pub amount: u64,
}

/// One request for a lease: all charges are granted together, or none.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The id under which the lease is settled later.
    pub lease: LeaseId,
    /// Every limit that applies to the request.
    pub charges: Vec<Charge>,
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
    /// Every enforcing limit had room; the reservation stands until it is settled.
    Granted(Grant),
    /// A limit had no room; nothing was reserved.
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

/// Why nothing was reserved.
#[derive(Debug)]
pub struct Refusal {
    /// The limit that is furthest from having room.
    pub limit: Arc<Limit>,
    /// When this same request would be admitted if nothing else came; `None` if it never fits.
    pub retry_after: Option<Duration>,
    /// How much of the limit the request asked for, in its unit.
    pub asked: u64,
    /// The levels of all limits that apply.
    pub seen: Vec<Seen>,
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

/// The engine could not answer. Nothing was reserved or settled.
#[derive(Debug, thiserror::Error)]
#[error("the store of limits is unavailable: {0}")]
pub struct StoreError(pub String);

/// An engine of limits. Every operation is atomic; a future that is dropped before it resolves
/// has either happened or not, never half.
#[async_trait]
pub trait Store: Send + Sync {
    /// Reserves all charges of `ask`, or none.
    async fn enter(&self, ask: Ask) -> Result<Entry, StoreError>;

    /// Replaces a lease's reservation by what was really used and ends it: the rest is given
    /// back, an excess becomes debt. Settling an unknown or settled lease does nothing.
    async fn settle(&self, lease: LeaseId, used: Demand) -> Result<(), StoreError>;

    /// Every bucket that is not at rest, for `/levels`.
    async fn levels(&self) -> Result<Vec<LevelRow>, StoreError>;

    /// How many leases are open now.
    fn open_leases(&self) -> usize;
}
