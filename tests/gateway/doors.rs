//! The APIs beside chat completions: each in its own form, whoever answers, and none outside its quota.

use std::fmt::Write;

use serde_json::{Value, json};
use sluice_mock::Behaviour;
use sluice_providers::Endpoint;

use crate::common::{Gate, KEY, value};

/// One model per provider format, all behind the same mock: name, kind, path below the mock's address, the provider's
/// name for the model.
const FORMATS: &[(&str, &str, &str, &str)] = &[
    ("openai", "openai", "v1", "gpt-4o-mini"),
    ("plain", "vllm", "v1", "local"),
    ("anthropic", "anthropic", "v1", "claude-sonnet-4-5"),
    ("gemini", "gemini", "v1beta", "gemini-2.5-flash"),
    ("bedrock", "bedrock", "", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ("azure", "azure", "", "gpt-4o"),
];

async fn gate(limits: &[&str]) -> Gate {
    Gate::with(limits, Behaviour::default(), |text| {
        let address = text.split("http://").nth(1).and_then(|rest| rest.split('/').next()).unwrap().to_owned();
        let mut out = text.lines().take_while(|line| *line != "providers:").collect::<Vec<_>>().join("\n");
        out.push_str("\nproviders:\n");
        for (name, kind, path, _) in FORMATS {
            let base = format!("http://{address}/{path}");
            let base = base.trim_end_matches('/');
            let region = if *kind == "bedrock" { ", aws: { region: eu-west-1 }" } else { "" };
            writeln!(out, "  {name}: {{ kind: {kind}, base_url: \"{base}\", api_key: upstream{region} }}").unwrap();
        }
        out.push_str("models:\n");
        for (name, _, _, model) in FORMATS {
            writeln!(out, "  {name}: [\"{name}/{model}\"]").unwrap();
        }
        for model in ["omni-moderation-latest", "dall-e-3", "tts-1", "whisper-1"] {
            writeln!(out, "  {model}: [openai/{model}]").unwrap();
        }
        out + "  reranker: [plain/reranker]\npolicies: policy.yaml\n"
    })
    .await
}

fn message(model: &str, stream: bool, script: &Value) -> Value {
    json!({"model": model, "max_tokens": 300, "stream": stream, "system": "Be brief.",
        "messages": [{"role": "user", "content": format!("hello [[mock {script}]]")}],
        "tools": [{"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]})
}

fn response(model: &str, stream: bool, script: &Value) -> Value {
    json!({"model": model, "max_output_tokens": 300, "stream": stream, "instructions": "Be brief.",
        "input": format!("hello [[mock {script}]]"),
        "tools": [{"type": "function", "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}]})
}

/// Events of a stream: names and data.
fn named(text: &str) -> Vec<(String, Value)> {
    let blocks = text.split("\n\n").filter(|block| !block.trim().is_empty());
    blocks
        .filter_map(|block| {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            let data = field("data: ")?;
            Some((field("event: ").unwrap_or_default(), serde_json::from_str(&data).unwrap()))
        })
        .collect()
}

const CALL: &str = r#"{"text": "One two.", "calls": [{"name": "get_weather", "arguments": {"city": "Paris"}}]}"#;

#[tokio::test]
async fn messages_are_answered_in_their_form_by_every_provider() {
    let gate = gate(&[]).await;
    let script: Value = serde_json::from_str(CALL).unwrap();
    for (model, ..) in FORMATS {
        let whole = gate.post("/v1/messages", message(model, false, &script)).await.unwrap();
        assert_eq!(whole.status(), 200, "{model}: {}", whole.text().await.unwrap());
        assert!(whole.headers().contains_key("request-id"));
        let whole = value(whole).await;
        assert_eq!(
            (&whole["type"], &whole["stop_reason"]),
            (&json!("message"), &json!("tool_use")),
            "{model}: {whole}"
        );
        let content = whole["content"].as_array().unwrap();
        assert_eq!((content.len(), &content[0]["text"]), (2, &json!("One two.")), "{model}: {whole}");
        assert_eq!((&content[1]["name"], &content[1]["input"]), (&json!("get_weather"), &json!({"city": "Paris"})));
        let text = gate.post("/v1/messages", message(model, true, &script)).await.unwrap().text().await.unwrap();
        let events = named(&text);
        let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.first(), Some(&"message_start"), "{model}: {text}");
        assert_eq!(names.last(), Some(&"message_stop"), "{model}: {text}");
        let said: String = events.iter().filter_map(|(_, data)| data["delta"]["text"].as_str()).collect();
        let argued: String = events.iter().filter_map(|(_, data)| data["delta"]["partial_json"].as_str()).collect();
        assert_eq!(said, "One two.", "{model}: {text}");
        assert_eq!(serde_json::from_str::<Value>(&argued).unwrap(), json!({"city": "Paris"}), "{model}: {text}");
        let (_, end) = &events[events.len() - 2];
        assert_eq!(end["delta"]["stop_reason"], "tool_use", "{model}: {text}");
        assert_eq!(end["usage"]["output_tokens"], whole["usage"]["output_tokens"], "{model}: {text}");
        gate.settled().await;
    }
}

#[tokio::test]
async fn responses_are_answered_in_their_form_by_every_provider() {
    let gate = gate(&[]).await;
    let script: Value = serde_json::from_str(CALL).unwrap();
    for (model, ..) in FORMATS {
        let whole = gate.post("/v1/responses", response(model, false, &script)).await.unwrap();
        assert_eq!(whole.status(), 200, "{model}: {}", whole.text().await.unwrap());
        let whole = value(whole).await;
        assert_eq!((&whole["object"], &whole["status"]), (&json!("response"), &json!("completed")), "{model}: {whole}");
        let output = whole["output"].as_array().unwrap();
        assert_eq!(output[0]["content"][0]["text"], "One two.", "{model}: {whole}");
        let arguments: Value = serde_json::from_str(output[1]["arguments"].as_str().unwrap()).unwrap();
        assert_eq!(arguments, json!({"city": "Paris"}), "{model}: {whole}");
        let text = gate.post("/v1/responses", response(model, true, &script)).await.unwrap().text().await.unwrap();
        let events = named(&text);
        let numbers: Vec<u64> = events.iter().map(|(_, data)| data["sequence_number"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>(), "{model}: {text}");
        let (name, last) = events.last().unwrap();
        assert_eq!(name, "response.completed", "{model}: {text}");
        let said: String = events
            .iter()
            .filter(|(name, _)| name == "response.output_text.delta")
            .filter_map(|(_, data)| data["delta"].as_str())
            .collect();
        assert_eq!(said, "One two.", "{model}: {text}");
        assert_eq!(last["response"]["usage"]["output_tokens"], whole["usage"]["output_tokens"], "{model}: {text}");
        assert_eq!(last["response"]["output"][1]["arguments"], output[1]["arguments"], "{model}: {text}");
        gate.settled().await;
    }
}

#[tokio::test]
async fn what_anthropic_gets_is_what_the_client_sent() {
    let gate = gate(&[]).await;
    let mut body = message("anthropic", false, &json!({}));
    body["container"] = "box_1".into();
    let request = gate.client.post(gate.url("/v1/messages")).header("x-api-key", KEY);
    let request = request.header("anthropic-beta", "tools-2026").header("anthropic-version", "2023-01-01");
    let answer = request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    let received = gate.mock.requests();
    let sent = received.last().unwrap();
    let header = |name: &str| sent.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!((header("anthropic-beta"), header("anthropic-version")), (Some("tools-2026"), Some("2023-01-01")));
    assert!(header("x-api-key").is_none_or(|key| key != KEY));
    let expected = body.to_string().replace(r#""anthropic""#, r#""claude-sonnet-4-5""#);
    assert_eq!(sent.body, expected, "every byte but the model's name");
    // Others have no such thing.
    body["model"] = "gemini".into();
    let refused = gate.post("/v1/messages", body).await.unwrap();
    assert_eq!(refused.status(), 400);
    let refused = value(refused).await;
    assert_eq!((&refused["type"], &refused["error"]["type"]), (&json!("error"), &json!("invalid_request_error")));
    assert!(refused["error"]["message"].as_str().unwrap().contains("`container`"), "{refused}");
}

#[tokio::test]
async fn tokens_are_counted_here_or_by_anthropic() {
    let gate = gate(&["1k tokens/day per key", "100 requests/day per key"]).await;
    let mut body = message("gemini", false, &json!({}));
    body.as_object_mut().unwrap().retain(|name, _| name != "max_tokens" && name != "stream");
    let dialled = gate.mock.requests().len();
    let answer = gate.post("/v1/messages/count_tokens", body.clone()).await.unwrap();
    assert_eq!(answer.headers()["anthropic-ratelimit-requests-remaining"], "99");
    assert!(answer.headers()["anthropic-ratelimit-requests-reset"].to_str().unwrap().ends_with('Z'));
    let counted = value(answer).await["input_tokens"].as_u64().unwrap();
    assert!((20..200).contains(&counted), "{counted}");
    assert_eq!(gate.mock.requests().len(), dialled, "no provider was asked");
    body["model"] = "anthropic".into();
    let answer = gate.post("/v1/messages/count_tokens", body).await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    assert_eq!(answer.headers()["anthropic-ratelimit-tokens-remaining"], "1000", "counting spends no tokens");
    assert!(value(answer).await["input_tokens"].is_u64());
    assert_eq!(gate.mock.requests().last().unwrap().path, "/v1/messages/count_tokens");
    gate.settled().await;
}

#[tokio::test]
async fn what_needs_a_memory_is_refused_by_name_unless_the_provider_has_one() {
    let gate = gate(&[]).await;
    for (field, content) in [
        ("previous_response_id", json!("resp_mock0")),
        ("conversation", json!("conv_1")),
        ("prompt", json!({"id": "pmpt_1"})),
        ("background", json!(true)),
    ] {
        let mut body = response("anthropic", false, &json!({}));
        body[field] = content;
        let refused = gate.post("/v1/responses", body).await.unwrap();
        assert_eq!(refused.status(), 400, "{field}");
        assert_eq!(value(refused).await["error"]["param"], field);
    }
    let mut body = response("gemini", false, &json!({}));
    body["tools"] = json!([{"type": "file_search"}]);
    assert_eq!(value(gate.post("/v1/responses", body).await.unwrap()).await["error"]["param"], "tools[0].type");
    assert!(gate.mock.requests().is_empty(), "nothing was dialled");
    let mut body = response("openai", false, &json!({}));
    body["previous_response_id"] = "resp_mock0".into();
    assert_eq!(gate.post("/v1/responses", body).await.unwrap().status(), 200);
}

#[tokio::test]
async fn provider_errors_reach_clients_of_messages_in_anthropics_form() {
    let gate = gate(&[]).await;
    for (model, ..) in FORMATS {
        let script = json!({"tokens": 9, "error_after": 3});
        let text = gate.post("/v1/messages", message(model, true, &script)).await.unwrap().text().await.unwrap();
        let events = named(&text);
        let (name, last) = events.last().unwrap();
        assert_eq!((name.as_str(), &last["type"]), ("error", &json!("error")), "{model}: {text}");
        // Last: some providers ask to be left alone for a while then.
        let limited = gate.post("/v1/messages", message(model, false, &json!({"refuse": "rate_limit"}))).await.unwrap();
        assert_eq!(limited.status(), 429, "{model}");
        let limited = value(limited).await;
        assert_eq!(limited["error"]["type"], "rate_limit_error", "{model}: {limited}");
        assert!(limited["request_id"].is_string(), "{model}: {limited}");
        gate.settled().await;
    }
}

/// A request that each endpoint takes.
fn body(endpoint: Endpoint) -> (Option<Value>, &'static str) {
    let body = match endpoint {
        Endpoint::ChatCompletions | Endpoint::CountTokens => {
            json!({"model": "openai", "messages": [{"role": "user", "content": "hi"}]})
        }
        Endpoint::Completions => json!({"model": "openai", "prompt": "hi"}),
        Endpoint::Embeddings | Endpoint::Responses => json!({"model": "openai", "input": "hi"}),
        Endpoint::Messages => {
            json!({"model": "openai", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]})
        }
        Endpoint::Moderations => json!({"model": "omni-moderation-latest", "input": ["hi"]}),
        Endpoint::Images => json!({"model": "dall-e-3", "prompt": "a river", "n": 1}),
        Endpoint::Speech => json!({"model": "tts-1", "input": "Hello there.", "voice": "alloy"}),
        Endpoint::Rerank => json!({"model": "reranker", "query": "river", "documents": ["a river", "a hill"]}),
        Endpoint::Transcriptions => return (None, "whisper-1"),
    };
    (Some(body), "")
}

async fn send(gate: &Gate, endpoint: Endpoint) -> reqwest::Response {
    let request = gate.client.post(gate.url(endpoint.path())).bearer_auth(KEY);
    match body(endpoint) {
        (Some(body), _) => {
            request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap()
        }
        (None, model) => {
            let form = format!(
                "--xyz\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--xyz\r\n\
                 content-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\ncontent-type: audio/wav\r\n\r\n\
                 RIFF0000WAVE\r\n--xyz--\r\n"
            );
            let request = request.header("content-type", "multipart/form-data; boundary=xyz");
            request.body(form).send().await.unwrap()
        }
    }
}

/// A new endpoint cannot be forgotten: the loop is over all there are.
#[tokio::test]
async fn no_endpoint_escapes_its_quota() {
    for endpoint in Endpoint::ALL {
        let gate = gate(&["1 requests/day per key"]).await;
        let first = send(&gate, endpoint).await;
        assert_eq!(first.status(), 200, "{}: {}", endpoint.path(), first.text().await.unwrap());
        let bytes = first.bytes().await.unwrap();
        assert!(!bytes.is_empty(), "{}", endpoint.path());
        gate.settled().await;
        let dialled = gate.mock.requests().len();
        assert_eq!(dialled, usize::from(endpoint != Endpoint::CountTokens), "{}", endpoint.path());
        let second = send(&gate, endpoint).await;
        assert_eq!(second.status(), 429, "{}", endpoint.path());
        let error = value(second).await;
        assert_eq!(error["type"] == "error", endpoint.is_anthropic(), "{}: {error}", endpoint.path());
        assert_eq!(gate.mock.requests().len(), dialled, "{}: a refused request reached the provider", endpoint.path());
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_never_reach_a_provider() {
    let gate = gate(&[]).await;
    for path in [
        "/v1/files",
        "/v1/batches",
        "/v1/responses/resp_1",
        "/v1/responses/resp_1/cancel",
        "/v1/messages/batches",
        "/v1/audio/translations",
        "/v1/images/edits",
        "/v1/fine_tuning/jobs",
        "/v1/chat/completions/x",
        "/v1//messages",
        "/v2/rerank",
        "/openai/deployments/x/chat/completions",
    ] {
        let body = json!({"model": "openai", "messages": [{"role": "user", "content": "hi"}], "input": "hi"});
        assert_eq!(gate.post(path, body).await.unwrap().status(), 404, "{path}");
    }
    for endpoint in Endpoint::ALL {
        let get = gate.client.get(gate.url(endpoint.path())).bearer_auth(KEY).send().await.unwrap();
        assert_eq!(get.status(), 404, "{}", endpoint.path());
    }
    assert!(gate.mock.requests().is_empty());
}

/// What is about bytes on the way, which Envoy changes.
mod front {
    use super::*;

    #[tokio::test]
    async fn a_stream_of_messages_that_is_cut_ends_in_an_error_event() {
        let gate = gate(&[]).await;
        for (model, ..) in FORMATS {
            let cut = json!({"tokens": 9, "reset": {"after_chunks": 3}});
            let text = gate.post("/v1/messages", message(model, true, &cut)).await.unwrap().text().await.unwrap();
            assert_eq!(named(&text).last().unwrap().0, "error", "{model}: {text}");
            gate.settled().await;
        }
    }

    fn form(model_first: bool, model: &str, bytes: usize) -> String {
        let named = format!("--xyz\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n");
        let file = format!(
            "--xyz\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\ncontent-type: audio/wav\r\n\r\n\
             RIFF{}\r\n",
            "0".repeat(bytes)
        );
        let (first, second) = if model_first { (named, file) } else { (file, named) };
        format!("{first}{second}--xyz--\r\n")
    }

    async fn transcribe(gate: &Gate, body: String) -> reqwest::Response {
        let request = gate.client.post(gate.url("/v1/audio/transcriptions")).bearer_auth(KEY);
        request.header("content-type", "multipart/form-data; boundary=xyz").body(body).send().await.unwrap()
    }

    /// The gateway may hold 256 KiB in all and the file has 4 MiB: it cannot be held anywhere.
    #[tokio::test]
    async fn a_file_is_sent_on_and_not_held() {
        let limits = "limits: { max_body: 1MiB, max_upload: 8MiB, max_buffered: 256KiB }\n";
        let gate = Gate::start(&[], limits, Behaviour::default()).await;
        let file = 4 << 20;
        let answer = transcribe(&gate, form(true, "m", file)).await;
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        let received = gate.mock.requests();
        let expected = form(true, "gpt-4o-mini", file);
        assert!(received.last().unwrap().body == expected, "every byte but the model's name");
        // Behind the file the model is found too late for that.
        assert_eq!(transcribe(&gate, form(false, "m", file)).await.status(), 503);
        assert_eq!(transcribe(&gate, form(false, "m", 10_000)).await.status(), 200);
        let refused = transcribe(&gate, form(true, "m", 9 << 20)).await;
        assert_eq!(refused.status(), 413);
        assert!(refused.text().await.unwrap().contains("limits.max_upload"));
        assert_eq!(gate.gateway().budget.used(), 0);
    }
}
