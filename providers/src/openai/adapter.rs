//! The adapter: requests spliced, replies kept, usage read.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};

use super::stream::OpenAiStream;
use super::wire::{self, Whole};
use super::{errors, request};
use crate::adapter::{
    Adapter, Reply, ResponseHead, StreamTranslator, Target, TranslateError, Unsupported, UpstreamRequest, Usage,
};
use crate::call::Call;
use crate::error::UpstreamError;

/// OpenAI-compatible providers.
pub(crate) struct OpenAi;

impl Adapter for OpenAi {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn supports(&self, _call: &Call) -> Result<(), Unsupported> {
        Ok(())
    }

    fn request(&self, call: &Call, target: &Target) -> Result<UpstreamRequest, TranslateError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let path = call.endpoint.path().trim_start_matches("/v1/").to_owned();
        Ok(UpstreamRequest { method: Method::POST, path, headers, body: request::body(call, target) })
    }

    fn reply(&self, _head: &ResponseHead<'_>, body: Bytes, _call: &Call) -> Result<Reply, TranslateError> {
        let whole: Whole<'_> = match serde_json::from_slice(&body) {
            Ok(whole) => whole,
            Err(error) => return Err(TranslateError::Malformed(format!("the body is not the JSON it should be: {error}"))),
        };
        let usage = whole.usage.map(Usage::from);
        let mut text = String::new();
        if usage.is_none() {
            wire::text_of(whole.choices, &mut text);
        }
        Ok(Reply { body, usage, text })
    }

    fn stream(&self, call: &Call) -> Box<dyn StreamTranslator> {
        Box::new(OpenAiStream::new(!call.include_usage))
    }

    fn error(&self, head: &ResponseHead<'_>, body: &[u8]) -> UpstreamError {
        errors::of_response(head, body)
    }
}
