//! AWS's errors: the class in a header or in the event, the message in the body.

use http::StatusCode;
use serde_json::Value;

use crate::adapter::ResponseHead;
use crate::error::{ErrorKind, UpstreamError};
use crate::fault;

/// What an error response means.
pub(super) fn of_response(head: &ResponseHead<'_>, body: &[u8]) -> UpstreamError {
    let value: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let header = head.headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
    let class = header.or_else(|| value.get("__type").and_then(Value::as_str)).unwrap_or_default();
    // Either may carry a namespace before a `#` and a URL behind a `:`.
    let class = class.rsplit('#').next().and_then(|class| class.split(':').next()).unwrap_or_default();
    let message = message(&value).unwrap_or_else(|| fault::quote(head.status, body));
    let kind = kind_of(class, &message).unwrap_or_else(|| fault::kind_of(head.status));
    let mut error = fault::error(kind, head.status, message);
    error.retry_after = fault::retry_after(head.headers);
    error
}

/// What an exception in a stream means.
pub(super) fn of_event(class: &[u8], payload: &[u8]) -> UpstreamError {
    let value: Value = serde_json::from_slice(payload).unwrap_or(Value::Null);
    let class = String::from_utf8_lossy(class);
    let message = message(&value).unwrap_or_else(|| format!("the provider reported {class} in its stream"));
    let kind = kind_of(&class, &message).unwrap_or(ErrorKind::Server);
    fault::error(kind, StatusCode::BAD_GATEWAY, message)
}

fn message(value: &Value) -> Option<String> {
    ["message", "Message"].into_iter().find_map(|name| value.get(name)?.as_str()).map(str::to_owned)
}

/// Streams begin the names of exceptions with a small letter.
fn kind_of(class: &str, message: &str) -> Option<ErrorKind> {
    let mut letters = class.chars();
    let class = letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>();
    Some(match class.as_str() {
        "ValidationException" if fault::is_context_length(message) => ErrorKind::ContextLength,
        "ValidationException" => ErrorKind::BadRequest,
        "AccessDeniedException" => ErrorKind::Permission,
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "IncompleteSignatureException"
        | "MissingAuthenticationTokenException"
        | "ExpiredTokenException"
        | "InvalidClientTokenId" => ErrorKind::Auth,
        "ResourceNotFoundException" => ErrorKind::NotFound,
        "ThrottlingException" | "TooManyRequestsException" | "ServiceQuotaExceededException" => ErrorKind::RateLimit,
        "ModelTimeoutException" => ErrorKind::Timeout,
        "ModelNotReadyException" | "ServiceUnavailableException" => ErrorKind::Overloaded,
        "InternalServerException" | "ModelErrorException" | "ModelStreamErrorException" => ErrorKind::Server,
        _ => return None,
    })
}
