//! Answers live what a hit in other words has answered already, to see whether it was right. The client never waits for
//! it, and shutdown not longer than for its clients.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::run::{Payload, answer};
use crate::pipeline::{Check, FALLBACK, Flight, Gateway};

/// Checks under way at once; more are skipped.
static AT_ONCE: Semaphore = Semaphore::const_new(16);
/// One is given up after this long.
const PATIENCE: Duration = Duration::from_mins(2);
/// Longer answers are not compared, in bytes.
const MOST: usize = 4 << 20;

/// Begins a check, if not too many are under way.
pub fn verify(gateway: &Arc<Gateway>, check: Box<Check>) {
    let Ok(place) = AT_ONCE.try_acquire() else { return check.skip(gateway) };
    let theirs = Arc::clone(gateway);
    gateway.tasks.spawn(async move {
        let _place = place;
        tokio::select! {
            () = Box::pin(run(&theirs, *check)) => {}
            () = theirs.end.cancelled() => {}
        }
    });
}

async fn run(gateway: &Arc<Gateway>, check: Check) {
    match check.open(gateway).await {
        Ok(Some((flight, doubt))) => {
            let live = timeout(PATIENCE, live(gateway, flight)).await.ok().flatten();
            doubt.judge(gateway, live.as_deref());
        }
        Ok(None) => {}
        Err(error) => tracing::debug!(code = error.code.as_deref(), "a hit could not be checked"),
    }
}

/// All of the answer; nothing if it broke off.
async fn live(gateway: &Arc<Gateway>, flight: Box<Flight>) -> Option<Bytes> {
    let answer = Box::pin(answer(gateway, flight)).await.ok()?;
    if answer.headers.contains_key(FALLBACK) {
        return None;
    }
    match answer.payload {
        Payload::Whole(bytes) => Some(bytes),
        // Nothing that is kept, and so nothing that is checked.
        Payload::Sound(_) => None,
        Payload::Stream(mut events) => {
            let mut all = BytesMut::new();
            while let Some(bytes) = poll_fn(|cx| events.poll_next(cx)).await {
                all.extend_from_slice(&bytes);
                if all.len() > MOST {
                    return None;
                }
            }
            Some(all.freeze())
        }
    }
}
