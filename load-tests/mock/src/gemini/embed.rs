//! Embeddings of AI Studio (`embedContent`, `batchEmbedContents`) and of Vertex (`predict`).

use serde_json::{Value, json};

use super::schema::{camel, unknown};
use crate::answer::words_in;
use crate::embeddings::{DIMENSIONS, vector};
use crate::format::{Heard, items, stranger};
use crate::refusal::Refusal;

const REQUEST: &[&str] = &["model", "content", "taskType", "title", "outputDimensionality"];

/// One content, or a batch of them.
pub(crate) fn embed(heard: &Heard<'_>, batch: bool) -> Result<Value, Refusal> {
    let body = camel(&heard.body);
    if !batch {
        return Ok(json!({"embedding": one(&body, "")?}));
    }
    if let Some(name) = stranger(&body, &["requests"]) {
        return Err(unknown(name, ""));
    }
    if items(&body["requests"]).is_empty() {
        return Err(Refusal::invalid("* BatchEmbedContentsRequest.requests: at least one request is required\n"));
    }
    let mut all = Vec::new();
    for (index, request) in items(&body["requests"]).iter().enumerate() {
        if request["model"].as_str() != Some(&format!("models/{}", heard.model)) {
            let text = format!(
                "* BatchEmbedContentsRequest.requests[{index}].model: model is required to match the model in the request URL\n"
            );
            return Err(Refusal::invalid(text));
        }
        all.push(one(request, &format!("requests[{index}]"))?);
    }
    Ok(json!({"embeddings": all}))
}

fn one(request: &Value, at: &str) -> Result<Value, Refusal> {
    if let Some(name) = stranger(request, REQUEST) {
        return Err(unknown(name, at));
    }
    let parts = items(&request["content"]["parts"]);
    if parts.is_empty() {
        return Err(Refusal::invalid("* EmbedContentRequest.content: content is not specified\n"));
    }
    let text: String = parts.iter().filter_map(|part| part["text"].as_str()).collect();
    let size =
        request["outputDimensionality"].as_u64().and_then(|size| usize::try_from(size).ok()).unwrap_or(DIMENSIONS);
    Ok(json!({"values": vector(&text, size)}))
}

/// Vertex's text embedding models.
pub(crate) fn predict(heard: &Heard<'_>) -> Result<Value, Refusal> {
    let body = &heard.body;
    if let Some(name) = stranger(body, &["instances", "parameters"]) {
        return Err(unknown(name, ""));
    }
    let instances = items(&body["instances"]);
    if instances.is_empty() {
        return Err(Refusal::invalid("The `instances` field is required and must not be empty."));
    }
    if heard.model.starts_with("gemini-embedding") && instances.len() > 1 {
        return Err(Refusal::invalid("The model only supports one instance per request."));
    }
    let size = body["parameters"]["outputDimensionality"]
        .as_u64()
        .and_then(|size| usize::try_from(size).ok())
        .unwrap_or(DIMENSIONS);
    let predictions: Result<Vec<Value>, Refusal> = instances
        .iter()
        .map(|instance| {
            let text = instance["content"].as_str().ok_or_else(|| Refusal::invalid("Missing struct property 'content'."))?;
            let count = words_in(&instance["content"]);
            Ok(json!({"embeddings": {"values": vector(text, size), "statistics": {"truncated": false, "token_count": count}}}))
        })
        .collect();
    Ok(json!({"predictions": predictions?, "metadata": {"billableCharacterCount": heard.raw.len()}}))
}
