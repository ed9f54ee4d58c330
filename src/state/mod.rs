//! Where limits are decided, leases live and requests queue: the `Store` trait and its engines.
//!
//! A store takes one decision over *all* limits of a request and its pool in one atomic step, and
//! hands out a lease that is settled exactly once. `memory` is the engine that needs nothing;
//! `shared` is for replicas, over `redis`, with `slices` for when that is gone.

mod alarms;
mod memory;
mod redis;
mod refusal;
mod shared;
mod slices;
mod store;

pub use self::redis::{AnswerIndex, Answers, Fault, PromptPage, PurgeMark, SharedPrompt, Streamed};
pub use memory::{Clock, MemoryStore};
pub use shared::SharedStore;
pub use store::{
    Ask, Cause, Charge, Entry, Grant, LeaseId, LevelRow, Levels, Place, PoolRow, Refusal, Seen, Store, StoreError,
};
