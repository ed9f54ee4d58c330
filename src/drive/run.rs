//! The loop over targets, up to the first content of the answer.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::time::{Instant, sleep};

use super::attempt::{Landed, Terms, full, headers};
use super::failed::Failed;
use super::hedge::race;
use super::relay::Relay;
use super::sound::Sound;
use super::{faults, mirror};
use crate::error::{Error, Retry};
use crate::pipeline::{Attempt, Close, Events, Flight, Gateway, Next};

const COST: HeaderName = HeaderName::from_static("x-sluice-cost");

/// Prompt tokens that the provider read from its own cache.
const CACHED: HeaderName = HeaderName::from_static("x-sluice-cached-tokens");

/// An answer as a door sends it.
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers, without those of the connection.
    pub headers: HeaderMap,
    /// The body.
    pub payload: Payload,
}

/// The body of an answer.
pub enum Payload {
    /// All of it.
    Whole(Bytes),
    /// Server-sent events as they come.
    Stream(Box<dyn Events>),
    /// Sound as it comes.
    Sound(Box<Sound>),
}

/// Tries targets until one has something to say, and returns the head of its answer (with all of
/// the body if it does not stream). A stream whose first content is long in coming makes the
/// flight's `waiting` say so; the answer may still come from another target. On an error the flight
/// has been closed with it. Dropping the future is the client leaving: the provider is cancelled
/// and the lease settled.
pub async fn run(gateway: &Arc<Gateway>, flight: Box<Flight>) -> Result<Answer, Error> {
    mirror::copy(gateway, &flight);
    let comments = !flight.config().limits.queue_comments.is_zero();
    let hold = flight.routing().hold;
    let waiting = (flight.streams() && comments).then(|| flight.waiting().clone());
    // Pinned in place: a box of this size for each request is felt.
    let mut answer = std::pin::pin!(answer(gateway, flight));
    let Some(waiting) = waiting else { return answer.await };
    tokio::select! {
        biased;
        done = &mut answer => return done,
        () = sleep(hold) => waiting.is_dialled(),
    }
    answer.await
}

/// As [`run`], for a call that nobody waits for.
pub(super) async fn answer(gateway: &Arc<Gateway>, mut flight: Box<Flight>) -> Result<Answer, Error> {
    let mut last: Option<Failed> = None;
    loop {
        let terms = Terms::of(&flight);
        let (attempt, request) = match flight.next(gateway) {
            Next::Try(attempt, request) => (attempt, request),
            Next::Wait(target, pending) => {
                let patience =
                    flight.deadline().map_or(ROOM, |due| due.saturating_duration_since(Instant::now()).min(ROOM));
                if target.room(pending, patience).await {
                    continue;
                }
                last.get_or_insert_with(|| Failed::nobody(full(&terms.model), false));
                break;
            }
            Next::Over(error) => {
                if let Some(pause) = last.as_ref().and_then(|failed| flight.again(failed.retry_after())) {
                    sleep(pause).await;
                    continue;
                }
                if let Some(error) = error.filter(|_| last.is_none()) {
                    last = Some(Failed::nobody(error, false));
                }
                break;
            }
        };
        match race(gateway, &mut flight, attempt, request, &terms).await {
            Ok((attempt, landed)) => return Ok(commit(gateway, flight, *attempt, landed, &terms)),
            Err(failed) => {
                if let Some(kind) = failed.kind
                    && flight.fall_back(gateway, kind).await
                {
                    last = None;
                    continue;
                }
                let retryable = failed.retryable;
                last = Some(failed);
                if !retryable {
                    break;
                }
            }
        }
    }
    Err(give_up(&mut flight, last))
}

/// How long a request waits for room at its targets.
pub(super) const ROOM: std::time::Duration = std::time::Duration::from_secs(5);

pub(super) fn give_up(flight: &mut Flight, last: Option<Failed>) -> Error {
    let mut error = last.map_or_else(|| Error::internal("the model has no target"), |failed| failed.error);
    if let (StatusCode::TOO_MANY_REQUESTS, Retry::After(wait)) = (error.status, error.retry) {
        flight.leave_alone(wait);
    }
    error.headers.extend(flight.answer_headers());
    flight.close(&Close::Failed(&error));
    error
}

fn commit(gateway: &Arc<Gateway>, mut flight: Box<Flight>, attempt: Attempt, landed: Landed, terms: &Terms) -> Answer {
    flight.commit(attempt);
    match landed {
        Landed::Whole(head, body) => {
            let mut headers = headers(&flight, &head.headers);
            if let Some(cost) = flight.close(&Close::Complete) {
                headers.insert(COST, dollars(cost));
            }
            if let Some(cached) = flight.waiting().bill().map(|bill| bill.cached_input).filter(|cached| *cached > 0) {
                headers.insert(CACHED, HeaderValue::from(cached));
            }
            Answer { status: head.status, headers, payload: Payload::Whole(body) }
        }
        Landed::Stream(stream) => {
            let (status, mut headers) = (stream.head.status, headers(&flight, &stream.head.headers));
            let (events, cost) = (stream.events, flight.tally().cost_micros);
            let relay = Relay::new(gateway, flight, *stream, faults::cut(gateway, terms));
            if events {
                return Answer { status, headers, payload: Payload::Stream(Box::new(relay)) };
            }
            // Known before the end: sound is billed by its text.
            headers.insert(COST, dollars(cost));
            Answer { status, headers, payload: Payload::Sound(Box::new(Sound(relay))) }
        }
    }
}

/// Micro-dollars as dollars, exactly.
fn dollars(micros: u64) -> HeaderValue {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("0"))
}
