//! Phase `parse`: the body becomes a typed call; the client's bytes are kept.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sluice_providers::{Call, Endpoint, Stamp};

use super::offload::Offload;
use crate::error::Error;

pub(super) async fn run(
    offload: &Offload,
    endpoint: Endpoint,
    body: Bytes,
    heavy: bool,
    id: &Arc<str>,
) -> Result<Arc<Call>, Error> {
    let call =
        if heavy { offload.run(move || Call::parse(endpoint, body)).await? } else { Call::parse(endpoint, body) };
    let mut call = call?;
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    call.stamp = Stamp { id: Arc::clone(id), created };
    Ok(Arc::new(call))
}
