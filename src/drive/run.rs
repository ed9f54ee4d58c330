//! The loop over targets, up to the head of the answer.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::attempt::{Failed, Landed, attempt};
use super::relay::Relay;
use crate::error::{Error, Retry};
use crate::pipeline::{Close, Flight, Gateway};

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
    Stream(Box<Relay>),
}

/// Tries the targets in order until one answers, and returns the head of its answer (with all of
/// the body if it does not stream). On an error the flight has been closed with it. Dropping the
/// future is the client leaving: the provider is cancelled and the lease settled.
pub async fn run(gateway: &Arc<Gateway>, mut flight: Flight) -> Result<Answer, Error> {
    let mut last = None;
    while let Some(next) = flight.next_target() {
        let landed = match next {
            Ok((target, request)) => attempt(gateway, &mut flight, &target, request).await,
            Err(error) => Err(Failed { error, retryable: false }),
        };
        match landed {
            Ok(Landed::Whole(answer)) => return Ok(answer),
            Ok(Landed::Stream(head, body)) => {
                let payload = Payload::Stream(Box::new(Relay::new(flight, body, head.total)));
                return Ok(Answer { status: head.status, headers: head.headers, payload });
            }
            Err(Failed { error, retryable }) => {
                flight.attempt_failed(error.code.as_deref().unwrap_or("error"));
                last = Some(error);
                if !retryable {
                    break;
                }
            }
        }
    }
    let mut error = last.unwrap_or_else(|| Error::internal("the model has no target"));
    if let (StatusCode::TOO_MANY_REQUESTS, Retry::After(wait)) = (error.status, error.retry) {
        flight.leave_alone(wait);
    }
    error.headers.extend(flight.answer_headers());
    flight.close(&Close::Failed(&error));
    Err(error)
}
