//! Puts the chunks of a stream together as clients do, and whole answers into the same shape.

use serde_json::{Map, Value, json};

/// The choices of a stream of chat completion chunks.
pub(crate) fn merged(stream: &[u8]) -> Value {
    let text = std::str::from_utf8(stream).unwrap();
    let mut choices: Vec<Value> = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|line| *line != "[DONE]") {
        let chunk: Value = serde_json::from_str(line).unwrap();
        for choice in chunk["choices"].as_array().into_iter().flatten() {
            let index = usize::try_from(choice["index"].as_u64().unwrap()).unwrap();
            if choices.len() <= index {
                choices.resize(index + 1, json!({"message": {}, "finish_reason": null}));
            }
            let slot = &mut choices[index];
            if !choice["finish_reason"].is_null() {
                slot["finish_reason"] = choice["finish_reason"].clone();
            }
            let delta = choice["delta"].as_object().cloned().unwrap_or_default();
            add(slot["message"].as_object_mut().unwrap(), delta);
        }
    }
    Value::from(choices.iter().map(tidy).collect::<Vec<_>>())
}

fn add(message: &mut Map<String, Value>, delta: Map<String, Value>) {
    for (name, value) in delta {
        match (name.as_str(), value) {
            (_, Value::Null) => {}
            ("tool_calls", Value::Array(calls)) => {
                let known = message.entry(name).or_insert(json!([]));
                for call in calls {
                    add_call(known.as_array_mut().unwrap(), call);
                }
            }
            ("role", value) => _ = message.insert(name, value),
            (_, Value::String(more)) => {
                let said = message.get(&name).and_then(Value::as_str).unwrap_or_default();
                message.insert(name, format!("{said}{more}").into());
            }
            (_, Value::Array(mut more)) => {
                message.entry(name).or_insert(json!([])).as_array_mut().unwrap().append(&mut more);
            }
            (_, value) => _ = message.insert(name, value),
        }
    }
}

fn add_call(calls: &mut Vec<Value>, mut call: Value) {
    let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
    call.as_object_mut().unwrap().remove("index");
    if calls.len() <= index {
        assert_eq!(calls.len(), index, "calls are numbered in order");
        calls.push(call);
        return;
    }
    let known = calls[index]["function"]["arguments"].as_str().unwrap_or_default();
    let more = call["function"]["arguments"].as_str().unwrap_or_default();
    calls[index]["function"]["arguments"] = format!("{known}{more}").into();
}

/// The choices of a whole answer.
pub(crate) fn plain(whole: &Value) -> Value {
    Value::from(whole["choices"].as_array().unwrap().iter().map(tidy).collect::<Vec<_>>())
}

/// Only what both forms have: no empty content, no nulls; JSON by its meaning, since providers lay
/// out whole answers otherwise.
fn tidy(choice: &Value) -> Value {
    let mut message = choice["message"].as_object().cloned().unwrap_or_default();
    message.retain(|_, value| !value.is_null() && *value != json!(""));
    for call in message.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
        let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
        call["function"]["arguments"] = serde_json::from_str(arguments).unwrap();
    }
    if let Some(json) = message.get("content").and_then(|text| serde_json::from_str::<Value>(text.as_str()?).ok()) {
        message.insert("content".to_owned(), json);
    }
    let sorted: std::collections::BTreeMap<String, Value> = message.into_iter().collect();
    json!({"message": sorted, "finish_reason": choice["finish_reason"]})
}
