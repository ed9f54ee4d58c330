//! The adapter: requests spliced, replies kept, usage read.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};

use super::stream::OpenAiStream;
use super::wire::{self, Whole};
use super::{errors, request};
use crate::adapter::{
    Adapter, Exchange, Reply, ResponseHead, StreamTranslator, Target, TranslateError, Unsupported, UpstreamRequest,
    Usage,
};
use crate::call::Call;
use crate::declare::Declaration;
use crate::error::UpstreamError;
use crate::hub;

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
    /// A JSON request.
    pub(crate) fn post(path: String, body: Bytes) -> UpstreamRequest {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        UpstreamRequest { method: Method::POST, path, headers, body }
    }
}

impl Adapter for OpenAi {
    fn declares(&self) -> &'static Declaration {
        self.declared
    }

    fn supports(&self, call: &Call, _target: &Target) -> Result<(), Unsupported> {
        hub::check(self.declared, call).map(drop)
    }

    fn request(&self, call: &Call, target: &Target) -> Result<UpstreamRequest, TranslateError> {
        let path = call.endpoint.path().trim_start_matches("/v1/").to_owned();
        Ok(Self::post(path, request::body(call, target, self.quirks)))
    }

    fn reply(&self, _head: &ResponseHead<'_>, body: Bytes, _exchange: &Exchange<'_>) -> Result<Reply, TranslateError> {
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
        Box::new(OpenAiStream::new(!exchange.call.include_usage))
    }

    fn error(&self, head: &ResponseHead<'_>, body: &[u8]) -> UpstreamError {
        errors::of_response(head, body)
    }
}
