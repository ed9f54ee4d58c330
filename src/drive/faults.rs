//! Faults made on purpose, where the config allows them: a rehearsal of failover.

use super::attempt::Terms;
use super::failed::Failed;
use crate::error::Error;
use crate::pipeline::Gateway;
use crate::telemetry::Outcome;

/// The code of every fault made on purpose.
const CODE: &str = "fault_injected";

fn drawn(percent: u8) -> bool {
    rand::random_range(0..100u8) < percent
}

/// Delays or fails an attempt before it leaves.
pub(super) async fn before(gateway: &Gateway, terms: &Terms) -> Result<(), Failed> {
    let Some(faults) = &terms.faults else { return Ok(()) };
    let metrics = gateway.sinks.metrics().routes();
    if let Some((time, percent)) = faults.delay
        && drawn(percent)
    {
        metrics.fault_made(&terms.model, "delay");
        tokio::time::sleep(time).await;
    }
    if let Some((status, percent)) = faults.abort
        && drawn(percent)
    {
        metrics.fault_made(&terms.model, "abort");
        let message = format!("a fault made on purpose: status {} (faults.abort)", status.as_u16());
        let mut error = Error::new(status, "server_error", CODE, message);
        error.outcome = Outcome::UpstreamError;
        let retryable = matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504 | 529);
        return Err(Failed::nobody(error, retryable));
    }
    Ok(())
}

/// After how many chunks a stream is to be cut, if it is.
pub(super) fn cut(gateway: &Gateway, terms: &Terms) -> Option<u32> {
    let (after, percent) = terms.faults.as_ref()?.cut?;
    if !drawn(percent) {
        return None;
    }
    gateway.sinks.metrics().routes().fault_made(&terms.model, "cut");
    Some(after)
}

/// The error of a stream that was cut on purpose.
pub(super) fn was_cut() -> Error {
    Error::upstream(CODE, "a fault made on purpose: the stream was cut (faults.cut_after)")
}
