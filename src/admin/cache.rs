//! What the cache holds, and forgetting it.

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::cache::Purge;
use crate::pipeline::Gateway;

pub(super) fn json(gateway: &Gateway) -> Value {
    let size = gateway.cache.size();
    json!({ "entries": size.entries, "bytes": size.bytes, "partitions": size.partitions })
}

/// Forgets the answers of `model=`, `tenant=`, `key=`, all that are given; without any, all answers.
pub(super) fn purge(gateway: &Gateway, query: &str) -> Result<Value, String> {
    let mut what = Purge::default();
    for (name, value) in query.split('&').filter(|pair| !pair.is_empty()).map(|p| p.split_once('=').unwrap_or((p, "")))
    {
        let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
        match name {
            "model" => what.model = Some(value),
            "tenant" => what.tenant = Some(value),
            "key" => what.key = Some(value),
            _ => return Err(format!("unknown parameter `{name}`; there is model, tenant, key")),
        }
    }
    Ok(json!({ "purged": gateway.cache.purge(&what) }))
}
