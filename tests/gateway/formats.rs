//! Every adapter against the simulated provider, which checks what it is sent as the real one does: every request of
//! the goldens, and answers of every kind, whole and streamed.

use std::path::Path;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Map, Value, json};
use sluice_mock::{Mock, MockHandle};
use sluice_providers::{
    Adapter, Call, Endpoint, Exchange, ResponseHead, Stamp, StreamOut, Target, UpstreamRequest, Usage, adapter,
};

use crate::common::any_port;

/// Each kind with a model of its own and the path below which the mock serves it.
const TARGETS: &[(&str, &str, &str)] = &[
    ("openai", "gpt-4o", "v1"),
    ("mistral", "mistral-small", "v1"),
    ("azure", "deployment-1", ""),
    ("anthropic", "claude-sonnet-4-5", "v1"),
    ("anthropic", "claude-opus-4-7", "v1"),
    ("gemini", "gemini-2.5-flash", "v1beta"),
    ("gemini", "gemini-3-pro-preview", "v1beta"),
    ("vertex", "gemini-3-pro-preview", "v1/projects/p/locations/l"),
    ("vertex", "claude-3-7-sonnet@20250219", "v1/projects/p/locations/l"),
    ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", ""),
    ("bedrock", "amazon.nova-pro-v1:0", ""),
];

struct Provider {
    mock: MockHandle,
    client: reqwest::Client,
}

/// What came of one call.
#[derive(Debug, PartialEq)]
struct Outcome {
    message: Value,
    finish: Value,
    usage: Option<Usage>,
}

impl Provider {
    async fn start() -> Self {
        sluice::app::install_crypto();
        let mock = Mock::new().start(any_port()).await.unwrap();
        Self { mock, client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    async fn send(&self, base: &str, request: UpstreamRequest, behaviour: &Value) -> reqwest::Response {
        let base = if base.is_empty() { String::new() } else { format!("/{base}") };
        let url = format!("http://{}{base}/{}", self.mock.addr(), request.path);
        let sent = self.client.request(request.method, url).headers(request.headers).body(request.body.into_bytes());
        // Each kind looks at the header of its own.
        let sent = sent.bearer_auth("key").header("x-api-key", "key").header("x-goog-api-key", "key");
        sent.header("api-key", "key").header("x-mock", behaviour.to_string()).send().await.unwrap()
    }

    /// One call to its end; the error is the provider's refusal or the adapter's.
    async fn call(&self, target: (&str, &str, &str), body: &Value, behaviour: &Value) -> Result<Outcome, String> {
        let (kind, model, base) = target;
        let adapter = adapter(kind).unwrap();
        let target = Target { model: model.to_owned(), max_output: 8192, api_version: None };
        let mut call = Call::parse(Endpoint::ChatCompletions, Bytes::from(body.to_string())).unwrap();
        call.stamp = Stamp { id: "req_1".into(), created: 1 };
        adapter.supports(&call, &target).map_err(|error| format!("unsupported: {error}"))?;
        let request = adapter.request(&call, &target).map_err(|error| format!("unsupported: {error}"))?;
        let response = self.send(base, request, behaviour).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let answer = response.bytes().await.unwrap();
        if !status.is_success() {
            return Err(format!("{status}: {}", String::from_utf8_lossy(&answer)));
        }
        let exchange = Exchange { call: &call, target: &target, prompt: 0 };
        read(adapter, &ResponseHead { status, headers: &headers }, answer, &exchange)
    }
}

fn read(
    adapter: &dyn Adapter,
    head: &ResponseHead<'_>,
    answer: Bytes,
    exchange: &Exchange<'_>,
) -> Result<Outcome, String> {
    if !exchange.call.stream {
        let reply = adapter.reply(head, answer, exchange).map_err(|error| error.to_string())?;
        let whole: Value = serde_json::from_slice(&reply.body).unwrap();
        let choice = &whole["choices"][0];
        let message = tidy(choice["message"].as_object().unwrap().clone());
        return Ok(Outcome { message, finish: choice["finish_reason"].clone(), usage: reply.usage });
    }
    let mut translator = adapter.stream(head, exchange);
    let mut out = StreamOut::default();
    for piece in answer.chunks(100) {
        translator.push(Bytes::copy_from_slice(piece), &mut out).map_err(|error| error.to_string())?;
    }
    translator.finish(&mut out).map_err(|error| error.to_string())?;
    assert!(out.done && out.error.is_none(), "{:?}", out.error);
    let (message, finish) = merged(&out.frames.concat());
    Ok(Outcome { message: tidy(message), finish, usage: out.usage })
}

/// The first choice of a stream, put together.
fn merged(stream: &[u8]) -> (Map<String, Value>, Value) {
    let (mut message, mut finish) = (Map::new(), Value::Null);
    let text = std::str::from_utf8(stream).unwrap();
    for line in text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|line| *line != "[DONE]") {
        let chunk: Value = serde_json::from_str(line).unwrap();
        let choice = &chunk["choices"][0];
        if !choice["finish_reason"].is_null() {
            finish = choice["finish_reason"].clone();
        }
        for (name, value) in choice["delta"].as_object().into_iter().flatten() {
            add(&mut message, name, value);
        }
    }
    (message, finish)
}

fn add(message: &mut Map<String, Value>, name: &str, value: &Value) {
    match value {
        Value::String(more) if name != "role" => {
            let said = message.get(name).and_then(Value::as_str).unwrap_or_default();
            message.insert(name.to_owned(), format!("{said}{more}").into());
        }
        Value::Array(calls) if name == "tool_calls" => {
            let known = message.entry(name).or_insert(json!([])).as_array_mut().unwrap();
            for call in calls {
                let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
                match known.get_mut(index) {
                    None => known.push(call.clone()),
                    Some(slot) => {
                        let more = call["function"]["arguments"].as_str().unwrap_or_default();
                        let said = slot["function"]["arguments"].as_str().unwrap_or_default();
                        slot["function"]["arguments"] = format!("{said}{more}").into();
                    }
                }
            }
        }
        Value::Array(more) => {
            let known = message.entry(name).or_insert(json!([])).as_array_mut().unwrap();
            known.extend(more.iter().cloned());
        }
        Value::Null => {}
        value => _ = message.insert(name.to_owned(), value.clone()),
    }
}

/// Without ids, which differ from call to call, and with JSON by its meaning.
fn tidy(mut message: Map<String, Value>) -> Value {
    message.retain(|name, value| !value.is_null() && *value != json!("") && name != "annotations");
    for call in message.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
        call.as_object_mut().unwrap().retain(|name, _| name != "id" && name != "index");
        let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
        call["function"]["arguments"] = serde_json::from_str(arguments).unwrap();
    }
    Value::Object(message)
}

/// The client's requests of the goldens that are chat completions.
fn requests() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("providers/testdata/requests");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let input: Value = serde_json::from_str(text.split_once("\n-----\n").unwrap().0).unwrap();
        let chat = input["messages"].as_array().is_some_and(|messages| !messages.is_empty());
        if chat {
            found.push((path.file_stem().unwrap().to_string_lossy().into_owned(), input));
        }
    }
    found
}

/// Refused by the real provider too, whatever a gateway makes of the request.
fn is_the_clients_fault(case: &str, kind: &str, refusal: &str) -> bool {
    match case {
        // A seal that no provider made.
        "google_seals_round_trip" | "thinking_round_trip" => refusal.contains("signature"),
        // The client's own budget and bound, or sampling beside thinking.
        "thinking_budget" => refusal.contains("thinking"),
        // OpenAI's own form goes through as it is, right or wrong.
        _ => matches!(kind, "openai" | "azure" | "mistral"),
    }
}

#[tokio::test]
async fn what_the_adapters_send_is_what_providers_take() {
    let provider = Provider::start().await;
    let (mut taken, mut wrong) = (0, Vec::new());
    for (case, body) in requests() {
        for target in TARGETS {
            for stream in [false, true] {
                let mut body = body.clone();
                body["stream"] = stream.into();
                match provider.call(*target, &body, &json!({})).await {
                    Ok(_) => taken += 1,
                    Err(refusal) if refusal.starts_with("unsupported") => {}
                    Err(refusal) if is_the_clients_fault(&case, target.0, &refusal) => {}
                    Err(refusal) => wrong.push(format!("{case} {} {stream}: {refusal}", target.1)),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} refused:\n{}", wrong.len(), wrong.join("\n"));
    assert!(taken > 700, "only {taken} requests were taken");
}

#[tokio::test]
async fn answers_of_every_kind_are_the_same_whole_and_streamed() {
    let provider = Provider::start().await;
    let weather = json!({"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object",
        "properties": {"city": {"type": "string"}}}}});
    let plain = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    let tools = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "tools": [weather]});
    let schema = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "response_format":
        {"type": "json_schema", "json_schema": {"name": "p", "strict": true, "schema": {"type": "object",
        "properties": {"name": {"type": "string"}}, "required": ["name"], "additionalProperties": false}}}});
    let calls = json!({"calls": [{"name": "get_weather", "arguments": {"city": "Paris"}},
        {"name": "get_weather", "arguments": {"city": "Rome"}}]});
    let cached = json!({"text": "Hello there", "prompt_tokens": 100, "completion_tokens": 7, "cached_tokens": 60});
    let cases = [
        ("text", &plain, cached, "stop"),
        ("tools", &tools, calls, "tool_calls"),
        ("json", &schema, json!({}), "stop"),
        ("length", &plain, json!({"finish": "length"}), "length"),
    ];
    for (case, body, behaviour, finish) in cases {
        // A server that knows no `stream_options` is not asked for usage; the mock reports none unasked.
        for target in TARGETS.iter().filter(|target| target.0 != "mistral") {
            let at = format!("{case} {}", target.1);
            let whole = provider.call(*target, body, &behaviour).await;
            let whole = whole.unwrap_or_else(|error| panic!("{at}: {error}"));
            let mut streaming = body.clone();
            streaming["stream"] = true.into();
            let streamed = provider.call(*target, &streaming, &behaviour).await;
            let streamed = streamed.unwrap_or_else(|error| panic!("{at}: {error}"));
            assert_eq!(whole, streamed, "{at}");
            assert_eq!(whole.finish, finish, "{at}");
            let message = &whole.message;
            match case {
                "text" => {
                    let usage = whole.usage.unwrap();
                    assert_eq!((usage.input, usage.cached_input, usage.output), (100, 60, 7), "{at}");
                    assert_eq!(message["content"], "Hello there", "{at}");
                }
                "tools" => {
                    let cities =
                        [0, 1].map(|index| message["tool_calls"][index]["function"]["arguments"]["city"].clone());
                    assert_eq!(cities, ["Paris", "Rome"], "{at}");
                }
                "json" => {
                    let answer: Value = serde_json::from_str(message["content"].as_str().unwrap()).unwrap();
                    assert!(answer["name"].is_string(), "{at}: {message}");
                }
                _ => {}
            }
        }
    }
}

/// What a model calls and thinks goes back to it with the results, seals and all.
#[tokio::test]
async fn tools_and_sealed_reasoning_make_the_round_trip() {
    let provider = Provider::start().await;
    let weather = json!({"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object",
        "properties": {"city": {"type": "string"}}}}});
    let behaviour =
        json!({"reasoning": "I need the weather", "calls": [{"name": "get_weather", "arguments": {"city": "Paris"}}]});
    for target in TARGETS {
        let adapter = adapter(target.0).unwrap();
        let goal = Target { model: target.1.to_owned(), max_output: 8192, api_version: None };
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Weather?"}], "tools": [weather],
            "reasoning_effort": "medium"});
        let call = Call::parse(Endpoint::ChatCompletions, Bytes::from(body.to_string())).unwrap();
        let response = provider.send(target.2, adapter.request(&call, &goal).unwrap(), &behaviour).await;
        let (status, headers): (_, HeaderMap) = (response.status(), response.headers().clone());
        let answer = response.bytes().await.unwrap();
        assert!(status.is_success(), "{}: {}", target.1, String::from_utf8_lossy(&answer));
        let head = ResponseHead { status, headers: &headers };
        let reply = adapter.reply(&head, answer, &Exchange { call: &call, target: &goal, prompt: 0 }).unwrap();
        let whole: Value = serde_json::from_slice(&reply.body).unwrap();
        let message = whole["choices"][0]["message"].clone();
        let id = message["tool_calls"][0]["id"].clone();
        let messages = body["messages"].as_array_mut().unwrap();
        messages.push(message);
        messages.push(json!({"role": "tool", "tool_call_id": id, "content": "18 degrees"}));
        let outcome = provider.call(*target, &body, &json!({"text": "18"})).await;
        assert_eq!(outcome.unwrap_or_else(|error| panic!("{}: {error}", target.1)).message["content"], "18");
    }
}
