//! The one error a client can be shown: status, OpenAI's error object, and what retrying would do.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use sluice_providers::{BadRequest, Unsupported, UpstreamError};

use crate::telemetry::Outcome;

mod style;

pub use style::Style;

/// What a client should do next; becomes `retry-after`, `retry-after-ms` and `x-should-retry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The status says it all.
    Unsaid,
    /// The same request would pass after this long.
    After(Duration),
    /// The same request never passes.
    Never,
}

/// An error on its way to a client. The message never holds a secret.
#[derive(Clone, Debug)]
pub struct Error {
    /// HTTP status.
    pub status: StatusCode,
    /// OpenAI's `type`.
    pub kind: Cow<'static, str>,
    /// OpenAI's `code`.
    pub code: Option<Cow<'static, str>>,
    /// The field of the request that is at fault.
    pub param: Option<String>,
    /// For the person who gets it: what is wrong and what to do.
    pub message: String,
    /// When to come back.
    pub retry: Retry,
    /// The limit that refused, for `x-sluice-limit`.
    pub limit: Option<Arc<str>>,
    /// How the request counts in metrics and logs.
    pub outcome: Outcome,
    /// A provider's own error body, relayed as it came.
    pub body: Option<Bytes>,
    /// Headers that go with the answer, such as the levels of the limits that apply.
    pub headers: HeaderMap,
    /// The connection is in doubt and must be closed after the answer.
    pub close: bool,
    /// Whose form the body has.
    pub style: Style,
}

impl Error {
    /// An error with OpenAI's `type` and `code`.
    pub fn new(status: StatusCode, kind: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        let outcome = if status.is_server_error() { Outcome::Internal } else { Outcome::ClientError };
        Self {
            status,
            kind: Cow::Borrowed(kind),
            code: Some(Cow::Borrowed(code)),
            param: None,
            message: message.into(),
            retry: Retry::Unsaid,
            limit: None,
            outcome,
            body: None,
            headers: HeaderMap::new(),
            close: false,
            style: Style::OpenAi,
        }
    }

    /// 400 with the `code` given.
    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", code, message)
    }

    /// 404 for a path or method that does not exist.
    pub fn unknown_path(method: &http::Method, path: &str) -> Self {
        let message = format!("unknown request: {method} {path}");
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", "unknown_url", message)
    }

    /// 404 for a model that is not configured, or not for this key.
    pub fn unknown_model(model: &str) -> Self {
        let shown: String = model.chars().take(128).collect();
        let message = format!("the model `{shown}` does not exist or this key has no access to it");
        let mut error = Self::new(StatusCode::NOT_FOUND, "invalid_request_error", "model_not_found", message);
        error.param = Some("model".to_owned());
        error
    }

    /// 401.
    pub fn unauthenticated(message: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_request_error", "invalid_api_key", message)
    }

    /// 413 for a body over `cap` bytes.
    pub fn too_large(cap: usize) -> Self {
        let message = format!(
            "the request body is larger than the {cap} bytes this gateway accepts (limits.max_body, or \
             limits.max_upload for a form with a file)"
        );
        let mut error = Self::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", "request_too_large", message);
        error.close = true;
        error
    }

    /// 503 while the gateway holds as many bytes as it may.
    pub fn overloaded() -> Self {
        let message = "the gateway holds as many request bytes as it may (limits.max_buffered); try again shortly";
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded_error", "gateway_overloaded", message);
        error.retry = Retry::After(Duration::from_secs(1));
        error.outcome = Outcome::Overloaded;
        error.close = true;
        error
    }

    /// 500 for a fault of the gateway itself.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "internal_error", message)
    }

    /// 504 when a deadline of the provider's passed; `code` names the deadline.
    pub fn deadline(code: &'static str, message: impl Into<String>) -> Self {
        let mut error = Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout_error", code, message);
        error.outcome = Outcome::Deadline;
        error
    }

    /// 502 when a provider could not be reached or broke off.
    pub fn upstream(code: &'static str, message: impl Into<String>) -> Self {
        let mut error = Self::new(StatusCode::BAD_GATEWAY, "server_error", code, message);
        error.outcome = Outcome::UpstreamError;
        error
    }
}

impl From<BadRequest> for Error {
    fn from(bad: BadRequest) -> Self {
        let mut error = Self::invalid("invalid_request", bad.message);
        error.param = bad.param;
        error.code = bad.code.map(Cow::Borrowed);
        error
    }
}

impl From<Unsupported> for Error {
    fn from(unsupported: Unsupported) -> Self {
        let mut error = Self::invalid("unsupported_parameter", unsupported.message);
        error.param = unsupported.param;
        error
    }
}

impl From<UpstreamError> for Error {
    fn from(upstream: UpstreamError) -> Self {
        let outcome = if upstream.status.is_client_error() && !upstream.retryable {
            Outcome::ClientError
        } else {
            Outcome::UpstreamError
        };
        Self {
            status: upstream.status,
            kind: Cow::Owned(upstream.err_type),
            code: upstream.code.map(Cow::Owned),
            param: upstream.param,
            message: upstream.message,
            retry: upstream.retry_after.map_or(Retry::Unsaid, Retry::After),
            limit: None,
            outcome,
            body: upstream.body,
            headers: HeaderMap::new(),
            close: false,
            style: Style::OpenAi,
        }
    }
}
