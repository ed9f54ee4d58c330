//! Other providers' formats behind the gateway: clients see OpenAI's, and every fault is told, settled and counted.

use serde_json::{Value, json};
use sluice_mock::Behaviour;

use crate::common::{Gate, events, value};

/// A model for each format.
const MODELS: &[&str] = &["claude", "gemini", "vertex", "vertex-claude", "bedrock"];

async fn all_formats() -> Gate {
    let edit = |text: String| {
        let mock = text.split("http://").nth(1).and_then(|rest| rest.split("/v1").next()).unwrap().to_owned();
        let provider = |name: &str, path: &str| {
            let region = if name == "bedrock" { ", aws: { region: eu-west-1 }" } else { "" };
            format!(
                "  {name}: {{ kind: {name}, base_url: \"http://{mock}{path}\", api_key: upstream-secret{region} }}\n"
            )
        };
        let providers = provider("anthropic", "/v1")
            + &provider("gemini", "/v1beta")
            + &provider("vertex", "/v1/projects/p/locations/l")
            + &provider("bedrock", "");
        let models = "models:\n  claude: [anthropic/claude-sonnet-4-5]\n  gemini: [gemini/gemini-2.5-flash]\n  \
            vertex: [vertex/gemini-3-pro-preview]\n  vertex-claude: [vertex/claude-sonnet-4-5@20250929]\n  \
            bedrock: [bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0]\n";
        text.replace("models:\n", &format!("{providers}{models}"))
    };
    Gate::with(&["10M tokens/day per key"], Behaviour::default(), edit).await
}

/// A question that carries the mock's behaviour in its text, which survives translation.
fn ask(model: &str, stream: bool, behaviour: &Value) -> Value {
    json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": format!("hi [[mock {behaviour}]]")}]})
}

#[tokio::test]
async fn every_format_answers_as_openai_does() {
    let gate = all_formats().await;
    let behaviour = json!({"text": "Hello there", "prompt_tokens": 100, "completion_tokens": 7});
    for model in MODELS {
        let whole = gate.chat(ask(model, false, &behaviour)).await;
        assert_eq!(whole.status(), 200, "{model}");
        let whole = value(whole).await;
        assert_eq!(whole["choices"][0]["message"]["content"], "Hello there", "{model}");
        assert_eq!(whole["usage"]["total_tokens"], 107, "{model}");
        assert!(whole["created"].as_u64().unwrap() > 1_600_000_000, "{model}");
        let mut body = ask(model, true, &behaviour);
        body["stream_options"] = json!({"include_usage": true});
        let stream = gate.chat(body).await;
        let kind = stream.headers()["content-type"].to_str().unwrap().to_owned();
        assert!(kind.starts_with("text/event-stream"), "{model}: {kind}");
        let text = stream.text().await.unwrap();
        assert!(text.ends_with("data: [DONE]\n\n"), "{model}: {text}");
        let chunks = events(&text);
        let said: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(said.trim(), "Hello there", "{model}");
        assert_eq!(chunks.last().unwrap()["usage"]["total_tokens"], 107, "{model}");
    }
    gate.settled().await;
}

#[tokio::test]
async fn what_a_provider_cannot_do_is_refused_by_the_fields_name() {
    let gate = all_formats().await;
    let mut body = ask("claude", false, &json!({}));
    body["n"] = 2.into();
    let refused = gate.chat(body).await;
    assert_eq!(refused.status(), 400);
    let error = value(refused).await["error"].clone();
    assert_eq!((error["param"].as_str(), error["code"].as_str()), (Some("n"), Some("unsupported_parameter")));
    let image = json!({"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}});
    let body = json!({"model": "bedrock", "messages": [{"role": "user", "content": [image]}]});
    let refused = gate.chat(body).await;
    assert_eq!(refused.status(), 400);
    assert_eq!(value(refused).await["error"]["param"], "messages[0].content");
    assert!(gate.mock.requests().is_empty(), "nothing was asked of any provider");
    gate.settled().await;
}

#[tokio::test]
async fn broken_streams_of_every_format_end_in_an_error_event() {
    let gate = all_formats().await;
    for model in MODELS {
        for fault in [
            json!({"tokens": 20, "error_after": 5}),
            json!({"tokens": 20, "no_end": true}),
            json!({"tokens": 20, "malformed": true}),
        ] {
            let response = gate.chat(ask(model, true, &fault)).await;
            let text = response.text().await.unwrap();
            assert!(text.contains("\"error\":{") && !text.contains("[DONE]"), "{model} {fault}: {text}");
            gate.settled().await;
        }
    }
    let crc = gate.chat(ask("bedrock", true, &json!({"tokens": 20, "bad_crc": true}))).await.text().await.unwrap();
    assert!(crc.contains("checksum"), "{crc}");
    gate.settled().await;
}
