//! A request whose provider somebody else calls: what to send there, and what to make of the answer as it comes by.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sluice_providers::{ResponseHead, UpstreamRequest};

use super::attempt::{broke_off, client_headers, is_event_stream, refuse_encoded};
use crate::config::TargetRoute;
use crate::error::{Error, Retry};
use crate::pipeline::{Close, Flight, Tally};

/// Whole answers larger than this are refused: they are held in memory.
const REPLY_CAP: usize = 64 * 1024 * 1024;
/// More of an error body than this is not kept.
const ERROR_BODY: usize = 256 * 1024;
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// What of a refusal tells the client when to come back.
const COME_BACK: [HeaderName; 3] =
    [header::RETRY_AFTER, HeaderName::from_static("retry-after-ms"), HeaderName::from_static("x-should-retry")];

/// One admitted request. Dropping it before its answer is complete is the client leaving: the lease is settled with
/// what has come by.
pub struct Steered {
    flight: Flight,
    state: State,
}

enum State {
    /// No answer yet.
    Awaits,
    Streams,
    /// To be translated once all of it has come.
    Gathers(Gathered),
    /// Nothing more of it counts.
    Over,
}

struct Gathered {
    status: StatusCode,
    headers: HeaderMap,
    body: BytesMut,
}

impl Steered {
    /// The first target and the request for it.
    pub fn begin(mut flight: Flight) -> Result<(Self, TargetRoute, UpstreamRequest), Error> {
        let next = flight.next_target().unwrap_or_else(|| Err(Error::internal("the model has no target")));
        match next {
            Ok((target, request)) => {
                flight.departed();
                Ok((Self { flight, state: State::Awaits }, target, request))
            }
            Err(error) => {
                flight.close(&Close::Failed(&error));
                Err(error)
            }
        }
    }

    /// The answer is of another target than the first: whoever calls has moved on.
    pub fn answered_by(&mut self, label: &str) {
        self.flight.answered_by(label);
    }

    /// Takes the head of the answer, and returns the headers for the client.
    pub fn head(&mut self, status: StatusCode, headers: HeaderMap) -> Result<HeaderMap, Error> {
        if let Some(target) = self.flight.target()
            && let Err(failed) = refuse_encoded(&headers, target)
        {
            return Err(self.fail(failed.error));
        }
        let mut out = client_headers(&self.flight, &headers);
        if status.is_success() && self.flight.streams() && is_event_stream(&headers) {
            self.flight.begin_stream();
            self.state = State::Streams;
            return Ok(out);
        }
        if !status.is_success() {
            out.insert(header::CONTENT_TYPE, JSON);
            for name in COME_BACK {
                if let Some(value) = headers.get(&name) {
                    out.insert(name, value.clone());
                }
            }
        }
        self.state = State::Gathers(Gathered { status, headers, body: BytesMut::new() });
        Ok(out)
    }

    /// Takes the next bytes of the answer, and returns what the client gets in their place; `last` says that no more
    /// come. An error means that the answer cannot be completed; in a stream it comes as a last event instead.
    pub fn chunk(&mut self, data: Bytes, last: bool) -> Result<Option<Bytes>, Error> {
        match &mut self.state {
            State::Awaits | State::Over => Ok(None),
            State::Streams => Ok(self.event(data, last)),
            State::Gathers(gathered) => {
                let cap = if gathered.status.is_success() { REPLY_CAP } else { ERROR_BODY };
                if gathered.body.len() + data.len() <= cap {
                    gathered.body.extend_from_slice(&data);
                } else if gathered.status.is_success() {
                    let message = format!("the provider's answer is larger than {cap} bytes");
                    return Err(self.fail(Error::upstream("response_too_large", message)));
                }
                if last { self.whole() } else { Ok(None) }
            }
        }
    }

    fn event(&mut self, data: Bytes, last: bool) -> Option<Bytes> {
        let translated = if data.is_empty() { Ok(None) } else { self.flight.chunk(data) };
        let mut bytes = match translated {
            Ok(bytes) => bytes,
            Err(error) => {
                let message = format!("the provider's stream could not be read: {error}");
                return Some(self.fail(Error::upstream("malformed_stream", message)).to_event());
            }
        };
        if let Some(error) = self.flight.take_stream_error() {
            // Its own event is in `bytes` already: only the books are left to close.
            self.fail(error.into());
        } else if self.flight.is_done() {
            self.complete();
        } else if last {
            let rest = match self.flight.finish() {
                Ok(rest) => {
                    self.complete();
                    rest
                }
                Err(_) => Some(self.fail(broke_off()).to_event()),
            };
            bytes = join(bytes, rest);
        }
        bytes
    }

    fn whole(&mut self) -> Result<Option<Bytes>, Error> {
        let State::Gathers(gathered) = std::mem::replace(&mut self.state, State::Over) else { return Ok(None) };
        let head = ResponseHead { status: gathered.status, headers: &gathered.headers };
        let body = gathered.body.freeze();
        if gathered.status.is_success() {
            let translated = self.flight.reply(&head, body);
            return match translated {
                Ok(body) => {
                    self.complete();
                    Ok(Some(body))
                }
                Err(error) => {
                    let message = format!("the answer could not be read: {error}");
                    Err(self.fail(Error::upstream("malformed_response", message)))
                }
            };
        }
        let refused = self.flight.refused(&head, &body).map(Error::from);
        let refused = refused.unwrap_or_else(|| Error::upstream("upstream_error", "the provider refused the request"));
        self.flight.attempt_failed(refused.code.as_deref().unwrap_or("error"));
        if let (StatusCode::TOO_MANY_REQUESTS, Retry::After(wait)) = (refused.status, refused.retry) {
            self.flight.leave_alone(wait);
        }
        Ok(Some(self.fail(refused).to_body()))
    }

    fn complete(&mut self) {
        self.flight.close(&Close::Complete);
        self.state = State::Over;
    }

    fn fail(&mut self, error: Error) -> Error {
        self.flight.close(&Close::Failed(&error));
        self.state = State::Over;
        error
    }

    /// Who is charged what so far.
    pub fn tally(&self) -> Tally {
        self.flight.tally()
    }
}

fn join(first: Option<Bytes>, second: Option<Bytes>) -> Option<Bytes> {
    match (first, second) {
        (Some(first), Some(second)) => Some([first, second].concat().into()),
        (first, second) => first.or(second),
    }
}
