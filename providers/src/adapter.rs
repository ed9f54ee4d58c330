//! What a provider's adapter is: one trait for requests and replies, one for streams.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use crate::body::Body;
use crate::call::Call;
use crate::declare::Declaration;
use crate::error::UpstreamError;

/// Where a call goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The model's name as the provider knows it.
    pub model: String,
    /// The most tokens the model answers with, where known: what providers that insist on a bound
    /// are told when the client gives none. 0 is not known.
    pub max_output: u64,
    /// The version of the provider's API, where it is a parameter (Azure's `api-version`).
    pub api_version: Option<Arc<str>>,
}

/// A call and where it went: what an answer is translated by.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// What the client asked.
    pub call: &'a Call,
    /// Who answers.
    pub target: &'a Target,
    /// Tokens of the prompt as counted before it was sent; 0 if it was not.
    pub prompt: u64,
}

/// A request as a provider takes it; the caller adds address and credentials.
#[derive(Clone, Debug)]
pub struct UpstreamRequest {
    /// HTTP method.
    pub method: Method,
    /// Path from the provider's base URL, without a leading slash, with the query if there is one. `../` leaves a
    /// segment of the base URL out.
    pub path: String,
    /// Headers, without credentials.
    pub headers: HeaderMap,
    /// Body.
    pub body: Body,
}

/// The head of a provider's answer.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers.
    pub headers: &'a HeaderMap,
}

/// Tokens, cache-inclusive: `input` is the whole prompt, with what was read from or written to a
/// provider's cache; `output` includes `reasoning`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens, all of them.
    pub input: u64,
    /// Of these, read from the provider's cache.
    pub cached_input: u64,
    /// Of these, written to the provider's cache.
    pub cache_write: u64,
    /// Generated tokens, all of them.
    pub output: u64,
    /// Of these, reasoning the client does not see.
    pub reasoning: u64,
    /// What is not tokens: pictures made, characters spoken, seconds heard, searches; by endpoint.
    pub units: u64,
}

impl Usage {
    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            cached_input: self.cached_input.saturating_add(other.cached_input),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            output: self.output.saturating_add(other.output),
            reasoning: self.reasoning.saturating_add(other.reasoning),
            units: self.units.saturating_add(other.units),
        }
    }
}

/// A whole answer in the client's format.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The body for the client.
    pub body: Bytes,
    /// What the provider says was used.
    pub usage: Option<Usage>,
    /// The generated text, to be counted where `usage` is missing.
    pub text: String,
}

/// What a translator has made so far. The caller takes `frames` and `text`; the rest is sticky.
#[derive(Debug, Default)]
pub struct StreamOut {
    /// Bytes for the client, whole events only; events that arrived together are one slice.
    pub frames: Vec<Bytes>,
    /// Generated text since the caller last took it: content, refusals, reasoning, tool calls.
    pub text: String,
    /// The model has begun to say something (a role alone does not count).
    pub content: bool,
    /// What the provider last said was used.
    pub usage: Option<Usage>,
    /// The provider said that the stream is over.
    pub done: bool,
    /// An error the provider put into the stream; its event is in `frames` too.
    pub error: Option<UpstreamError>,
}

/// A provider's answer that cannot be translated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TranslateError {
    /// One event is larger than the cap.
    #[error("an event of the stream is larger than {0} bytes")]
    EventTooLarge(usize),
    /// An event or a body is not what the format allows.
    #[error("{0}")]
    Malformed(String),
    /// The request cannot be put into the provider's format.
    #[error(transparent)]
    Request(#[from] Unsupported),
    /// The stream ended before the provider said so.
    #[error("the stream ended before it was complete")]
    Truncated,
}

/// A call that a provider cannot serve. The message names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unsupported {
    /// What cannot be served, and why.
    pub message: String,
    /// The field at fault.
    pub param: Option<String>,
}

/// Translates for one kind of provider. Stateless; nothing in it waits or fails by time.
pub trait Adapter: Send + Sync {
    /// What the adapter says of itself.
    fn declares(&self) -> &'static Declaration;
    /// All it says, where that differs by model: one declaration for each sort.
    fn variants(&self) -> Vec<&'static Declaration> {
        vec![self.declares()]
    }
    /// The kind, as configs name it.
    fn name(&self) -> &'static str {
        self.declares().kind
    }
    /// Says no before money is spent.
    fn supports(&self, call: &Call, target: &Target) -> Result<(), Unsupported>;
    /// The provider's request for a call.
    fn request(&self, call: &Call, target: &Target) -> Result<UpstreamRequest, TranslateError>;
    /// A whole answer, back into the client's format.
    fn reply(&self, head: &ResponseHead<'_>, body: Bytes, exchange: &Exchange<'_>) -> Result<Reply, TranslateError>;
    /// A translator for the stream that answers a call.
    fn stream(&self, head: &ResponseHead<'_>, exchange: &Exchange<'_>) -> Box<dyn StreamTranslator>;
    /// What an error status and its body mean.
    fn error(&self, head: &ResponseHead<'_>, body: &[u8]) -> UpstreamError;
}

impl std::fmt::Debug for dyn Adapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Translates one stream. Bytes may be split anywhere; the result does not depend on where.
pub trait StreamTranslator: Send {
    /// Takes the next bytes.
    fn push(&mut self, input: Bytes, out: &mut StreamOut) -> Result<(), TranslateError>;
    /// Takes the end of the bytes.
    fn finish(&mut self, out: &mut StreamOut) -> Result<(), TranslateError>;
}
