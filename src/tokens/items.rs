//! Content blocks of Anthropic's API and items of OpenAI's Responses: their text, pictures and
//! calls. Lenient: what is newer than this gateway counts as the text that is in it.

use serde::de::IgnoredAny;
use serde_json::Value;
use sluice_providers::catalog::Model;

use super::image;
use super::message::{FILE_BYTES, Tally, overhead};
use super::vocabulary::count;

/// Fields that are not told to the model, or are not text.
const SILENT: &[&str] = &[
    "type",
    "id",
    "call_id",
    "tool_use_id",
    "status",
    "cache_control",
    "is_error",
    "signature",
    "encrypted_content",
    "citations",
    "annotations",
    "logprobs",
    "extra_content",
    "caller",
    "media_type",
    "detail",
];
/// JSON nested deeper than this is counted as it is written.
const DEEPEST: u32 = 32;

/// Tokens of one message, block or item, or of a list of them, by its JSON.
pub(super) fn tokens(model: &Model, raw: &str) -> Tally {
    match serde_json::from_str(raw) {
        Ok(value) => walk(model, &value, 0),
        // Deeper than any reader goes.
        Err(_) => Tally { tokens: count(model.tokenizer, raw), estimated: true },
    }
}

/// The same of what may be no JSON.
pub(super) fn checked(model: &Model, raw: &str) -> serde_json::Result<Tally> {
    match serde_json::from_str(raw) {
        Ok(value) => Ok(walk(model, &value, 0)),
        Err(_) => serde_json::from_str::<IgnoredAny>(raw).map(|_| tokens(model, raw)),
    }
}

/// Tokens of a rerank: each document is read beside the query.
pub(super) fn rerank(model: &Model, body: &str) -> Tally {
    let body: Value = serde_json::from_str(body).unwrap_or(Value::Null);
    let documents = body["documents"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut total = walk(model, &body["documents"], 0);
    let query = walk(model, &body["query"], 0).tokens;
    total.tokens = total.tokens.saturating_add(query.saturating_mul(documents.len() as u64));
    total.estimated = true;
    total
}

fn walk(model: &Model, value: &Value, depth: u32) -> Tally {
    if depth > DEEPEST {
        return Tally { tokens: count(model.tokenizer, &value.to_string()), estimated: true };
    }
    let mut total = Tally::default();
    match value {
        Value::String(text) => total.tokens = count(model.tokenizer, text),
        Value::Array(parts) => parts.iter().for_each(|part| total.add(walk(model, part, depth + 1))),
        Value::Object(fields) => match fields.get("type").and_then(Value::as_str).unwrap_or("") {
            "image" | "input_image" => total.add(picture(model, value)),
            "document" | "input_file" | "input_audio" => total.add(file(model, value, depth)),
            // Sealed reasoning is thrown away by the provider, or as long as it looks.
            "redacted_thinking" => total = Tally { tokens: length(&value["data"]) / 4, estimated: true },
            "tool_use" | "server_tool_use" => {
                total.tokens = overhead(model.tokenizer).message
                    + count(model.tokenizer, value["name"].as_str().unwrap_or(""))
                    + count(model.tokenizer, &value["input"].to_string());
            }
            _ => {
                if fields.contains_key("role") || fields.contains_key("call_id") {
                    total.tokens += overhead(model.tokenizer).message;
                }
                let told = fields.iter().filter(|(name, _)| !SILENT.contains(&name.as_str()));
                told.for_each(|(_, value)| total.add(walk(model, value, depth + 1)));
            }
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    total
}

fn picture(model: &Model, value: &Value) -> Tally {
    let source = &value["source"];
    let url = match (source["data"].as_str(), source["url"].as_str(), value["image_url"].as_str()) {
        (Some(data), ..) => format!("data:{};base64,{data}", source["media_type"].as_str().unwrap_or("image/png")),
        (_, Some(url), _) | (.., Some(url)) => url.to_owned(),
        _ => String::new(),
    };
    let (tokens, known) = image::tokens(model.images, &url, value["detail"].as_str());
    Tally { tokens, estimated: !known }
}

fn file(model: &Model, value: &Value, depth: u32) -> Tally {
    let source = &value["source"];
    if matches!(source["type"].as_str(), Some("text" | "content")) {
        return walk(model, if source["data"].is_string() { &source["data"] } else { &source["content"] }, depth + 1);
    }
    let base64 = [&source["data"], &value["file_data"], &value["input_audio"]["data"]];
    let bytes = base64.into_iter().map(length).sum::<u64>() / 4 * 3;
    Tally { tokens: bytes.div_ceil(FILE_BYTES), estimated: true }
}

fn length(text: &Value) -> u64 {
    text.as_str().map_or(0, |text| text.len() as u64)
}
