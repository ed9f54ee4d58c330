//! Amazon Bedrock: Converse and `ConverseStream` for chat, `InvokeModel` for embeddings.
//! `usage.inputTokens` leaves out cached tokens: they are added.

mod adapter;
mod cite;
mod content;
mod decode;
mod embed;
mod errors;
mod request;
mod wire;

pub(crate) use adapter::BEDROCK;
