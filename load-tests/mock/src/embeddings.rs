//! Embeddings of OpenAI's endpoint: the same text always has the same vector, and texts with the same words are near.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::answer::words_in;
use crate::format::Heard;

/// Dimensions of an embedding, unless asked otherwise.
pub(crate) const DIMENSIONS: usize = 64;

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

/// A bag of words: each word counts at the place of its hash. Whole numbers are exact in both encodings.
pub(crate) fn vector(text: &str, size: usize) -> Vec<f32> {
    let size = size.clamp(1, 4096);
    let mut vector = vec![0.0; size];
    let lower = text.to_lowercase();
    let mut words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).peekable();
    if words.peek().is_none() {
        vector[0] = 1.0;
    }
    for word in words {
        let hash = word.bytes().fold(2_166_136_261_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619));
        vector[hash as usize % size] += 1.0;
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_with_the_same_words_are_near() {
        let similarity = |a: &str, b: &str| {
            let (a, b) = (vector(a, DIMENSIONS), vector(b, DIMENSIONS));
            let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt()
        };
        assert!(similarity("How do I reverse a list?", "how can I reverse a LIST") > 0.7);
        assert!(similarity("How do I reverse a list?", "capital of Kenya") < 0.3);
        assert!((similarity("?!", "...") - 1.0).abs() < 1e-6);
    }
}
