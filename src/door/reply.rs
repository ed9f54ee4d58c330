//! An answer with its status and headers, as every door sends it.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::queued::Queued;
use crate::drive::{Answer, BrokenOff, Payload, Sound};
use crate::error::{Error, Retry, Style};
use crate::pipeline::{Events, Waiting, stream_on};

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const LIMIT: HeaderName = HeaderName::from_static("x-sluice-limit");
/// SDKs do not sleep longer than this, and would retry too early.
const WORTH_WAITING: Duration = Duration::from_mins(1);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The same in Anthropic's API.
const ANTHROPIC_ID: HeaderName = HeaderName::from_static("request-id");

/// An answer to a client.
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// All headers but those of the connection.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
    /// The connection is in doubt and must not be used again.
    pub close: bool,
    /// The error's `code`, for logs of the door.
    pub code: Option<String>,
    /// Has the bill of a call, once it is settled.
    pub waiting: Option<Arc<Waiting>>,
}

/// The body of an answer. Dropping one that is not whole is the client leaving.
pub enum Body {
    /// All of it; `None` once it has been taken, or if it is empty.
    Whole(Option<Bytes>),
    /// Server-sent events as they come.
    Stream(Box<dyn Events>),
    /// Sound as it comes.
    Sound(Box<Sound>),
    /// Comments until the answer comes, then the answer as events.
    Queued(Box<Queued>),
}

impl Body {
    fn whole(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }

    /// The next bytes; `None` is the end. After an error the client must not take what it has for all of it.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        match self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(Ok)),
            Self::Stream(events) => events.poll_next(cx).map(|next| next.map(Ok)),
            Self::Sound(sound) => sound.poll_next(cx),
            Self::Queued(queued) => queued.poll_next(cx).map(|next| next.map(Ok)),
        }
    }
}

impl Reply {
    fn new(status: StatusCode, headers: HeaderMap, body: Body, request_id: &str) -> Self {
        let mut reply = Self { status, headers, body, close: false, code: None, waiting: None };
        put(&mut reply.headers, REQUEST_ID, request_id);
        reply
    }

    pub(super) fn of(outcome: Result<Answer, Error>, request_id: &str) -> Self {
        match outcome {
            Ok(Answer { status, headers, payload: Payload::Whole(bytes) }) => {
                Self::new(status, headers, Body::whole(bytes), request_id)
            }
            Ok(Answer { status, headers, payload: Payload::Stream(events) }) => {
                Self::new(status, headers, Body::Stream(events), request_id)
            }
            Ok(Answer { status, headers, payload: Payload::Sound(sound) }) => {
                Self::new(status, headers, Body::Sound(sound), request_id)
            }
            Err(error) => Self::error(&error, request_id),
        }
    }

    /// The answer of a stream that still waits in the queue.
    pub(super) fn queued(queued: Queued, request_id: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        stream_on(&mut headers);
        Self::new(StatusCode::OK, headers, Body::Queued(Box::new(queued)), request_id)
    }

    /// A JSON answer that did not come from a provider.
    pub(super) fn json(status: StatusCode, body: Bytes, request_id: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self::new(status, headers, Body::whole(body), request_id)
    }

    /// The answer for an error, with everything that tells the client when to come back.
    pub fn error(error: &Error, request_id: &str) -> Self {
        let mut reply = Self::json(error.status, error.to_body(request_id), request_id);
        let headers = &mut reply.headers;
        headers.extend(error.headers.clone());
        match error.retry {
            Retry::Unsaid => {}
            Retry::After(wait) => {
                let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                put(headers, header::RETRY_AFTER, &millis.div_ceil(1000).to_string());
                put(headers, RETRY_AFTER_MS, &millis.to_string());
                put(headers, SHOULD_RETRY, if wait <= WORTH_WAITING { "true" } else { "false" });
            }
            Retry::Never => put(headers, SHOULD_RETRY, "false"),
        }
        if let Some(limit) = &error.limit {
            put(headers, LIMIT, limit);
        }
        if error.status == StatusCode::UNAUTHORIZED {
            put(headers, header::WWW_AUTHENTICATE, "Bearer");
        }
        if error.style == Style::Anthropic {
            put(headers, ANTHROPIC_ID, request_id);
        }
        reply.close = error.close;
        reply.code = error.code.as_deref().map(str::to_owned);
        reply
    }
}

/// Values that are no legal header (a limit named in Japanese) are left out.
fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
