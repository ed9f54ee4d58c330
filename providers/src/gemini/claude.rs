//! Claude on Vertex: the Messages API with its version in the body and its model in the path. A client that speaks
//! Messages gets its bytes through.

use bytes::Bytes;
use http::HeaderMap;
use memchr::memmem;
use serde_json::{Map, Value};

use crate::adapter::{Exchange, Reply, StreamTranslator, Target, TranslateError, UpstreamRequest};
use crate::anthropic::{self, MessagesDecoder, read_whole};
use crate::body::Body;
use crate::call::{Call, Endpoint};
use crate::declare::{Declaration, Feature, Support, with};
use crate::dialect::{self, Dialect};
use crate::hub::{ChatRequest, json_by_tool};
use crate::openai::OpenAi;
use crate::openai::request::splice;
use crate::path;

/// Where the version stands.
const VERSION: &str = "anthropic_version";
/// The only one there is.
const MESSAGES_VERSION: &str = "vertex-2023-10-16";
/// Holding answers to a schema is closed to organizations that have not opened it
/// (`constraints/vertexai.allowedPartnerModelFeatures`).
const SCHEMAS: bool = false;
/// What its streams and answers are in.
const OWN: Option<Dialect> = Some(Dialect::AnthropicMessages);

/// Claude has other features than Gemini.
pub(super) static DECLARED: Declaration = Declaration {
    kind: "vertex",
    title: "Google Vertex AI (Claude)",
    speaks: &[Dialect::AnthropicMessages],
    endpoints: &[(Endpoint::ChatCompletions, Support::By("`rawPredict`"))],
    features: &with(anthropic::FEATURES, &[(Feature::JsonSchema, Support::By("a forced tool"))]),
};

pub(super) fn serves(target: &Target) -> bool {
    target.model.starts_with("claude") || target.model.starts_with("anthropic/")
}

/// The request.
pub(super) fn request(call: &Call, target: &Target) -> Result<UpstreamRequest, TranslateError> {
    let native = Dialect::of(call.endpoint) == OWN;
    let body = if native { relayed(call)? } else { translated(call, target)?.into() };
    let method = if call.stream { "streamRawPredict" } else { "rawPredict" };
    let model = path::segment(target.model.strip_prefix("anthropic/").unwrap_or(&target.model));
    let mut request = OpenAi::post(format!("publishers/anthropic/models/{model}:{method}"), body);
    if native {
        request.headers.extend(call.passed.clone());
    }
    Ok(request)
}

fn translated(call: &Call, target: &Target) -> Result<Bytes, TranslateError> {
    let mut body = anthropic::body(&ChatRequest::of(call)?, target, SCHEMAS)?;
    body.insert(VERSION.to_owned(), MESSAGES_VERSION.into());
    if call.stream {
        body.insert("stream".to_owned(), true.into());
    }
    Ok(Bytes::from(Value::Object(body).to_string()))
}

/// The client's bytes, with the version in the place of the model.
fn relayed(call: &Call) -> Result<Body, TranslateError> {
    let before = call.body.get(..call.model_span.start).unwrap_or_default().trim_ascii_end();
    let name = before.strip_suffix(b":").map(<[u8]>::trim_ascii_end).filter(|before| before.ends_with(b"\"model\""));
    match name.filter(|_| memmem::find(&call.body, VERSION.as_bytes()).is_none()) {
        Some(name) => {
            let member = name.len() - "\"model\"".len()..call.model_span.end;
            Ok(splice(call, vec![(member, format!("\"{VERSION}\":\"{MESSAGES_VERSION}\""))]))
        }
        // A name with escapes in it, or a body that may have a version already.
        None => {
            let mut body: Map<String, Value> = serde_json::from_slice(&call.body)
                .map_err(|error| TranslateError::Malformed(format!("the request cannot be read: {error}")))?;
            body.remove("model");
            body.insert(VERSION.to_owned(), MESSAGES_VERSION.into());
            Ok(Bytes::from(Value::Object(body).to_string()).into())
        }
    }
}

/// Whether the answer to an exchange is made by the JSON tool.
fn by_tool(exchange: &Exchange<'_>) -> bool {
    json_by_tool(exchange.call, SCHEMAS)
}

/// A whole answer in the client's format.
pub(super) fn reply(body: Bytes, headers: &HeaderMap, exchange: &Exchange<'_>) -> Result<Reply, TranslateError> {
    let json = by_tool(exchange);
    dialect::reply(body, headers, exchange, OWN, &|body, _, sink| read_whole(body, json, sink))
}

/// A translator of a stream.
pub(super) fn streamed(exchange: &Exchange<'_>) -> Box<dyn StreamTranslator> {
    dialect::stream(MessagesDecoder::new(by_tool(exchange)), exchange, OWN)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sent(body: &str) -> String {
        let call = Call::parse(Endpoint::Messages, Bytes::copy_from_slice(body.as_bytes())).unwrap();
        String::from_utf8(relayed(&call).unwrap().into_bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_version_takes_the_place_of_the_model_and_nothing_else_changes() {
        let body = r#"{ "max_tokens":10,  "model" :	"c", "messages":[{"role":"user","content":"model"}]}"#;
        let expected = body.replace("\"model\" :\t\"c\"", r#""anthropic_version":"vertex-2023-10-16""#);
        assert_eq!(sent(body), expected);
    }

    #[test]
    fn unusual_bodies_are_written_anew() {
        for body in [
            r#"{"mod\u0065l":"c","max_tokens":1,"messages":[1]}"#,
            r#"{"anthropic_version":"other","model":"c","max_tokens":1,"messages":[1]}"#,
        ] {
            let sent: Value = serde_json::from_str(&sent(body)).unwrap();
            assert_eq!(sent, json!({"anthropic_version": MESSAGES_VERSION, "max_tokens": 1, "messages": [1]}));
        }
    }
}
