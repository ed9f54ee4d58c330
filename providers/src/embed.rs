//! Embeddings: `OpenAI`'s request typed, and its answer written.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::adapter::{Exchange, Reply, TranslateError, Unsupported, Usage};
use crate::call::{BadRequest, Call, Field};

/// What is to be embedded, and how.
pub(crate) struct EmbedRequest {
    /// The texts, never none.
    pub(crate) inputs: Vec<String>,
    /// The length of the vectors, if it is asked for.
    pub(crate) dimensions: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    One(String),
    Many(Vec<String>),
}

impl EmbedRequest {
    /// Reads a call. Texts that the client has cut into tokens itself cannot be translated.
    pub(crate) fn of(call: &Call) -> Result<Self, TranslateError> {
        let raw = call.raw(Field::Input).unwrap_or_default();
        let inputs = match serde_json::from_str::<Input>(raw) {
            Ok(Input::One(text)) => vec![text],
            Ok(Input::Many(texts)) => texts,
            Err(_) => {
                let message = "`input` must be a string or an array of strings: this provider takes no tokens";
                return Err(Unsupported::field("input", message).into());
            }
        };
        let raw = call.raw(Field::Dimensions).filter(|raw| *raw != "null");
        let dimensions = raw.map(serde_json::from_str).transpose();
        let dimensions =
            dimensions.map_err(|_| BadRequest::field("dimensions", "`dimensions` must be a positive integer"))?;
        Ok(Self { inputs, dimensions })
    }

    /// The one text, for models that take no more.
    pub(crate) fn single(&self) -> Result<&str, TranslateError> {
        match self.inputs.as_slice() {
            [text] => Ok(text),
            texts => {
                let message = format!("`input` holds {} texts: this model takes one at a time", texts.len());
                Err(Unsupported::field("input", message).into())
            }
        }
    }
}

/// The answer in `OpenAI`'s form. `tokens` is what the provider counted.
pub(crate) fn reply(vectors: &[Vec<f32>], tokens: Option<u64>, exchange: &Exchange<'_>) -> Reply {
    let base64 = exchange.call.raw(Field::EncodingFormat) == Some("\"base64\"");
    let data: Vec<Value> = vectors
        .iter()
        .enumerate()
        .map(|(index, vector)| {
            let embedding = if base64 { packed(vector).into() } else { json!(vector) };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let input = tokens.unwrap_or(0);
    let body = json!({
        "object": "list",
        "data": data,
        "model": exchange.target.model,
        "usage": {"prompt_tokens": input, "total_tokens": input},
    });
    let usage = tokens.map(|input| Usage { input, ..Usage::default() });
    Reply { body: Bytes::from(body.to_string()), usage, text: String::new() }
}

/// Little-endian floats in base64, as `OpenAI`'s own clients ask for by default.
fn packed(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

/// What a body that cannot be read becomes.
pub(crate) fn unreadable(error: &serde_json::Error) -> TranslateError {
    TranslateError::Malformed(format!("the body is not the JSON it should be: {error}"))
}
