//! The adapter of Vertex: Gemini under a project's path, and Claude through `rawPredict`. The base
//! URL ends in `/projects/<project>/locations/<location>`.

use bytes::Bytes;

use super::adapter::{FEATURES, method, streamed, whole};
use super::{embed, errors, request};
use crate::adapter::{
    Adapter, Exchange, Reply, ResponseHead, StreamTranslator, Target, TranslateError, Unsupported, UpstreamRequest,
};
use crate::anthropic::{self, Generation, MessagesDecoder, read_whole};
use crate::call::{Call, Endpoint};
use crate::declare::{Declaration, Support};
use crate::dialect;
use crate::error::UpstreamError;
use crate::hub::{self, ChatRequest, json_by_tool};
use crate::openai::OpenAi;
use crate::path;

/// The version of the Messages API, which here is in the body.
const MESSAGES_VERSION: &str = "vertex-2023-10-16";

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

/// Claude has other features than Gemini.
pub(crate) static CLAUDE: Declaration = Declaration {
    kind: "vertex",
    title: "Google Vertex AI (Claude)",
    speaks: &[],
    endpoints: &[(Endpoint::ChatCompletions, Support::By("`rawPredict`"))],
    features: anthropic::FEATURES,
};

fn is_claude(target: &Target) -> bool {
    target.model.starts_with("claude") || target.model.starts_with("anthropic/")
}

/// Whether Claude's answer to an exchange is made by the JSON tool.
fn by_tool(exchange: &Exchange<'_>) -> bool {
    json_by_tool(exchange.call, Generation::of(&exchange.target.model).schemas())
}

fn claude(call: &Call, target: &Target) -> Result<UpstreamRequest, TranslateError> {
    let mut body = serde_json::Map::new();
    body.insert("anthropic_version".to_owned(), MESSAGES_VERSION.into());
    body.append(&mut anthropic::body(&ChatRequest::of(call)?, target)?);
    if call.stream {
        body.insert("stream".to_owned(), true.into());
    }
    let method = if call.stream { "streamRawPredict" } else { "rawPredict" };
    let model = path::segment(target.model.strip_prefix("anthropic/").unwrap_or(&target.model));
    let body = Bytes::from(serde_json::Value::Object(body).to_string());
    Ok(OpenAi::post(format!("publishers/anthropic/models/{model}:{method}"), body))
}

impl Adapter for Vertex {
    fn declares(&self) -> &'static Declaration {
        &DECLARED
    }

    fn variants(&self) -> Vec<&'static Declaration> {
        vec![&DECLARED, &CLAUDE]
    }

    fn supports(&self, call: &Call, target: &Target) -> Result<(), Unsupported> {
        hub::check(if is_claude(target) { &CLAUDE } else { &DECLARED }, call).map(drop)
    }

    fn request(&self, call: &Call, target: &Target) -> Result<UpstreamRequest, TranslateError> {
        if is_claude(target) {
            return claude(call, target);
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
        if is_claude(exchange.target) {
            let json = by_tool(exchange);
            return dialect::reply(body, head.headers, exchange, None, &|body, _, sink| read_whole(body, json, sink));
        }
        if exchange.call.endpoint == Endpoint::Embeddings {
            return embed::predict_reply(&body, exchange);
        }
        whole(body, head.headers, exchange)
    }

    fn stream(&self, _head: &ResponseHead<'_>, exchange: &Exchange<'_>) -> Box<dyn StreamTranslator> {
        if is_claude(exchange.target) {
            return dialect::stream(MessagesDecoder::new(by_tool(exchange)), exchange, None);
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
