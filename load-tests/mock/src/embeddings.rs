//! Embeddings of OpenAI's endpoint: the same text always has the same vector.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::answer::words_in;
use crate::format::Heard;

/// Dimensions of an embedding, unless asked otherwise.
const DIMENSIONS: usize = 8;

/// `POST /v1/embeddings`.
pub(crate) fn openai(heard: &Heard<'_>) -> Value {
    let body = &heard.body;
    let inputs: Vec<Value> = match &body["input"] {
        Value::Array(items) if items.first().is_some_and(|item| !item.is_number()) => items.clone(),
        one => vec![one.clone()],
    };
    let size = body["dimensions"].as_u64().and_then(|size| usize::try_from(size).ok()).unwrap_or(DIMENSIONS);
    let base64 = body["encoding_format"] == "base64";
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            let vector = vector(&input.to_string(), size);
            let embedding = if base64 {
                let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
                Value::from(STANDARD.encode(bytes))
            } else {
                json!(vector)
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let prompt = heard.behaviour.prompt_tokens.unwrap_or(words_in(&body["input"]) + 8);
    let model = body["model"].as_str().unwrap_or(heard.model);
    json!({"object": "list", "data": data, "model": model,
        "usage": {"prompt_tokens": prompt, "total_tokens": prompt}})
}

pub(crate) fn vector(text: &str, size: usize) -> Vec<f32> {
    let mut seed = 17u32;
    text.bytes().for_each(|byte| seed = seed.wrapping_mul(31).wrapping_add(u32::from(byte)));
    (0..size.min(4096))
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Sixteenths are exact in both encodings.
            f32::from((seed >> 24) as u8) / 16.0 - 8.0
        })
        .collect()
}
