//! Dial, relay, move on to the next target: the loop that every door shares.
//!
//! A door awaits [`run`], or [`share`] for a call that others may join, for the head of the answer,
//! then pulls its bytes. What it pulls from is the provider's connection itself, so back-pressure is
//! the client's own and dropping anything here cancels the provider, unless others read the same.

mod attempt;
mod continuation;
mod deadlines;
mod failed;
mod faults;
mod hedge;
mod hold;
mod mirror;
mod relay;
mod run;
mod shared;
mod sound;
mod steered;
mod verify;

pub use run::{Answer, Payload, run};
pub use shared::share;
pub use sound::{BrokenOff, Sound};
pub use steered::Steered;
pub use verify::verify;
