//! What the HTTP door and the `ext_proc` door share: which path asks for what, the body under its caps, the request
//! through pipeline and driver, and the answer with every header that belongs to it.
//!
//! A door turns what it reads into a [`Head`] and a [`Reader`], calls [`begin`], and sends the [`Reply`]. It knows
//! nothing of how requests arrive.

mod bind;
mod body;
mod form;
mod queued;
mod reply;
mod route;
mod visit;

pub use bind::bind;
pub use body::{Collector, broke_off, slow};
pub use reply::{Body, Reply};
pub use route::{Route, is_ours};
pub use visit::{Begun, Call, Head, Reader, admit, begin};
