//! The adapter of Vertex: Gemini and Claude under a project's path. The base URL ends in `/projects/<project>/locations/<location>`.

use bytes::Bytes;

use super::adapter::{FEATURES, method, streamed, whole};
use super::{claude, embed, errors, request};
use crate::adapter::{
    Adapter, Exchange, Reply, ResponseHead, StreamTranslator, Target, TranslateError, Unsupported, UpstreamRequest,
};
use crate::anthropic;
use crate::call::{Call, Endpoint};
use crate::declare::{Declaration, Support};
use crate::error::UpstreamError;
use crate::hub::{self, ChatRequest};
use crate::openai::OpenAi;
use crate::path;

/// Vertex.
pub(crate) struct Vertex;

/// The one there is.
pub(crate) static VERTEX: Vertex = Vertex;

static DECLARED: Declaration = Declaration {
    kind: "vertex",
    title: "Google Vertex AI (Gemini)",
    speaks: &[],
    endpoints: &[(Endpoint::ChatCompletions, Support::Yes), (Endpoint::Embeddings, Support::By("`predict`"))],
    features: FEATURES,
};

impl Adapter for Vertex {
    fn declares(&self) -> &'static Declaration {
        &DECLARED
    }

    fn variants(&self) -> Vec<&'static Declaration> {
        vec![&DECLARED, &claude::DECLARED]
    }

    fn supports(&self, call: &Call, target: &Target) -> Result<(), Unsupported> {
        hub::check(if claude::serves(target) { &claude::DECLARED } else { &DECLARED }, call).map(drop)
    }

    fn request(&self, call: &Call, target: &Target) -> Result<UpstreamRequest, TranslateError> {
        if claude::serves(target) {
            return claude::request(call, target);
        }
        let model = path::segment(target.model.strip_prefix("google/").unwrap_or(&target.model));
        if call.endpoint == Endpoint::Embeddings {
            return Ok(OpenAi::post(
                format!("publishers/google/models/{model}:predict"),
                embed::predict(call, target)?,
            ));
        }
        let body = request::body(&ChatRequest::of(call)?, &target.model, false)?;
        Ok(OpenAi::post(format!("publishers/google/models/{model}:{}", method(call)), Bytes::from(body.to_string())))
    }

    fn reply(&self, head: &ResponseHead<'_>, body: Bytes, exchange: &Exchange<'_>) -> Result<Reply, TranslateError> {
        if claude::serves(exchange.target) {
            return claude::reply(body, head.headers, exchange);
        }
        if exchange.call.endpoint == Endpoint::Embeddings {
            return embed::predict_reply(&body, exchange);
        }
        whole(body, head.headers, exchange)
    }

    fn stream(&self, _head: &ResponseHead<'_>, exchange: &Exchange<'_>) -> Box<dyn StreamTranslator> {
        if claude::serves(exchange.target) {
            return claude::streamed(exchange);
        }
        streamed(exchange)
    }

    fn error(&self, head: &ResponseHead<'_>, body: &[u8]) -> UpstreamError {
        // Claude's own errors have a type beside them, Google's have not.
        if serde_json::from_slice::<serde_json::Value>(body).is_ok_and(|body| body["type"] == "error") {
            return anthropic::error_of(head, body);
        }
        errors::of_response(head, body)
    }
}
