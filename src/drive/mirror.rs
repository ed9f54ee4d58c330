//! Shadow traffic: a copy of some requests to another target, whose answer is thrown away. It is
//! never billed to the caller and never waited for.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config::Mirror;
use crate::pipeline::{Flight, Gateway};

/// Copies under way at once; more are skipped, so that a slow mirror holds no memory.
static AT_ONCE: Semaphore = Semaphore::const_new(64);
/// A copy is given up after this long.
const PATIENCE: Duration = Duration::from_mins(2);

/// Starts a copy of the flight's request if its model wants one.
pub(super) fn copy(gateway: &Arc<Gateway>, flight: &Flight) {
    let Some(mirror) = &flight.routing().mirror else { return };
    if rand::random_range(0..100u8) >= mirror.percent {
        return;
    }
    let metrics = gateway.sinks.metrics().routes().clone();
    let label = Arc::clone(&mirror.target.label);
    let Ok(place) = AT_ONCE.try_acquire() else { return metrics.mirrored(&label, "skipped") };
    let Some(request) = flight.copy_for(&mirror.target) else { return metrics.mirrored(&label, "failed") };
    let (theirs, mirror) = (Arc::clone(gateway), mirror.clone());
    gateway.tasks.spawn(async move {
        let _place = place;
        let ok = tokio::select! {
            sent = timeout(PATIENCE, send(&theirs, &mirror, request)) => sent.unwrap_or(false),
            () = theirs.end.cancelled() => false,
        };
        metrics.mirrored(&label, if ok { "ok" } else { "failed" });
    });
}

async fn send(gateway: &Gateway, mirror: &Mirror, request: sluice_providers::UpstreamRequest) -> bool {
    let target = &mirror.target;
    let Ok(response) = gateway.upstreams.send(&target.provider, target.timeouts.connect, request, None).await else {
        return false;
    };
    let ok = response.status().is_success();
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            return false;
        }
    }
    ok
}
