//! One connection, and the exchange of a request for the head of its answer.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};

use super::connect::{Cause, Io};
use super::quiet::Quiet;

/// A connection to a provider.
pub(super) struct Link {
    sender: SendRequest<reqwest::Body>,
    connection: Connection<Io, reqwest::Body>,
    over: bool,
    /// It has answered before: it may have been closed since.
    used: bool,
    quiet: Arc<Quiet>,
    /// Wakes through `quiet`.
    waker: Waker,
}

/// A request that was not answered.
pub(super) struct Unanswered {
    pub(super) cause: Cause,
    /// The request, if nothing of it was sent and another connection may do better.
    pub(super) request: Option<Request<reqwest::Body>>,
}

impl Link {
    /// Speaks HTTP/1.1 over a new connection.
    pub(super) async fn over(io: Io) -> Result<Self, Cause> {
        let (sender, connection) = Builder::new().handshake(io).await?;
        let quiet = Arc::new(Quiet::default());
        let waker = Waker::from(Arc::clone(&quiet));
        Ok(Self { sender, connection, over: false, used: false, quiet, waker })
    }

    /// Sends a request and waits for the head of its answer. Dropping the future closes the
    /// connection.
    pub(super) async fn exchange(
        mut self: Box<Self>,
        request: Request<reqwest::Body>,
    ) -> Result<(Response<Incoming>, Box<Self>), Unanswered> {
        let mut answer = pin!(self.sender.try_send_request(request));
        let answered = poll_fn(|cx| {
            loop {
                self.drive(cx);
                let look = || answer.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                match self.quiet.muted(look) {
                    (Poll::Pending, true) => {}
                    (Poll::Pending, false) if self.over => return Poll::Ready(None),
                    (seen, _) => return seen.map(Some),
                }
            }
        });
        match answered.await {
            Some(Ok(response)) => {
                self.used = true;
                Ok((response, self))
            }
            Some(Err(mut error)) => {
                let request = error.take_message().filter(|_| self.used);
                Err(Unanswered { cause: error.into_error().into(), request })
            }
            None => Err(Unanswered { cause: "the connection was closed".into(), request: None }),
        }
    }

    /// Reads and writes what can be, for the task of this context.
    pub(super) fn drive(&mut self, cx: &Context<'_>) {
        self.quiet.wakes(cx.waker());
        self.poll();
    }

    fn poll(&mut self) {
        if !self.over {
            let mut context = Context::from_waker(&self.waker);
            // An error has been told to whoever waits for the answer.
            self.over = Pin::new(&mut self.connection).poll(&mut context).is_ready();
        }
    }

    /// See [`Quiet::muted`].
    pub(super) fn muted<T>(&self, look: impl FnOnce() -> T) -> (T, bool) {
        self.quiet.muted(look)
    }

    /// Whether nothing more comes.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Whether it can take a request now. Wakes nobody until it does.
    pub(super) fn is_free(&mut self) -> bool {
        self.quiet.rests();
        self.poll();
        !self.over && self.sender.is_ready()
    }
}
