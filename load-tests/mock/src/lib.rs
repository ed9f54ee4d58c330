//! A mock LLM provider that speaks the true OpenAI wire format, with faults on demand.
//!
//! What it does is set at its start ([`Behaviour`]) and by a field `mock` in a request's body,
//! which a gateway must let through as it does every field it does not know. `GET /inflight` tells
//! how many requests it is answering.

mod behaviour;
mod inflight;
mod kvcache;
mod render;
mod server;
mod stream;

pub use behaviour::{Behaviour, Reset};
pub use server::{Mock, MockHandle, Received};
