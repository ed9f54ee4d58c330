//! Bounds of what requests may hold: bodies, all bodies together, connections; and large prompts.

use std::time::Duration;

use crate::common::{Gate, KEY, ask, value};
use serde_json::json;
use sluice_mock::Behaviour;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn all_bodies_together_are_bounded_and_given_back() {
    let limits = "limits: { max_body: 400KiB, max_buffered: 500KiB, body_timeout: 5s }\n";
    let gate = Gate::start(&[], limits, Behaviour::default()).await;
    let mut first = TcpStream::connect(gate.listen()).await.unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: 300000\r\n\r\n{{"
    );
    first.write_all(head.as_bytes()).await.unwrap();
    while gate.gateway().budget.used() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut large = ask(false, json!({}));
    large["messages"][0]["content"] = json!("word ".repeat(60_000));
    let refused = gate.chat(large.clone()).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(value(refused).await["error"]["code"], "gateway_overloaded");
    drop(first);
    while gate.gateway().budget.used() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(gate.chat(large).await.status(), 200);
    assert_eq!(gate.gateway().budget.used(), 0);
}

#[tokio::test]
async fn a_prompt_that_fits_no_target_costs_nothing() {
    let gate = Gate::start(&["1M tokens/day per key"], "", Behaviour::default()).await;
    let mut large = ask(false, json!({}));
    large["messages"][0]["content"] = json!("river ".repeat(130_000));
    let refused = gate.chat(large).await;
    assert_eq!(refused.status(), 400);
    assert_eq!(value(refused).await["error"]["code"], "context_length_exceeded");
    assert!(gate.mock.requests().is_empty());
    gate.settled().await;
}

/// A megabyte of one character is counted off the I/O threads and does not stop other requests.
#[tokio::test]
async fn pathological_prompts_do_not_hold_up_others() {
    let gate = Gate::start(&[], "", Behaviour::default()).await;
    let gate = std::sync::Arc::new(gate);
    let mut heavy = tokio::task::JoinSet::new();
    for unit in ["a", " ", "😀", "漢"] {
        let gate = gate.clone();
        heavy.spawn(async move {
            let mut body = ask(false, json!({"tokens": 1}));
            body["messages"][0]["content"] = json!(unit.repeat((1 << 20) / unit.len()));
            let response = gate.chat(body).await;
            // Counted, and then refused for its length or sent on.
            assert!([200, 400].contains(&response.status().as_u16()), "{}", response.status());
        });
    }
    for _ in 0..20 {
        assert_eq!(gate.chat(ask(false, json!({"tokens": 1}))).await.status(), 200);
    }
    while let Some(result) = heavy.join_next().await {
        result.unwrap();
    }
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_served() {
    let gate = Gate::start(&[], "", Behaviour::default()).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    let request = client.post(gate.url("/v1/chat/completions")).bearer_auth(KEY);
    let response = request.body(ask(true, json!({"tokens": 5})).to_string()).send().await.unwrap();
    assert_eq!((response.version(), response.status().as_u16()), (http::Version::HTTP_2, 200));
    assert!(response.text().await.unwrap().ends_with("data: [DONE]\n\n"));
    gate.settled().await;
}

#[tokio::test]
async fn models_with_a_slash_in_their_name_are_found() {
    let edit = |text: String| text.replace("models:\n", "models:\n  vendor/m: [mock/gpt-4o]\n");
    let gate = Gate::with(&[], Behaviour::default(), edit).await;
    for path in ["/v1/models/vendor/m", "/v1/models/vendor%2Fm"] {
        let response = gate.client.get(gate.url(path)).bearer_auth(KEY).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(value(response).await["id"], "vendor/m");
    }
}

/// The HTTP door's own timers; behind Envoy the ones of Envoy count.
mod front {
    use super::*;

    #[tokio::test]
    async fn idle_connections_and_dribbled_heads_are_closed() {
        let limits = "limits: { header_timeout: 300ms, idle_timeout: 900ms }\n";
        let gate = Gate::start(&[], limits, Behaviour::default()).await;
        let mut buffer = [0u8; 1024];
        let mut dribble = TcpStream::connect(gate.app.listen).await.unwrap();
        dribble.write_all(b"GET /v1/models HTTP/1.1\r\nho").await.unwrap();
        let mut idle = TcpStream::connect(gate.app.listen).await.unwrap();
        let begun = std::time::Instant::now();
        assert_eq!(dribble.read(&mut buffer).await.unwrap_or(0), 0);
        let dribbled = begun.elapsed();
        assert_eq!(idle.read(&mut buffer).await.unwrap_or(0), 0);
        assert!(dribbled < begun.elapsed(), "a head that dribbles in has less time than an idle connection");
        // A request under way has neither deadline.
        let slow = gate.chat(ask(false, json!({"tokens": 1, "head_ms": 1500}))).await;
        assert_eq!(slow.status(), 200);
    }
}
