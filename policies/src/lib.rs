//! Limits, classes, keys and the arithmetic of quotas; pure, the time is an argument.
//!
//! A policy file is parsed ([`PolicySet::compile`]) into keys, classes and limits; a request is a
//! [`Subject`] that asks for a [`Demand`]; a [`Level`] is the state of one limit's bucket. The
//! arithmetic is integer only and stays below 2^53, so that a script on doubles can repeat it.

mod amount;
mod calendar;
mod classes;
mod compile;
mod glob;
mod hits;
mod level;
mod limit;
mod pool;
mod queue;
mod raw;
mod sentence;
mod set;

pub use amount::count;
pub use compile::{PolicyError, PolicyFile};
pub use glob::Glob;
pub use hits::HitCost;
pub use level::{EXACT, Level, Reservation, Short, View};
pub use limit::{Demand, Kind, Limit, Matcher, Mode, OnStoreDown, Scope, Subject, Unit, Window};
pub use pool::Pool;
pub use queue::{Queue, Turn};
pub use set::{Class, Key, PolicySet, UnknownClass};

/// Milliseconds since the Unix epoch.
pub type UnixMillis = u64;
