//! Calls that several requests share: begins them, and tells each client what the call says.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;
use sluice_providers::Endpoint;
use tokio::time::{Instant, Sleep, sleep_until};

use super::deadlines::past_its_own;
use super::run::{Answer, Payload, run};
use crate::error::Error;
use crate::pipeline::{
    Asking, Begins, Coming, Enters, Events, Failed, Gateway, Goes, Head, JoinKey, Joined, Reader, Rest, Waiting,
};

/// Joins the call of a request that asks the same, or runs one that others can join, and returns the head of the
/// answer (with all of the body if it does not stream). A request whose call failed for reasons of another's goes on
/// by itself. On an error the request has been recorded. Dropping the future is the client leaving: the call goes on
/// as long as others read it.
pub async fn share(gateway: &Arc<Gateway>, mut asking: Box<Asking>, key: JoinKey) -> Result<Answer, Error> {
    let endpoint = asking.endpoint();
    loop {
        let (joined, mut reader) = match asking.join(gateway, key, |asking| begin(gateway, asking)) {
            Enters::Replay(asking, found) => {
                let replay = asking.replayed(gateway, &found).await?;
                let (status, payload) = (StatusCode::OK, Payload::Whole(replay.body));
                return Ok(Answer { status, headers: replay.headers, payload });
            }
            Enters::First(reader, deadline) => return lead(reader, deadline, endpoint).await,
            Enters::Joined(asking, reader) => (asking, reader),
        };
        let mut due = Due::at(joined.deadline());
        match head(&mut reader, joined.waiting(), &mut due).await {
            Begins::Released => asking = joined,
            Begins::Failed(error) => return Err(joined.failed(gateway).refuse(error)),
            Begins::Head(head, whole) => {
                let joined = joined.answered(gateway, reader.waiting()).await?;
                return Ok(follow(joined, &head, whole, (reader, due)));
            }
        }
    }
}

/// The call of a request, from admission on.
fn begin(gateway: &Arc<Gateway>, asking: Box<Asking>) -> Coming {
    let gateway = Arc::clone(gateway);
    Box::pin(async move {
        let waiting = asking.waiting().clone();
        let flight = asking.enter(&gateway).await.map_err(|error| Failed { error, own: true })?;
        waiting.let_in();
        let answer = run(&gateway, flight).await.map_err(|error| Failed { error, own: false })?;
        let head = Head { status: answer.status, headers: answer.headers };
        match answer.payload {
            Payload::Whole(bytes) => Ok((head, Rest::Whole(bytes))),
            Payload::Stream(events) => Ok((head, Rest::Events(events))),
            Payload::Sound(_) => Err(Failed { error: Error::internal("sound cannot be shared"), own: true }),
        }
    })
}

/// The answer for the request that began the call: its own, with all its headers.
async fn lead(mut reader: Reader, deadline: Option<Instant>, endpoint: Endpoint) -> Result<Answer, Error> {
    let mut due = Due::at(deadline);
    let waiting = reader.waiting().clone();
    match head(&mut reader, &waiting, &mut due).await {
        Begins::Head(Head { status, headers }, whole) => {
            let payload = match whole {
                Some(bytes) => Payload::Whole(bytes),
                None => Payload::Stream(Box::new(Following { reader, joined: None, endpoint, due, over: false })),
            };
            Ok(Answer { status, headers, payload })
        }
        Begins::Failed(error) => Err(error),
        Begins::Released => Err(Error::internal("a call has let go of the request that began it")),
    }
}

/// The answer for a request that joined.
fn follow(mut joined: Joined, head: &Head, whole: Option<Bytes>, (reader, due): (Reader, Due)) -> Answer {
    let (status, headers, endpoint) = (head.status, joined.headers(head), joined.endpoint());
    let payload = match whole {
        Some(bytes) => {
            joined.told(bytes.len());
            joined.complete(reader.waiting());
            Payload::Whole(bytes)
        }
        None => Payload::Stream(Box::new(Following { reader, joined: Some(joined), endpoint, due, over: false })),
    };
    Answer { status, headers, payload }
}

/// How the answer begins; the door hears meanwhile how the call waits.
async fn head(reader: &mut Reader, own: &Waiting, due: &mut Due) -> Begins {
    poll_fn(|cx| {
        let begins = reader.poll_head(cx);
        own.follow(reader.waiting());
        if begins.is_pending() && due.is_over(reader, cx) {
            let error = past_its_own();
            reader.leave(Some(error.clone()));
            return Poll::Ready(Begins::Failed(error));
        }
        begins
    })
    .await
}

/// A client's own deadline, which ends its part of a call and not the call.
struct Due(Option<Pin<Box<Sleep>>>);

impl Due {
    fn at(deadline: Option<Instant>) -> Self {
        Self(deadline.map(|deadline| Box::pin(sleep_until(deadline))))
    }

    fn is_over(&mut self, reader: &Reader, cx: &mut Context<'_>) -> bool {
        // Who waits in the queue is refused there in time.
        let queued = reader.is_first() && !reader.waiting().is_let_in();
        !queued && self.0.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready())
    }
}

/// A shared stream as one client reads it.
struct Following {
    reader: Reader,
    /// The request, if the call is another's.
    joined: Option<Joined>,
    endpoint: Endpoint,
    due: Due,
    over: bool,
}

impl Following {
    fn cut(&mut self, error: &Error) -> Bytes {
        self.over = true;
        if let Some(joined) = &mut self.joined {
            joined.fail(error);
        }
        error.event_for(self.endpoint)
    }

    fn ended(&mut self, error: Option<&Error>) {
        self.over = true;
        match (&mut self.joined, error) {
            (Some(joined), Some(error)) => joined.fail(error),
            (Some(joined), None) => joined.complete(self.reader.waiting()),
            (None, _) => {}
        }
    }
}

impl Events for Following {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.over {
            return Poll::Ready(None);
        }
        match self.reader.poll_next(cx) {
            Poll::Ready(Goes::Piece(bytes)) => {
                if let Some(joined) = &mut self.joined {
                    joined.told(bytes.len());
                }
                Poll::Ready(Some(bytes))
            }
            Poll::Ready(Goes::End(error)) => {
                self.ended(error.as_ref());
                Poll::Ready(None)
            }
            Poll::Ready(Goes::Cut(error)) => Poll::Ready(Some(self.cut(&error))),
            Poll::Pending if self.due.is_over(&self.reader, cx) => {
                let error = past_its_own();
                self.reader.leave(Some(error.clone()));
                Poll::Ready(Some(self.cut(&error)))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}
