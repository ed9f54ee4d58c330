//! Phase `parse`: the body becomes a typed call; the client's bytes are kept.

use std::sync::Arc;

use bytes::Bytes;
use sluice_providers::{Call, Endpoint};

use super::offload::Offload;
use crate::error::Error;

pub(super) async fn run(offload: &Offload, endpoint: Endpoint, body: Bytes, heavy: bool) -> Result<Arc<Call>, Error> {
    let call =
        if heavy { offload.run(move || Call::parse(endpoint, body)).await? } else { Call::parse(endpoint, body) };
    Ok(Arc::new(call?))
}
