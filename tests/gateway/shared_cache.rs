//! Answers that replicas share through real servers: what one keeps the other gives, what one purges is gone at
//! the other, and a server that is gone or tells lies costs no more than a hit.

use std::time::{Duration, Instant};

use reqwest::Response;
use serde_json::{Value, json};
use sluice_mock::Behaviour;

use crate::common::{Gate, KEY, value};
use crate::redis::Server;

const SEMANTIC: &str = "{ mode: semantic, scope: tenant";
const ASKED: &str = "What is the capital of Kenya?";
const OTHER_WORDS: &str = "Tell me the capital of Kenya";

/// A gateway on a Redis; `cache` is the open section of the cache.
async fn replica(redis: &Server, cache: &str) -> Gate {
    let extra = format!("cache: {cache}, redis: {{ url: \"{}\", timeout: 1s }} }}\n", redis.url());
    let gate = Gate::start(&[], &extra, Behaviour::default()).await;
    until("connected", async || shared(&gate).await["up"] == json!(true)).await;
    gate
}

async fn shared(gate: &Gate) -> Value {
    let held: Value = serde_json::from_str(&gate.admin("/cache").await).unwrap();
    held["shared"].clone()
}

async fn until(what: &str, is: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !is().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn question(text: &str) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": text}], "mock": {"tokens": 5}})
}

fn cached(response: &Response) -> String {
    let header = response.headers().get("x-sluice-cache");
    header.map_or_else(|| "nothing said".to_owned(), |value| value.to_str().unwrap().to_owned())
}

/// What the cache made of a question, with its answer read to the end: one that a client leaves is not kept.
async fn ask(gate: &Gate, text: &str) -> (u16, String) {
    let response = gate.chat(question(text)).await;
    let said = (response.status().as_u16(), cached(&response));
    response.bytes().await.unwrap();
    said
}

/// What the cache has, without asking a provider.
async fn only(gate: &Gate, text: &str) -> Response {
    let request = gate.client.post(gate.url("/v1/chat/completions")).bearer_auth(KEY);
    let request = request.header("content-type", "application/json").header("x-sluice-cache", "only");
    request.body(question(text).to_string()).send().await.unwrap()
}

async fn finds(gate: &Gate, text: &str, how: &str) -> bool {
    let response = only(gate, text).await;
    let found = cached(&response);
    assert!(response.status().as_u16() == 504 || found.starts_with("hit-"), "{} {found}", response.status());
    found == how
}

async fn purge(gate: &Gate, query: &str) -> (u16, String) {
    let request = gate.client.post(format!("http://{}/cache/purge?{query}", gate.app.admin));
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// What must hold on any server.
async fn share(redis: &Server, index: &str) {
    let (a, b) = (replica(redis, SEMANTIC).await, replica(redis, SEMANTIC).await);
    assert_eq!(shared(&b).await["index"], json!(index));
    let first = a.chat(question(ASKED)).await;
    assert_eq!(cached(&first), "miss");
    let first = value(first).await;
    // Other words first: they are not in the memory of the second, so the server must find them.
    until("the other replica finds other words", async || finds(&b, OTHER_WORDS, "hit-semantic").await).await;
    for miss in ["What is the capital of France?", "What is the capital of Kenya not?"] {
        assert_eq!(only(&b, miss).await.status().as_u16(), 504, "{miss}");
    }
    let again = b.chat(question(ASKED)).await;
    assert_eq!((cached(&again), value(again).await), ("hit-exact".to_owned(), first), "the same answer, whole");
    assert!(b.mock.requests().is_empty(), "no provider was asked for it");

    assert!(purge(&a, "tenant=another").await.1.contains("\"purged\": 0"));
    assert!(finds(&a, ASKED, "hit-exact").await);
    let (status, text) = purge(&a, "key=web").await;
    assert!(status == 200 && text.contains("told"), "{text}");
    for text in [ASKED, OTHER_WORDS] {
        assert!(!finds(&a, text, "hit-exact").await && !finds(&a, text, "hit-semantic").await, "{text}");
        until("the purge is heard", async || only(&b, text).await.status().as_u16() == 504).await;
    }
    // What is asked after it is kept and shared again.
    assert_eq!(ask(&b, ASKED).await, (200, "miss".to_owned()));
    until("shared again", async || finds(&a, OTHER_WORDS, "hit-semantic").await).await;
    assert_eq!(a.mock.requests().len(), 1);
    let metrics = b.admin("/metrics").await;
    assert!(metrics.contains("sluice_cache_tier_lookups_total{tier=\"redis\",result=\"hit-semantic\"}"), "{metrics}");
}

#[tokio::test]
async fn two_replicas_share_answers_with_neither_kind_of_search() {
    share(&Server::start(), "stream").await;
}

#[tokio::test]
async fn two_replicas_share_answers_with_vector_sets() {
    share(&Server::with_vector_sets(), "vector_sets").await;
}

#[tokio::test]
async fn two_replicas_share_answers_with_ft_search() {
    share(&Server::with_search(), "search").await;
}

#[tokio::test]
async fn two_replicas_without_their_redis_miss_and_never_fail() {
    let redis = Server::start();
    let (a, b) = (replica(&redis, SEMANTIC).await, replica(&redis, SEMANTIC).await);
    assert_eq!(ask(&a, ASKED).await, (200, "miss".to_owned()));
    until("shared", async || finds(&b, ASKED, "hit-exact").await).await;
    let port = redis.port();
    drop(redis);
    for text in [OTHER_WORDS, ASKED] {
        assert!(finds(&b, text, "hit-semantic").await || finds(&b, text, "hit-exact").await, "{text}: it is in memory");
    }
    for text in ["How do I reverse a list in Python?", "Why is the sky blue?"] {
        assert_eq!(ask(&b, text).await, (200, "miss".to_owned()));
    }
    until("the loss is noticed", async || shared(&b).await["up"] == json!(false)).await;
    assert!(shared(&b).await["why"].is_string());
    let (status, text) = purge(&a, "key=web").await;
    assert!(status == 503 && text.contains("when it does"), "{text}");
    assert_eq!(only(&a, ASKED).await.status().as_u16(), 504, "it is gone here at once");
    // Back, with nothing in it: what the replicas knew of purges is worth nothing, so they forget their answers.
    let redis = Server::at(port);
    for gate in [&a, &b] {
        until("it is used again", async || shared(gate).await["up"] == json!(true)).await;
    }
    until("the purge is heard", async || only(&b, ASKED).await.status().as_u16() == 504).await;
    assert_eq!(ask(&a, ASKED).await, (200, "miss".to_owned()));
    until("shared again", async || finds(&b, ASKED, "hit-exact").await).await;
    drop(redis);
}

#[tokio::test]
async fn two_replicas_that_start_before_their_redis_share_when_it_comes() {
    let port = { Server::start().port() };
    let extra = format!("cache: {{ redis: {{ url: \"redis://127.0.0.1:{port}/0\", timeout: 1s }} }}\n");
    let a = Gate::start(&[], &extra, Behaviour::default()).await;
    let b = Gate::start(&[], &extra, Behaviour::default()).await;
    for (gate, how) in [(&a, "miss"), (&a, "hit-exact"), (&b, "miss")] {
        assert_eq!(ask(gate, "alone").await, (200, how.to_owned()));
    }
    assert_eq!(purge(&b, "").await.0, 503);
    assert!(finds(&a, "alone", "hit-exact").await, "nobody could be told");
    let redis = Server::at(port);
    for gate in [&a, &b] {
        until("it is used", async || shared(gate).await["up"] == json!(true)).await;
    }
    until("the purge is heard", async || only(&a, "alone").await.status().as_u16() == 504).await;
    assert_eq!(ask(&a, "together").await, (200, "miss".to_owned()));
    until("shared", async || finds(&b, "together", "hit-exact").await).await;
    drop(redis);
}

#[tokio::test]
async fn two_replicas_forget_what_has_had_its_time() {
    for (redis, index) in
        [(Server::start(), "stream"), (Server::with_vector_sets(), "vector_sets"), (Server::with_search(), "search")]
    {
        let brief = "{ mode: semantic, scope: tenant, ttl: 1s";
        let (a, b) = (replica(&redis, brief).await, replica(&redis, brief).await);
        assert_eq!(ask(&a, ASKED).await, (200, "miss".to_owned()));
        let keys = || redis.cli(&["--raw", "keys", "sluice:cache:*"]);
        until("written", async || keys().contains(":e:")).await;
        until("it is over", async || only(&a, ASKED).await.status().as_u16() == 504).await;
        until("it is over there too", async || only(&b, OTHER_WORDS).await.status().as_u16() == 504).await;
        // The purges and the stream stay, and nothing of a prompt or an answer in other keys.
        until("the server has dropped it", async || {
            let left = keys();
            !left.contains(":e:") && !left.contains(":v:") && !left.contains(":z:") && !left.contains(":h:")
        })
        .await;
        until("prompts end", async || shared(&b).await["prompts"] == json!(0)).await;
        assert_eq!(shared(&b).await["index"], json!(index));
    }
}

#[tokio::test]
async fn two_replicas_do_not_believe_what_was_not_written_for_the_question() {
    let redis = Server::start();
    let exact = "{ scope: tenant";
    let (a, b) = (replica(&redis, exact).await, replica(&redis, exact).await);
    let keys = || redis.cli(&["--raw", "keys", "sluice:cache:*:e:*"]);
    assert_eq!(ask(&a, "one").await, (200, "miss".to_owned()));
    until("written", async || !keys().is_empty()).await;
    let one = keys();
    assert_eq!(ask(&a, "two").await, (200, "miss".to_owned()));
    until("both written", async || keys().lines().count() == 2).await;
    let two = keys().lines().find(|key| **key != *one).unwrap().to_owned();
    assert_eq!(redis.cli(&["copy", &one, &two, "replace"]), "1");
    assert_eq!(only(&b, "two").await.status().as_u16(), 504, "the answer to another question");
    let byte = redis.cli(&["getrange", &one, "60", "60"]);
    redis.cli(&["setrange", &one, "60", if byte == "x" { "y" } else { "x" }]);
    assert_eq!(only(&b, "one").await.status().as_u16(), 504, "an answer that was changed");
    until("lies are thrown away", async || keys().is_empty()).await;
    // Of another type, and without an end.
    redis.cli(&["lpush", &one, "x"]);
    redis.cli(&["set", &two, "SCA1"]);
    for text in ["one", "two"] {
        assert_eq!(ask(&b, text).await, (200, "miss".to_owned()), "{text}");
    }
}

#[tokio::test]
async fn two_replicas_share_through_the_redis_of_their_limits_unless_told_not_to() {
    let redis = Server::start();
    let with = |cache: &str| format!("redis: {{ url: \"{}\", timeout: 1s }}\ncache: {cache}\n", redis.url());
    let a = Gate::start(&[], &with("{}"), Behaviour::default()).await;
    let b = Gate::start(&[], &with("{}"), Behaviour::default()).await;
    let alone = Gate::start(&[], &with("{ shared: false }"), Behaviour::default()).await;
    assert_eq!(shared(&alone).await, Value::Null);
    until("connected", async || shared(&a).await["up"] == json!(true) && shared(&b).await["up"] == json!(true)).await;
    assert_eq!(ask(&a, "hello").await, (200, "miss".to_owned()));
    until("shared", async || finds(&b, "hello", "hit-exact").await).await;
    assert_eq!(only(&alone, "hello").await.status().as_u16(), 504);
}
