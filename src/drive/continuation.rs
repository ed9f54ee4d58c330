//! A stream that broke off after its first content goes on with the next target.

use std::pin::Pin;
use std::sync::Arc;

use super::attempt::{Landed, Stream, Terms, attempt};
use crate::error::Error;
use crate::pipeline::{Flight, Gateway, Next};

/// The next target on its way to go on. Dropping it is the client leaving.
pub(super) type Resuming = Pin<Box<dyn Future<Output = (Box<Flight>, Result<Stream, Error>)> + Send>>;

/// Whether another target could go on after this error.
pub(super) fn worthwhile(error: &Error) -> bool {
    !matches!(error.code.as_deref(), Some("total_timeout" | "request_deadline"))
}

/// Asks the next targets, one after the other, to go on from where the flight broke off with
/// `error`; the flight comes back, with a stream or with the first error.
pub(super) fn resume(gateway: Arc<Gateway>, mut flight: Box<Flight>, error: Error) -> Resuming {
    Box::pin(async move {
        loop {
            let terms = Terms::of(&flight);
            let Next::Try(next, request) = flight.next(&gateway) else {
                flight.continued(&gateway, false);
                return (flight, Err(error));
            };
            let (mut next, landed) = attempt(&gateway, next, request, &terms).await;
            match landed {
                Ok(Landed::Stream(stream)) => {
                    flight.commit(*next);
                    flight.continued(&gateway, true);
                    return (flight, Ok(*stream));
                }
                // A whole answer where a stream was asked for cannot be appended.
                Ok(Landed::Whole(..)) => flight.attempt_failed(&next, "not_a_stream"),
                Err(failed) => {
                    let code = failed.code();
                    flight.attempt_failed(&next, &code);
                    next.blame(failed.blame, &code);
                    if !failed.retryable {
                        flight.continued(&gateway, false);
                        return (flight, Err(error));
                    }
                }
            }
        }
    })
}
