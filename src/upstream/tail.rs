//! The rest of a request body that is sent on while it comes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use parking_lot::Mutex;
use sluice_providers::Body;

use crate::error::Error;

/// Pieces of a body as they come. Dropping it stops reading.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;

/// What of a request body has not come yet. It can be sent once.
pub struct Tail {
    pieces: Pieces,
    /// Its length, where the client declared it.
    length: Option<usize>,
    fault: Fault,
}

/// Why the rest of a body did not come, if it did not.
#[derive(Clone, Default)]
pub struct Fault(Arc<Mutex<Option<Error>>>);

impl Fault {
    /// The error, once.
    pub fn take(&self) -> Option<Error> {
        self.0.lock().take()
    }
}

impl Tail {
    /// The rest of a body.
    pub fn new(pieces: Pieces, length: Option<usize>) -> Self {
        Self { pieces, length, fault: Fault::default() }
    }

    /// Where an error of the client's will be found.
    pub fn fault(&self) -> Fault {
        self.fault.clone()
    }

    /// The whole body, which begins with `head`, and its length.
    pub(super) fn after(self, head: Body) -> (reqwest::Body, Option<usize>) {
        let length = self.length.map(|length| length + head.len());
        let fault = self.fault;
        let rest = self.pieces.map(move |piece| {
            piece.map_err(|error| {
                *fault.0.lock() = Some(error);
                io::Error::from(io::ErrorKind::InvalidData)
            })
        });
        (reqwest::Body::wrap_stream(stream::iter(head.slices().map(Ok)).chain(rest)), length)
    }
}
