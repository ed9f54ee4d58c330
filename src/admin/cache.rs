//! What the cache holds, and forgetting it.

use http::StatusCode;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::cache::{Purge, Standing};
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
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("verified".to_owned(), gateway.cache.watch().all().iter().map(standing).collect());
    }
    shown
}

fn standing(known: &Standing) -> Value {
    json!({
        "model": &*known.model, "rule": &*known.rules.name, "verified": known.verified, "disagreed": known.disagreed,
        "upper_bound": known.upper_bound(), "lower_bound": known.lower_bound(),
        "max_false_hits": known.rules.max_false_hits, "semantic": if known.off { "off" } else { "on" },
    })
}

/// Forgets what was measured of `model=`, or of all models: what was turned off is on again.
pub(super) fn reset(gateway: &Gateway, query: &str) -> Result<Value, String> {
    let model = match query.split_once('=') {
        Some(("model", model)) => Some(percent_decode_str(model).decode_utf8_lossy().into_owned()),
        None if query.is_empty() => None,
        _ => return Err(format!("unknown parameters `{query}`; there is model")),
    };
    let reset = gateway.cache.watch().reset(model.as_deref());
    tracing::info!(model, reset, "an operator has reset the measure of wrong hits");
    Ok(json!({ "reset": reset }))
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
