//! Connections to providers: one pool per provider, and the errors of dialling. Only this folder
//! knows the HTTP client.

mod pool;

pub use pool::{Incoming, Upstreams};
