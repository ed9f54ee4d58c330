//! Reads a request body whole, under a cap, a deadline and the shared byte budget.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

use crate::budget::Held;
use crate::config::Limits;
use crate::error::Error;

/// Reads the body to its end.
///
/// A declared length over the cap is refused before a byte is read (so `Expect: 100-continue`
/// never asks for it). Dropping the future stops reading.
pub(super) async fn read(body: Incoming, limits: &Limits, held: &mut Held) -> Result<Bytes, Error> {
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > limits.max_body {
        return Err(Error::too_large(limits.max_body));
    }
    if !held.grow_to(declared, limits.max_buffered) {
        return Err(Error::overloaded());
    }
    match timeout(limits.body_timeout, collect(body, declared, limits, held)).await {
        Ok(result) => result,
        Err(_) => Err(slow(limits.body_timeout)),
    }
}

async fn collect(mut body: Incoming, declared: usize, limits: &Limits, held: &mut Held) -> Result<Bytes, Error> {
    let mut whole: Option<BytesMut> = None;
    let mut first: Option<Bytes> = None;
    let mut total = 0usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| closing(Error::invalid("invalid_body", "the request body broke off")))?;
        let Ok(data) = frame.into_data() else { continue };
        total = total.saturating_add(data.len());
        if total > limits.max_body {
            return Err(Error::too_large(limits.max_body));
        }
        if !held.grow_to(total, limits.max_buffered) {
            return Err(Error::overloaded());
        }
        // Most bodies arrive in one piece: keep it as it is instead of copying it.
        match (&mut whole, first.take()) {
            (Some(whole), _) => whole.extend_from_slice(&data),
            (None, None) => first = Some(data),
            (None, Some(before)) => {
                let mut joined = BytesMut::with_capacity(declared.max(total));
                joined.extend_from_slice(&before);
                joined.extend_from_slice(&data);
                whole = Some(joined);
            }
        }
    }
    Ok(whole.map(BytesMut::freeze).or(first).unwrap_or_default())
}

fn slow(after: Duration) -> Error {
    let message = format!("the request body did not arrive within {} s (limits.body_timeout)", after.as_secs_f32());
    closing(Error::new(StatusCode::REQUEST_TIMEOUT, "invalid_request_error", "request_timeout", message))
}

fn closing(mut error: Error) -> Error {
    error.close = true;
    error
}
