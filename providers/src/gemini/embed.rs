//! Embeddings: `batchEmbedContents` of AI Studio, `predict` of Vertex.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::adapter::{Exchange, Reply, Target, TranslateError};
use crate::call::Call;
use crate::embed::{EmbedRequest, reply, unreadable};

/// The body of `batchEmbedContents`.
pub(super) fn batch(call: &Call, target: &Target) -> Result<Bytes, TranslateError> {
    let request = EmbedRequest::of(call)?;
    let model = format!("models/{}", target.model.strip_prefix("models/").unwrap_or(&target.model));
    let requests: Vec<Value> = request
        .inputs
        .iter()
        .map(|text| {
            let mut one = json!({"model": model, "content": {"parts": [{"text": text}]}});
            if let Some(dimensions) = request.dimensions {
                one["outputDimensionality"] = dimensions.into();
            }
            one
        })
        .collect();
    Ok(Bytes::from(json!({"requests": requests}).to_string()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Batch {
    embeddings: Vec<Vector>,
    usage_metadata: Option<BatchUsage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchUsage {
    prompt_token_count: Option<u64>,
}

#[derive(Deserialize)]
struct Vector {
    values: Vec<f32>,
    statistics: Option<Statistics>,
}

#[derive(Deserialize)]
struct Statistics {
    token_count: Option<f64>,
}

/// The answer of `batchEmbedContents`.
pub(super) fn batch_reply(body: &[u8], exchange: &Exchange<'_>) -> Result<Reply, TranslateError> {
    let batch: Batch = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let vectors: Vec<Vec<f32>> = batch.embeddings.into_iter().map(|vector| vector.values).collect();
    Ok(reply(&vectors, batch.usage_metadata.and_then(|usage| usage.prompt_token_count), exchange))
}

/// The body of `predict`. Gemini's own embedding models take one instance of it.
pub(super) fn predict(call: &Call, target: &Target) -> Result<Bytes, TranslateError> {
    let request = EmbedRequest::of(call)?;
    if target.model.starts_with("gemini-embedding") {
        request.single()?;
    }
    let instances: Vec<Value> = request.inputs.iter().map(|text| json!({"content": text})).collect();
    let mut body = json!({"instances": instances});
    if let Some(dimensions) = request.dimensions {
        body["parameters"] = json!({"outputDimensionality": dimensions});
    }
    Ok(Bytes::from(body.to_string()))
}

#[derive(Deserialize)]
struct Predicted {
    predictions: Vec<Prediction>,
}

#[derive(Deserialize)]
struct Prediction {
    embeddings: Vector,
}

/// The answer of `predict`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, in JSON's one kind of number")]
pub(super) fn predict_reply(body: &[u8], exchange: &Exchange<'_>) -> Result<Reply, TranslateError> {
    let predicted: Predicted = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let counted = predicted.predictions.iter().map(|one| one.embeddings.statistics.as_ref()?.token_count);
    let tokens = counted.sum::<Option<f64>>().map(|tokens| tokens.clamp(0.0, 1e15) as u64);
    let vectors: Vec<Vec<f32>> = predicted.predictions.into_iter().map(|one| one.embeddings.values).collect();
    Ok(reply(&vectors, tokens, exchange))
}
