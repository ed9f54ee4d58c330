//! Large bodies, which are sent on in slices: whole, of a declared length, and anew for each attempt.

use serde_json::{Value, json};
use sluice_mock::Behaviour;

use crate::common::{Gate, ask};

/// A conversation of more than a megabyte, with every kind of escape in it.
fn conversation(mock: Value) -> Value {
    let mut body = ask(false, mock);
    let text = "let path = \"C:\\\\dir\\\\\"; // \u{1} 😀 [{\n\t".repeat(400);
    let turns = (0..80).map(|turn| json!({"role": if turn % 2 == 0 { "user" } else { "assistant" }, "content": text}));
    body["messages"] = turns.collect();
    assert!(body.to_string().len() > 1 << 20);
    body
}

fn received(gate: &Gate) -> Vec<(String, Option<String>)> {
    let length = |headers: &[(String, String)]| {
        let header = headers.iter().find(|(name, _)| name == "content-length");
        header.map(|(_, value)| value.clone())
    };
    gate.mock.requests().into_iter().map(|request| (request.body, length(&request.headers))).collect()
}

#[tokio::test]
async fn a_large_conversation_arrives_whole_at_each_target() {
    for http2 in [false, true] {
        let edit = |text: String| {
            let text = text.replace("api_key: upstream-secret", &format!("api_key: upstream-secret, http2: {http2}"));
            text.replace("[mock/gpt-4o-mini]", "[mock/gpt-4.1, mock/gpt-4.1-mini]")
        };
        let gate = Gate::alone(&["1B tokens/day per key"], Behaviour::default(), edit).await;
        for (mock, status, tries) in [(json!({"tokens": 1}), 200, 1), (json!({"status": 503}), 503, 2)] {
            let before = gate.mock.requests().len();
            let body = conversation(mock);
            let answer = gate.chat(body.clone()).await;
            assert_eq!(answer.status(), status, "HTTP/2 {http2}: {}", answer.text().await.unwrap());
            let received = received(&gate).split_off(before);
            assert_eq!(received.len(), tries);
            for ((sent, length), model) in received.iter().zip(["gpt-4.1", "gpt-4.1-mini"]) {
                let expected = body.to_string().replace(r#""model":"m""#, &format!(r#""model":"{model}""#));
                assert!(*sent == expected, "every byte but the model's name, HTTP/2 {http2}");
                assert_eq!(length.as_deref(), Some(&*expected.len().to_string()), "HTTP/2 {http2}");
            }
        }
        gate.settled().await;
    }
}

#[tokio::test]
async fn a_large_conversation_is_sent_again_with_another_key() {
    let edit = |text: String| {
        text.replace("api_key: upstream-secret", "api_keys: [one, two]").replace("[mock/gpt-4o-mini]", "[mock/gpt-4.1]")
    };
    let gate = Gate::alone(&[], Behaviour::default(), edit).await;
    let body = conversation(json!({"status": 401}));
    gate.chat(body.clone()).await;
    let received = received(&gate);
    let expected = body.to_string().replace(r#""model":"m""#, r#""model":"gpt-4.1""#);
    assert_eq!(received.len(), 2, "once with each key");
    assert!(received.iter().all(|(sent, _)| *sent == expected));
}
