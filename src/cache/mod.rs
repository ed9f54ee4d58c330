//! Answers kept for the next request that asks the same: exactly, or in other words.
//!
//! [`Ask`] says what a request is, inside its partition; [`Cache`] finds and keeps; [`Answer`] is
//! what is kept, and how it is told again. A key of the store contains the partition, so that no
//! answer can leave it.

mod answer;
mod ask;
mod control;
mod embed;
mod events;
mod shelf;
mod store;

pub use answer::Answer;
pub use ask::{Ask, Digest, Owner};
pub use control::Control;
pub use embed::{Embed, Vector};
pub use store::{Cache, Found, Purge, Size, Tier};
