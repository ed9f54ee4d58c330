//! What the cache holds, and forgetting it.

use http::StatusCode;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::cache::Purge;
use crate::pipeline::Gateway;

pub(super) fn json(gateway: &Gateway) -> Value {
    let size = gateway.cache.size();
    let mut shown = json!({ "entries": size.entries, "bytes": size.bytes, "partitions": size.partitions });
    if let (Some(sharing), Some(fields)) = (gateway.cache.sharing(), shown.as_object_mut()) {
        let shared = json!({
            "up": sharing.down.is_none(), "why": sharing.down, "index": sharing.index, "written": sharing.written,
            "not_written": sharing.lost, "prompts": sharing.prompts,
        });
        fields.insert("shared".to_owned(), shared);
    }
    shown
}

/// Forgets the answers of `model=`, `tenant=`, `key=`, all that are given; without any, all answers. With
/// replicas the status says whether they have been told.
pub(super) async fn purge(gateway: &Gateway, query: &str) -> Result<(StatusCode, Value), String> {
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
    let purged = gateway.cache.purge(&what).await;
    Ok(match purged.shared {
        None => (StatusCode::OK, json!({ "purged": purged.entries })),
        Some(true) => (StatusCode::OK, json!({ "purged": purged.entries, "replicas": "told" })),
        Some(false) => {
            let why = "redis does not answer: they are told when it does";
            (StatusCode::SERVICE_UNAVAILABLE, json!({ "purged": purged.entries, "replicas": why }))
        }
    })
}
