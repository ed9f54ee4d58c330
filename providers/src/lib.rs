//! Pure translation between the OpenAI wire format and what providers speak; no I/O, no clock.
//!
//! A client's request is a [`Call`]; an [`Adapter`] makes the provider's request of it, and turns
//! the provider's answer back, whole or as a stream of bytes at any split. The [`catalog`] knows
//! models: windows, prices, tokenizers.

mod adapter;
mod call;
pub mod catalog;
mod error;
mod openai;
mod sse;

pub use adapter::{
    ADAPTERS, Adapter, Reply, ResponseHead, StreamOut, StreamTranslator, Target, TranslateError, Unsupported,
    UpstreamRequest, Usage, adapter,
};
pub use call::{BadRequest, Call, Endpoint, Field};
pub use error::{ErrorKind, UpstreamError};
