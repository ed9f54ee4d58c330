//! Requests that wait: streams hear of it, clients that leave free their place, providers that ask
//! to be left alone are, and replicas share it all.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_mock::Behaviour;

use crate::common::{Gate, ask, events, policy, value};
use crate::redis::Server;

/// A gateway whose model `m` takes so many requests at once, and whose requests may wait.
async fn gate(slots: u32, extra: &str) -> Gate {
    let gate = Gate::with(&[], Behaviour::default(), |text| bounded(&text, slots, extra)).await;
    patient(&gate, &[], "20s").await;
    gate
}

fn bounded(text: &str, slots: u32, extra: &str) -> String {
    let text =
        text.replace("m: [mock/gpt-4o-mini]", &format!("m: {{ targets: [mock/gpt-4o-mini], concurrent: {slots} }}"));
    format!("{text}{extra}")
}

/// Rewrites the policy so that its class waits, and waits until that is live.
async fn patient(gate: &Gate, limits: &[&str], max_wait: &str) {
    let generation = gate.gateway().live.status().generation;
    let text = policy(limits).replace("max_wait: 0s", &format!("max_wait: {max_wait}"));
    std::fs::write(gate.dir.path().join("policy.yaml"), text).unwrap();
    while gate.gateway().live.status().generation == generation {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn waiting(gate: &Gate, count: u64) {
    let begun = Instant::now();
    loop {
        let levels: Value = serde_json::from_str(&gate.admin("/levels").await).unwrap();
        let waiting = levels["pools"][0]["waiting"]["standard"].as_u64().unwrap_or(0);
        if waiting == count {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{levels}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn millis(response: &reqwest::Response, header: &str) -> u64 {
    response.headers()[header].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_stream_that_waits_hears_of_it_and_then_flows() {
    let gate = gate(1, "limits: { queue_comments: 100ms }\n").await;
    let first = gate.chat(ask(true, json!({"tokens": 1000, "token_ms": 20}))).await;
    let second = gate.chat(ask(true, json!({"tokens": 3}))).await;
    assert_eq!(second.status(), 200);
    assert_eq!(second.headers()["content-type"], "text/event-stream");
    assert_eq!(second.headers()["x-accel-buffering"], "no", "else nginx holds the comments back");
    tokio::time::sleep(Duration::from_millis(250)).await;
    drop(first);
    let text = second.text().await.unwrap();
    let comments = text.lines().filter(|line| *line == ": queued, 0 ahead").count();
    assert!((2..=6).contains(&comments), "{text}");
    assert_eq!(events(&text.replace(": queued, 0 ahead\n\n", "")).len(), 5, "{text}");
    assert!(text.ends_with("data: [DONE]\n\n"));
    gate.settled().await;
}

#[tokio::test]
async fn a_stream_whose_wait_is_over_gets_an_error_event() {
    let gate = gate(1, "limits: { queue_comments: 50ms }\n").await;
    patient(&gate, &[], "300ms").await;
    let _first = gate.chat(ask(true, json!({"tokens": 1000, "token_ms": 20}))).await;
    let text = gate.chat(ask(true, json!({"tokens": 3}))).await.text().await.unwrap();
    let last = text.lines().rev().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let error: Value = serde_json::from_str(last).unwrap();
    assert_eq!(error["error"]["code"], "queue_timeout", "{text}");
}

#[tokio::test]
async fn who_waits_in_vain_is_told_when_to_come_back() {
    let gate = gate(1, "").await;
    patient(&gate, &[], "200ms").await;
    let _first = gate.chat(ask(true, json!({"tokens": 1000, "token_ms": 20}))).await;
    let refused = gate.chat(ask(false, json!({}))).await;
    assert_eq!(refused.status(), 429);
    assert!((190..2000).contains(&millis(&refused, "x-sluice-queue-ms")));
    assert_eq!(refused.headers()["x-should-retry"], "true");
    assert_eq!(refused.headers()["x-sluice-limit"], "model m");
    assert!(millis(&refused, "retry-after-ms") > 0);
    assert_eq!(value(refused).await["error"]["code"], "queue_timeout");
    let metrics = gate.admin("/metrics").await;
    assert!(
        metrics.contains("sluice_queue_ended_total{model=\"m\",class=\"standard\",how=\"refused\"} 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_place_at_once() {
    let gate = gate(1, "").await;
    let first = gate.chat(ask(true, json!({"tokens": 1000, "token_ms": 20}))).await;
    for _ in 0..20 {
        let call = gate.post("/v1/chat/completions", ask(false, json!({})));
        drop(tokio::time::timeout(Duration::from_millis(20), call).await);
    }
    waiting(&gate, 0).await;
    let next = gate.post("/v1/chat/completions", ask(false, json!({"tokens": 1})));
    let (next, ()) = tokio::join!(next, async {
        waiting(&gate, 1).await;
        drop(first);
    });
    let next = next.unwrap();
    assert_eq!(next.status(), 200);
    assert!(next.headers().contains_key("x-sluice-queue-ms"));
    assert_eq!(gate.mock.requests().len(), 2, "who left did not reach the provider");
    gate.settled().await;
}

#[tokio::test]
async fn a_provider_that_says_retry_after_is_left_alone_meanwhile() {
    let gate = gate(4, "").await;
    let refused = gate.chat(ask(false, json!({"status": 429, "retry_after": 1}))).await;
    assert_eq!(refused.status(), 429);
    let begun = Instant::now();
    let calls = (0..5).map(|_| gate.post("/v1/chat/completions", ask(false, json!({"tokens": 1}))));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.unwrap().status(), 200);
    }
    assert!(begun.elapsed() > Duration::from_millis(800), "{:?}", begun.elapsed());
    assert_eq!(gate.mock.requests().len(), 6, "no attempt was burnt");
}

/// What a refusal promises is what happens: the same request passes then, and not before.
#[tokio::test]
async fn the_promised_moment_is_true_to_the_client() {
    let gate = Gate::start(&["600 tokens/s per key"], "", Behaviour::default()).await;
    let mut body = ask(false, json!({"tokens": 1}));
    body["max_tokens"] = json!(500);
    assert_eq!(gate.chat(body.clone()).await.status(), 200);
    // The answer used little; take the rest for the length of a stream.
    let mut hold = ask(true, json!({"tokens": 1000, "token_ms": 20}));
    hold["max_tokens"] = json!(560);
    let mut held = gate.chat(hold.clone()).await;
    while held.status() == 429 {
        tokio::time::sleep(Duration::from_millis(millis(&held, "retry-after-ms"))).await;
        held = gate.chat(hold.clone()).await;
    }
    let refused = gate.chat(body.clone()).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["x-ratelimit-limit-tokens"], "600");
    let wait = millis(&refused, "retry-after-ms");
    assert!((100..1000).contains(&wait), "{wait}");
    tokio::time::sleep(Duration::from_millis(wait * 3 / 4)).await;
    assert_eq!(gate.chat(body.clone()).await.status(), 429, "not before");
    tokio::time::sleep(Duration::from_millis(wait / 4 + 1)).await;
    assert_eq!(gate.chat(body).await.status(), 200, "but then");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_share_limits_and_queue() {
    let redis = Server::start();
    let extra = format!("redis: {{ url: \"{}\", timeout: 500ms }}\n", redis.url());
    let one = Gate::with(&["100 requests/day"], Behaviour::default(), |text| bounded(&text, 1, &extra)).await;
    let two = Gate::with(&["100 requests/day"], Behaviour::default(), |text| bounded(&text, 1, &extra)).await;
    for gate in [&one, &two] {
        patient(gate, &["100 requests/day"], "20s").await;
    }
    let first = one.chat(ask(true, json!({"tokens": 1000, "token_ms": 20}))).await;
    assert_eq!(first.status(), 200);
    let call = two.post("/v1/chat/completions", ask(false, json!({"tokens": 1})));
    let (second, ()) = tokio::join!(call, async {
        waiting(&one, 1).await;
        drop(first);
    });
    let second = second.unwrap();
    assert_eq!(second.status(), 200);
    assert!(second.headers().contains_key("x-sluice-queue-ms"));
    assert_eq!(second.headers()["x-ratelimit-remaining-requests"], "98");
    for gate in [&one, &two] {
        gate.settled().await;
    }
    let levels: Value = serde_json::from_str(&two.admin("/levels").await).unwrap();
    assert_eq!((levels["store"].as_str(), levels["replicas"].as_u64()), (Some("shared"), Some(2)), "{levels}");
    let shown = sluice::admin::table(&levels);
    assert!(shown.contains("replicas 2") && shown.contains("acme/100 requests/day"), "{shown}");
    assert!(two.admin("/metrics").await.contains("sluice_store_up 1"));
}
