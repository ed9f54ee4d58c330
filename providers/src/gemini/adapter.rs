//! The adapter of AI Studio's API.

use bytes::Bytes;
use http::HeaderMap;

use super::decode::ContentDecoder;
use super::{embed, errors, request};
use crate::adapter::{
    Adapter, Exchange, Reply, ResponseHead, StreamTranslator, Target, TranslateError, Unsupported, UpstreamRequest,
};
use crate::call::{Call, Endpoint};
use crate::declare::{Declaration, Feature, Support};
use crate::dialect;
use crate::error::UpstreamError;
use crate::hub::{self, ChatRequest, Decoder};
use crate::openai::OpenAi;
use crate::path;

/// What Gemini can do, wherever it is served.
pub(super) const FEATURES: &[(Feature, Support)] = &[
    (Feature::Tools, Support::Yes),
    (Feature::NamedTool, Support::Yes),
    (Feature::NoTool, Support::Yes),
    (Feature::SingleTool, Support::No),
    (Feature::ImageData, Support::Yes),
    (Feature::ImageUrl, Support::By("the provider fetching it")),
    (Feature::FileData, Support::Yes),
    (Feature::FileId, Support::No),
    (Feature::Citations, Support::Ignored),
    (Feature::AudioInput, Support::Yes),
    (Feature::AudioOutput, Support::No),
    (Feature::JsonObject, Support::By("`responseMimeType`; beside tools before Gemini 3 a forced tool")),
    (Feature::JsonSchema, Support::By("`responseJsonSchema`; beside tools before Gemini 3 a forced tool")),
    (Feature::Stop, Support::Yes),
    (Feature::TopK, Support::Yes),
    (Feature::Seed, Support::Yes),
    (Feature::Choices, Support::Yes),
    (Feature::Logprobs, Support::No),
    (Feature::LogitBias, Support::No),
    (Feature::Penalties, Support::Yes),
    (Feature::Reasoning, Support::By("a budget, from Gemini 3 a level")),
    (Feature::SealedReasoning, Support::By("`extra_content.google.thought_signature`")),
    (Feature::CacheMarks, Support::Ignored),
    (Feature::User, Support::Ignored),
    (Feature::Metadata, Support::Ignored),
    (Feature::ServiceTier, Support::Ignored),
    (Feature::WebSearch, Support::By("`googleSearch`, not beside tools")),
    (Feature::Functions, Support::No),
];

/// AI Studio.
pub(crate) struct Gemini;

/// The one there is.
pub(crate) static GEMINI: Gemini = Gemini;

static DECLARED: Declaration = Declaration {
    kind: "gemini",
    title: "Google AI Studio",
    speaks: &[],
    endpoints: &[
        (Endpoint::ChatCompletions, Support::Yes),
        (Endpoint::Embeddings, Support::By("`batchEmbedContents`")),
    ],
    features: FEATURES,
};

/// The method of the API for a call.
pub(super) fn method(call: &Call) -> &'static str {
    if call.stream { "streamGenerateContent?alt=sse" } else { "generateContent" }
}

/// A whole answer in the client's format.
pub(super) fn whole(body: Bytes, headers: &HeaderMap, exchange: &Exchange<'_>) -> Result<Reply, TranslateError> {
    dialect::reply(body, headers, exchange, None, &|body, _, sink| {
        let mut decoder = ContentDecoder::new(exchange);
        decoder.piece(body, sink)?;
        decoder.finish(sink)
    })
}

/// A translator of a stream.
pub(super) fn streamed(exchange: &Exchange<'_>) -> Box<dyn StreamTranslator> {
    dialect::stream(ContentDecoder::new(exchange), exchange, None)
}

impl Adapter for Gemini {
    fn declares(&self) -> &'static Declaration {
        &DECLARED
    }

    fn supports(&self, call: &Call, _target: &Target) -> Result<(), Unsupported> {
        hub::check(&DECLARED, call).map(drop)
    }

    fn request(&self, call: &Call, target: &Target) -> Result<UpstreamRequest, TranslateError> {
        let model = path::segment(target.model.strip_prefix("models/").unwrap_or(&target.model));
        if call.endpoint == Endpoint::Embeddings {
            let body = embed::batch(call, target)?;
            return Ok(OpenAi::post(format!("models/{model}:batchEmbedContents"), body));
        }
        let body = request::body(&ChatRequest::of(call)?, &target.model, true)?;
        Ok(OpenAi::post(format!("models/{model}:{}", method(call)), Bytes::from(body.to_string())))
    }

    fn reply(&self, head: &ResponseHead<'_>, body: Bytes, exchange: &Exchange<'_>) -> Result<Reply, TranslateError> {
        if exchange.call.endpoint == Endpoint::Embeddings {
            return embed::batch_reply(&body, exchange);
        }
        whole(body, head.headers, exchange)
    }

    fn stream(&self, _head: &ResponseHead<'_>, exchange: &Exchange<'_>) -> Box<dyn StreamTranslator> {
        streamed(exchange)
    }

    fn error(&self, head: &ResponseHead<'_>, body: &[u8]) -> UpstreamError {
        errors::of_response(head, body)
    }
}
