//! Paths to endpoints.

use http::Method;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::anthropic::Anthropic;
use crate::bedrock::Converse;
use crate::format::{Format, query};
use crate::gemini::Gemini;
use crate::openai::{OpenAi, Responses};
use crate::refusal::Dialect;

/// Where a request goes.
pub(crate) struct Route {
    /// Whose credentials are asked for.
    pub(crate) keys: Dialect,
    /// Whose errors are answered.
    pub(crate) errors: Dialect,
    pub(crate) endpoint: Endpoint,
    /// What the path names: a model or a deployment.
    pub(crate) model: String,
}

/// What is done there.
pub(crate) enum Endpoint {
    Generate(&'static dyn Format),
    Embeddings,
    Embed {
        batch: bool,
    },
    Predict,
    Invoke,
    CountAnthropic,
    CountGoogle,
    Models,
    Moderations,
    Images,
    Speech,
    Transcriptions,
    Rerank,
    /// A path that its provider does not have.
    Nowhere,
}

const CHAT: OpenAi = OpenAi { chat: true, azure: false };
const LEGACY: OpenAi = OpenAi { chat: false, azure: false };
const AZURE_CHAT: OpenAi = OpenAi { chat: true, azure: true };
const AZURE_LEGACY: OpenAi = OpenAi { chat: false, azure: true };
const GEMINI: Gemini = Gemini { vertex: false, sse: true };
const GEMINI_ARRAY: Gemini = Gemini { vertex: false, sse: false };
const VERTEX: Gemini = Gemini { vertex: true, sse: true };
const VERTEX_ARRAY: Gemini = Gemini { vertex: true, sse: false };

/// The route of a request; paths nobody has are OpenAI's.
pub(crate) fn find(parts: &Parts) -> Route {
    let decoded: Vec<String> = parts
        .uri
        .path()
        .trim_start_matches('/')
        .split('/')
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect();
    let segments: Vec<&str> = decoded.iter().map(String::as_str).collect();
    let sse = query(parts, "alt") == Some("sse");
    let (keys, errors, endpoint, model) = match (&parts.method, segments.as_slice()) {
        (&Method::POST, ["v1", "messages"]) => one(Dialect::Anthropic, Endpoint::Generate(&Anthropic::Api)),
        (&Method::POST, ["v1", "messages", "count_tokens"]) => one(Dialect::Anthropic, Endpoint::CountAnthropic),
        (&Method::POST, ["v1beta" | "v1", "models", call]) => google(call, false, sse),
        (&Method::POST, ["v1" | "v1beta1", "projects", _, "locations", _, "publishers", "google", "models", call]) => {
            google(call, true, sse)
        }
        (
            &Method::POST,
            ["v1" | "v1beta1", "projects", _, "locations", _, "publishers", "anthropic", "models", call],
        ) => claude(call),
        (
            &Method::POST,
            ["v1" | "v1beta1", "projects", _, "locations", _, "endpoints", "openapi", "chat", "completions"],
        ) => (Dialect::Vertex, Dialect::OpenAi, Endpoint::Generate(&CHAT), ""),
        (&Method::POST, ["model", model, action]) => bedrock(model, action),
        (_, ["model", ..]) => one(Dialect::Bedrock, Endpoint::Nowhere),
        (&Method::POST, ["openai", "deployments", deployment, rest @ ..]) => {
            let known = query(parts, "api-version").is_some();
            let endpoint = if known { azure(rest) } else { Endpoint::Nowhere };
            (Dialect::Azure, Dialect::Azure, endpoint, *deployment)
        }
        (&Method::POST, ["openai", "v1", rest @ ..]) => (Dialect::Azure, Dialect::Azure, openai(rest), ""),
        (&Method::GET, ["v1", "models"]) => one(Dialect::OpenAi, Endpoint::Models),
        (&Method::POST, ["v2", "rerank"]) => one(Dialect::Cohere, Endpoint::Rerank),
        (&Method::POST, ["v1", rest @ ..]) => one(Dialect::OpenAi, openai(rest)),
        _ => one(Dialect::OpenAi, Endpoint::Nowhere),
    };
    Route { keys, errors, endpoint, model: model.to_owned() }
}

type Found<'a> = (Dialect, Dialect, Endpoint, &'a str);

fn one(dialect: Dialect, endpoint: Endpoint) -> Found<'static> {
    (dialect, dialect, endpoint, "")
}

fn openai(rest: &[&str]) -> Endpoint {
    match rest {
        ["chat", "completions"] => Endpoint::Generate(&CHAT),
        ["completions"] => Endpoint::Generate(&LEGACY),
        ["responses"] => Endpoint::Generate(&Responses),
        ["embeddings"] => Endpoint::Embeddings,
        ["moderations"] => Endpoint::Moderations,
        ["images", "generations"] => Endpoint::Images,
        ["audio", "speech"] => Endpoint::Speech,
        ["audio", "transcriptions"] => Endpoint::Transcriptions,
        ["rerank"] => Endpoint::Rerank,
        _ => Endpoint::Nowhere,
    }
}

fn azure(rest: &[&str]) -> Endpoint {
    match rest {
        ["chat", "completions"] => Endpoint::Generate(&AZURE_CHAT),
        ["completions"] => Endpoint::Generate(&AZURE_LEGACY),
        ["moderations" | "rerank"] => Endpoint::Nowhere,
        other => openai(other),
    }
}

fn google(call: &str, vertex: bool, sse: bool) -> Found<'_> {
    let dialect = if vertex { Dialect::Vertex } else { Dialect::Gemini };
    let (model, action) = call.rsplit_once(':').unwrap_or((call, ""));
    let format: &'static dyn Format = match (vertex, sse) {
        (false, true) => &GEMINI,
        (false, false) => &GEMINI_ARRAY,
        (true, true) => &VERTEX,
        (true, false) => &VERTEX_ARRAY,
    };
    let endpoint = match (action, vertex) {
        ("generateContent" | "streamGenerateContent", _) => Endpoint::Generate(format),
        ("countTokens", _) => Endpoint::CountGoogle,
        ("embedContent", _) => Endpoint::Embed { batch: false },
        ("batchEmbedContents", false) => Endpoint::Embed { batch: true },
        ("predict", true) => Endpoint::Predict,
        _ => Endpoint::Nowhere,
    };
    (dialect, dialect, endpoint, model)
}

fn claude(call: &str) -> Found<'_> {
    let (model, action) = call.rsplit_once(':').unwrap_or((call, ""));
    let known = matches!(action, "rawPredict" | "streamRawPredict");
    let endpoint = if known { Endpoint::Generate(&Anthropic::Vertex) } else { Endpoint::Nowhere };
    (Dialect::Vertex, if known { Dialect::Anthropic } else { Dialect::Vertex }, endpoint, model)
}

fn bedrock<'a>(model: &'a str, action: &str) -> Found<'a> {
    let endpoint = match action {
        "converse" | "converse-stream" => Endpoint::Generate(&Converse),
        "invoke" | "invoke-with-response-stream" if model.contains("anthropic.") => {
            Endpoint::Generate(&Anthropic::Bedrock)
        }
        "invoke" => Endpoint::Invoke,
        _ => Endpoint::Nowhere,
    };
    (Dialect::Bedrock, Dialect::Bedrock, endpoint, model)
}
