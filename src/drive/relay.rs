//! A committed stream: pulls the provider's bytes through the flight, and turns every way it can
//! end into something the client can tell apart.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use tokio::time::{Instant, Sleep, sleep_until};

use super::attempt::{broke_off, first_token_late, idle_late};
use crate::error::Error;
use crate::pipeline::{Close, Flight, Tally};
use crate::upstream::Incoming;

/// After the provider's last event: time for its connection to end, so that it can be reused.
const TAIL: Duration = Duration::from_millis(250);

/// A stream of server-sent events. Dropping it before its end is the client leaving: the provider
/// is cancelled and the lease settled with the tokens relayed so far.
pub struct Relay {
    flight: Flight,
    body: Incoming,
    timer: Pin<Box<Sleep>>,
    begun: Instant,
    /// When the last bytes came.
    last: Instant,
    total: Option<Instant>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// No content event yet.
    Waiting,
    /// Content has come.
    Flowing,
    /// The provider said it is done; settled, waiting for its connection to end.
    Done,
    /// Nothing more comes.
    Ended,
}

impl Relay {
    pub(super) fn new(flight: Flight, body: Incoming, total: Option<Instant>) -> Self {
        let now = Instant::now();
        let mut relay = Self {
            flight,
            body,
            timer: Box::pin(sleep_until(now)),
            begun: now,
            last: now,
            total,
            state: State::Waiting,
        };
        relay.arm();
        relay
    }

    /// Who is charged what so far.
    pub fn tally(&self) -> Tally {
        self.flight.tally()
    }

    /// The next bytes for the client: one or more whole events. `None` is the end. Errors of the
    /// provider's come as a last `error` event.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        while self.state != State::Ended {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    if let Some(bytes) = self.on_data(data) {
                        return Poll::Ready(Some(bytes));
                    }
                }
                Poll::Ready(Some(Err(_))) if self.state == State::Done => self.state = State::Ended,
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(self.fail(&broke_off()))),
                Poll::Ready(None) => return Poll::Ready(self.on_end()),
                Poll::Pending => match self.overdue(cx) {
                    None => return Poll::Pending,
                    Some(_) if self.state == State::Done => self.state = State::Ended,
                    Some(error) => return Poll::Ready(Some(self.fail(&error))),
                },
            }
        }
        Poll::Ready(None)
    }

    fn on_data(&mut self, data: Bytes) -> Option<Bytes> {
        self.last = Instant::now();
        let bytes = match self.flight.chunk(data) {
            Ok(bytes) => bytes,
            Err(error) => {
                let message = format!("the provider's stream could not be read: {error}");
                return Some(self.fail(&Error::upstream("malformed_stream", message)));
            }
        };
        if self.state == State::Waiting && self.flight.has_content() {
            self.state = State::Flowing;
            self.arm();
        }
        if let Some(error) = self.flight.take_stream_error() {
            // Its own event is in `bytes` already: only the books are left to close.
            self.flight.close(&Close::Failed(&error.into()));
            self.state = State::Ended;
        } else if self.flight.is_done() && self.state != State::Done {
            self.flight.close(&Close::Complete);
            self.state = State::Done;
            self.arm();
        }
        bytes
    }

    fn on_end(&mut self) -> Option<Bytes> {
        if self.state == State::Done {
            self.state = State::Ended;
            return None;
        }
        match self.flight.finish() {
            Ok(bytes) => {
                self.flight.close(&Close::Complete);
                self.state = State::Ended;
                bytes
            }
            Err(_) => Some(self.fail(&broke_off())),
        }
    }

    fn fail(&mut self, error: &Error) -> Bytes {
        self.flight.close(&Close::Failed(error));
        self.state = State::Ended;
        error.to_event()
    }

    /// The deadline of the state, and what it means to miss it.
    fn due(&self) -> Instant {
        let timeouts = self.flight.timeouts();
        let due = match self.state {
            State::Waiting => self.begun + timeouts.first_token,
            State::Flowing => self.last + timeouts.idle,
            State::Done | State::Ended => self.last + TAIL,
        };
        self.total.map_or(due, |total| total.min(due))
    }

    fn arm(&mut self) {
        let due = self.due();
        self.timer.as_mut().reset(due);
    }

    /// Chunks do not touch the timer: it is moved on only when it fires too early.
    fn overdue(&mut self, cx: &mut Context<'_>) -> Option<Error> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if self.due() > now {
                self.arm();
                continue;
            }
            let timeouts = self.flight.timeouts();
            return Some(match self.total {
                Some(total) if total <= now => {
                    Error::deadline("total_timeout", "the answer took longer than the provider's timeouts.total")
                }
                _ if self.state == State::Waiting => first_token_late(timeouts.first_token),
                _ => idle_late(timeouts.idle),
            });
        }
        None
    }
}
