//! Embeddings by `InvokeModel`: Titan's body and Cohere's.

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::json;

use crate::adapter::{Exchange, Reply, Target, TranslateError, Unsupported};
use crate::call::Call;
use crate::embed::{EmbedRequest, reply, unreadable};

/// The models whose bodies are known.
#[derive(Clone, Copy)]
enum Family {
    Titan,
    Cohere,
}

impl Family {
    fn of(target: &Target) -> Result<Self, TranslateError> {
        if target.model.contains("titan-embed") {
            Ok(Self::Titan)
        } else if target.model.contains("cohere.embed") {
            Ok(Self::Cohere)
        } else {
            let message = format!("embeddings of `{}` cannot be translated: Titan's and Cohere's can", target.model);
            Err(Unsupported::field("model", message).into())
        }
    }
}

/// The body.
pub(super) fn body(call: &Call, target: &Target) -> Result<Bytes, TranslateError> {
    let request = EmbedRequest::of(call)?;
    let body = match Family::of(target)? {
        Family::Titan => {
            let mut body = json!({"inputText": request.single()?});
            if let Some(dimensions) = request.dimensions {
                body["dimensions"] = dimensions.into();
            }
            body
        }
        Family::Cohere => {
            let mut body =
                json!({"texts": request.inputs, "input_type": "search_document", "embedding_types": ["float"]});
            if let Some(dimensions) = request.dimensions {
                body["output_dimension"] = dimensions.into();
            }
            body
        }
    };
    Ok(Bytes::from(body.to_string()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Titan {
    embedding: Vec<f32>,
    input_text_token_count: Option<u64>,
}

#[derive(Deserialize)]
struct Cohere {
    embeddings: CohereVectors,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum CohereVectors {
    Plain(Vec<Vec<f32>>),
    ByType { float: Vec<Vec<f32>> },
}

/// The answer. AWS counts the tokens of every model in a header.
pub(super) fn answer(body: &[u8], headers: &HeaderMap, exchange: &Exchange<'_>) -> Result<Reply, TranslateError> {
    let counted = headers.get("x-amzn-bedrock-input-token-count").and_then(|count| count.to_str().ok()?.parse().ok());
    let (vectors, tokens) = match Family::of(exchange.target)? {
        Family::Titan => {
            let titan: Titan = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
            (vec![titan.embedding], titan.input_text_token_count.or(counted))
        }
        Family::Cohere => {
            let cohere: Cohere = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
            let (CohereVectors::Plain(vectors) | CohereVectors::ByType { float: vectors }) = cohere.embeddings;
            (vectors, counted)
        }
    };
    Ok(reply(&vectors, tokens, exchange))
}
