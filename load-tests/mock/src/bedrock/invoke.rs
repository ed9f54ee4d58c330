//! `InvokeModel` of the embedding models: Amazon Titan and Cohere Embed.

use serde_json::{Value, json};

use crate::answer::words_in;
use crate::embeddings::{DIMENSIONS, vector};
use crate::format::{Heard, items, stranger};
use crate::refusal::Refusal;

/// The answer and its input tokens, which Bedrock also puts into a header.
pub(crate) fn embed(heard: &Heard<'_>) -> Result<(Value, u64), Refusal> {
    if heard.model.contains("titan-embed") {
        return titan(&heard.body);
    }
    if heard.model.contains("cohere.embed") {
        return cohere(&heard.body);
    }
    Err(Refusal::invalid("The provided model identifier is invalid."))
}

fn extraneous(name: &str) -> Refusal {
    Refusal::invalid(format!(
        "Malformed input request: #: extraneous key [{name}] is not permitted, please reformat your input and try again."
    ))
}

fn titan(body: &Value) -> Result<(Value, u64), Refusal> {
    if let Some(name) = stranger(body, &["inputText", "dimensions", "normalize", "embeddingTypes"]) {
        return Err(extraneous(name));
    }
    let Some(text) = body["inputText"].as_str() else {
        return Err(Refusal::invalid(
            "Malformed input request: #: required key [inputText] not found, please reformat your input and try again.",
        ));
    };
    let size = body["dimensions"].as_u64();
    let words = words_in(&body["inputText"]);
    let vector = vector(text, size.and_then(|size| usize::try_from(size).ok()).unwrap_or(DIMENSIONS));
    Ok((json!({"embedding": vector, "embeddingsByType": {"float": vector}, "inputTextTokenCount": words}), words))
}

fn cohere(body: &Value) -> Result<(Value, u64), Refusal> {
    let known =
        ["texts", "images", "inputs", "input_type", "truncate", "embedding_types", "output_dimension", "max_tokens"];
    if let Some(name) = stranger(body, &known) {
        return Err(extraneous(name));
    }
    let types = ["search_document", "search_query", "classification", "clustering", "image"];
    if !body["input_type"].as_str().is_some_and(|kind| types.contains(&kind)) {
        return Err(Refusal::invalid(
            "Malformed input request: #: required key [input_type] not found, please reformat your input and try again.",
        ));
    }
    let texts = items(&body["texts"]);
    if texts.is_empty() || texts.len() > 96 {
        return Err(Refusal::invalid(
            "Malformed input request: #/texts: expected 1 to 96 items, please reformat your input and try again.",
        ));
    }
    let size = body["output_dimension"].as_u64().and_then(|size| usize::try_from(size).ok()).unwrap_or(DIMENSIONS);
    let vectors: Vec<Vec<f32>> = texts.iter().map(|text| vector(text.as_str().unwrap_or(""), size)).collect();
    let by_type = body["embedding_types"].is_array();
    let (embeddings, kind) =
        if by_type { (json!({"float": vectors}), "embeddings_by_type") } else { (json!(vectors), "embeddings_floats") };
    let answer = json!({"id": "00000000-0000-4000-8000-000000000000", "texts": texts, "embeddings": embeddings, "response_type": kind});
    Ok((answer, words_in(&body["texts"])))
}
