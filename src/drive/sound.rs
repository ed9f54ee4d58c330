//! An answer that is sound: relayed like a stream of events, but with no place for an error in it.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::relay::Relay;

/// Sound broke off: what was sent of it must not look complete.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off")]
pub struct BrokenOff;

/// Sound as it comes. Dropping it before its end is the client leaving: the provider is cancelled and
/// the lease settled.
pub struct Sound(pub(super) Relay);

impl Sound {
    /// The next bytes; `None` is the end.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        self.0.advance(cx)
    }
}
