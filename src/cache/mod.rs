//! Answers kept for the next request that asks the same: exactly, or in other words.
//!
//! [`Ask`] says what a request is, inside its partition; [`Cache`] finds and keeps; [`Answer`] is
//! what is kept, and how it is told again. A key of the store contains the partition, so that no
//! answer can leave it. With replicas there is a second tier (`shared`), in Redis: what is found
//! there is in memory from then on. What was purged is known by number (`purges`), so that an answer
//! that is older than its purge is not used wherever it turns up.

mod answer;
mod ask;
mod bounds;
mod chunk;
mod compare;
mod control;
mod embed;
mod events;
mod follow;
mod later;
mod pieces;
mod prompts;
mod purges;
mod question;
mod record;
mod shared;
mod shelf;
mod store;
mod strict;
mod verbatim;
mod watch;
mod wrong;

pub use answer::Answer;
pub use ask::{Ask, Digest, Owner};
pub use control::Control;
pub use embed::{Embed, Vector};
pub use follow::Purged;
pub use later::Delivered;
pub use purges::{Purge, Stamp};
pub use store::{Cache, Found, Sharing, Size, Tier};
pub use watch::{Standing, Watch};
