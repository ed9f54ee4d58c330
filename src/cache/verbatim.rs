//! Which answers of the Messages and the Responses API may be told again, byte for byte: complete ones that are text
//! and nothing else.

use serde_json::Value;

use super::events;

/// Why a Messages answer may have ended: the model had said all it wanted to, or what it was to end with.
const ENDS: [&str; 2] = ["end_turn", "stop_sequence"];

/// The text of a Messages answer.
pub(super) fn message(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let ends = ENDS.contains(&text(&value, "stop_reason"));
    (text(&value, "type") == "message" && ends).then_some(())?;
    texts(value.get("content")?, "text")
}

/// The text of a stream of a Messages answer.
pub(super) fn message_stream(stream: &[u8]) -> Option<String> {
    let (mut said, mut ended, mut over) = (String::new(), false, false);
    for data in events::data(stream) {
        let event: Value = serde_json::from_str(data).ok()?;
        // Nothing follows the last event.
        (!over).then_some(())?;
        match text(&event, "type") {
            "message_start" => {
                let begun = event.get("message")?.get("content")?.as_array()?;
                begun.is_empty().then_some(())?;
            }
            "content_block_start" => said.push_str(&block(event.get("content_block")?, "text")?),
            "content_block_delta" => {
                let delta = event.get("delta")?;
                (text(delta, "type") == "text_delta").then(|| said.push_str(text(delta, "text")))?;
            }
            "content_block_stop" | "ping" => {}
            "message_delta" => ended = ENDS.contains(&text(event.get("delta")?, "stop_reason")),
            "message_stop" => over = true,
            _ => return None,
        }
    }
    (ended && over).then_some(said)
}

/// The text of an answer of the Responses API.
pub(super) fn response(body: &[u8]) -> Option<String> {
    completed(&serde_json::from_slice(body).ok()?)
}

/// The text of a stream of an answer of the Responses API: its last event has all of it.
pub(super) fn response_stream(stream: &[u8]) -> Option<String> {
    let event: Value = serde_json::from_str(events::data(stream).last()?).ok()?;
    (text(&event, "type") == "response.completed").then(|| completed(event.get("response")?))?
}

fn completed(response: &Value) -> Option<String> {
    let complete = text(response, "status") == "completed" && text(response, "object") == "response";
    let well = response.get("error").is_none_or(Value::is_null);
    (complete && well).then_some(())?;
    let mut said = String::new();
    for item in response.get("output")?.as_array()? {
        (text(item, "type") == "message").then_some(())?;
        said.push_str(&texts(item.get("content")?, "output_text")?);
    }
    Some(said)
}

fn texts(blocks: &Value, kind: &str) -> Option<String> {
    blocks.as_array()?.iter().map(|it| block(it, kind)).collect()
}

/// The text of a block of this kind without sources.
fn block(value: &Value, kind: &str) -> Option<String> {
    let sources = ["citations", "annotations"].iter().filter_map(|name| value.get(*name));
    let plain = sources.into_iter().all(|it| it.is_null() || it.as_array().is_some_and(Vec::is_empty));
    (plain && text(value, "type") == kind).then(|| text(value, "text").to_owned())
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stream(events: &[Value]) -> Vec<u8> {
        let event = |value: &Value| format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap());
        events.iter().map(event).collect::<String>().into_bytes()
    }

    fn told(stop: &str, block: &Value, delta: &Value) -> Vec<Value> {
        vec![
            json!({"type": "message_start", "message": {"type": "message", "content": [], "stop_reason": null}}),
            json!({"type": "content_block_start", "index": 0, "content_block": block}),
            json!({"type": "ping"}),
            json!({"type": "content_block_delta", "index": 0, "delta": delta}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 1}}),
            json!({"type": "message_stop"}),
        ]
    }

    #[test]
    fn complete_texts_of_messages() {
        let (block, delta) = (json!({"type": "text", "text": ""}), json!({"type": "text_delta", "text": "Hi"}));
        let good = told("end_turn", &block, &delta);
        assert_eq!(message_stream(&stream(&good)).unwrap(), "Hi");
        assert!(message_stream(&stream(&good[..6])).is_none(), "it broke off");
        for (stop, block, delta) in [
            ("max_tokens", block.clone(), delta.clone()),
            ("refusal", block.clone(), delta.clone()),
            ("end_turn", json!({"type": "thinking", "thinking": ""}), delta.clone()),
            ("tool_use", json!({"type": "tool_use", "id": "t"}), json!({"type": "input_json_delta"})),
            ("end_turn", block, json!({"type": "citations_delta"})),
        ] {
            assert!(message_stream(&stream(&told(stop, &block, &delta))).is_none(), "{stop} {block}");
        }
        let mut broken = good.clone();
        broken.insert(4, json!({"type": "error", "error": {}}));
        assert!(message_stream(&stream(&broken)).is_none());
        let body = |stop: &str, kind: &str| {
            json!({"type": "message", "stop_reason": stop, "content": [{"type": kind, "text": "Hi"}]}).to_string()
        };
        assert_eq!(message(body("end_turn", "text").as_bytes()).unwrap(), "Hi");
        assert!(message(body("max_tokens", "text").as_bytes()).is_none());
        assert!(message(body("end_turn", "thinking").as_bytes()).is_none());
    }

    #[test]
    fn complete_texts_of_responses() {
        let full = |status: &str, kind: &str| {
            let item = json!({"type": kind, "content": [{"type": "output_text", "text": "Hi", "annotations": []}]});
            json!({"object": "response", "status": status, "error": null, "output": [item]})
        };
        assert_eq!(response(full("completed", "message").to_string().as_bytes()).unwrap(), "Hi");
        for (status, kind) in [("incomplete", "message"), ("completed", "function_call"), ("completed", "reasoning")] {
            assert!(response(full(status, kind).to_string().as_bytes()).is_none(), "{status} {kind}");
        }
        let event = |kind: &str| json!({"type": kind, "response": full("completed", "message")});
        assert_eq!(response_stream(&stream(&[event("response.created"), event("response.completed")])).unwrap(), "Hi");
        assert!(response_stream(&stream(&[event("response.completed"), json!({"type": "error"})])).is_none());
        assert!(response_stream(&stream(&[event("response.created")])).is_none(), "it broke off");
    }
}
