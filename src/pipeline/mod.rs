//! The phases of a request, in this order: identify, parse, lookup, count, admit, route, relay, settle,
//! record. `Gateway::open` in `open.rs` is the whole order on one screen; each phase is a file.
//!
//! Each phase takes the result of the one before, so that a wrong order does not compile. Both
//! doors call this; it knows no HTTP server and no HTTP client.

mod admit;
mod attempt;
mod charge;
mod count;
mod embed;
pub mod explain;
mod flight;
mod headers;
pub mod identify;
mod join;
mod lease;
mod lookup;
mod offload;
mod open;
mod parse;
mod record;
mod refuse;
mod route;
mod settle;
mod shared;
mod verify;
mod waiting;

pub use attempt::Attempt;
pub use flight::{Close, Flight, Hedge, Next};
pub use headers::stream_on;
pub use join::{Asking, Enters, Joined};
pub use lookup::Replay;
pub use offload::Offload;
pub use open::{Gateway, Opening, RequestHead};
pub use record::{FALLBACK, Recorder, Sinks, Tally};
pub use shared::{Begins, Coming, Events, Failed, Goes, Head, JoinKey, Joins, Reader, Rest};
pub use verify::{Check, Doubt};
pub use waiting::Waiting;
