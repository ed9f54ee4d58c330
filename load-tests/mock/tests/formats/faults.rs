//! Faults, in every format: errors before an answer, errors within one, and broken streams.

use serde_json::{Value, json};

use crate::common::{ALL, Lab, Speak, json_of};
use crate::read;

#[tokio::test]
async fn errors_are_the_providers_own() {
    let lab = Lab::start().await;
    let kind = |speak: Speak, body: &Value, header: Option<String>| match speak {
        Speak::Gemini | Speak::Vertex => body["error"]["status"].as_str().unwrap().to_owned(),
        Speak::BedrockClaude | Speak::Converse => header.unwrap(),
        Speak::Azure => body["error"]["code"].as_str().unwrap().to_owned(),
        _ => body["error"]["type"].as_str().unwrap().to_owned(),
    };
    for speak in ALL {
        let behaviour = json!({"refuse": "rate_limit", "retry_after": 3});
        let response = lab.ask(speak, true, &speak.body(true, &behaviour)).await;
        assert_eq!(response.headers()["retry-after"], "3", "{speak:?}");
        let header = response.headers().get("x-amzn-errortype").map(|value| value.to_str().unwrap().to_owned());
        let (status, body) = json_of(response).await;
        let expected = match speak {
            Speak::Anthropic | Speak::VertexClaude => "rate_limit_error",
            Speak::Gemini | Speak::Vertex => "RESOURCE_EXHAUSTED",
            Speak::BedrockClaude | Speak::Converse => "ThrottlingException",
            Speak::Azure => "429",
            _ => "requests",
        };
        assert_eq!((status, kind(speak, &body, header).as_str()), (429, expected), "{speak:?}: {body}");
        let (status, _) = json_of(lab.ask(speak, false, &speak.body(false, &json!({"status": 500}))).await).await;
        assert_eq!(status, 500, "{speak:?}");
    }
}

#[tokio::test]
async fn streams_break_in_every_format() {
    let lab = Lab::start().await;
    for speak in ALL {
        let stream = async |behaviour: Value| lab.ask(speak, true, &speak.body(true, &behaviour)).await.bytes().await;
        let failed = stream(json!({"tokens": 5, "error_after": 2})).await.unwrap();
        assert!(String::from_utf8_lossy(&failed).contains("mock stream error"), "{speak:?}");
        let whole = stream(json!({"tokens": 5})).await.unwrap();
        let cut = stream(json!({"tokens": 5, "no_end": true})).await.unwrap();
        assert!(cut.len() < whole.len(), "{speak:?}");
        assert!(stream(json!({"tokens": 5, "reset": {"after_chunks": 2}})).await.is_err(), "{speak:?}");
        let malformed = stream(json!({"tokens": 1, "malformed": true})).await.unwrap();
        assert!(!malformed.is_empty() && malformed != whole, "{speak:?}");
        let padded = stream(json!({"tokens": 2, "pad_event": 100_000})).await.unwrap();
        assert!(padded.len() > 100_000, "{speak:?}");
        // Pieces of three bytes add up to the same stream but for the ids.
        let split = stream(json!({"tokens": 5, "split": 97})).await.unwrap();
        assert_eq!(read::stream(speak, &split), read::stream(speak, &whole), "{speak:?}");
    }
}

#[tokio::test]
async fn a_checksum_is_wrong_on_demand() {
    let lab = Lab::start().await;
    let body = Speak::Converse.body(true, &json!({"tokens": 3, "bad_crc": true}));
    let bytes = lab.ask(Speak::Converse, true, &body).await.bytes().await.unwrap();
    let first = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
    assert_eq!(read::frames(&bytes[..first])[0].0, "messageStart");
    let second = &bytes[first..];
    let length = u32::from_be_bytes(second[..4].try_into().unwrap()) as usize;
    let crc = u32::from_be_bytes(second[length - 4..length].try_into().unwrap());
    assert_ne!(crc, crc32fast::hash(&second[..length - 4]));
}
