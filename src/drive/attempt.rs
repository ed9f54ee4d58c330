//! One attempt at one target: dial, judge the head, and wait for something to say: the first
//! content of a stream, or all of an answer that does not stream.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header, response};
use http_body_util::BodyExt;
use sluice_providers::{ResponseHead, UpstreamRequest};
use tokio::time::{Instant, timeout_at};

use super::deadlines::Deadlines;
use super::failed::Failed;
use super::faults;
use super::hold::{first_sound, hold};
use crate::config::{Faults, Timeouts};
use crate::error::Error;
use crate::pipeline::{Attempt, Flight, Gateway, stream_on};
use crate::upstream::{Incoming, Tail};

/// More of an error body than this is not read.
pub(super) const ERROR_BODY: usize = 256 * 1024;
/// Time for the body of an error whose head has come.
const ERROR_PATIENCE: Duration = Duration::from_secs(5);
/// Whole answers larger than this are refused: they are held in memory.
pub(super) const REPLY_CAP: usize = 64 * 1024 * 1024;
/// A stream in AWS's framing; what the client gets of it is server-sent events.
const AWS_EVENTS: &str = "application/vnd.amazon.eventstream";

/// What a request needs of all its attempts.
#[derive(Clone)]
pub(super) struct Terms {
    pub(super) streams: bool,
    /// The client's own deadline.
    pub(super) deadline: Option<Instant>,
    /// The public model.
    pub(super) model: Arc<str>,
    pub(super) faults: Option<Faults>,
}

impl Terms {
    pub(super) fn of(flight: &Flight) -> Self {
        Self {
            streams: flight.streams(),
            deadline: flight.deadline(),
            model: Arc::clone(flight.model()),
            faults: flight.routing().faults.clone(),
        }
    }
}

/// A target that answered.
pub(super) enum Landed {
    /// All of the answer, translated.
    Whole(response::Parts, Bytes),
    /// A stream that has spoken, with what it has said so far.
    Stream(Box<Stream>),
}

pub(super) struct Stream {
    pub(super) head: response::Parts,
    /// What comes is events, and not sound.
    pub(super) events: bool,
    pub(super) first: Bytes,
    pub(super) body: Incoming,
    pub(super) deadlines: Deadlines,
}

/// Runs one attempt to where it can be committed, and hands it back with what became of it.
/// Dropping the future cancels the provider.
pub(super) async fn attempt(
    gateway: &Gateway,
    mut attempt: Box<Attempt>,
    request: UpstreamRequest,
    terms: &Terms,
) -> (Box<Attempt>, Result<Landed, Failed>) {
    let landed = land(gateway, &mut attempt, request, terms).await;
    (attempt, landed)
}

async fn land(
    gateway: &Gateway,
    attempt: &mut Attempt,
    request: UpstreamRequest,
    terms: &Terms,
) -> Result<Landed, Failed> {
    let gone = || Failed::nobody(Error::internal("the target is gone"), true);
    let target = attempt.target().ok_or_else(gone)?;
    let (provider, timeouts) = (Arc::clone(&target.provider), target.timeouts.clone());
    let deadlines = Deadlines::begin(&timeouts, terms.deadline);
    faults::before(gateway, terms).await?;
    attempt.departed();
    let tail = attempt.take_tail();
    let fault = tail.as_ref().map(Tail::fault);
    let sent = gateway.upstreams.send(&provider, timeouts.connect, request, tail);
    let response = match timeout_at(deadlines.head(terms.streams), sent).await {
        Ok(Ok(response)) => response,
        // The rest of the client's body did not come.
        Ok(Err(_)) if let Some(error) = fault.and_then(|fault| fault.take()) => {
            return Err(Failed::nobody(error, false));
        }
        Ok(Err(error)) => return Err(Failed::target(error)),
        Err(_) => return Err(Failed::target(deadlines.no_head(terms.streams))),
    };
    let (head, mut body) = response.into_parts();
    refuse_encoded(&head.headers, attempt)?;
    if !head.status.is_success() {
        return Err(refused(attempt, &head, body).await);
    }
    if let Some(kind) = in_pieces(attempt, terms.streams, &head.headers) {
        attempt.begin_stream(&ResponseHead { status: head.status, headers: &head.headers });
        let events = kind == Pieces::Events;
        let first = if events {
            hold(attempt, &mut body, &deadlines).await?
        } else {
            first_sound(attempt, &mut body, &deadlines).await?
        };
        return Ok(Landed::Stream(Box::new(Stream { head, events, first, body, deadlines })));
    }
    let body = whole(body, &deadlines, REPLY_CAP).await.map_err(Failed::target)?;
    let upstream = ResponseHead { status: head.status, headers: &head.headers };
    let body = attempt.reply(&upstream, body).map_err(|error| {
        let message = format!("target {}: the answer could not be read: {error}", attempt.label());
        Failed::target(Error::upstream("malformed_response", message))
    })?;
    Ok(Landed::Whole(head, body))
}

pub(super) fn broke_off() -> Error {
    Error::upstream("upstream_reset", "the provider's connection broke off in the middle of its answer")
}

pub(super) fn unreadable(error: &sluice_providers::TranslateError) -> Error {
    Error::upstream("malformed_stream", format!("the provider's stream could not be read: {error}"))
}

/// `accept-encoding: identity` was sent. A compressed answer could be relayed, but its usage could
/// not be read, and the request would escape its quota.
pub(super) fn refuse_encoded(headers: &HeaderMap, attempt: &Attempt) -> Result<(), Failed> {
    let Some(encoding) = headers.get(header::CONTENT_ENCODING) else { return Ok(()) };
    if encoding.as_bytes().eq_ignore_ascii_case(b"identity") {
        return Ok(());
    }
    let message = format!(
        "target {} answered with content-encoding {encoding:?} although it was asked for identity",
        attempt.label()
    );
    Err(Failed::target(Error::upstream("unsupported_encoding", message)))
}

async fn refused(attempt: &mut Attempt, head: &response::Parts, body: Incoming) -> Failed {
    let timeouts = Timeouts { idle: ERROR_PATIENCE, ..Timeouts::default() };
    // An error whose body does not come is still an error with a status.
    let deadlines = Deadlines::begin(&timeouts, Some(Instant::now() + ERROR_PATIENCE));
    let body = whole(body, &deadlines, ERROR_BODY).await.unwrap_or_default();
    let upstream = ResponseHead { status: head.status, headers: &head.headers };
    match attempt.refused(&upstream, &body) {
        Some(error) => Failed::status(error, head.status.as_u16()),
        None => Failed::target(Error::upstream("upstream_error", "the provider refused the request")),
    }
}

/// Reads a body to its end, under a cap and the deadlines.
async fn whole(mut body: Incoming, deadlines: &Deadlines, cap: usize) -> Result<Bytes, Error> {
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    loop {
        let due = deadlines.idle(Instant::now());
        let Ok(frame) = timeout_at(due, body.frame()).await else { return Err(deadlines.stalled()) };
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

/// What an answer's pieces are that is passed on while it comes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pieces {
    /// Server-sent events.
    Events,
    /// Sound, which can be heard so far.
    Sound,
}

/// Whether an answer is passed on while it comes; `None` if it is gathered first.
pub(super) fn in_pieces(attempt: &Attempt, streams: bool, headers: &HeaderMap) -> Option<Pieces> {
    // That a form wants a stream may stand behind its file.
    if (streams || attempt.is_form()) && is_event_stream(headers) {
        return Some(Pieces::Events);
    }
    (!streams && attempt.is_speech() && is_sound(headers)).then_some(Pieces::Sound)
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    is_of(headers, "text/event-stream") || is_of(headers, AWS_EVENTS)
}

/// Whether a body can be heard while it comes.
fn is_sound(headers: &HeaderMap) -> bool {
    is_of(headers, "audio/") || is_of(headers, "application/octet-stream")
}

fn is_of(headers: &HeaderMap, kind: &str) -> bool {
    let value = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    value.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind.as_bytes()))
}

/// What of a provider's headers reaches the client: the type of the body, and `openai-*`.
pub(super) fn headers(flight: &Flight, upstream: &HeaderMap) -> HeaderMap {
    let mut headers = flight.answer_headers();
    for (name, value) in upstream {
        if name == header::CONTENT_TYPE || name.as_str().starts_with("openai-") {
            headers.insert(name.clone(), value.clone());
        }
    }
    if is_of(upstream, AWS_EVENTS) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    }
    if is_event_stream(upstream) {
        stream_on(&mut headers);
    }
    headers
}

/// 503 when every target has as many requests as it may.
pub(super) fn full(model: &str) -> Error {
    let message = format!("every target of model `{model}` has as many requests as it may (circuit)");
    let mut error = Error::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded_error", "targets_full", message);
    error.retry = crate::error::Retry::After(Duration::from_secs(1));
    error.outcome = crate::telemetry::Outcome::Overloaded;
    error
}
