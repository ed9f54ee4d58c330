//! Provider errors in `OpenAI`'s terms: what each class looks like to a client, and whether another
//! target may do better.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};

use crate::error::{ErrorKind, UpstreamError};

/// A body that is no error object is quoted up to this many characters.
const QUOTED: usize = 300;

/// The error of a class; `status` is the provider's.
pub(crate) fn error(kind: ErrorKind, status: StatusCode, message: String) -> UpstreamError {
    let (shown, code, err_type, retryable) = match kind {
        ErrorKind::Auth | ErrorKind::Permission => return refused(kind, status),
        ErrorKind::BadRequest => (client(status), None, "invalid_request_error", false),
        ErrorKind::NotFound => (404, Some("model_not_found"), "invalid_request_error", false),
        ErrorKind::ContextLength => (400, Some("context_length_exceeded"), "invalid_request_error", false),
        ErrorKind::ContentPolicy => (400, Some("content_policy_violation"), "invalid_request_error", false),
        ErrorKind::RateLimit => (429, Some("rate_limit_exceeded"), "requests", true),
        ErrorKind::Quota => (429, Some("insufficient_quota"), "insufficient_quota", true),
        ErrorKind::Overloaded => {
            (if status.as_u16() == 529 { 529 } else { 503 }, Some("overloaded"), "overloaded_error", true)
        }
        ErrorKind::Timeout => (504, Some("timeout"), "timeout_error", true),
        ErrorKind::Server => (server(status), Some("server_error"), "server_error", true),
        ErrorKind::Malformed => (502, Some("upstream_error"), "server_error", false),
    };
    UpstreamError {
        kind,
        status: StatusCode::from_u16(shown).unwrap_or(StatusCode::BAD_GATEWAY),
        message,
        code: code.map(str::to_owned),
        param: None,
        err_type: err_type.to_owned(),
        retryable,
        retry_after: None,
        body: None,
    }
}

/// The provider refused the gateway's credentials: not the client's fault, and its text may quote
/// a part of the key.
pub(crate) fn refused(kind: ErrorKind, status: StatusCode) -> UpstreamError {
    UpstreamError {
        kind,
        status: StatusCode::BAD_GATEWAY,
        message: format!("the provider refused the gateway's credentials (status {})", status.as_u16()),
        code: Some("upstream_auth".to_owned()),
        param: None,
        err_type: "server_error".to_owned(),
        retryable: true,
        retry_after: None,
        body: None,
    }
}

fn client(status: StatusCode) -> u16 {
    if status.is_client_error() { status.as_u16() } else { 400 }
}

fn server(status: StatusCode) -> u16 {
    if status.is_server_error() { status.as_u16() } else { 502 }
}

/// The class of a bare status.
pub(crate) fn kind_of(status: StatusCode) -> ErrorKind {
    match status.as_u16() {
        401 => ErrorKind::Auth,
        402 => ErrorKind::Quota,
        403 => ErrorKind::Permission,
        404 => ErrorKind::NotFound,
        408 | 504 => ErrorKind::Timeout,
        429 => ErrorKind::RateLimit,
        503 | 529 => ErrorKind::Overloaded,
        400..=499 => ErrorKind::BadRequest,
        500..=599 => ErrorKind::Server,
        _ => ErrorKind::Malformed,
    }
}

/// What to say of a body that holds no message.
pub(crate) fn quote(status: StatusCode, body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).chars().take(QUOTED).collect();
    format!("the provider answered {} with: {}", status.as_u16(), text.trim())
}

/// How long a provider asks to be left alone: `retry-after-ms`, else `retry-after` in seconds or until a date (RFC 9110
/// section 10.2.3). A date counts from the provider's own `date`, whose clock may not be ours.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |name: &str| text(name)?.parse::<f64>().ok();
    let after = header::RETRY_AFTER.as_str();
    if let Some(seconds) = number("retry-after-ms").map(|ms| ms / 1000.0).or_else(|| number(after)) {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = |name: &str| httpdate::parse_http_date(text(name)?).ok();
    let (until, now) = (date(after)?, date(header::DATE.as_str())?);
    Some(until.duration_since(now).unwrap_or_default())
}

/// Whether a message says that the prompt is too long: providers have no common code for it.
pub(crate) fn is_context_length(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "prompt is too long",
        "input is too long",
        "too many input tokens",
        "exceeds the maximum number of tokens",
        "exceed context limit",
        "context window",
        "context length",
        "maximum context",
        "input token count",
        "exceeds the available context size",
    ]
    .iter()
    .any(|sign| message.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_shown_to_clients_are_errors() {
        for kind in [ErrorKind::BadRequest, ErrorKind::Server, ErrorKind::Auth, ErrorKind::Malformed] {
            for status in [200, 302, 400, 500] {
                let shown = error(kind, StatusCode::from_u16(status).unwrap(), String::new()).status;
                assert!(shown.is_client_error() || shown.is_server_error(), "{kind:?} {status}");
            }
        }
    }
}
