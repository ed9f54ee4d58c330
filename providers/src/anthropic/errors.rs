//! Anthropic's error bodies: `{"type":"error","error":{"type","message"}}`.

use http::StatusCode;
use serde_json::Value;

use crate::adapter::ResponseHead;
use crate::error::{ErrorKind, UpstreamError};
use crate::fault;

/// What an error response means.
pub(crate) fn of_response(head: &ResponseHead<'_>, body: &[u8]) -> UpstreamError {
    let (err_type, message) = read(body);
    let message = message.unwrap_or_else(|| fault::quote(head.status, body));
    let kind = kind_of(err_type.as_deref(), &message).unwrap_or_else(|| fault::kind_of(head.status));
    let mut error = fault::error(kind, head.status, message);
    error.retry_after = fault::retry_after(head.headers);
    // The API says itself where trying again is of no use.
    if head.headers.get("x-should-retry").is_some_and(|value| value == "false") && kind == ErrorKind::Server {
        error.retryable = false;
    }
    error
}

/// What an error event in a stream means.
pub(super) fn of_event(data: &[u8]) -> UpstreamError {
    let (err_type, message) = read(data);
    let message = message.unwrap_or_else(|| "the provider reported an error in its stream".to_owned());
    let kind = kind_of(err_type.as_deref(), &message).unwrap_or(ErrorKind::Server);
    fault::error(kind, StatusCode::BAD_GATEWAY, message)
}

fn read(body: &[u8]) -> (Option<String>, Option<String>) {
    let value: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let error = value.get("error").unwrap_or(&value);
    let text = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
    (text("type"), text("message"))
}

fn kind_of(err_type: Option<&str>, message: &str) -> Option<ErrorKind> {
    Some(match err_type? {
        "invalid_request_error" if fault::is_context_length(message) => ErrorKind::ContextLength,
        "invalid_request_error" if message.contains("credit balance") => ErrorKind::Quota,
        "invalid_request_error" | "request_too_large" => ErrorKind::BadRequest,
        "authentication_error" => ErrorKind::Auth,
        "permission_error" => ErrorKind::Permission,
        "not_found_error" => ErrorKind::NotFound,
        "rate_limit_error" => ErrorKind::RateLimit,
        "billing_error" => ErrorKind::Quota,
        "overloaded_error" => ErrorKind::Overloaded,
        "timeout_error" => ErrorKind::Timeout,
        "api_error" => ErrorKind::Server,
        _ => return None,
    })
}
