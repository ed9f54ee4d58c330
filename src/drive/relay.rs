//! A committed stream: pulls the provider's bytes through the flight, and turns every way it can
//! end into something the client can tell apart.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use tokio::time::{Instant, Sleep, sleep_until};

use super::attempt::{Stream, broke_off, unreadable};
use super::continuation::{self, Resuming};
use super::deadlines::Deadlines;
use super::faults;
use super::sound::BrokenOff;
use crate::error::Error;
use crate::pipeline::{Close, Events, Flight, Gateway};
use crate::upstream::Incoming;

/// After the provider's last event: time for its connection to end, so that it can be reused.
const TAIL: Duration = Duration::from_millis(250);

/// A stream of server-sent events, or of sound. Dropping it before its end is the client leaving: the provider
/// is cancelled and the lease settled with the tokens relayed so far.
pub(super) struct Relay {
    gateway: Arc<Gateway>,
    part: Part,
}

enum Part {
    Flows(Box<Flow>),
    /// It broke off, and the next target is asked to go on.
    Resumes(Resuming),
    Ended,
}

/// What one target sends.
struct Flow {
    flight: Box<Flight>,
    body: Incoming,
    /// What was held back before the stream was committed.
    first: Option<Bytes>,
    /// An error that is told after what came before it.
    broken: Option<Box<Error>>,
    timer: Pin<Box<Sleep>>,
    /// When the last bytes came.
    last: Instant,
    deadlines: Deadlines,
    /// What comes is events, and an error is one too.
    events: bool,
    /// Cut on purpose after so many more chunks.
    cut: Option<u32>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// No content event yet: a prelude too large to hold back.
    Waiting,
    /// Content has come.
    Flowing,
    /// The provider said it is done; settled, waiting for its connection to end.
    Done,
    /// Nothing more comes.
    Ended,
}

/// What came of a poll.
enum Step {
    Bytes(Bytes),
    /// An error that the client has not heard of.
    Broke(Box<Error>),
    End,
}

impl Relay {
    pub(super) fn new(gateway: &Arc<Gateway>, flight: Box<Flight>, stream: Stream, cut: Option<u32>) -> Self {
        Self { gateway: Arc::clone(gateway), part: Part::Flows(Box::new(Flow::new(flight, stream, cut))) }
    }

    /// The next bytes for the client: one or more whole events, or sound. Errors of the provider's come as a last
    /// `error` event, or break sound off.
    pub(super) fn advance(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        loop {
            match &mut self.part {
                Part::Ended => return Poll::Ready(None),
                Part::Flows(flow) => match flow.poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Step::Bytes(bytes)) => return Poll::Ready(Some(Ok(bytes))),
                    Poll::Ready(Step::End) => {
                        self.part = Part::Ended;
                        return Poll::Ready(None);
                    }
                    Poll::Ready(Step::Broke(error)) => {
                        if let Some(last) = self.broke(*error) {
                            return Poll::Ready(Some(last));
                        }
                    }
                },
                Part::Resumes(resuming) => match resuming.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready((flight, result)) => return Poll::Ready(Some(Ok(self.resumed(flight, result)))),
                },
            }
        }
    }

    /// A stream that broke off goes on elsewhere, or ends with what is to be sent.
    fn broke(&mut self, error: Error) -> Option<Result<Bytes, BrokenOff>> {
        let Part::Flows(mut flow) = std::mem::replace(&mut self.part, Part::Ended) else { return None };
        if continuation::worthwhile(&error) && flow.flight.break_off(&error) {
            self.part = Part::Resumes(continuation::resume(Arc::clone(&self.gateway), flow.flight, error));
            return None;
        }
        flow.flight.close(&Close::Failed(&error));
        Some(if flow.events { Ok(error.event_for(flow.flight.endpoint())) } else { Err(BrokenOff) })
    }

    fn resumed(&mut self, mut flight: Box<Flight>, result: Result<Stream, Error>) -> Bytes {
        match result {
            Ok(stream) => {
                // A comment (WHATWG HTML, section 9.2.6): clients ignore it, people see it.
                let mark = Bytes::from_static(b": continued on another target\n\n");
                self.part = Part::Flows(Box::new(Flow::new(flight, stream, None)));
                mark
            }
            Err(error) => {
                flight.close(&Close::Failed(&error));
                error.event_for(flight.endpoint())
            }
        }
    }
}

impl Events for Relay {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        // Events never break off: their errors are events.
        self.advance(cx).map(|next| next.and_then(Result::ok))
    }
}

impl Flow {
    fn new(mut flight: Box<Flight>, stream: Stream, cut: Option<u32>) -> Self {
        let now = Instant::now();
        let state = if flight.is_done() {
            flight.close(&Close::Complete);
            State::Done
        } else if flight.has_content() {
            State::Flowing
        } else {
            State::Waiting
        };
        let Stream { first, events, body, deadlines, .. } = stream;
        let first = (!first.is_empty()).then_some(first);
        let timer = Box::pin(sleep_until(now));
        let mut flow = Self { flight, body, first, broken: None, timer, last: now, deadlines, events, cut, state };
        flow.arm();
        flow
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Step::Bytes(first));
        }
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Step::Broke(error));
        }
        while self.state != State::Ended {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    if let Some(step) = self.on_data(data) {
                        return Poll::Ready(step);
                    }
                }
                Poll::Ready(Some(Err(_))) if self.state == State::Done => self.state = State::Ended,
                Poll::Ready(Some(Err(_))) => return Poll::Ready(self.broke(broke_off())),
                Poll::Ready(None) => return Poll::Ready(self.on_end()),
                Poll::Pending => match self.overdue(cx) {
                    None => return Poll::Pending,
                    Some(_) if self.state == State::Done => self.state = State::Ended,
                    Some(error) => return Poll::Ready(self.broke(error)),
                },
            }
        }
        Poll::Ready(Step::End)
    }

    fn on_data(&mut self, data: Bytes) -> Option<Step> {
        self.last = Instant::now();
        match &mut self.cut {
            Some(0) => return Some(self.broke(faults::was_cut())),
            Some(left) => *left -= 1,
            None => {}
        }
        let bytes = match self.flight.chunk(data) {
            Ok(bytes) => bytes,
            Err(error) => return Some(self.stuck(unreadable(&error))),
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
        bytes.map(Step::Bytes)
    }

    fn on_end(&mut self) -> Step {
        if self.state == State::Done {
            return Step::End;
        }
        match self.flight.finish() {
            Ok(bytes) => {
                self.flight.close(&Close::Complete);
                self.state = State::Ended;
                bytes.map_or(Step::End, Step::Bytes)
            }
            Err(_) => self.broke(broke_off()),
        }
    }

    fn broke(&mut self, error: Error) -> Step {
        self.state = State::Ended;
        Step::Broke(Box::new(error))
    }

    /// What was translated before the error goes first.
    fn stuck(&mut self, error: Error) -> Step {
        let Some(before) = self.flight.rest() else { return self.broke(error) };
        self.state = State::Ended;
        self.broken = Some(Box::new(error));
        Step::Bytes(before)
    }

    /// The deadline of the state.
    fn due(&self) -> Instant {
        match self.state {
            State::Waiting => self.deadlines.first_token(),
            State::Flowing => self.deadlines.idle(self.last),
            State::Done | State::Ended => self.last + TAIL,
        }
    }

    fn arm(&mut self) {
        let due = self.due();
        self.timer.as_mut().reset(due);
    }

    /// Chunks do not touch the timer: it is moved on only when it fires too early.
    fn overdue(&mut self, cx: &mut Context<'_>) -> Option<Error> {
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.due() > Instant::now() {
                self.arm();
                continue;
            }
            let waiting = self.state == State::Waiting;
            return Some(if waiting { self.deadlines.silent() } else { self.deadlines.stalled() });
        }
        None
    }
}
