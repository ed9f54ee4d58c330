//! Embeddings models that the cache asks: for its shortlist, and for a second opinion.

use reqwest::Response;
use serde_json::{Value, json};
use sluice_mock::{Behaviour, Mock, MockHandle};

use crate::common::{Gate, KEY, any_port, value};

/// Alike for the verifier, and by their words (0.8).
const ASKED: &str = "How do I reverse a list in Python?";
const AGAIN: &str = "How can I reverse a Python list?";
/// Alike for the verifier, less so by their words (0.67).
const KENYA: &str = "What is the capital of Kenya?";
const KENYA_AGAIN: &str = "Tell me the capital of Kenya";

const OPINION: &str = "second_opinion: { model: emb/e, min_similarity: 0.7, timeout: 5s }";
const EMBEDDINGS: &str = "embeddings: { model: emb/e, timeout: 5s }";

/// A gateway whose embeddings come from a mock of their own.
async fn start(section: &str, behaviour: Behaviour) -> (Gate, MockHandle) {
    let other = Mock::with_defaults(behaviour).start(any_port()).await.unwrap();
    let provider =
        format!("  emb: {{ kind: openai, base_url: \"http://{}/v1\", api_key: upstream-secret }}\n", other.addr());
    let catalog = "catalog:\n  models:\n    emb/e: { gives: [embedding], input: 1, generated: 0 }\n";
    let edit = |text: String| {
        let text = text.replace("models:\n", &format!("{provider}models:\n"));
        format!("{text}cache: {{ mode: semantic, {section} }}\n{catalog}")
    };
    (Gate::with(&[], Behaviour::default(), edit).await, other)
}

fn question(text: &str) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": text}], "mock": {"tokens": 5}})
}

fn cached(response: &Response) -> String {
    response.headers()["x-sluice-cache"].to_str().unwrap().to_owned()
}

async fn ask(gate: &Gate, text: &str) -> String {
    let response = gate.chat(question(text)).await;
    let result = cached(&response);
    assert_eq!(response.status().as_u16(), 200, "{text}");
    assert!(value(response).await["choices"][0]["message"]["content"].is_string(), "{text}");
    result
}

/// The texts of each call that a mock got.
fn inputs(mock: &MockHandle) -> Vec<Value> {
    let body = |request: &sluice_mock::Received| serde_json::from_str::<Value>(&request.body).unwrap();
    mock.requests().iter().map(|request| body(request)["input"].clone()).collect()
}

#[tokio::test]
async fn a_second_opinion_that_agrees_is_a_hit() {
    let (gate, other) = start(OPINION, Behaviour { prompt_tokens: Some(7), ..Behaviour::default() }).await;
    assert_eq!(ask(&gate, ASKED).await, "miss");
    assert_eq!(ask(&gate, "What is the boiling point of water?").await, "miss");
    assert!(other.requests().is_empty(), "nobody is asked where the verifier finds nothing");
    assert_eq!(ask(&gate, AGAIN).await, "hit-semantic");
    assert_eq!(inputs(&other), [json!([AGAIN, ASKED])], "one call for both");
    let sent = ("authorization".to_owned(), "Bearer upstream-secret".to_owned());
    assert!(other.requests()[0].headers.contains(&sent));
    assert_eq!(ask(&gate, AGAIN).await, "hit-semantic");
    assert_eq!(other.requests().len(), 1, "what is known is not asked again");
    let metrics = gate.admin("/metrics").await;
    for line in [
        "sluice_cache_embeddings_total{model=\"emb/e\",result=\"ok\"} 1",
        "sluice_cache_embedding_tokens_total{model=\"emb/e\"} 7",
        "sluice_cache_embedding_micros_total{model=\"emb/e\"} 7",
        "sluice_cache_second_opinions_total{model=\"emb/e\",result=\"agreed\"} 2",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[tokio::test]
async fn a_second_opinion_that_disagrees_is_a_miss() {
    let (gate, other) = start(OPINION, Behaviour::default()).await;
    assert_eq!(ask(&gate, KENYA).await, "miss");
    assert_eq!(ask(&gate, KENYA_AGAIN).await, "miss");
    assert_eq!(other.requests().len(), 1);
    assert_eq!(ask(&gate, KENYA_AGAIN).await, "hit-exact", "its own answer was kept");
    let metrics = gate.admin("/metrics").await;
    assert!(
        metrics.contains("sluice_cache_second_opinions_total{model=\"emb/e\",result=\"disagreed\"} 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn without_a_second_opinion_it_is_a_miss_and_a_model_that_fails_is_left_alone() {
    for (behaviour, result) in [
        (Behaviour { status: Some(500), ..Behaviour::default() }, "refused"),
        (Behaviour { status: Some(404), ..Behaviour::default() }, "refused"),
        (Behaviour { first_token_ms: 2000, ..Behaviour::default() }, "late"),
    ] {
        let section = "second_opinion: { model: emb/e, min_similarity: 0.1, timeout: 50ms }";
        let (gate, other) = start(section, behaviour).await;
        let pairs = ["Kenya", "France", "Germany", "Spain", "Peru", "Chile", "Ghana", "Japan"];
        for country in pairs {
            assert_eq!(ask(&gate, &format!("What is the capital of {country}?")).await, "miss");
            assert_eq!(ask(&gate, &format!("Tell me the capital of {country}")).await, "miss", "{result} {country}");
        }
        if result == "refused" {
            // Late ones are known to be late only when they come.
            assert_eq!(other.requests().len(), 5, "five faults are enough");
            let metrics = gate.admin("/metrics").await;
            assert!(metrics.contains("model=\"emb/e\",result=\"ejected\"} 3"), "{metrics}");
            assert!(metrics.contains("second_opinions_total{model=\"emb/e\",result=\"none\"} 8"), "{metrics}");
            let targets: Value = serde_json::from_str(&gate.admin("/targets").await).unwrap();
            let all = targets["targets"].as_array().unwrap();
            let shown = all.iter().find(|target| target["target"] == "emb/e (cache)").unwrap();
            assert_eq!(shown["standing"], "ejected", "{targets}");
        }
    }
}

#[tokio::test]
async fn an_embeddings_model_can_make_the_shortlist() {
    let (gate, other) = start(EMBEDDINGS, Behaviour::default()).await;
    assert_eq!(ask(&gate, ASKED).await, "miss");
    assert_eq!(inputs(&other), [json!([ASKED])], "one call for the look-up and for what is kept");
    assert_eq!(ask(&gate, ASKED).await, "hit-exact");
    assert_eq!(other.requests().len(), 1, "the same request needs none");
    assert_eq!(ask(&gate, AGAIN).await, "hit-semantic");
    assert_eq!(ask(&gate, KENYA).await, "miss");
    assert_eq!(ask(&gate, "What is the capital of Tanzania?").await, "miss", "the verifier stays");
    // What is not looked up is found in other words all the same.
    let refresh = gate.client.post(gate.url("/v1/chat/completions")).bearer_auth(KEY);
    let refresh = refresh.header("content-type", "application/json").header("x-sluice-cache", "refresh");
    refresh.body(question("How tall is Mount Kenya?").to_string()).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(ask(&gate, "how tall is Mount Kenya").await, "hit-semantic");
}

#[tokio::test]
async fn while_the_shortlists_model_is_down_answers_are_kept_for_the_same_request() {
    let down = Behaviour { status: Some(503), ..Behaviour::default() };
    let (gate, other) = start("embeddings: { model: emb/e, timeout: 5s }", down).await;
    assert_eq!(ask(&gate, ASKED).await, "miss");
    assert_eq!(ask(&gate, ASKED).await, "hit-exact");
    assert_eq!(ask(&gate, AGAIN).await, "miss");
    other.behave(Behaviour::default());
    assert_eq!(ask(&gate, KENYA).await, "miss");
    assert_eq!(ask(&gate, KENYA_AGAIN).await, "hit-semantic", "it is back");
    assert_eq!(ask(&gate, "How could I reverse a Python list?").await, "miss", "what was kept meanwhile has no vector");
}

#[tokio::test]
async fn requests_at_once_for_the_same_vector_make_one_call() {
    let (gate, other) = start(EMBEDDINGS, Behaviour { first_token_ms: 300, ..Behaviour::default() }).await;
    let all = futures_util::future::join_all((0..20).map(|_| ask(&gate, ASKED))).await;
    assert!(all.iter().all(|result| result != "hit-semantic"), "{all:?}");
    assert_eq!(other.requests().len(), 1);
}

#[tokio::test]
async fn any_providers_embeddings_will_do() {
    for (kind, path, model, calls) in [
        ("azure", "", "text-embedding-3-small", 1),
        ("gemini", "/v1beta", "gemini-embedding-001", 1),
        ("vertex", "/v1/projects/p/locations/l", "gemini-embedding-001", 2),
        ("vertex", "/v1/projects/p/locations/l", "text-embedding-005", 1),
        ("bedrock", "", "amazon.titan-embed-text-v2:0", 2),
        ("bedrock", "", "cohere.embed-english-v3", 1),
    ] {
        let other = Mock::with_defaults(Behaviour::default()).start(any_port()).await.unwrap();
        let region = if kind == "bedrock" { ", aws: { region: eu-west-1 }" } else { "" };
        let provider = format!(
            "  emb: {{ kind: {kind}, base_url: \"http://{}{path}\", api_key: upstream-secret{region} }}\n",
            other.addr()
        );
        let section = format!("second_opinion: {{ model: \"emb/{model}\", min_similarity: 0.7, timeout: 5s }}");
        let edit = |text: String| {
            let text = text.replace("models:\n", &format!("{provider}models:\n"));
            format!("{text}cache: {{ mode: semantic, {section} }}\n")
        };
        let gate = Gate::alone(&[], Behaviour::default(), edit).await;
        assert_eq!(ask(&gate, ASKED).await, "miss", "{kind}");
        assert_eq!(ask(&gate, AGAIN).await, "hit-semantic", "{kind} {model}");
        assert_eq!(other.requests().len(), calls, "{kind} {model}");
    }
}
