//! Dial, relay, move on to the next target: the loop that every door shares.
//!
//! A door awaits [`run`] for the head of the answer, then pulls a [`Relay`] for its bytes. What
//! it pulls from is the provider's connection itself, so back-pressure is the client's own and
//! dropping anything here cancels the provider.

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
mod steered;

pub use relay::{BrokenOff, Relay};
pub use run::{Answer, Payload, run};
pub use steered::Steered;
