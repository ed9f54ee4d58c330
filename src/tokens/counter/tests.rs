//! Counts against usage that OpenAI reported, and every shape a prompt can have.

use bytes::Bytes;
use serde_json::{Value, json};
use sluice_providers::catalog::Catalog;

use super::*;

fn count(model: &str, endpoint: Endpoint, body: &Value) -> Result<Counted, BadRequest> {
    let catalog = Catalog::builtin().unwrap();
    let call = Call::parse(endpoint, Bytes::from(body.to_string()))?;
    Counter::new(100).call(&call, &catalog.model("openai", model))
}

fn chat(model: &str, messages: &Value) -> Result<Counted, BadRequest> {
    count(model, Endpoint::ChatCompletions, &json!({"model": model, "messages": messages}))
}

/// `tests/data/recorded.json` holds requests with the prompt tokens OpenAI reported for them.
#[test]
fn recorded_exchanges() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../../tests/data/recorded.json")).unwrap();
    for case in cases {
        let reported = case["prompt_tokens"].as_u64().unwrap();
        let model = case["model"].as_str().unwrap();
        let mut body = case["request"].clone();
        body["model"] = json!(model);
        let counted = count(model, Endpoint::ChatCompletions, &body).unwrap();
        let tools = body.get("tools").is_some();
        let off = counted.input.abs_diff(reported);
        let allowed = if tools { reported / 50 } else { 0 };
        assert!(off <= allowed, "{model}: {} against {reported} (tools: {tools})", counted.input);
        assert_eq!(counted.method, Method::Exact);
    }
}

#[test]
fn arrays_of_parts_count_like_their_text_and_images_by_rule() {
    let plain = chat("gpt-4o", &json!([{"role": "user", "content": "hello there"}])).unwrap();
    let parts =
        chat("gpt-4o", &json!([{"role": "user", "content": [{"type": "text", "text": "hello there"}]}])).unwrap();
    assert_eq!(plain, parts);
    let image = json!([{"role": "user", "content": [{"type": "text", "text": "hello there"},
        {"type": "image_url", "image_url": {"url": "https://example.com/x.png", "detail": "low"}}]}]);
    assert_eq!(chat("gpt-4o", &image).unwrap().input, plain.input + 85);
    assert_eq!(chat("gpt-4o-mini", &image).unwrap().input, plain.input + 2833);
    let audio = json!([{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]}]);
    assert_eq!(chat("gpt-4o", &audio).unwrap().method, Method::Estimate);
}

#[test]
fn tool_calls_names_and_unknown_models_cost() {
    let base = chat("gpt-4o", &json!([{"role": "assistant", "content": null}])).unwrap().input;
    let call = json!([{"role": "assistant", "content": null, "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{\"city\":\"Paris\"}"}}]}]);
    assert!(chat("gpt-4o", &call).unwrap().input > base + 5);
    let unknown = chat("some-model", &json!([{"role": "user", "content": "x ".repeat(1000)}])).unwrap();
    let known = chat("gpt-4o", &json!([{"role": "user", "content": "x ".repeat(1000)}])).unwrap();
    assert_eq!((unknown.method, unknown.input), (Method::Ratio, (known.input * 110).div_ceil(100)));
}

#[test]
fn the_memo_changes_nothing_and_keeps_models_apart() {
    let catalog = Catalog::builtin().unwrap();
    let counter = Counter::new(100);
    let text = "漢字 and words ".repeat(100);
    let body = json!({"model": "m", "messages": [{"role": "user", "content": text}]});
    let call = Call::parse(Endpoint::ChatCompletions, Bytes::from(body.to_string())).unwrap();
    let count = |model: &str| counter.call(&call, &catalog.model("openai", model)).unwrap().input;
    let first = (count("gpt-4o"), count("gpt-4"));
    assert_ne!(first.0, first.1);
    assert_eq!(first, (count("gpt-4o"), count("gpt-4")));
}

#[test]
fn prompts_of_every_shape() {
    let complete = |prompt: Value| count("gpt-4o", Endpoint::Completions, &json!({"model": "m", "prompt": prompt}));
    let counted = complete(json!(["hello", "hello there"])).unwrap();
    assert_eq!((counted.input, counted.prompts), (3, 2));
    assert_eq!(complete(json!([1, 2, 3])).unwrap().input, 3);
    let counted = complete(json!([[1, 2], [3]])).unwrap();
    assert_eq!((counted.input, counted.prompts), (3, 2));
    assert_eq!(complete(json!([1, "x"])).unwrap_err().param.as_deref(), Some("prompt"));
    let embedded =
        count("text-embedding-3-small", Endpoint::Embeddings, &json!({"model": "m", "input": "hello world"}));
    assert_eq!(embedded.unwrap().input, 2);
}

#[test]
fn what_is_not_a_message_is_named() {
    for (messages, param) in [
        (json!([5]), "messages[0]"),
        (json!([{"role": "user", "content": "x"}, {"content": "x"}]), "messages[1]"),
        (json!([{"role": 5, "content": "x"}]), "messages[0]"),
        (json!([{"role": "user", "content": 5}]), "messages[0].content"),
        (json!([{"role": "user", "content": [5]}]), "messages[0].content"),
    ] {
        assert_eq!(chat("gpt-4o", &messages).unwrap_err().param.as_deref(), Some(param), "{messages}");
    }
}

#[test]
fn ten_thousand_nested_arrays_are_refused() {
    let nested = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for body in [
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":{nested}}}]}}"#),
        format!(r#"{{"model":"m","messages":{nested}}}"#),
    ] {
        let catalog = Catalog::builtin().unwrap();
        let call = Call::parse(Endpoint::ChatCompletions, Bytes::from(body)).unwrap();
        assert!(Counter::new(10).call(&call, &catalog.model("openai", "gpt-4o")).is_err());
    }
    let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"tools":{nested}}}"#);
    let call = Call::parse(Endpoint::ChatCompletions, Bytes::from(body)).unwrap();
    let model = Catalog::builtin().unwrap().model("openai", "gpt-4o");
    assert!(Counter::new(10).call(&call, &model).unwrap().input > 100);
}

#[test]
fn an_element_that_is_no_json_is_refused_whoever_asks() {
    let catalog = Catalog::builtin().unwrap();
    let model = catalog.model("openai", "gpt-4o");
    for (endpoint, field) in
        [(Endpoint::ChatCompletions, "messages"), (Endpoint::Messages, "messages"), (Endpoint::Responses, "input")]
    {
        let good = r#"{"role":"user","content":"hello"}"#;
        for bad in [r#"{"role":"user" "content":"hello"}"#, r#"{"role":"user","content":"a\q"}"#, "{role}", "[}"] {
            let body = format!(r#"{{"model":"m","max_tokens":5,"{field}":[{good},{bad}]}}"#);
            let call = Call::parse(endpoint, Bytes::from(body)).unwrap();
            let param = Counter::new(10).call(&call, &model).unwrap_err().param.unwrap();
            assert!(param.starts_with(field), "{endpoint:?} {bad}: {param}");
        }
    }
}
