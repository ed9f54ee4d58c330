//! The adapter: requests spliced, replies kept, usage read.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};

use super::decode::{self, ChatDecoder};
use super::passing::Passing;
use super::sound::Sound;
use super::stream::OpenAiStream;
use super::wire::{self, Whole};
use super::{errors, form, request, write};
use crate::adapter::{
    Adapter, Exchange, Reply, ResponseHead, StreamTranslator, Target, TranslateError, Unsupported, UpstreamRequest,
    Usage,
};
use crate::body::Body;
use crate::call::{Call, Endpoint};
use crate::declare::Declaration;
use crate::dialect::{self, Dialect};
use crate::error::UpstreamError;
use crate::hub::{self, ChatRequest};

/// Where a compatible API is narrower than `OpenAI`'s.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quirks {
    /// The bound of the answer is `max_tokens`: `max_completion_tokens` is not known.
    pub(crate) max_tokens: bool,
    /// `stream_options` is known; where it is not, streams report usage unasked.
    pub(crate) stream_options: bool,
    /// `web_search_options` is known.
    pub(crate) web_search: bool,
    /// The path of `/v1/rerank` from the base URL.
    pub(crate) rerank: &'static str,
}

/// `OpenAI`-compatible providers.
pub(crate) struct OpenAi {
    pub(crate) declared: &'static Declaration,
    pub(crate) quirks: Quirks,
}

impl OpenAi {
    /// Whether the client speaks an API that the provider does not.
    fn translates(&self, call: &Call) -> bool {
        Dialect::of(call.endpoint).is_some_and(|dialect| !self.declared.speaks.contains(&dialect))
    }

    /// A JSON request.
    pub(crate) fn post(path: String, body: impl Into<Body>) -> UpstreamRequest {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        UpstreamRequest { method: Method::POST, path, headers, body: body.into() }
    }
}

/// Whether a body is JSON; one that does not say is.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    kind.is_empty() || kind.windows(4).any(|part| part.eq_ignore_ascii_case(b"json"))
}

fn is_events(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

impl Adapter for OpenAi {
    fn declares(&self) -> &'static Declaration {
        self.declared
    }

    fn supports(&self, call: &Call, _target: &Target) -> Result<(), Unsupported> {
        let translated = hub::check(self.declared, call)?;
        match translated.and_then(|request| request.web_search) {
            Some(search) if !self.quirks.web_search => {
                let text =
                    format!("`{}`: providers of kind `{}` do not search the web", search.field, self.declared.kind);
                Err(Unsupported::field(search.field, text))
            }
            _ => Ok(()),
        }
    }

    fn request(&self, call: &Call, target: &Target) -> Result<UpstreamRequest, TranslateError> {
        if self.translates(call) {
            let request = ChatRequest::of(call)?;
            let body = write::body(&request, call, target, self.quirks)?;
            return Ok(Self::post("chat/completions".to_owned(), Bytes::from(body.to_string())));
        }
        let path = match call.endpoint {
            Endpoint::Rerank => self.quirks.rerank,
            endpoint => endpoint.path().trim_start_matches("/v1/"),
        };
        let path = path.to_owned();
        if call.endpoint.is_form() {
            let mut request = Self::post(path, form::body(call, target));
            form::content_type(call, &mut request.headers);
            return Ok(request);
        }
        let mut request = Self::post(path, request::body(call, target, self.quirks));
        request.headers.extend(call.passed.clone());
        Ok(request)
    }

    fn reply(&self, head: &ResponseHead<'_>, body: Bytes, exchange: &Exchange<'_>) -> Result<Reply, TranslateError> {
        if self.translates(exchange.call) {
            return dialect::reply(body, head.headers, exchange, None, &|body, _, sink| decode::read_whole(body, sink));
        }
        if !is_json(head.headers) {
            // Sound, or a transcript as plain text: no usage is in it.
            return Ok(Reply { body, usage: None, text: String::new() });
        }
        let whole: Whole<'_> = match serde_json::from_slice(&body) {
            Ok(whole) => whole,
            Err(error) => {
                return Err(TranslateError::Malformed(format!("the body is not the JSON it should be: {error}")));
            }
        };
        let usage = whole.usage.map(Usage::from).or_else(|| wire::billed(whole.meta));
        let mut text = String::new();
        if usage.is_none() {
            wire::text_of(whole.choices, &mut text);
            wire::text_of_items(whole.output, &mut text);
        }
        Ok(Reply { body, usage, text })
    }

    fn stream(&self, head: &ResponseHead<'_>, exchange: &Exchange<'_>) -> Box<dyn StreamTranslator> {
        if self.translates(exchange.call) {
            return dialect::stream(ChatDecoder::default(), exchange, None);
        }
        match exchange.call.endpoint {
            endpoint if request::in_chunks(endpoint) => Box::new(OpenAiStream::new(!exchange.call.include_usage)),
            Endpoint::Speech if !is_events(head.headers) => Box::new(Sound),
            _ => Box::new(Passing::new()),
        }
    }

    fn error(&self, head: &ResponseHead<'_>, body: &[u8]) -> UpstreamError {
        errors::of_response(head, body)
    }
}
