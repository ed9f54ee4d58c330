//! The admin listener: health, metrics, the live config and the levels of limits. It binds to
//! loopback by default and must never be the public one.

mod cache;
mod fetch;
mod levels;
mod serve;
mod targets;

pub use fetch::fetch;
pub use levels::table;
pub use serve::{Admin, Readiness};
