//! The adapter of Anthropic's own API.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::decode::{MessagesDecoder, read_whole};
use super::generation::Generation;
use super::{errors, request};
use crate::adapter::{
    Adapter, Exchange, Reply, ResponseHead, StreamTranslator, Target, TranslateError, Unsupported, UpstreamRequest,
};
use crate::call::{Call, Endpoint};
use crate::declare::{Declaration, Feature, Support};
use crate::dialect::{self, Dialect};
use crate::error::UpstreamError;
use crate::hub::{self, ChatRequest, json_by_tool};
use crate::openai::OpenAi;

const VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// What Claude can do over its Messages API, wherever it is served.
pub(crate) const FEATURES: [(Feature, Support); Feature::ALL.len()] = [
    (Feature::Tools, Support::Yes),
    (Feature::NamedTool, Support::Yes),
    (Feature::NoTool, Support::Yes),
    (Feature::SingleTool, Support::Yes),
    (Feature::ImageData, Support::Yes),
    (Feature::ImageUrl, Support::By("the provider fetching it")),
    (Feature::FileData, Support::Yes),
    (Feature::FileId, Support::No),
    (Feature::Citations, Support::Yes),
    (Feature::AudioInput, Support::No),
    (Feature::AudioOutput, Support::No),
    (Feature::JsonObject, Support::By("a forced tool")),
    (Feature::JsonSchema, Support::By("`output_config` from Claude 4.1 if strict, else a forced tool")),
    (Feature::Stop, Support::Yes),
    (Feature::TopK, Support::Yes),
    (Feature::Seed, Support::Ignored),
    (Feature::Choices, Support::No),
    (Feature::Logprobs, Support::No),
    (Feature::LogitBias, Support::No),
    (Feature::Penalties, Support::No),
    (Feature::Reasoning, Support::By("a budget, from Claude 4.6 adaptive with an effort")),
    (Feature::SealedReasoning, Support::By("`thinking_blocks`")),
    (Feature::CacheMarks, Support::Yes),
    (Feature::User, Support::By("`metadata.user_id`")),
    (Feature::Metadata, Support::Ignored),
    (Feature::ServiceTier, Support::By("`auto` or `standard_only`")),
    (Feature::WebSearch, Support::By("the tool `web_search`")),
    (Feature::Functions, Support::No),
];

/// Anthropic.
pub(crate) struct Anthropic;

/// The one there is.
pub(crate) static ANTHROPIC: Anthropic = Anthropic;

static DECLARED: Declaration = Declaration {
    kind: "anthropic",
    title: "Anthropic",
    speaks: &[Dialect::AnthropicMessages],
    endpoints: &[(Endpoint::ChatCompletions, Support::Yes), (Endpoint::CountTokens, Support::AsIs)],
    features: &FEATURES,
};

/// Whether the answer to an exchange is made by the JSON tool.
fn by_tool(exchange: &Exchange<'_>) -> bool {
    json_by_tool(exchange.call, Generation::of(&exchange.target.model).schemas())
}

impl Adapter for Anthropic {
    fn declares(&self) -> &'static Declaration {
        &DECLARED
    }

    fn supports(&self, call: &Call, _target: &Target) -> Result<(), Unsupported> {
        hub::check(&DECLARED, call).map(drop)
    }

    fn request(&self, call: &Call, target: &Target) -> Result<UpstreamRequest, TranslateError> {
        if Dialect::of(call.endpoint) == Some(Dialect::AnthropicMessages) {
            return Ok(dialect::messages::native(call, target));
        }
        let mut body = Map::new();
        body.insert("model".to_owned(), target.model.as_str().into());
        let schemas = Generation::of(&target.model).schemas();
        body.append(&mut request::body(&ChatRequest::of(call)?, target, schemas)?);
        if call.stream {
            body.insert("stream".to_owned(), true.into());
        }
        let body = Bytes::from(Value::Object(body).to_string());
        let mut request = OpenAi::post("messages".to_owned(), body);
        request.headers.insert(VERSION, HeaderValue::from_static("2023-06-01"));
        Ok(request)
    }

    fn reply(&self, head: &ResponseHead<'_>, body: Bytes, exchange: &Exchange<'_>) -> Result<Reply, TranslateError> {
        let json = by_tool(exchange);
        dialect::reply(body, head.headers, exchange, Some(Dialect::AnthropicMessages), &|body, _, sink| {
            read_whole(body, json, sink)
        })
    }

    fn stream(&self, _head: &ResponseHead<'_>, exchange: &Exchange<'_>) -> Box<dyn StreamTranslator> {
        dialect::stream(MessagesDecoder::new(by_tool(exchange)), exchange, Some(Dialect::AnthropicMessages))
    }

    fn error(&self, head: &ResponseHead<'_>, body: &[u8]) -> UpstreamError {
        errors::of_response(head, body)
    }
}
