//! Requests and answers that are wrong in what they say: refused by the field's name before anything is spent, or an
//! error to the client, with the lease settled and the target blamed.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::common::value;
use crate::told::{APIS, Api, FORMATS, gate};

/// Whether a model's provider gets the requests of an API as they are.
fn relayed(kind: &str, model: &str, api: Api) -> bool {
    match api {
        Api::Chat => matches!(kind, "openai" | "vllm" | "azure"),
        Api::Messages => kind == "anthropic" || model.starts_with("claude"),
        Api::Responses => kind == "openai",
    }
}

#[tokio::test]
async fn conversations_that_are_none_are_refused_by_every_translation() {
    let gate = gate().await;
    for (model, kind, _, name) in FORMATS {
        for api in APIS.into_iter().filter(|api| !relayed(kind, name, *api)) {
            let (stranger, orphan) = match api {
                Api::Chat => (
                    ("role", json!({"role": "wizard", "content": "Hi"})),
                    ("tool_call_id", json!({"role": "tool", "tool_call_id": "call_9", "content": "18"})),
                ),
                Api::Messages => (
                    ("role", json!({"role": "wizard", "content": "Hi"})),
                    (
                        "content[0].tool_use_id",
                        json!({"role": "user", "content":
                        [{"type": "tool_result", "tool_use_id": "toolu_9", "content": "18"}]}),
                    ),
                ),
                Api::Responses => (
                    ("role", json!({"role": "wizard", "content": "Hi"})),
                    ("call_id", json!({"type": "function_call_output", "call_id": "call_9", "output": "18"})),
                ),
            };
            for (field, turn) in [stranger, orphan] {
                let mut body = api.ask(model, &json!({}));
                api.turns(&mut body).push(turn);
                let response = gate.post(api.path(), body).await.unwrap();
                assert_eq!(response.status(), 400, "{api:?} {model} {field}");
                let error = value(response).await["error"].clone();
                let place = if api == Api::Responses { "input[1]" } else { "messages[1]" };
                let named = format!("{place}.{field}");
                assert!(error["message"].as_str().unwrap().contains(&named), "{api:?} {model}: {error}");
            }
        }
    }
    assert!(gate.mock.requests().is_empty(), "nothing was asked of any provider");
    gate.settled().await;
}

/// The address is the gateway's own machine: a connection would be the gateway's.
#[tokio::test]
async fn pictures_by_url_are_never_fetched() {
    let gate = gate().await;
    let inside = TcpListener::bind("127.0.0.1:0").unwrap();
    inside.set_nonblocking(true).unwrap();
    let url = format!("http://{}/a.png", inside.local_addr().unwrap());
    for (model, ..) in FORMATS {
        for api in APIS {
            let part = match api {
                Api::Chat => json!({"type": "image_url", "image_url": {"url": url}}),
                Api::Messages => json!({"type": "image", "source": {"type": "url", "url": url}}),
                Api::Responses => json!({"type": "input_image", "image_url": url}),
            };
            let mut body = api.ask(model, &json!({}));
            api.turns(&mut body).push(json!({"role": "user", "content": [part]}));
            let status = gate.post(api.path(), body).await.unwrap().status().as_u16();
            assert!(matches!(status, 200 | 400), "{api:?} {model}: {status}");
        }
    }
    assert_eq!(inside.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "somebody came for the picture");
    gate.settled().await;
}

/// An event may grow to 4 MiB: what goes on is no event, and is not held.
#[tokio::test]
async fn an_event_without_an_end_is_an_error_and_the_targets_fault() {
    let gate = gate().await;
    for (model, ..) in FORMATS {
        for api in APIS {
            let mut body = api.ask(model, &json!({"text": "Hello there", "pad_event": 6 << 20}));
            body["stream"] = true.into();
            let response = gate.post(api.path(), body).await.unwrap();
            assert_eq!(response.status(), 502, "{api:?} {model}");
            let answer = value(response).await;
            let message = answer["error"]["message"].as_str().unwrap();
            assert!(message.contains("larger than 4194304 bytes"), "{api:?} {model}: {answer}");
            gate.settled().await;
        }
    }
    let metrics = gate.admin("/metrics").await;
    for (model, _, _, name) in FORMATS {
        let told = format!("sluice_attempt_failures_total{{target=\"{model}/{name}\",kind=\"malformed_stream\"}} 3");
        assert!(metrics.contains(&told), "{told}\n{metrics}");
    }
}

/// A hundred megabytes in one event, from the provider whose events have the longest prefix of their length.
#[tokio::test]
async fn a_hundred_megabytes_in_one_event_are_not_waited_for() {
    let gate = gate().await;
    for model in ["openai", "bedrock"] {
        let mut body = Api::Chat.ask(model, &json!({"text": "Hello", "pad_event": 100_000_000}));
        body["stream"] = true.into();
        let response = gate.chat(body).await;
        assert_eq!(response.status(), 502, "{model}");
        let answer: Value = value(response).await;
        assert_eq!(answer["error"]["code"], "malformed_stream", "{model}: {answer}");
        gate.settled().await;
    }
}

#[tokio::test]
async fn a_wrong_checksum_is_the_targets_fault() {
    let gate = gate().await;
    for api in APIS {
        let mut body = api.ask("bedrock", &json!({"tokens": 20, "bad_crc": true}));
        body["stream"] = true.into();
        let text = gate.post(api.path(), body).await.unwrap().text().await.unwrap();
        assert!(text.contains("checksum"), "{api:?}: {text}");
        gate.settled().await;
    }
    let metrics = gate.admin("/metrics").await;
    let target = "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0";
    let told = format!("sluice_attempt_failures_total{{target=\"{target}\",kind=\"malformed_stream\"}} 3");
    assert!(metrics.contains(&told), "{metrics}");
}
