//! Error statuses and bodies of OpenAI-compatible providers.

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use crate::adapter::ResponseHead;
use crate::error::{ErrorKind, UpstreamError};
use crate::fault::{self, retry_after};

/// What an error response means.
pub(crate) fn of_response(head: &ResponseHead<'_>, body: &[u8]) -> UpstreamError {
    let value: Option<Value> = serde_json::from_slice(body).ok();
    let object = value.as_ref().and_then(|value| value.get("error")).filter(|error| error.is_object());
    let mut error = match object.or(value.as_ref()) {
        Some(value) => read(value, head.status),
        None => read(&Value::Null, head.status),
    };
    error.retry_after = retry_after(head.headers);
    if matches!(error.kind, ErrorKind::Auth | ErrorKind::Permission) {
        return UpstreamError { retry_after: error.retry_after, ..fault::refused(error.kind, head.status) };
    }
    if object.is_some() {
        error.body = Some(Bytes::copy_from_slice(body));
    } else if error.message.is_empty() {
        error.message = fault::quote(head.status, body);
    }
    if !error.status.is_client_error() && !error.status.is_server_error() {
        error.status = StatusCode::BAD_GATEWAY;
    }
    error
}

/// What an error event in a stream means.
pub(crate) fn of_event(data: &[u8]) -> UpstreamError {
    let value: Value = serde_json::from_slice(data).unwrap_or(Value::Null);
    let object = value.get("error").filter(|error| !error.is_null()).unwrap_or(&value);
    let mut error = read(object, StatusCode::BAD_GATEWAY);
    if error.message.is_empty() {
        error.message = match object.as_str() {
            Some(text) => text.to_owned(),
            None => "the provider reported an error in its stream".to_owned(),
        };
    }
    error
}

fn read(value: &Value, status: StatusCode) -> UpstreamError {
    let text = |name: &str| match value.get(name) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let (code, err_type) = (text("code"), text("type"));
    let kind = kind_of(status, code.as_deref(), err_type.as_deref());
    UpstreamError {
        kind,
        status,
        message: text("message").unwrap_or_default(),
        code,
        param: text("param"),
        err_type: err_type.unwrap_or_else(|| type_of(status).to_owned()),
        retryable: matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504 | 529)
            || matches!(kind, ErrorKind::Auth | ErrorKind::Permission),
        retry_after: None,
        body: None,
    }
}

fn kind_of(status: StatusCode, code: Option<&str>, err_type: Option<&str>) -> ErrorKind {
    match (code, err_type) {
        (Some("context_length_exceeded" | "string_above_max_length"), _) => return ErrorKind::ContextLength,
        (Some("content_filter" | "content_policy_violation"), _) => return ErrorKind::ContentPolicy,
        (Some("insufficient_quota"), _) | (_, Some("insufficient_quota")) => return ErrorKind::Quota,
        (_, Some("overloaded_error")) => return ErrorKind::Overloaded,
        _ => {}
    }
    fault::kind_of(status)
}

fn type_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        403 => "permission_error",
        429 => "requests",
        408 | 504 => "timeout_error",
        529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderMap;

    use super::*;

    fn error(status: u16, headers: &[(&'static str, &str)], body: &str) -> UpstreamError {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        of_response(&ResponseHead { status: StatusCode::from_u16(status).unwrap(), headers: &map }, body.as_bytes())
    }

    #[test]
    fn statuses_and_codes_become_kinds() {
        let context = error(
            400,
            &[],
            r#"{"error":{"message":"too long","type":"invalid_request_error","code":"context_length_exceeded","param":"messages"}}"#,
        );
        assert_eq!((context.kind, context.retryable), (ErrorKind::ContextLength, false));
        assert!(context.body.is_some_and(|body| body.starts_with(b"{\"error\"")));
        let busy = error(429, &[("retry-after", "7")], r#"{"error":{"message":"slow down","type":"tokens"}}"#);
        assert_eq!(
            (busy.kind, busy.retryable, busy.retry_after),
            (ErrorKind::RateLimit, true, Some(Duration::from_secs(7)))
        );
        let soon = error(429, &[("retry-after", "7"), ("retry-after-ms", "250")], "{}");
        assert_eq!(soon.retry_after, Some(Duration::from_millis(250)));
        let (now, then) = ("Wed, 25 Nov 2026 02:00:00 GMT", "Wed, 25 Nov 2026 02:01:30 GMT");
        let until = |retry: &str, date: &str| error(429, &[("retry-after", retry), ("date", date)], "{}").retry_after;
        assert_eq!(until(then, now), Some(Duration::from_secs(90)));
        assert_eq!(until(now, then), Some(Duration::ZERO), "it is over");
        assert_eq!(error(429, &[("retry-after", then)], "{}").retry_after, None, "by whose clock?");
        assert_eq!(error(529, &[], "").kind, ErrorKind::Overloaded);
        assert_eq!(error(429, &[], r#"{"error":{"code":"insufficient_quota"}}"#).kind, ErrorKind::Quota);
    }

    #[test]
    fn refused_credentials_are_the_gateways_fault_and_quote_no_key() {
        let refused = error(401, &[], r#"{"error":{"message":"Incorrect API key provided: sk-abc***xyz"}}"#);
        assert_eq!((refused.status.as_u16(), refused.retryable), (502, true));
        assert!(!refused.message.contains("sk-") && refused.body.is_none());
    }

    #[test]
    fn a_body_that_is_no_json_is_quoted_briefly() {
        let html = error(502, &[], &format!("<html>{}", "x".repeat(10_000)));
        assert!(html.message.contains("<html>") && html.message.len() < 400 && html.retryable);
        assert_eq!(error(302, &[], "").status.as_u16(), 502);
    }
}
