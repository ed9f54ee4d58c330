//! Where limits are decided and leases live: the `Store` trait and its engines.
//!
//! A store takes one decision over *all* limits of a request in one atomic step, and hands out a
//! lease that is settled exactly once. `memory` is the engine that needs nothing.

mod memory;
mod store;

pub use memory::MemoryStore;
pub use store::{Ask, Charge, Entry, Grant, LeaseId, LevelRow, Refusal, Seen, Store, StoreError};
