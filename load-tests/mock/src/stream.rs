//! The body of a streamed answer: paced, cut up, and broken on demand.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::behaviour::{Behaviour, Reset};
use crate::inflight::Flight;
use crate::wire::Events;

/// Counts of streams, shared with the handle.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    pub(crate) open: AtomicUsize,
    pub(crate) cancelled: AtomicUsize,
}

enum Step {
    Send(Bytes),
    Wait(Duration),
    /// Break the connection.
    Reset,
    /// Say nothing more, for ever.
    Stall,
}

/// A body; dropped before its end it counts as cancelled.
pub(crate) struct Paced {
    steps: VecDeque<Step>,
    script: Option<Script>,
    timer: Option<Pin<Box<Sleep>>>,
    /// When the last pause ended: pauses are counted from there, so that a stream keeps its pace.
    due: Instant,
    streams: Arc<Streams>,
    /// The request, in flight until its answer is sent.
    pub(crate) flight: Option<Flight>,
}

/// What is still to be planned, event by event: a stream of any length holds one.
struct Script {
    events: Events,
    behaviour: Behaviour,
    chunks: u64,
}

impl Paced {
    pub(crate) fn new(mut events: Events, behaviour: &Behaviour, streams: Arc<Streams>) -> Self {
        streams.open.fetch_add(1, Ordering::Relaxed);
        let mut steps = VecDeque::new();
        if behaviour.stall_at_head {
            steps.push_back(Step::Stall);
        }
        let prelude = std::mem::take(&mut events.prelude);
        for event in prelude.into_iter().filter(|_| !behaviour.no_start) {
            send(&mut steps, event, behaviour.split);
        }
        pause(&mut steps, behaviour.first_token_ms);
        let script = Some(Script { events, behaviour: behaviour.clone(), chunks: 0 });
        Self { steps, script, timer: None, due: Instant::now(), streams, flight: None }
    }

    /// A body in one piece.
    pub(crate) fn whole(body: Bytes) -> Self {
        let streams = Arc::new(Streams::default());
        streams.open.fetch_add(1, Ordering::Relaxed);
        Self {
            steps: VecDeque::from([Step::Send(body)]),
            script: None,
            timer: None,
            due: Instant::now(),
            streams,
            flight: None,
        }
    }

    /// A body in one piece, or what a fault leaves of it.
    pub(crate) fn whole_or_broken(mut body: Bytes, behaviour: &Behaviour) -> Self {
        let fault = match behaviour.reset {
            _ if behaviour.stall_at_head || behaviour.stall_after.is_some() => Step::Stall,
            Some(Reset::AfterChunks(_)) => Step::Reset,
            _ => return Self::whole(body),
        };
        body.truncate(if behaviour.stall_at_head { 0 } else { body.len() / 2 });
        let steps = [Step::Send(body), Step::Wait(Duration::from_millis(5)), fault];
        let mut broken = Self::whole(Bytes::new());
        broken.steps = VecDeque::from(steps);
        broken
    }

    /// Plans the next event once the steps of the last are done.
    fn refill(&mut self) {
        if !self.steps.is_empty() {
            return;
        }
        if let Some(mut script) = self.script.take()
            && script.next(&mut self.steps)
        {
            self.script = Some(script);
        }
    }
}

impl Script {
    /// Adds the steps of the next event. False if they are the last.
    fn next(&mut self, steps: &mut VecDeque<Step>) -> bool {
        let Behaviour { reset, stall_after, error_after, token_ms, split, malformed, no_end, .. } = self.behaviour;
        if matches!(reset, Some(Reset::AfterChunks(after)) if after == self.chunks) {
            // What came before the break must have left.
            pause(steps, 5);
            steps.push_back(Step::Reset);
            return false;
        }
        if stall_after == Some(self.chunks) {
            steps.push_back(Step::Stall);
            return false;
        }
        if error_after == Some(self.chunks) {
            send(steps, self.events.error.clone(), split);
            return false;
        }
        let Some(event) = self.events.content.next() else {
            for event in std::mem::take(&mut self.events.end).into_iter().filter(|_| !no_end) {
                send(steps, event, split);
            }
            return false;
        };
        if self.chunks > 0 {
            pause(steps, token_ms);
        }
        self.chunks += 1;
        send(steps, if malformed { self.events.malformed.clone() } else { event }, split);
        true
    }
}

/// Sends an event, cut into pieces of `split` bytes (0 leaves it whole).
fn send(steps: &mut VecDeque<Step>, mut bytes: Bytes, split: usize) {
    while split > 0 && bytes.len() > split {
        steps.push_back(Step::Send(bytes.split_to(split)));
        // The reader must see the pieces apart.
        pause(steps, 1);
    }
    steps.push_back(Step::Send(bytes));
}

fn pause(steps: &mut VecDeque<Step>, ms: u64) {
    if ms > 0 {
        steps.push_back(Step::Wait(Duration::from_millis(ms)));
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        loop {
            if let Some(timer) = &mut this.timer {
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                this.timer = None;
            }
            this.refill();
            match this.steps.front() {
                None => return Poll::Ready(None),
                Some(Step::Wait(time)) => {
                    this.due += *time;
                    this.timer = Some(Box::pin(sleep_until(this.due)));
                }
                Some(Step::Stall) => return Poll::Pending,
                Some(Step::Reset) => {
                    this.steps.clear();
                    return Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())));
                }
                Some(Step::Send(bytes)) => {
                    let bytes = bytes.clone();
                    this.steps.pop_front();
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
            }
            this.steps.pop_front();
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.script.is_none()
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        self.streams.open.fetch_sub(1, Ordering::Relaxed);
        if !self.is_end_stream() {
            self.streams.cancelled.fetch_add(1, Ordering::Relaxed);
        }
    }
}
