//! The door for Envoy: an external processor (`envoy.service.ext_proc.v3`) over the same pipeline as the HTTP door.
//!
//! In `serve` mode the gateway calls the provider and streams its answer back through Envoy; in `steer` mode Envoy
//! calls it, and the gateway counts, admits, translates and settles. `docs/ext_proc.md` says how Envoy must be set up
//! and why; the comments here name what a real Envoy does where that decides the code. Only this folder knows tonic.
//!
//! One rule holds everywhere: a stream never ends cleanly before it has been answered, for Envoy would let the request
//! through unprocessed, or leave the client hanging in the middle of an answer. It ends with an answer or an error.

mod attempt;
pub mod envoy;
mod head;
mod listen;
mod mutation;
mod pass;
mod process;
mod read;
mod serve;
mod server;
mod steer;

pub use server::{Bound, bind};
