//! Connections to providers: one pool per provider, what they are shown, and the errors of dialling.
//! Only this folder knows the HTTP client.

mod credentials;
mod pool;

pub use pool::{Incoming, Upstreams};
