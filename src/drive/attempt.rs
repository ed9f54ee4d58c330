//! One attempt at one target: dial, judge the head, and for answers that do not stream, the body.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, response};
use http_body_util::BodyExt;
use sluice_providers::{ResponseHead, UpstreamRequest};
use tokio::time::{Instant, timeout_at};

use super::run::{Answer, Payload};
use crate::config::{TargetRoute, Timeouts};
use crate::error::Error;
use crate::pipeline::{Close, Flight, Gateway};
use crate::upstream::Incoming;

/// How long the head of an answer that does not stream is waited for without a total deadline.
const LONGEST_HEAD: Duration = Duration::from_mins(10);
/// More of an error body than this is not read.
const ERROR_BODY: usize = 256 * 1024;
/// Time for the body of an error whose head has come.
const ERROR_PATIENCE: Duration = Duration::from_secs(5);
/// Whole answers larger than this are refused: they are held in memory.
const REPLY_CAP: usize = 64 * 1024 * 1024;
const COST: HeaderName = HeaderName::from_static("x-sluice-cost");

/// A target that answered.
pub(super) enum Landed {
    /// All of the answer; the flight is closed.
    Whole(Answer),
    /// A stream has begun.
    Stream(StreamHead, Incoming),
}

pub(super) struct StreamHead {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// When the whole answer must be over.
    pub(super) total: Option<Instant>,
}

/// A target that did not, before anything was sent to the client.
pub(super) struct Failed {
    pub(super) error: Error,
    /// Another target may do better.
    pub(super) retryable: bool,
}

impl Failed {
    fn retryable(error: Error) -> Self {
        Self { error, retryable: true }
    }
}

pub(super) async fn attempt(
    gateway: &Arc<Gateway>,
    flight: &mut Flight,
    target: &TargetRoute,
    request: UpstreamRequest,
) -> Result<Landed, Failed> {
    let timeouts = &target.provider.timeouts;
    let begun = Instant::now();
    let total = timeouts.total.map(|total| begun + total);
    flight.departed();
    let (due, late) = head_deadline(timeouts, begun, flight.streams());
    let sent = timeout_at(due, gateway.upstreams.send(&target.provider, request)).await;
    let response = match sent {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Err(Failed::retryable(error)),
        Err(_) => return Err(Failed::retryable(late)),
    };
    let (head, body) = response.into_parts();
    refuse_encoded(&head.headers, target)?;
    if !head.status.is_success() {
        return Err(refused(flight, &head, body).await);
    }
    if flight.streams() && is_event_stream(&head.headers) {
        flight.begin_stream();
        let headers = client_headers(flight, &head.headers);
        return Ok(Landed::Stream(StreamHead { status: head.status, headers, total }, body));
    }
    let body = whole(body, timeouts, total, REPLY_CAP).await.map_err(Failed::retryable)?;
    let upstream = ResponseHead { status: head.status, headers: &head.headers };
    let body = flight.reply(&upstream, body).map_err(|error| {
        let message = format!("target {}: the answer could not be read: {error}", target.label);
        Failed::retryable(Error::upstream("malformed_response", message))
    })?;
    let mut headers = client_headers(flight, &head.headers);
    if let Some(cost) = flight.close(&Close::Complete) {
        headers.insert(COST, dollars(cost));
    }
    Ok(Landed::Whole(Answer { status: head.status, headers, payload: Payload::Whole(body) }))
}

/// When the head must have come, and the error if it has not.
fn head_deadline(timeouts: &Timeouts, begun: Instant, streams: bool) -> (Instant, Error) {
    let longest = timeouts.total.unwrap_or(LONGEST_HEAD);
    if streams && timeouts.first_token < longest {
        return (begun + timeouts.first_token, first_token_late(timeouts.first_token));
    }
    let message = format!("the provider did not answer within {} s", longest.as_secs_f32());
    (begun + longest, Error::deadline("total_timeout", message))
}

pub(super) fn first_token_late(after: Duration) -> Error {
    let message = format!("the provider sent no token within {} s (timeouts.first_token)", after.as_secs_f32());
    Error::deadline("first_token_timeout", message)
}

pub(super) fn idle_late(after: Duration) -> Error {
    let message = format!("the provider fell silent for {} s (timeouts.idle)", after.as_secs_f32());
    Error::deadline("idle_timeout", message)
}

pub(super) fn broke_off() -> Error {
    Error::upstream("upstream_reset", "the provider's connection broke off in the middle of its answer")
}

/// `accept-encoding: identity` was sent. A compressed answer could be relayed, but its usage could
/// not be read, and the request would escape its quota.
pub(super) fn refuse_encoded(headers: &HeaderMap, target: &TargetRoute) -> Result<(), Failed> {
    let Some(encoding) = headers.get(header::CONTENT_ENCODING) else { return Ok(()) };
    if encoding.as_bytes().eq_ignore_ascii_case(b"identity") {
        return Ok(());
    }
    let message = format!(
        "target {} answered with content-encoding {encoding:?} although it was asked for identity",
        target.label
    );
    Err(Failed::retryable(Error::upstream("unsupported_encoding", message)))
}

async fn refused(flight: &mut Flight, head: &response::Parts, body: Incoming) -> Failed {
    let timeouts = Timeouts { idle: ERROR_PATIENCE, ..Timeouts::default() };
    // An error whose body does not come is still an error with a status.
    let due = Some(Instant::now() + ERROR_PATIENCE);
    let body = whole(body, &timeouts, due, ERROR_BODY).await.unwrap_or_default();
    let upstream = ResponseHead { status: head.status, headers: &head.headers };
    match flight.refused(&upstream, &body) {
        Some(error) => Failed { retryable: error.retryable, error: error.into() },
        None => Failed::retryable(Error::upstream("upstream_error", "the provider refused the request")),
    }
}

/// Reads a body to its end, under a cap and the deadlines.
async fn whole(mut body: Incoming, timeouts: &Timeouts, total: Option<Instant>, cap: usize) -> Result<Bytes, Error> {
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    loop {
        let idle = Instant::now() + timeouts.idle;
        let due = total.map_or(idle, |total| total.min(idle));
        let Ok(frame) = timeout_at(due, body.frame()).await else { return Err(idle_late(timeouts.idle)) };
        let Some(frame) = frame else { break };
        let Ok(data) = frame.map_err(|_| broke_off())?.into_data() else { continue };
        match &first {
            None => first = Some(data),
            Some(first) => {
                if rest.is_empty() {
                    rest.extend_from_slice(first);
                }
                rest.extend_from_slice(&data);
            }
        }
        if rest.len() > cap {
            let message = format!("the provider's answer is larger than {cap} bytes");
            return Err(Error::upstream("response_too_large", message));
        }
    }
    Ok(if rest.is_empty() { first.unwrap_or_default() } else { rest.freeze() })
}

pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    value.get(..17).is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"))
}

/// What of a provider's headers reaches the client: the type of the body, and `openai-*`.
pub(super) fn client_headers(flight: &Flight, upstream: &HeaderMap) -> HeaderMap {
    let mut headers = flight.answer_headers();
    for (name, value) in upstream {
        if name == header::CONTENT_TYPE || name.as_str().starts_with("openai-") {
            headers.insert(name.clone(), value.clone());
        }
    }
    if is_event_stream(upstream) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        // nginx and its kin buffer event streams unless told not to.
        headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    }
    headers
}

/// Micro-dollars as dollars, exactly.
fn dollars(micros: u64) -> HeaderValue {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("0"))
}
