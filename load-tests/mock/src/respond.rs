//! Responses: JSON with its length, streams, and refusals in their provider's words.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::Value;

use crate::behaviour::Behaviour;
use crate::refusal::{Dialect, Refusal};
use crate::stream::Paced;

pub(crate) fn json(status: StatusCode, value: &Value) -> Response<Paced> {
    bytes(status, "application/json", Bytes::from(value.to_string()))
}

pub(crate) fn bytes(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Paced> {
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(Paced::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CONTENT_LENGTH, length);
    response
}

pub(crate) fn stream(kind: &'static str, body: Paced) -> Response<Paced> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

pub(crate) fn refusal(refusal: &Refusal, dialect: Dialect, behaviour: Option<&Behaviour>) -> Response<Paced> {
    let (status, headers, body) = refusal.render(dialect);
    let mut response = json(status, &body);
    response.headers_mut().extend(headers);
    let seconds = behaviour.and_then(|behaviour| behaviour.retry_after);
    if let Some(Ok(value)) = seconds.map(|seconds| HeaderValue::from_str(&seconds.to_string())) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

/// What every good answer of a provider carries.
pub(crate) fn usual_headers(dialect: Dialect, headers: &mut HeaderMap) {
    let usual: &[(&'static str, &'static str)] = match dialect {
        Dialect::OpenAi => &[("openai-processing-ms", "1"), ("x-request-id", "req_mock")],
        Dialect::Azure => &[("apim-request-id", "mock"), ("x-ms-region", "Mock"), ("x-request-id", "req_mock")],
        Dialect::Anthropic => &[
            ("request-id", "req_mock"),
            ("anthropic-ratelimit-requests-limit", "1000"),
            ("anthropic-ratelimit-requests-remaining", "999"),
            ("anthropic-ratelimit-requests-reset", "2026-01-02T03:04:05Z"),
        ],
        Dialect::Bedrock => &[("x-amzn-requestid", "00000000-0000-4000-8000-000000000000")],
        Dialect::Gemini | Dialect::Vertex => &[("server-timing", "gfet4t7; dur=1")],
        Dialect::Cohere => &[],
    };
    headers.extend(usual.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))));
}

pub(crate) async fn pause(ms: u64) {
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}
