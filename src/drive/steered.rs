//! A request whose provider somebody else calls: what to send there, and what to make of the answer as it comes by.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sluice_providers::{ResponseHead, UpstreamRequest};

use super::attempt::{
    ERROR_BODY, Pieces, REPLY_CAP, broke_off, full, headers as client_headers, in_pieces, refuse_encoded, unreadable,
};
use super::failed::Failed;
use super::run::{ROOM, give_up};
use crate::config::TargetRoute;
use crate::error::Error;
use crate::pipeline::{Attempt, Close, Flight, Gateway, Next, Tally};

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
    Awaits(Box<Attempt>),
    Streams,
    /// What comes is passed on as it is.
    Sounds,
    /// To be translated once all of it has come.
    Gathers(Box<Gathered>),
    /// Nothing more of it counts.
    Over,
}

struct Gathered {
    attempt: Attempt,
    status: StatusCode,
    headers: HeaderMap,
    body: BytesMut,
}

impl Steered {
    /// Picks a target, and makes the request for it. Waits for room where all targets are full. On an error the
    /// request has been settled and recorded.
    pub async fn begin(
        gateway: &Arc<Gateway>,
        mut flight: Flight,
    ) -> Result<(Self, TargetRoute, UpstreamRequest), Error> {
        let failed = loop {
            match flight.next(gateway) {
                Next::Try(mut attempt, request) => {
                    let Some(target) = attempt.target().cloned() else { break None };
                    attempt.departed();
                    return Ok((Self { flight, state: State::Awaits(attempt) }, target, request));
                }
                Next::Wait(target, pending) => {
                    if !target.room(pending, ROOM).await {
                        break Some(Failed::nobody(full(flight.model()), false));
                    }
                }
                Next::Over(error) => break error.map(|error| Failed::nobody(error, false)),
            }
        };
        Err(give_up(&mut flight, failed))
    }

    /// Gives up before the provider was called.
    pub fn refuse(&mut self, error: Error) -> Error {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Awaits(attempt) => self.refused(*attempt, Failed::nobody(error, false)),
            _ => error,
        }
    }

    /// Whether the answer is passed on as it comes.
    pub fn streams(&self) -> bool {
        matches!(self.state, State::Streams | State::Sounds)
    }

    /// The answer is of this target: whoever calls may have moved on from the first one.
    pub fn answered_by(&mut self, label: &str) {
        let State::Awaits(attempt) = &mut self.state else { return };
        if attempt.label() != label && attempt.moved_to(label) {
            self.flight.moved(attempt);
        }
    }

    /// Takes the head of the answer, and returns status and headers for the client. A refusal's status is what the
    /// provider's own means to the client, as far as it says without its body: a key of ours that is refused is no
    /// fault of the client's.
    pub fn head(&mut self, status: StatusCode, headers: HeaderMap) -> Result<(StatusCode, HeaderMap), Error> {
        let State::Awaits(mut attempt) = std::mem::replace(&mut self.state, State::Over) else {
            return Err(Error::internal("an answer that nobody asked for"));
        };
        if let Err(failed) = refuse_encoded(&headers, &attempt) {
            return Err(self.refused(*attempt, failed));
        }
        let mut out = client_headers(&self.flight, &headers);
        let pieces = in_pieces(&attempt, self.flight.streams(), &headers);
        if let Some(kind) = pieces.filter(|_| status.is_success()) {
            attempt.begin_stream(&ResponseHead { status, headers: &headers });
            self.flight.commit(*attempt);
            self.state = if kind == Pieces::Events { State::Streams } else { State::Sounds };
            return Ok((status, out));
        }
        let mut shown = status;
        if !status.is_success() {
            let meant = attempt.refused(&ResponseHead { status, headers: &headers }, b"");
            shown = meant.map_or(status, |error| error.status);
            out.insert(header::CONTENT_TYPE, JSON);
            for name in COME_BACK {
                if let Some(value) = headers.get(&name) {
                    out.insert(name, value.clone());
                }
            }
        }
        let gathered = Gathered { attempt: *attempt, status, headers, body: BytesMut::new() };
        self.state = State::Gathers(Box::new(gathered));
        Ok((shown, out))
    }

    /// Takes the next bytes of the answer, and returns what the client gets in their place; `last` says that no more
    /// come. An error means that the answer cannot be completed; in a stream it comes as a last event instead.
    pub fn chunk(&mut self, data: Bytes, last: bool) -> Result<Option<Bytes>, Error> {
        match &mut self.state {
            State::Awaits(_) | State::Over => return Ok(None),
            State::Streams => return Ok(self.event(data, last)),
            State::Sounds => return self.sound(data, last),
            State::Gathers(gathered) => {
                let cap = if gathered.status.is_success() { REPLY_CAP } else { ERROR_BODY };
                if gathered.body.len() + data.len() <= cap {
                    gathered.body.extend_from_slice(&data);
                } else if gathered.status.is_success() {
                    let message = format!("the provider's answer is larger than {cap} bytes");
                    return Err(self.fail(Error::upstream("response_too_large", message)));
                }
            }
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::Gathers(gathered) if last => self.whole(*gathered),
            state => {
                self.state = state;
                Ok(None)
            }
        }
    }

    fn event(&mut self, data: Bytes, last: bool) -> Option<Bytes> {
        let translated = if data.is_empty() { Ok(None) } else { self.flight.chunk(data) };
        let mut bytes = match translated {
            Ok(bytes) => bytes,
            Err(error) => {
                let before = self.flight.rest();
                return join(before, Some(self.fail(unreadable(&error)).to_event()));
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

    fn sound(&mut self, data: Bytes, last: bool) -> Result<Option<Bytes>, Error> {
        let bytes = self.flight.chunk(data).map_err(|error| self.fail(unreadable(&error)))?;
        if last {
            self.complete();
        }
        Ok(bytes)
    }

    fn whole(&mut self, mut gathered: Gathered) -> Result<Option<Bytes>, Error> {
        let head = ResponseHead { status: gathered.status, headers: &gathered.headers };
        let body = gathered.body.freeze();
        if !gathered.status.is_success() {
            let failed = match gathered.attempt.refused(&head, &body) {
                Some(error) => Failed::status(error, gathered.status.as_u16()),
                None => Failed::target(Error::upstream("upstream_error", "the provider refused the request")),
            };
            return Ok(Some(self.refused(gathered.attempt, failed).to_body("")));
        }
        match gathered.attempt.reply(&head, body) {
            Ok(body) => {
                self.flight.commit(gathered.attempt);
                self.complete();
                Ok(Some(body))
            }
            Err(error) => {
                let message = format!("the answer could not be read: {error}");
                let failed = Failed::target(Error::upstream("malformed_response", message));
                Err(self.refused(gathered.attempt, failed))
            }
        }
    }

    /// Closes the books of an attempt that has brought nothing.
    fn refused(&mut self, mut attempt: Attempt, failed: Failed) -> Error {
        let code = failed.code();
        self.flight.attempt_failed(&attempt, &code);
        attempt.blame(failed.blame, &code);
        give_up(&mut self.flight, Some(failed)).for_client_of(self.flight.endpoint())
    }

    fn complete(&mut self) {
        self.flight.close(&Close::Complete);
        self.state = State::Over;
    }

    fn fail(&mut self, error: Error) -> Error {
        self.flight.close(&Close::Failed(&error));
        self.state = State::Over;
        error.for_client_of(self.flight.endpoint())
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
