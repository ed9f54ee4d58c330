//! Phase `parse`: the body becomes a typed call; the client's bytes are kept.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::HeaderMap;
use sluice_providers::{Call, Endpoint, Stamp};

use super::offload::Offload;
use crate::error::Error;

/// What is known of a request before its body.
pub(super) struct Asked<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) headers: &'a HeaderMap,
    pub(super) id: &'a Arc<str>,
}

pub(super) async fn run(offload: &Offload, asked: &Asked<'_>, body: Bytes, heavy: bool) -> Result<Arc<Call>, Error> {
    let endpoint = asked.endpoint;
    let mut call = if endpoint.is_form() {
        Call::form(endpoint, body, asked.headers)?
    } else if heavy {
        offload.run(move || Call::parse(endpoint, body)).await??
    } else {
        Call::parse(endpoint, body)?
    };
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    call.stamp = Stamp { id: Arc::clone(asked.id), created };
    call.passed.extend(passed(endpoint, asked.headers));
    Ok(Arc::new(call))
}

/// Headers that are a part of the request's meaning.
fn passed(endpoint: Endpoint, headers: &HeaderMap) -> HeaderMap {
    let prefix = if endpoint.is_anthropic() { "anthropic-" } else { "openai-beta" };
    let meant = headers.iter().filter(|(name, _)| name.as_str().starts_with(prefix));
    meant.map(|(name, value)| (name.clone(), value.clone())).collect()
}
