//! Turns a reply into an HTTP response and its body.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Response, Version, header};
use http_body::{Body, Frame, SizeHint};

use super::idle::Active;
use crate::door::{self, Reply};
use crate::drive::BrokenOff;

/// A response body. Dropping it is the client leaving.
pub(super) struct Outgoing {
    body: door::Body,
    /// Keeps the connection's timers off while the answer is being written.
    _active: Active,
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.get_mut().body.poll_next(cx).map(|next| next.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.body, door::Body::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            door::Body::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            door::Body::Stream(_) | door::Body::Sound(_) | door::Body::Queued(_) => SizeHint::default(),
        }
    }
}

/// The response for a reply, over this version of HTTP.
pub(super) fn response(reply: Reply, version: Version, active: Active) -> Response<Outgoing> {
    let mut response = Response::new(Outgoing { body: reply.body, _active: active });
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    if reply.close && version < Version::HTTP_2 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
