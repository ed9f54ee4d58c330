//! Answers from the cache through the front door: what hits, what must not, and what the client is told.

use reqwest::Response;
use serde_json::{Value, json};
use sluice_mock::Behaviour;

use crate::common::{Gate, KEY, events, value};

const EXACT: &str = "cache: {}\n";
const SEMANTIC: &str = "cache: { mode: semantic }\n";

fn question(text: &str) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": text}], "mock": {"tokens": 5}})
}

fn streamed(text: &str, include_usage: bool) -> Value {
    let mut body = question(text);
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": include_usage});
    body
}

/// What the cache made of a request.
fn cached(response: &Response) -> String {
    let header = response.headers().get("x-sluice-cache");
    header.map_or_else(|| "nothing said".to_owned(), |value| value.to_str().unwrap().to_owned())
}

async fn with(gate: &Gate, body: &Value, name: &str, told: &str) -> Response {
    let request = gate.client.post(gate.url("/v1/chat/completions")).bearer_auth(KEY);
    let request = request.header("content-type", "application/json").header(name, told);
    request.body(body.to_string()).send().await.unwrap()
}

fn text_of(events: &[Value]) -> String {
    events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect()
}

#[tokio::test]
async fn the_same_request_is_answered_once_by_the_provider() {
    let gate = Gate::start(&["100 requests/day per key"], EXACT, Behaviour::default()).await;
    let first = gate.chat(question("hello there")).await;
    assert_eq!(cached(&first), "miss");
    let first = first.bytes().await.unwrap();
    for _ in 0..3 {
        let again = gate.chat(question("hello there")).await;
        assert_eq!((again.status().as_u16(), cached(&again)), (200, "hit-exact".to_owned()));
        assert!(again.headers().contains_key("age") && again.headers().contains_key("x-request-id"));
        assert_eq!(again.headers()["content-type"], "application/json");
        assert_eq!(again.bytes().await.unwrap(), first);
    }
    assert_eq!(gate.mock.requests().len(), 1);
    for (name, changed) in [("temperature", json!(0.1)), ("seed", json!(1)), ("unheard_of", json!("x"))] {
        let mut body = question("hello there");
        body[name] = changed;
        assert_eq!(cached(&gate.chat(body).await), "miss", "{name}");
    }
    gate.settled().await;
    let levels: Value = serde_json::from_str(&gate.admin("/levels").await).unwrap();
    assert_eq!(levels["limits"][0]["remaining"], json!(96), "hits cost no limit: {levels}");
    let metrics = gate.admin("/metrics").await;
    assert!(metrics.contains("sluice_cache_lookups_total{model=\"m\",result=\"hit-exact\"} 3"), "{metrics}");
}

#[tokio::test]
async fn a_stream_is_replayed_as_a_stream_and_as_json() {
    let gate = Gate::start(&[], EXACT, Behaviour::default()).await;
    let live = gate.chat(streamed("tell me", true)).await;
    assert_eq!(cached(&live), "miss");
    let live = events(&live.text().await.unwrap());
    for include_usage in [true, false] {
        let again = gate.chat(streamed("tell me", include_usage)).await;
        assert_eq!(cached(&again), "hit-exact");
        assert!(again.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
        let text = again.text().await.unwrap();
        assert!(text.ends_with("data: [DONE]\n\n"));
        let replayed = events(&text);
        assert_eq!(text_of(&replayed), text_of(&live));
        let names = |event: &Value, at: &str| event[at].clone();
        for name in ["id", "object", "created", "model"] {
            assert!(replayed.iter().all(|event| names(event, name) == names(&live[0], name)), "{name}");
        }
        let last = replayed.last().unwrap();
        if include_usage {
            assert_eq!(
                (&last["choices"], &last["usage"]["total_tokens"]),
                (&json!([]), &live.last().unwrap()["usage"]["total_tokens"])
            );
        } else {
            assert_eq!(last["choices"][0]["finish_reason"], "stop");
            assert!(replayed.iter().all(|event| event.get("usage").is_none()));
        }
    }
    let whole = gate.chat(question("tell me")).await;
    assert_eq!(cached(&whole), "hit-exact");
    let whole = value(whole).await;
    assert_eq!(whole["choices"][0]["message"]["content"], json!(text_of(&live)));
    assert_eq!((&whole["object"], &whole["choices"][0]["finish_reason"]), (&json!("chat.completion"), &json!("stop")));
    assert_eq!(gate.mock.requests().len(), 1);
}

#[tokio::test]
async fn other_words_hit_and_another_question_does_not() {
    let gate = Gate::start(&[], SEMANTIC, Behaviour::default()).await;
    let first = value(gate.chat(question("What is the capital of Kenya?")).await).await;
    let other = gate.chat(question("Tell me the capital of Kenya")).await;
    assert_eq!(cached(&other), "hit-semantic");
    let similarity: f64 = other.headers()["x-sluice-cache-similarity"].to_str().unwrap().parse().unwrap();
    assert!((0.5..=1.0).contains(&similarity));
    assert_eq!(value(other).await, first);
    for miss in ["What is the capital of France?", "What is the capital of Kenya not?", "Kenya population"] {
        assert_eq!(cached(&gate.chat(question(miss)).await), "miss", "{miss}");
    }
    let mut system = question("Tell me the capital of Kenya");
    system["messages"] = json!([
        {"role": "system", "content": "Answer in French"},
        {"role": "user", "content": "Tell me the capital of Kenya"}
    ]);
    assert_eq!(cached(&gate.chat(system).await), "miss", "another system prompt is another partition");
    let exact = with(&gate, &question("Give me the capital of Kenya"), "x-sluice-cache", "exact").await;
    assert_eq!(cached(&exact), "miss", "the client wanted no other words");
}

#[tokio::test]
async fn clients_control_the_cache() {
    let gate = Gate::start(&[], EXACT, Behaviour::default()).await;
    let body = question("controlled");
    let only = with(&gate, &body, "x-sluice-cache", "only").await;
    assert_eq!(only.status().as_u16(), 504);
    assert_eq!(value(only).await["error"]["code"], "not_cached");
    assert!(gate.mock.requests().is_empty());
    for (name, told) in [("x-sluice-cache", "no-store"), ("cache-control", "no-store")] {
        assert_eq!(cached(&with(&gate, &body, name, told).await), "bypass(no-store)");
    }
    assert_eq!(cached(&gate.chat(body.clone()).await), "miss", "nothing had been stored");
    assert_eq!(cached(&with(&gate, &body, "x-sluice-cache", "only").await), "hit-exact");
    for (name, told) in [("x-sluice-cache", "refresh"), ("cache-control", "no-cache")] {
        assert_eq!(cached(&with(&gate, &body, name, told).await), "miss", "{told}");
    }
    assert_eq!(cached(&gate.chat(body.clone()).await), "hit-exact", "what was refreshed is kept");
    let wrong = with(&gate, &body, "x-sluice-cache", "maybe").await;
    assert_eq!(wrong.status().as_u16(), 400);
    assert!(value(wrong).await["error"]["message"].as_str().unwrap().contains("maybe"));
    let mut many = body.clone();
    many["n"] = json!(2);
    assert_eq!(cached(&gate.chat(many).await), "bypass(n)");
}

#[tokio::test]
async fn what_is_not_a_complete_answer_is_not_kept() {
    let gate = Gate::start(&[], EXACT, Behaviour::default()).await;
    let cases = [
        json!({"tokens": 3, "finish": "length"}),
        json!({"tokens": 3, "finish": "content_filter"}),
        json!({"status": 400}),
    ];
    for (index, mock) in cases.into_iter().enumerate() {
        for stream in [false, true] {
            let mut body = streamed(&format!("case {index}"), false);
            (body["stream"], body["mock"]) = (json!(stream), mock.clone());
            for _ in 0..2 {
                let response = gate.chat(body.clone()).await;
                assert!(!cached(&response).starts_with("hit"), "{mock} {stream}");
                response.bytes().await.unwrap();
            }
        }
    }
    // A client that leaves in the middle leaves nothing behind.
    let mut body = streamed("leaves", false);
    body["mock"] = json!({"tokens": 200, "token_ms": 20});
    let mut response = gate.chat(body.clone()).await;
    assert!(response.chunk().await.unwrap().is_some());
    drop(response);
    gate.settled().await;
    body["mock"] = json!({"tokens": 200, "token_ms": 20});
    assert_eq!(cached(&with(&gate, &body, "x-sluice-cache", "only").await), "nothing said");
    let held: Value = serde_json::from_str(&gate.admin("/cache").await).unwrap();
    assert_eq!(held["entries"], json!(0), "{held}");
}

#[tokio::test]
async fn users_keep_to_themselves_and_a_purge_forgets() {
    let gate = Gate::start(&[], "cache: { mode: semantic, scope: user }\n", Behaviour::default()).await;
    let of = |user: &str, text: &str| {
        let mut body = question(text);
        body["user"] = json!(user);
        body
    };
    let (asked, other_words) = ("How do I reverse a list in Python?", "How can I reverse a Python list?");
    assert_eq!(cached(&gate.chat(of("ann", asked)).await), "miss");
    assert_eq!(cached(&gate.chat(of("ann", other_words)).await), "hit-semantic");
    assert_eq!(cached(&gate.chat(of("ben", asked)).await), "miss");
    let purge = |query: &str| {
        let url = format!("http://{}/cache/purge?{query}", gate.app.admin);
        let request = gate.client.post(url);
        async move { request.send().await.unwrap().text().await.unwrap() }
    };
    assert!(purge("key=nobody").await.contains("\"purged\": 0"));
    assert!(purge("kee=web").await.contains("kee"));
    assert!(purge("key=web").await.contains("\"purged\": 2"));
    for text in [asked, other_words] {
        let response = with(&gate, &of("ann", text), "x-sluice-cache", "only").await;
        assert_eq!(response.status().as_u16(), 504, "{text}");
    }
}
