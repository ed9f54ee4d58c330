//! Puts the pieces of a request body together, under the cap of one body and the budget of all.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;

use crate::budget::Held;
use crate::config::Limits;
use crate::error::Error;

/// A body that is still coming.
#[derive(Default)]
pub struct Collector {
    declared: usize,
    total: usize,
    first: Option<Bytes>,
    rest: Option<BytesMut>,
}

impl Collector {
    /// A body whose declared length is `declared` bytes, 0 if it declares none. One over the cap is refused here,
    /// before a byte is read.
    pub fn new(declared: usize, limits: &Limits, held: &mut Held) -> Result<Self, Error> {
        if declared > limits.max_body {
            return Err(Error::too_large(limits.max_body));
        }
        if !held.grow_to(declared, limits.max_buffered) {
            return Err(Error::overloaded());
        }
        Ok(Self { declared, ..Self::default() })
    }

    /// Adds a piece.
    pub fn push(&mut self, data: Bytes, limits: &Limits, held: &mut Held) -> Result<(), Error> {
        if data.is_empty() {
            return Ok(());
        }
        self.total = self.total.saturating_add(data.len());
        if self.total > limits.max_body {
            return Err(Error::too_large(limits.max_body));
        }
        if !held.grow_to(self.total, limits.max_buffered) {
            return Err(Error::overloaded());
        }
        // Most bodies arrive in one piece: keep it as it is instead of copying it.
        match (&mut self.rest, self.first.take()) {
            (Some(rest), _) => rest.extend_from_slice(&data),
            (None, None) => self.first = Some(data),
            (None, Some(before)) => {
                let mut joined = BytesMut::with_capacity(self.declared.max(self.total));
                joined.extend_from_slice(&before);
                joined.extend_from_slice(&data);
                self.rest = Some(joined);
            }
        }
        Ok(())
    }

    /// All of it.
    pub fn whole(self) -> Bytes {
        self.rest.map(BytesMut::freeze).or(self.first).unwrap_or_default()
    }
}

/// 408 for a body that did not come in time.
pub fn slow(after: Duration) -> Error {
    let message = format!("the request body did not arrive within {} s (limits.body_timeout)", after.as_secs_f32());
    closing(Error::new(StatusCode::REQUEST_TIMEOUT, "invalid_request_error", "request_timeout", message))
}

/// 400 for a body that ended in the middle.
pub fn broke_off() -> Error {
    closing(Error::invalid("invalid_body", "the request body broke off"))
}

fn closing(mut error: Error) -> Error {
    error.close = true;
    error
}
