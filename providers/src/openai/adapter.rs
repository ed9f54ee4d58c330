//! The adapter: requests spliced, replies kept, usage read.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};

use super::decode::ChatDecoder;
use super::stream::OpenAiStream;
use super::wire::{self, Whole};
use super::{errors, request, write};
use crate::adapter::{
    Adapter, Exchange, Reply, ResponseHead, StreamTranslator, Target, TranslateError, Unsupported, UpstreamRequest,
    Usage,
};
use crate::call::{Call, Endpoint};
use crate::declare::Declaration;
use crate::dialect::{self, Dialect};
use crate::error::UpstreamError;
use crate::hub::{self, ChatRequest, Decoder};

/// Where a compatible API is narrower than `OpenAI`'s.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quirks {
    /// The bound of the answer is `max_tokens`: `max_completion_tokens` is not known.
    pub(crate) max_tokens: bool,
    /// `stream_options` is known; where it is not, streams report usage unasked.
    pub(crate) stream_options: bool,
}

/// `OpenAI`-compatible providers.
pub(crate) struct OpenAi {
    pub(crate) declared: &'static Declaration,
    pub(crate) quirks: Quirks,
}

impl OpenAi {
    /// The body for a target: the client's own where it speaks this API, else written anew.
    pub(crate) fn body(&self, call: &Call, target: &Target) -> Result<Bytes, TranslateError> {
        if !translates(call) {
            return Ok(request::body(call, target, self.quirks));
        }
        let body = write::body(&ChatRequest::of(call)?, call, target, self.quirks)?;
        Ok(Bytes::from(body.to_string()))
    }

    /// A JSON request.
    pub(crate) fn post(path: String, body: Bytes) -> UpstreamRequest {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        UpstreamRequest { method: Method::POST, path, headers, body }
    }
}

/// Whether the client speaks an API for conversations that is not this one.
fn translates(call: &Call) -> bool {
    Dialect::of(call.endpoint).is_some_and(|dialect| dialect != Dialect::OpenAiChat)
}

/// The path of a call; other clients' conversations are chat completions here.
pub(super) fn path(call: &Call) -> &'static str {
    let endpoint = if translates(call) { Endpoint::ChatCompletions } else { call.endpoint };
    endpoint.path().trim_start_matches("/v1/")
}

impl Adapter for OpenAi {
    fn declares(&self) -> &'static Declaration {
        self.declared
    }

    fn supports(&self, call: &Call, _target: &Target) -> Result<(), Unsupported> {
        hub::check(self.declared, call).map(drop)
    }

    fn request(&self, call: &Call, target: &Target) -> Result<UpstreamRequest, TranslateError> {
        Ok(Self::post(path(call).to_owned(), self.body(call, target)?))
    }

    fn reply(&self, head: &ResponseHead<'_>, body: Bytes, exchange: &Exchange<'_>) -> Result<Reply, TranslateError> {
        if translates(exchange.call) {
            return dialect::reply(body, head.headers, exchange, None, &|body, _, sink| {
                let mut decoder = ChatDecoder::default();
                decoder.chunk(body, sink)?;
                decoder.finish(sink)
            });
        }
        let whole: Whole<'_> = match serde_json::from_slice(&body) {
            Ok(whole) => whole,
            Err(error) => {
                return Err(TranslateError::Malformed(format!("the body is not the JSON it should be: {error}")));
            }
        };
        let usage = whole.usage.map(Usage::from);
        let mut text = String::new();
        if usage.is_none() {
            wire::text_of(whole.choices, &mut text);
        }
        Ok(Reply { body, usage, text })
    }

    fn stream(&self, _head: &ResponseHead<'_>, exchange: &Exchange<'_>) -> Box<dyn StreamTranslator> {
        if translates(exchange.call) {
            return dialect::stream(ChatDecoder::default(), exchange, None);
        }
        Box::new(OpenAiStream::new(!exchange.call.include_usage))
    }

    fn error(&self, head: &ResponseHead<'_>, body: &[u8]) -> UpstreamError {
        errors::of_response(head, body)
    }
}
