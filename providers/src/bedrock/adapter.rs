//! The adapter of Bedrock's runtime API. The base URL is that of a region:
//! `https://bedrock-runtime.<region>.amazonaws.com`.

use bytes::Bytes;
use http::HeaderMap;

use super::decode::{ConverseDecoder, read_whole};
use super::request::{Family, schemas};
use super::{embed, errors, request};
use crate::adapter::{
    Adapter, Exchange, Reply, ResponseHead, StreamTranslator, Target, TranslateError, Unsupported, UpstreamRequest,
};
use crate::call::{Call, Endpoint};
use crate::declare::{Declaration, Feature, Support, with};
use crate::dialect;
use crate::error::UpstreamError;
use crate::hub::{self, Bridge, ChatRequest, json_by_tool};
use crate::openai::OpenAi;
use crate::path;

/// Bedrock.
pub(crate) struct Bedrock;

/// The one there is.
pub(crate) static BEDROCK: Bedrock = Bedrock;

/// What a model has of which nothing more is known.
const ANY: [(Feature, Support); Feature::ALL.len()] = [
    (Feature::Tools, Support::Yes),
    (Feature::NamedTool, Support::Yes),
    (Feature::NoTool, Support::By("leaving the tools out")),
    (Feature::SingleTool, Support::No),
    (Feature::ImageData, Support::Yes),
    (Feature::ImageUrl, Support::By("`s3://` only")),
    (Feature::FileData, Support::Yes),
    (Feature::FileId, Support::No),
    (Feature::Citations, Support::Yes),
    (Feature::AudioInput, Support::No),
    (Feature::AudioOutput, Support::No),
    (Feature::JsonObject, Support::By("a forced tool")),
    (Feature::JsonSchema, Support::By("a forced tool")),
    (Feature::Stop, Support::Yes),
    (Feature::TopK, Support::By("the model's own field, on Nova")),
    (Feature::Seed, Support::Ignored),
    (Feature::Choices, Support::No),
    (Feature::Logprobs, Support::No),
    (Feature::LogitBias, Support::No),
    (Feature::Penalties, Support::No),
    (Feature::Reasoning, Support::By("the model's own field, on Nova and gpt-oss")),
    (Feature::SealedReasoning, Support::Ignored),
    (Feature::CacheMarks, Support::By("`cachePoint`")),
    (Feature::User, Support::Ignored),
    (Feature::Metadata, Support::By("`requestMetadata`")),
    (Feature::ServiceTier, Support::By("`flex` or `priority`")),
    (Feature::WebSearch, Support::No),
    (Feature::Functions, Support::No),
];

static DECLARED: Declaration = Declaration {
    kind: "bedrock",
    title: "Amazon Bedrock",
    speaks: &[],
    endpoints: &[
        (Endpoint::ChatCompletions, Support::By("Converse")),
        (Endpoint::Embeddings, Support::By("`InvokeModel` of Titan and Cohere")),
    ],
    features: &ANY,
};

/// Claude takes its own fields beside Converse's.
static CLAUDE: Declaration = Declaration {
    kind: "bedrock",
    title: "Amazon Bedrock (Claude)",
    speaks: &[],
    endpoints: &[(Endpoint::ChatCompletions, Support::By("Converse"))],
    features: &with(
        ANY,
        &[
            (Feature::SingleTool, Support::By("the model's own `tool_choice`")),
            (Feature::JsonSchema, Support::By("`outputConfig` from Claude 4.5 if strict, else a forced tool")),
            (Feature::TopK, Support::By("the model's own field")),
            (Feature::Reasoning, Support::By("the model's own field")),
            (Feature::SealedReasoning, Support::By("`thinking_blocks`")),
        ],
    ),
};

fn declared(target: &Target) -> &'static Declaration {
    if Family::of(&target.model) == Family::Claude { &CLAUDE } else { &DECLARED }
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    headers.get("x-amzn-requestid").and_then(|id| id.to_str().ok()).map(str::to_owned)
}

impl Adapter for Bedrock {
    fn declares(&self) -> &'static Declaration {
        &DECLARED
    }

    fn variants(&self) -> Vec<&'static Declaration> {
        vec![&DECLARED, &CLAUDE]
    }

    fn supports(&self, call: &Call, target: &Target) -> Result<(), Unsupported> {
        hub::check(declared(target), call).map(drop)
    }

    fn request(&self, call: &Call, target: &Target) -> Result<UpstreamRequest, TranslateError> {
        let model = path::segment(&target.model);
        if call.endpoint == Endpoint::Embeddings {
            return Ok(OpenAi::post(format!("model/{model}/invoke"), embed::body(call, target)?));
        }
        let body = request::body(&ChatRequest::of(call)?, target)?;
        let method = if call.stream { "converse-stream" } else { "converse" };
        Ok(OpenAi::post(format!("model/{model}/{method}"), Bytes::from(body.to_string())))
    }

    fn reply(&self, head: &ResponseHead<'_>, body: Bytes, exchange: &Exchange<'_>) -> Result<Reply, TranslateError> {
        if exchange.call.endpoint == Endpoint::Embeddings {
            return embed::answer(&body, head.headers, exchange);
        }
        let json = json_by_tool(exchange.call, schemas(&exchange.target.model));
        dialect::reply(body, head.headers, exchange, None, &|body, headers, sink| {
            read_whole(body, json, request_id(headers), sink)
        })
    }

    fn stream(&self, head: &ResponseHead<'_>, exchange: &Exchange<'_>) -> Box<dyn StreamTranslator> {
        let json = json_by_tool(exchange.call, schemas(&exchange.target.model));
        let decoder = ConverseDecoder::new(json, request_id(head.headers));
        Box::new(Bridge::aws(decoder, dialect::encoder(exchange)))
    }

    fn error(&self, head: &ResponseHead<'_>, body: &[u8]) -> UpstreamError {
        errors::of_response(head, body)
    }
}
