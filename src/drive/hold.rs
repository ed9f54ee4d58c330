//! A stream of events is held back until it says something: role-only chunks, pings and other preludes commit
//! to nothing, so a target that dies or stalls before its first content is replaced unseen.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use super::attempt::{broke_off, unreadable};
use super::deadlines::Deadlines;
use super::failed::Failed;
use crate::pipeline::Attempt;
use crate::upstream::Incoming;

/// A prelude larger than this is no prelude.
const LARGEST_PRELUDE: usize = 64 * 1024;

/// Reads a stream up to its first content, and returns what the client gets of it so far.
/// Dropping the future loses what was read.
pub(super) async fn hold(attempt: &mut Attempt, body: &mut Incoming, deadlines: &Deadlines) -> Result<Bytes, Failed> {
    let mut held = Held::default();
    loop {
        let Ok(frame) = timeout_at(deadlines.first_token(), body.frame()).await else {
            return Err(Failed::target(deadlines.silent()));
        };
        let translated = match frame {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => attempt.chunk(data).map_err(|error| Failed::target(unreadable(&error)))?,
                Err(_) => continue,
            },
            Some(Err(_)) => return Err(Failed::target(broke_off())),
            None => {
                let last = attempt.finish().map_err(|_| Failed::target(broke_off()))?;
                held.push(last);
                return ended(attempt, held);
            }
        };
        held.push(translated);
        if let Some(error) = attempt.take_stream_error() {
            return Err(Failed::refused(error));
        }
        if attempt.has_content() || attempt.is_done() || held.len() > LARGEST_PRELUDE {
            return Ok(held.take());
        }
    }
}

/// Reads the first of an answer that is no stream of events.
pub(super) async fn first_sound(
    attempt: &mut Attempt,
    body: &mut Incoming,
    deadlines: &Deadlines,
) -> Result<Bytes, Failed> {
    loop {
        let Ok(frame) = timeout_at(deadlines.idle(Instant::now()), body.frame()).await else {
            return Err(Failed::target(deadlines.stalled()));
        };
        let heard = match frame {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => attempt.chunk(data).map_err(|error| Failed::target(unreadable(&error)))?,
                Err(_) => continue,
            },
            Some(Err(_)) => return Err(Failed::target(broke_off())),
            None => {
                let rest = attempt.finish().map_err(|_| Failed::target(broke_off()))?;
                return Ok(rest.unwrap_or_default());
            }
        };
        if let Some(heard) = heard {
            return Ok(heard);
        }
    }
}

/// A stream that is over without an error, however little it said, is an answer.
fn ended(attempt: &mut Attempt, mut held: Held) -> Result<Bytes, Failed> {
    match attempt.take_stream_error() {
        Some(error) => Err(Failed::refused(error)),
        None => Ok(held.take()),
    }
}

/// Bytes held back. One piece, the common case, is not copied.
#[derive(Default)]
struct Held {
    first: Bytes,
    more: BytesMut,
}

impl Held {
    fn push(&mut self, bytes: Option<Bytes>) {
        let Some(bytes) = bytes else { return };
        if self.first.is_empty() {
            self.first = bytes;
            return;
        }
        if self.more.is_empty() {
            self.more.extend_from_slice(&self.first);
        }
        self.more.extend_from_slice(&bytes);
    }

    fn len(&self) -> usize {
        self.first.len().max(self.more.len())
    }

    fn take(&mut self) -> Bytes {
        if self.more.is_empty() { std::mem::take(&mut self.first) } else { self.more.split().freeze() }
    }
}
