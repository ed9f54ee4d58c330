//! The body of a stream that waits in the queue: comments now and then, then the answer itself.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep};

use crate::drive::{Answer, Payload};
use crate::error::Error;
use crate::pipeline::{Events, Waiting};

/// An answer that has not come yet. Dropping it is the client leaving.
pub(super) type Coming = Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send>>;

/// Its status has been sent: from here on an error is an event.
pub struct Queued {
    state: State,
    waiting: Arc<Waiting>,
    every: Duration,
    next: Pin<Box<Sleep>>,
}

enum State {
    Waits(Coming),
    Flows(Box<dyn Events>),
    Over,
}

impl Queued {
    /// The first comment is due at once.
    pub(super) fn new(coming: Coming, waiting: Arc<Waiting>, every: Duration) -> Self {
        Self { state: State::Waits(coming), waiting, every, next: Box::pin(sleep(Duration::ZERO)) }
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            match &mut self.state {
                State::Over => return Poll::Ready(None),
                State::Flows(events) => return events.poll_next(cx),
                State::Waits(coming) => match coming.as_mut().poll(cx) {
                    Poll::Ready(outcome) => {
                        if let Some(bytes) = self.arrived(outcome) {
                            return Poll::Ready(Some(bytes));
                        }
                    }
                    Poll::Pending => {
                        if self.next.as_mut().poll(cx).is_pending() {
                            return Poll::Pending;
                        }
                        self.next.as_mut().reset(Instant::now() + self.every);
                        // A comment (WHATWG HTML, section 9.2.6): clients and proxies see life, and ignore it.
                        return Poll::Ready(Some(Bytes::from(self.waiting.comment())));
                    }
                },
            }
        }
    }

    /// What is to be sent at once, if anything.
    fn arrived(&mut self, outcome: Result<Answer, Error>) -> Option<Bytes> {
        self.state = State::Over;
        match outcome {
            Ok(Answer { payload: Payload::Stream(events), .. }) => {
                self.state = State::Flows(events);
                None
            }
            Ok(Answer { payload: Payload::Whole(body), .. }) => {
                let mut event = Vec::with_capacity(body.len() + 32);
                event.extend_from_slice(b"data: ");
                // JSON has no line breaks inside strings: outside of them they are only layout.
                event.extend(body.iter().filter(|byte| !matches!(byte, b'\n' | b'\r')));
                event.extend_from_slice(b"\n\ndata: [DONE]\n\n");
                Some(Bytes::from(event))
            }
            Ok(Answer { payload: Payload::Sound(_), .. }) => {
                Some(Error::upstream("not_a_stream", "the provider sent sound where events were asked for").to_event())
            }
            Err(error) => Some(error.to_event()),
        }
    }
}
