//! The mock over real sockets: the same behaviour in every format, and what each refuses.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;
mod endpoints;
mod faults;
mod read;
mod refusals;
mod same;
mod tokens;
