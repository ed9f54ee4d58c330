//! Anthropic's Messages API, also the form in which Vertex serves Claude.
//! `usage.input_tokens` leaves out cached tokens: they are added.

mod adapter;
mod blocks;
mod cite;
mod decode;
mod errors;
mod generation;
mod request;
mod tools;
mod wire;

pub(crate) use adapter::{ANTHROPIC, FEATURES};
pub(crate) use decode::{MessagesDecoder, read_whole};
pub(crate) use errors::of_response as error_of;
pub(crate) use generation::Generation;
pub(crate) use request::{body, thinking};
pub(crate) use tools::choice;
