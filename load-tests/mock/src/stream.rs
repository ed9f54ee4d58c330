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
use crate::render::Events;

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
    timer: Option<Pin<Box<Sleep>>>,
    streams: Arc<Streams>,
}

impl Paced {
    pub(crate) fn new(events: Events, behaviour: &Behaviour, streams: Arc<Streams>) -> Self {
        streams.open.fetch_add(1, Ordering::Relaxed);
        Self { steps: plan(events, behaviour), timer: None, streams }
    }

    /// A body in one piece.
    pub(crate) fn whole(text: String) -> Self {
        let streams = Arc::new(Streams::default());
        streams.open.fetch_add(1, Ordering::Relaxed);
        Self { steps: VecDeque::from([Step::Send(Bytes::from(text))]), timer: None, streams }
    }
}

fn plan(events: Events, behaviour: &Behaviour) -> VecDeque<Step> {
    let mut steps = VecDeque::new();
    let send = |steps: &mut VecDeque<Step>, text: String| {
        let mut bytes = Bytes::from(text);
        while behaviour.split > 0 && bytes.len() > behaviour.split {
            steps.push_back(Step::Send(bytes.split_to(behaviour.split)));
            // The reader must see the pieces apart.
            steps.push_back(Step::Wait(Duration::from_millis(1)));
        }
        steps.push_back(Step::Send(bytes));
    };
    events.prelude.into_iter().for_each(|event| send(&mut steps, event));
    let pause = |steps: &mut VecDeque<Step>, ms: u64| {
        if ms > 0 {
            steps.push_back(Step::Wait(Duration::from_millis(ms)));
        }
    };
    pause(&mut steps, behaviour.first_token_ms);
    let mut chunks = 0;
    let mut content = events.content.into_iter();
    loop {
        if matches!(behaviour.reset, Some(Reset::AfterChunks(after)) if after == chunks) {
            // What came before the break must have left.
            steps.push_back(Step::Wait(Duration::from_millis(5)));
            steps.push_back(Step::Reset);
            return steps;
        }
        if behaviour.stall_after == Some(chunks) {
            steps.push_back(Step::Stall);
            return steps;
        }
        if behaviour.error_after == Some(chunks) {
            send(&mut steps, "data: {\"error\":{\"message\":\"mock stream error\",\"type\":\"server_error\",\"code\":\"mock_error\"}}\n\n".to_owned());
            return steps;
        }
        let Some(event) = content.next() else { break };
        if chunks > 0 {
            pause(&mut steps, behaviour.token_ms);
        }
        send(&mut steps, if behaviour.malformed { "data: {\"choices\":[{\n\n".to_owned() } else { event });
        chunks += 1;
    }
    events.end.into_iter().for_each(|event| send(&mut steps, event));
    steps
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
            match this.steps.front() {
                None => return Poll::Ready(None),
                Some(Step::Wait(time)) => {
                    this.timer = Some(Box::pin(sleep_until(Instant::now() + *time)));
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
        self.steps.is_empty()
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        self.streams.open.fetch_sub(1, Ordering::Relaxed);
        if !self.steps.is_empty() {
            self.streams.cancelled.fetch_add(1, Ordering::Relaxed);
        }
    }
}
