//! The HTTP door: accepts connections, bounds what they may hold, and speaks OpenAI's API.
//!
//! Only this folder (and the admin listener) knows hyper's server. It turns a request into a
//! head and a body for the pipeline, and the pipeline's answer into a response.

mod accept;
mod body;
mod idle;
mod respond;
mod service;

pub use accept::Acceptor;
