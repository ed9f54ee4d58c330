//! Providers that stall, break off, lie or are not there; and the target after them.

use crate::common::{Gate, ask, events, value};
use serde_json::{Value, json};
use sluice_mock::Behaviour;

/// The mock behind short deadlines.
async fn impatient() -> Gate {
    let timeouts = "api_key: x, timeouts: { first_token: 200ms, idle: 200ms, total: 2s }";
    let edit = |text: String| text.replace("api_key: upstream-secret", timeouts);
    Gate::with(&["1M tokens/day per key"], Behaviour::default(), edit).await
}

/// The last event of a stream that must not end well.
async fn error_event(gate: &Gate, mock: Value) -> Value {
    let response = gate.chat(ask(true, mock)).await;
    assert_eq!(response.status(), 200);
    let text = response.text().await.unwrap();
    assert!(!text.contains("[DONE]"), "{text}");
    let last = events(&text).pop().unwrap();
    gate.settled().await;
    last["error"].clone()
}

#[tokio::test]
async fn every_deadline_of_a_stream_is_an_error_with_its_own_code() {
    let gate = impatient().await;
    let mute = gate.chat(ask(true, json!({"first_token_ms": 5000}))).await;
    assert_eq!(mute.status(), 504, "nothing was sent: the status can still say it");
    assert_eq!(value(mute).await["error"]["code"], "first_token_timeout");
    assert_eq!(error_event(&gate, json!({"stall_after": 3})).await["code"], "idle_timeout");
    assert_eq!(error_event(&gate, json!({"tokens": 1000, "token_ms": 50})).await["code"], "total_timeout");
    let late = gate.chat(ask(true, json!({"head_ms": 5000}))).await;
    assert_eq!(late.status(), 504);
    assert_eq!(value(late).await["error"]["code"], "first_token_timeout");
    let whole = gate.chat(ask(false, json!({"head_ms": 5000}))).await;
    assert_eq!(value(whole).await["error"]["code"], "total_timeout");
    gate.settled().await;
}

#[tokio::test]
async fn a_slow_but_steady_stream_is_not_cut_by_the_idle_deadline() {
    let gate = impatient().await;
    let text = gate.chat(ask(true, json!({"tokens": 8, "token_ms": 120}))).await.text().await.unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
}

#[tokio::test]
async fn broken_streams_end_in_an_error_event_and_settle_what_was_relayed() {
    let gate = Gate::start(&["1M tokens/day per key"], "", Behaviour::default()).await;
    for (mock, code) in [
        (json!({"tokens": 20, "reset": {"after_chunks": 5}}), "upstream_reset"),
        (json!({"tokens": 20, "error_after": 5}), "mock_error"),
    ] {
        assert_eq!(error_event(&gate, mock.clone()).await["code"], code, "{mock}");
    }
    let levels: Value = serde_json::from_str(&gate.admin("/levels").await).unwrap();
    // Two prompts of 9 tokens, and the 5 tokens that each of the streams brought.
    assert_eq!(1_000_000 - levels["limits"][0]["remaining"].as_i64().unwrap(), 2 * 9 + 2 * 5);
    let garbage = gate.chat(ask(true, json!({"tokens": 20, "malformed": true}))).await;
    assert_eq!(garbage.status(), 502);
    assert_eq!(value(garbage).await["error"]["code"], "malformed_stream");
}

#[tokio::test]
async fn streams_cut_at_any_byte_arrive_whole() {
    let gate = Gate::start(&[], "", Behaviour::default()).await;
    let whole = gate.chat(ask(true, json!({"tokens": 5}))).await.text().await.unwrap();
    for split in [1, 7, 64, 1000] {
        let text = gate.chat(ask(true, json!({"tokens": 5, "split": split}))).await.text().await.unwrap();
        let contents = |text: &str| events(text).iter().map(|event| event["choices"].clone()).collect::<Vec<_>>();
        assert_eq!(contents(&text), contents(&whole), "split {split}");
    }
}

/// Found in other gateways: usage is lost when the provider compresses although asked not to.
#[tokio::test]
async fn a_compressed_answer_is_refused_and_not_relayed_uncounted() {
    let gate = Gate::start(&[], "", Behaviour::default()).await;
    let refused = gate.chat(ask(false, json!({"content_encoding": "gzip"}))).await;
    assert_eq!(refused.status(), 502);
    assert_eq!(value(refused).await["error"]["code"], "unsupported_encoding");
    let sent = &gate.mock.requests()[0].headers;
    assert!(sent.iter().any(|(name, value)| name == "accept-encoding" && value == "identity"), "{sent:?}");
}

#[tokio::test]
async fn the_next_target_is_tried_when_the_first_is_not_there() {
    let edit = |text: String| {
        text.replace("providers:\n", "providers:\n  gone: { kind: openai, base_url: \"http://127.0.0.1:1/v1\" }\n")
            .replace("[mock/gpt-4o-mini]", "[gone/gpt-4o, mock/gpt-4o-mini]")
    };
    let gate = Gate::with(&["1M tokens/day per key"], Behaviour::default(), edit).await;
    for stream in [false, true] {
        let response = gate.chat(ask(stream, json!({"tokens": 3}))).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-sluice-attempts"], "2");
        assert_eq!(response.headers()["x-sluice-target"], "mock/gpt-4o-mini");
        response.bytes().await.unwrap();
    }
    let received = gate.mock.requests();
    assert!(received.iter().all(|request| request.body.contains("\"gpt-4o-mini\"")), "each attempt is built anew");
    let metrics = gate.admin("/metrics").await;
    assert!(
        metrics.contains("sluice_attempt_failures_total{target=\"gone/gpt-4o\",kind=\"connect_failed\"} 2"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_wrong_request_is_not_tried_elsewhere() {
    let edit = |text: String| text.replace("[mock/gpt-4o-mini]", "[mock/gpt-4o, mock/gpt-4o-mini]");
    let gate = Gate::with(&[], Behaviour::default(), edit).await;
    for (status, tries) in [(400, 1), (404, 1), (429, 2), (500, 2), (503, 2)] {
        let before = gate.mock.requests().len();
        let response = gate.chat(ask(false, json!({"status": status}))).await;
        assert_eq!(response.status(), status);
        assert_eq!(gate.mock.requests().len() - before, tries, "status {status}");
    }
    gate.settled().await;
}

#[tokio::test]
async fn what_the_provider_receives_is_the_clients_request() {
    let gate = Gate::start(&[], "", Behaviour::default()).await;
    let mut body = ask(true, json!({"tokens": 1}));
    body["unheard_of"] = json!({"deep": [1, 2.50, "é"]});
    let request = gate.client.post(gate.url("/v1/chat/completions")).bearer_auth(crate::common::KEY);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let response =
        request.header("traceparent", trace).header("x-leak", "secret").body(body.to_string()).send().await.unwrap();
    response.bytes().await.unwrap();
    let received = gate.mock.requests().pop().unwrap();
    let sent: Value = serde_json::from_str(&received.body).unwrap();
    assert_eq!(sent["unheard_of"], body["unheard_of"]);
    assert_eq!(
        (sent["model"].as_str(), sent["stream_options"]["include_usage"].as_bool()),
        (Some("gpt-4o-mini"), Some(true))
    );
    let header = |name: &str| received.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!(header("authorization"), Some("Bearer upstream-secret"));
    assert_eq!(header("traceparent"), Some(trace), "without a collector the trace goes through as it came");
    assert_eq!(header("x-leak"), None, "the client's headers are not the provider's business");
}
