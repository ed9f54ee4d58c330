//! A second attempt beside one that is slow to speak: the first to have something wins, the other
//! is cancelled and settled.

use std::sync::Arc;

use futures_util::future::{Either, select};
use sluice_providers::UpstreamRequest;
use tokio::time::sleep;

use super::attempt::{Landed, Terms, attempt};
use super::failed::Failed;
use crate::pipeline::{Attempt, Flight, Gateway};

/// Runs an attempt, and if the model wants it and it is slow, another beside it. Failed attempts
/// are noted and blamed here. Dropping the future cancels both.
pub(super) async fn race(
    gateway: &Arc<Gateway>,
    flight: &mut Flight,
    first: Box<Attempt>,
    request: UpstreamRequest,
    terms: &Terms,
) -> Result<(Box<Attempt>, Landed), Failed> {
    let after = flight.hedge_after(&first);
    let Some(after) = after else { return judge(flight, attempt(gateway, first, request, terms).await) };
    let mut first = Box::pin(attempt(gateway, first, request, terms));
    tokio::select! {
        biased;
        done = &mut first => return judge(flight, done),
        () = sleep(after) => {}
    }
    let second = tokio::select! {
        biased;
        done = &mut first => Err(done),
        second = flight.hedge(gateway) => Ok(second),
    };
    let (hedge, second, request) = match second {
        Err(done) => return judge(flight, done),
        Ok(None) => return judge(flight, first.await),
        Ok(Some(second)) => second,
    };
    let metrics = gateway.sinks.metrics().routes();
    let second = Box::pin(attempt(gateway, second, request, terms));
    let (done, other, won) = match select(first, second).await {
        Either::Left((done, other)) => (done, other, false),
        Either::Right((done, other)) => (done, other, true),
    };
    match judge(flight, done) {
        // Dropped, the other one is cancelled, and the hedge settled with its prompt.
        Ok(landed) => {
            metrics.hedge(&terms.model, if won { "won" } else { "lost" });
            Ok(landed)
        }
        Err(_) => {
            // One of the two failed and cost nothing: one lease is enough.
            hedge.free();
            metrics.hedge(&terms.model, if won { "lost" } else { "won" });
            judge(flight, other.await)
        }
    }
}

/// Notes an attempt that failed, and tells its target.
fn judge(
    flight: &mut Flight,
    (mut attempt, result): (Box<Attempt>, Result<Landed, Failed>),
) -> Result<(Box<Attempt>, Landed), Failed> {
    match result {
        Ok(landed) => Ok((attempt, landed)),
        Err(failed) => {
            let code = failed.code();
            flight.attempt_failed(&attempt, &code);
            attempt.blame(failed.blame, &code);
            Err(failed)
        }
    }
}
