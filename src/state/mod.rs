//! Where limits are decided, leases live and requests queue: the `Store` trait and its engines.
//!
//! A store takes one decision over *all* limits of a request and its pool in one atomic step, and
//! hands out a lease that is settled exactly once. `memory` is the engine that needs nothing.

mod alarms;
mod memory;
mod refusal;
mod store;

pub use memory::{Clock, MemoryStore};
pub use store::{
    Ask, Cause, Charge, Entry, Grant, LeaseId, LevelRow, Levels, Place, PoolRow, Refusal, Seen, Store, StoreError,
};
