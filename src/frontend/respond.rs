//! Turns what the pipeline answered into an HTTP response and its body.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, Version, header};
use http_body::{Body, Frame, SizeHint};

use super::idle::Active;
use super::queued::Queued;
use crate::drive::{Answer, Payload, Relay};
use crate::error::{Error, Retry};

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const LIMIT: HeaderName = HeaderName::from_static("x-sluice-limit");
/// SDKs do not sleep longer than this, and would retry too early.
const WORTH_WAITING: Duration = Duration::from_mins(1);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A response body: known bytes, or a relayed stream. Dropping it is the client leaving.
pub(super) struct Outgoing {
    kind: Kind,
    /// Keeps the connection's timers off while the answer is being written.
    _active: Active,
}

enum Kind {
    Whole(Option<Bytes>),
    Stream(Box<Relay>),
    Queued(Box<Queued>),
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut self.get_mut().kind {
            Kind::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Stream(relay) => relay.poll_next(cx).map(|next| next.map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Queued(queued) => queued.poll_next(cx).map(|next| next.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.kind, Kind::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Kind::Stream(_) | Kind::Queued(_) => SizeHint::default(),
        }
    }
}

/// The response for an answer of the pipeline's.
pub(super) fn answer(answer: Answer, request_id: &str, active: Active) -> Response<Outgoing> {
    let kind = match answer.payload {
        Payload::Whole(bytes) => Kind::Whole(Some(bytes).filter(|bytes| !bytes.is_empty())),
        Payload::Stream(relay) => Kind::Stream(relay),
    };
    let mut response = Response::new(Outgoing { kind, _active: active });
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    put(response.headers_mut(), REQUEST_ID, request_id);
    response
}

/// The response of a stream that still waits in the queue.
pub(super) fn waits(queued: Queued, request_id: &str, active: Active) -> Response<Outgoing> {
    let mut response = Response::new(Outgoing { kind: Kind::Queued(Box::new(queued)), _active: active });
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    put(headers, REQUEST_ID, request_id);
    response
}

/// A JSON response that did not come from a provider.
pub(super) fn json(status: StatusCode, body: Bytes, request_id: &str, active: Active) -> Response<Outgoing> {
    let mut headers = http::HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer(Answer { status, headers, payload: Payload::Whole(body) }, request_id, active)
}

/// The response for an error, with everything that tells the client when to come back.
pub(super) fn error(error: &Error, version: Version, request_id: &str, active: Active) -> Response<Outgoing> {
    let mut response = json(error.status, error.to_body(), request_id, active);
    let headers = response.headers_mut();
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
    if error.close && version < Version::HTTP_2 {
        put(headers, header::CONNECTION, "close");
    }
    response
}

/// Values that are no legal header (a limit named in Japanese) are left out.
fn put(headers: &mut http::HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
