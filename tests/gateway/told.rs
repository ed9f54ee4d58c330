//! What answers tell beside their text: sources, providers' seals, the prompt's price at the beginning; the same to
//! clients of every API, whoever answers.

use std::fmt::Write;

use serde_json::{Value, json};
use sluice_mock::Behaviour;

use crate::common::{Gate, events, value};

/// The name of a model, its provider's kind and path, and the provider's name for it.
pub(crate) const FORMATS: &[(&str, &str, &str, &str)] = &[
    ("openai", "openai", "/v1", "gpt-4o-mini"),
    ("plain", "vllm", "/v1", "local"),
    ("azure", "azure", "", "gpt-4o"),
    ("claude", "anthropic", "/v1", "claude-sonnet-4-5"),
    ("gemini", "gemini", "/v1beta", "gemini-3-pro-preview"),
    ("vertex", "vertex", "/v1/projects/p/locations/l", "gemini-3-pro-preview"),
    ("vertex-claude", "vertex", "/v1/projects/p/locations/l", "claude-sonnet-4-5@20250929"),
    ("bedrock", "bedrock", "", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ("nova", "bedrock", "", "amazon.nova-pro-v1:0"),
];

pub(crate) async fn gate() -> Gate {
    Gate::with(&[], Behaviour::default(), |text| {
        let mock = text.split("http://").nth(1).and_then(|rest| rest.split('/').next()).unwrap().to_owned();
        let (mut providers, mut models) = (String::new(), String::new());
        for (name, kind, path, model) in FORMATS {
            let region = if *kind == "bedrock" { ", aws: { region: eu-west-1 }" } else { "" };
            let fields = format!("kind: {kind}, base_url: \"http://{mock}{path}\", api_key: upstream{region}");
            writeln!(providers, "  {name}: {{ {fields} }}").unwrap();
            writeln!(models, "  {name}: [\"{name}/{model}\"]").unwrap();
        }
        text.replace("models:\n", &format!("{providers}models:\n{models}"))
    })
    .await
}

/// A client's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Chat,
    Messages,
    Responses,
}

pub(crate) const APIS: [Api; 3] = [Api::Chat, Api::Messages, Api::Responses];

impl Api {
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Messages => "/v1/messages",
            Self::Responses => "/v1/responses",
        }
    }

    /// A question with the mock's behaviour in its text.
    pub(crate) fn ask(self, model: &str, script: &Value) -> Value {
        let text = format!("Hi [[mock {script}]]");
        let user = json!([{"role": "user", "content": text}]);
        match self {
            Self::Chat => json!({"model": model, "messages": user}),
            Self::Messages => json!({"model": model, "messages": user, "max_tokens": 500}),
            Self::Responses => json!({"model": model, "input": user}),
        }
    }

    /// The list that a conversation is in.
    pub(crate) fn turns(self, body: &mut Value) -> &mut Vec<Value> {
        body[if self == Self::Responses { "input" } else { "messages" }].as_array_mut().unwrap()
    }

    fn with_tool(self, mut body: Value) -> Value {
        let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
        body["tools"] = match self {
            Self::Chat => json!([{"type": "function", "function": {"name": "get_weather", "parameters": schema}}]),
            Self::Messages => json!([{"name": "get_weather", "input_schema": schema}]),
            Self::Responses => json!([{"type": "function", "name": "get_weather", "parameters": schema}]),
        };
        body
    }

    /// Says an answer and the result of its call, if it has one, as the next turns of a conversation.
    fn go_on(self, body: &mut Value, answer: &Value) {
        let turns = self.turns(body);
        match self {
            Self::Chat => {
                let message = answer["choices"][0]["message"].clone();
                let id = message["tool_calls"][0]["id"].clone();
                turns.push(message);
                if id.is_string() {
                    turns.push(json!({"role": "tool", "tool_call_id": id, "content": "18 C"}));
                }
            }
            Self::Messages => {
                let content = answer["content"].as_array().unwrap();
                let call = content.iter().find(|block| block["type"] == "tool_use");
                turns.push(json!({"role": "assistant", "content": content}));
                if let Some(call) = call {
                    let result = json!({"type": "tool_result", "tool_use_id": call["id"], "content": "18 C"});
                    turns.push(json!({"role": "user", "content": [result]}));
                }
            }
            Self::Responses => {
                let items = answer["output"].as_array().unwrap();
                turns.extend(items.iter().cloned());
                let calls = items.iter().filter(|item| item["type"] == "function_call");
                turns.extend(
                    calls.map(
                        |call| json!({"type": "function_call_output", "call_id": call["call_id"], "output": "18 C"}),
                    ),
                );
            }
        }
        if turns.last().is_some_and(|last| last["role"] != "user" && last["role"] != "tool" && last["output"].is_null())
        {
            turns.push(json!({"role": "user", "content": "And now?"}));
        }
    }
}

/// Every URL that stands anywhere below, in order.
fn urls(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| urls(item, found)),
        Value::Object(fields) => fields.iter().for_each(|(name, value)| match value {
            Value::String(url) if name == "url" => found.push(url.clone()),
            value => urls(value, found),
        }),
        _ => {}
    }
}

async fn answered(gate: &Gate, api: Api, body: Value) -> Value {
    let model = body["model"].clone();
    let response = gate.post(api.path(), body).await.unwrap();
    let status = response.status();
    let answer = value(response).await;
    assert_eq!(status, 200, "{api:?} {model}: {answer}");
    answer
}

/// The last request that the mock got, as it came.
fn sent(gate: &Gate) -> Value {
    serde_json::from_str(&gate.mock.requests().last().unwrap().body).unwrap()
}

#[tokio::test]
async fn sources_reach_clients_of_every_api() {
    let gate = gate().await;
    let pages = ["https://example.com/r", "https://example.com/z"];
    let sources = pages.map(|url| json!({"url": url, "title": "A page", "quote": "It runs."}));
    let script = json!({"text": "The river runs.", "sources": sources});
    for (model, ..) in FORMATS {
        for api in APIS {
            let mut body = api.ask(model, &script);
            let whole = answered(&gate, api, body.clone()).await;
            let place = match api {
                Api::Chat => &whole["choices"][0]["message"]["annotations"],
                Api::Messages => &whole["content"][0]["citations"],
                Api::Responses => &whole["output"][0]["content"][0]["annotations"],
            };
            let mut found = Vec::new();
            urls(place, &mut found);
            assert_eq!(found, pages, "{api:?} {model}: {whole}");
            body["stream"] = true.into();
            let text = gate.post(api.path(), body).await.unwrap().text().await.unwrap();
            let (mut found, events) = (Vec::new(), events(&text));
            let told = |event: &&Value| match api {
                Api::Chat => event["choices"][0]["delta"]["annotations"].is_array(),
                Api::Messages => event["delta"]["type"] == "citations_delta",
                Api::Responses => event["type"] == "response.output_text.annotation.added",
            };
            events.iter().filter(told).for_each(|event| urls(event, &mut found));
            assert_eq!(found, pages, "{api:?} {model}: {text}");
        }
    }
}

#[tokio::test]
async fn a_message_begins_with_what_its_prompt_costs() {
    let gate = gate().await;
    for (model, kind, ..) in FORMATS {
        let mut body = Api::Messages.ask(model, &json!({"text": "Hello there", "prompt_tokens": 321}));
        let mut count = body.clone();
        count.as_object_mut().unwrap().remove("max_tokens");
        let counted = gate.post("/v1/messages/count_tokens", count).await.unwrap();
        let counted = value(counted).await["input_tokens"].as_u64().unwrap();
        body["stream"] = true.into();
        let text = gate.post("/v1/messages", body).await.unwrap().text().await.unwrap();
        let events = events(&text);
        let first = events[0]["message"]["usage"]["input_tokens"].as_u64().unwrap();
        // Some providers say it in their first event; for the others it is the gateway's own count.
        let early = matches!(*kind, "anthropic" | "gemini" | "vertex");
        assert_eq!(first, if early { 321 } else { counted }, "{model}: {text}");
        let last = events.iter().find(|event| event["type"] == "message_delta").unwrap();
        assert_eq!(last["usage"]["input_tokens"], 321, "{model}: {text}");
    }
}

#[tokio::test]
async fn seals_on_calls_and_on_text_come_back_through_every_api() {
    let gate = gate().await;
    let calls = json!([{"name": "get_weather", "arguments": {"city": "Paris"}}]);
    for model in ["gemini", "vertex"] {
        for api in APIS {
            for (script, thought) in [
                (json!({"reasoning": "I need it", "calls": calls}), true),
                (json!({"text": "Looking.", "calls": calls}), false),
                (json!({"reasoning": "I know it", "text": "It rains."}), true),
            ] {
                let mut body = api.with_tool(api.ask(model, &script));
                let answer = answered(&gate, api, body.clone()).await;
                api.go_on(&mut body, &answer);
                answered(&gate, api, body).await;
                let sent = sent(&gate);
                let parts = sent["contents"].as_array().unwrap().iter().filter(|turn| turn["role"] == "model");
                let parts: Vec<&Value> = parts.flat_map(|turn| turn["parts"].as_array().unwrap()).collect();
                // The mock refuses seals that it did not give; the one that stands in for a lost seal is another.
                let sealed = parts.iter().filter_map(|part| part["thoughtSignature"].as_str()).collect::<Vec<_>>();
                assert_eq!(sealed.len(), 1, "{api:?} {model} {script}: {sent}");
                assert_ne!(sealed[0], "skip_thought_signature_validator", "{api:?} {model} {thought}: {sent}");
            }
        }
    }
}

#[tokio::test]
async fn claude_on_vertex_gets_the_messages_of_clients_as_they_are() {
    let gate = gate().await;
    let text = format!("Hi [[mock {}]]", json!({"reasoning": "Hm.", "text": "Hello there"}));
    let document = json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Snow."},
        "citations": {"enabled": true}, "context": "What the hub does not know"});
    let content = json!([document, {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]);
    let mut body =
        json!({"model": "vertex-claude", "max_tokens": 5, "messages": [{"role": "user", "content": content}]});
    let answer = answered(&gate, Api::Messages, body.clone()).await;
    // The provider's own form, down to fields that no translation makes.
    assert!(answer["usage"]["cache_creation"].is_object() && answer["content"][0]["signature"] != "", "{answer}");
    let sent = sent(&gate);
    assert_eq!(sent["messages"], body["messages"]);
    assert_eq!((&sent["anthropic_version"], &sent["model"]), (&json!("vertex-2023-10-16"), &Value::Null));
    body["stream"] = true.into();
    let text = gate.post("/v1/messages", body).await.unwrap().text().await.unwrap();
    assert!(text.contains("signature_delta") && text.contains("cache_creation") && text.contains("message_stop"));
    let path = gate.mock.requests().last().unwrap().path.clone();
    assert!(path.ends_with("claude-sonnet-4-5@20250929:streamRawPredict"), "{path}");
    gate.settled().await;
}

#[tokio::test]
async fn one_call_at_a_time_is_kept_to_or_refused() {
    let gate = gate().await;
    let call = json!({"name": "get_weather", "arguments": {"city": "Paris"}});
    for (model, ..) in FORMATS {
        let mut body = Api::Chat.with_tool(Api::Chat.ask(model, &json!({"calls": [call, call]})));
        body["parallel_tool_calls"] = false.into();
        let response = gate.chat(body).await;
        let (status, answer) = (response.status(), value(response).await);
        if matches!(*model, "gemini" | "vertex" | "nova") {
            assert_eq!((status.as_u16(), &answer["error"]["param"]), (400, &json!("parallel_tool_calls")), "{model}");
            continue;
        }
        assert_eq!(status, 200, "{model}: {answer}");
        let calls = answer["choices"][0]["message"]["tool_calls"].as_array().unwrap();
        assert_eq!(calls.len(), 1, "{model}: the provider was told");
    }
}
