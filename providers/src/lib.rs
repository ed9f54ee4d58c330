//! Pure translation between the OpenAI wire format and what providers speak; no I/O, no clock.
//!
//! A client's request is a [`Call`]; an [`Adapter`] makes the provider's request of it, and turns
//! the provider's answer back, whole or as a stream of bytes at any split. Where client and
//! provider speak the same API their bytes go through; else they meet in the [`hub`]: a request is
//! read into [`hub::ChatRequest`], an answer is [`hub::Event`]s, and an encoder per client API
//! ([`dialect`]) writes them. The [`catalog`] knows models: windows, prices, tokenizers.

mod adapter;
mod adapters;
mod anthropic;
mod bedrock;
mod body;
mod call;
pub mod catalog;
mod declare;
pub mod dialect;
mod embed;
mod endpoint;
mod error;
mod eventstream;
mod fault;
mod fault_type;
mod form;
mod gemini;
pub mod hub;
mod openai;
mod path;
mod scan;
mod sse;
mod text;

pub use adapter::{
    Adapter, Exchange, Reply, ResponseHead, StreamOut, StreamTranslator, Target, TranslateError, Unsupported,
    UpstreamRequest, Usage,
};
pub use adapters::{ADAPTERS, adapter};
pub use body::Body;
pub use call::{BadRequest, Call, Endpoint, Field, Stamp};
pub use declare::{Declaration, Feature, Support};
pub use error::{ErrorKind, UpstreamError};
pub use fault::retry_after;
pub use fault_type::anthropic as anthropic_error_type;
pub use form::FormScanner;
pub use scan::elements;
