//! Endpoints that do not chat.

use serde_json::{Value, json};

use crate::common::{Lab, Speak, json_of};
use crate::read;

async fn ok(lab: &Lab, speak: Speak, path: &str, body: Value) -> Value {
    let (status, answer) = json_of(lab.send(speak, path, &body).await).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

async fn refused(lab: &Lab, speak: Speak, path: &str, body: Value) -> u16 {
    lab.send(speak, path, &body).await.status().as_u16()
}

#[tokio::test]
async fn the_same_text_has_the_same_embedding() {
    let lab = Lab::start().await;
    let content = json!({"content": {"parts": [{"text": "river"}]}});
    let one = ok(&lab, Speak::Gemini, "/v1beta/models/gemini-embedding-001:embedContent", content).await;
    let request = json!({"model": "models/gemini-embedding-001", "content": {"parts": [{"text": "river"}]}});
    let batch = json!({"requests": [request, request]});
    let many = ok(&lab, Speak::Gemini, "/v1beta/models/gemini-embedding-001:batchEmbedContents", batch).await;
    assert_eq!(many["embeddings"][1], one["embedding"]);
    let path = "/v1/projects/p/locations/l/publishers/google/models/text-embedding-005:predict";
    let vertex = ok(&lab, Speak::Vertex, path, json!({"instances": [{"content": "river"}]})).await;
    assert_eq!(vertex["predictions"][0]["embeddings"]["values"], one["embedding"]["values"]);
    let titan = "/model/amazon.titan-embed-text-v2%3A0/invoke";
    let answer = ok(&lab, Speak::Converse, titan, json!({"inputText": "river"})).await;
    assert_eq!((&answer["embedding"], &answer["inputTextTokenCount"]), (&one["embedding"]["values"], &json!(1)));
    let cohere = "/model/cohere.embed-english-v3/invoke";
    let answer = ok(&lab, Speak::Converse, cohere, json!({"texts": ["river"], "input_type": "search_query"})).await;
    assert_eq!(answer["embeddings"][0], one["embedding"]["values"]);
    assert_eq!(refused(&lab, Speak::Converse, cohere, json!({"texts": ["river"]})).await, 400);
    assert_eq!(refused(&lab, Speak::Converse, titan, json!({"input": "river"})).await, 400);
    let openai =
        ok(&lab, Speak::OpenAi, "/v1/embeddings", json!({"model": "e", "input": ["a", "b"], "dimensions": 3})).await;
    assert_eq!(openai["data"][1]["embedding"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn tokens_are_counted() {
    let lab = Lab::start().await;
    let body = json!({"model": "claude", "messages": [{"role": "user", "content": "a b c"}]});
    let answer = ok(&lab, Speak::Anthropic, "/v1/messages/count_tokens", body.clone()).await;
    assert_eq!(answer, json!({"input_tokens": 12}));
    let mut with_bound = body;
    with_bound["max_tokens"] = json!(5);
    assert_eq!(refused(&lab, Speak::Anthropic, "/v1/messages/count_tokens", with_bound).await, 400);
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "a b c"}]}]});
    let answer = ok(&lab, Speak::Gemini, "/v1beta/models/gemini-2.5-pro:countTokens", body).await;
    assert_eq!(answer["totalTokens"], 12);
}

#[tokio::test]
async fn moderations_images_and_rerank() {
    let lab = Lab::start().await;
    let answer = ok(&lab, Speak::OpenAi, "/v1/moderations", json!({"input": ["kill it", "love it"]})).await;
    assert_eq!((&answer["results"][0]["flagged"], &answer["results"][1]["flagged"]), (&json!(true), &json!(false)));
    let answer =
        ok(&lab, Speak::OpenAi, "/v1/images/generations", json!({"model": "gpt-image-1", "prompt": "a river", "n": 2}))
            .await;
    assert_eq!(answer["data"].as_array().unwrap().len(), 2);
    assert_eq!(refused(&lab, Speak::OpenAi, "/v1/images/generations", json!({"model": "dall-e-3"})).await, 400);
    let documents = json!(["a stone", "a river runs", "sea"]);
    let body = json!({"model": "rerank", "query": "river runs", "documents": documents, "top_n": 2});
    for path in ["/v1/rerank", "/v2/rerank"] {
        let answer = ok(&lab, Speak::OpenAi, path, body.clone()).await;
        assert_eq!(answer["results"][0]["index"], 1);
        assert_eq!(answer["results"].as_array().unwrap().len(), 2);
    }
    assert_eq!(refused(&lab, Speak::OpenAi, "/v2/rerank", json!({"model": "r", "query": "q"})).await, 400);
}

#[tokio::test]
async fn audio_both_ways() {
    let lab = Lab::start().await;
    let speech = json!({"model": "tts-1", "voice": "alloy", "input": "three words here"});
    let response = lab.send(Speak::OpenAi, "/v1/audio/speech", &speech).await;
    assert_eq!(response.headers()["content-type"], "audio/mpeg");
    assert_eq!(response.bytes().await.unwrap().len(), 3000);
    assert_eq!(refused(&lab, Speak::OpenAi, "/v1/audio/speech", json!({"model": "tts-1", "input": "x"})).await, 400);
    let form = |fields: &[(&str, &str)]| {
        let mut text = String::new();
        for (name, value) in fields {
            text.extend(["--B\r\nContent-Disposition: form-data; name=\"", name, "\"\r\n\r\n", value, "\r\n"]);
        }
        text + "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\nsound\r\n--B--\r\n"
    };
    let send = async |body: String| {
        let request = lab
            .client
            .post(lab.url("/v1/audio/transcriptions"))
            .header("content-type", "multipart/form-data; boundary=B");
        request.body(body).send().await.unwrap()
    };
    let (status, answer) = json_of(send(form(&[("model", "gpt-4o-transcribe")])).await).await;
    assert_eq!((status, &answer["text"]), (200, &json!("the river runs under stone")));
    let text = send(form(&[("model", "whisper-1"), ("response_format", "text")])).await.text().await.unwrap();
    assert_eq!(text, "the river runs under stone\n");
    let events = send(form(&[("model", "gpt-4o-transcribe"), ("stream", "true")])).await.bytes().await.unwrap();
    assert_eq!(read::sse(&events).last().unwrap()["text"], "the river runs under stone");
    assert_eq!(send(form(&[])).await.status(), 400);
}

#[tokio::test]
async fn gemini_streams_an_array_unless_asked_for_events() {
    let lab = Lab::start().await;
    let body = Speak::Gemini.body(true, &json!({"tokens": 4}));
    let path = "/v1beta/models/gemini-2.5-flash:streamGenerateContent";
    let answer = ok(&lab, Speak::Gemini, path, body).await;
    assert_eq!(answer.as_array().unwrap().len(), 5);
}
