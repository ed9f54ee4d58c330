//! What a provider's error means, whatever its shape was.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

/// Classes of provider errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong.
    BadRequest,
    /// The gateway's credentials were refused.
    Auth,
    /// They do not allow this.
    Permission,
    /// No such model or path.
    NotFound,
    /// Too many requests or tokens.
    RateLimit,
    /// Out of money.
    Quota,
    /// The prompt does not fit.
    ContextLength,
    /// The content was refused.
    ContentPolicy,
    /// The provider is overloaded.
    Overloaded,
    /// A fault of the provider's.
    Server,
    /// The provider timed out.
    Timeout,
    /// Not an error any API documents.
    Malformed,
}

/// A provider's error, in OpenAI's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamError {
    /// Its class.
    pub kind: ErrorKind,
    /// The status to show the client.
    pub status: StatusCode,
    /// For people.
    pub message: String,
    /// OpenAI's `code`.
    pub code: Option<String>,
    /// The field at fault.
    pub param: Option<String>,
    /// OpenAI's `type`.
    pub err_type: String,
    /// Another target, or the same one later, may do better.
    pub retryable: bool,
    /// When the provider said to come back.
    pub retry_after: Option<Duration>,
    /// The provider's own body, if it is in the client's format already.
    pub body: Option<Bytes>,
}
