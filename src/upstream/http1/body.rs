//! The body of an answer, which drives the connection it comes from.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use super::client::Idle;
use super::connect::Cause;
use super::link::Link;

/// An answer's body. Read to its end, its connection serves the next request; dropped before, the
/// connection is closed.
pub(in crate::upstream) struct Body {
    incoming: Incoming,
    link: Option<Box<Link>>,
    idle: Arc<Idle>,
}

type Piece = Option<Result<Frame<Bytes>, hyper::Error>>;

impl Body {
    pub(super) fn new(incoming: Incoming, link: Box<Link>, idle: Arc<Idle>) -> Self {
        let mut body = Self { incoming, link: Some(link), idle };
        if body.incoming.is_end_stream() {
            body.rest();
        }
        body
    }

    /// The connection has done its part.
    fn rest(&mut self) {
        if let Some(link) = self.link.take() {
            self.idle.put(link);
        }
    }

    /// The next piece; `None` if there is none and no connection for it to come from.
    fn next(&mut self, cx: &Context<'_>) -> Poll<Option<Piece>> {
        let Some(link) = &mut self.link else { return Poll::Ready(None) };
        if let (Poll::Ready(piece), _) = link.muted(|| read(&mut self.incoming)) {
            return Poll::Ready(Some(piece));
        }
        while !link.is_over() {
            link.drive(cx);
            match link.muted(|| read(&mut self.incoming)) {
                (Poll::Ready(piece), _) => return Poll::Ready(Some(piece)),
                (Poll::Pending, false) if !link.is_over() => return Poll::Pending,
                (Poll::Pending, _) => {}
            }
        }
        // Without its connection the body says how it ended.
        self.link = None;
        match read(&mut self.incoming) {
            Poll::Ready(piece) => Poll::Ready(Some(piece)),
            Poll::Pending => Poll::Ready(None),
        }
    }
}

/// What hyper has read already.
fn read(incoming: &mut Incoming) -> Poll<Piece> {
    Pin::new(incoming).poll_frame(&mut Context::from_waker(Waker::noop()))
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        let this = self.get_mut();
        if this.incoming.is_end_stream() {
            this.rest();
            return Poll::Ready(None);
        }
        let Poll::Ready(piece) = this.next(cx) else { return Poll::Pending };
        match &piece {
            // With the last piece of a body whose length is known nothing is left to read.
            Some(Some(Ok(_))) if this.incoming.is_end_stream() => this.rest(),
            Some(Some(Ok(_))) => {}
            Some(None) => this.rest(),
            Some(Some(Err(_))) | None => this.link = None,
        }
        Poll::Ready(match piece {
            Some(piece) => piece.map(|piece| piece.map_err(Cause::from)),
            None => Some(Err("the connection was closed".into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
