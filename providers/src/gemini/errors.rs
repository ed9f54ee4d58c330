//! Google's error bodies: `{"error":{"code","message","status","details"}}`, at times in an array.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use crate::adapter::ResponseHead;
use crate::error::{ErrorKind, UpstreamError};
use crate::fault;

/// What an error response means.
pub(super) fn of_response(head: &ResponseHead<'_>, body: &[u8]) -> UpstreamError {
    let mut error = read(body, head.status);
    error.retry_after = fault::retry_after(head.headers).or(error.retry_after);
    error
}

/// What an error in a stream means.
pub(super) fn of_event(data: &[u8]) -> UpstreamError {
    read(data, StatusCode::BAD_GATEWAY)
}

fn read(body: &[u8], status: StatusCode) -> UpstreamError {
    let value: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let error = value.pointer("/error").or_else(|| value.pointer("/0/error")).unwrap_or(&Value::Null);
    let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
    let message = match text("message") {
        "" => fault::quote(status, body),
        message => message.to_owned(),
    };
    let details = error.get("details").and_then(Value::as_array);
    let detail = |name: &str| details.into_iter().flatten().find_map(|detail| detail.get(name)?.as_str());
    let kind = match text("status") {
        _ if detail("reason") == Some("API_KEY_INVALID") => ErrorKind::Auth,
        "INVALID_ARGUMENT" | "OUT_OF_RANGE" if fault::is_context_length(&message) => ErrorKind::ContextLength,
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" => ErrorKind::BadRequest,
        "UNAUTHENTICATED" => ErrorKind::Auth,
        "PERMISSION_DENIED" => ErrorKind::Permission,
        "NOT_FOUND" => ErrorKind::NotFound,
        "RESOURCE_EXHAUSTED" => ErrorKind::RateLimit,
        "UNAVAILABLE" => ErrorKind::Overloaded,
        "DEADLINE_EXCEEDED" => ErrorKind::Timeout,
        "INTERNAL" | "UNKNOWN" | "CANCELLED" => ErrorKind::Server,
        _ => fault::kind_of(status),
    };
    let delay = detail("retryDelay").and_then(|delay| delay.strip_suffix('s')?.parse::<f64>().ok());
    let mut fault = fault::error(kind, status, message);
    fault.retry_after = delay.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    fault
}
