//! A kept answer, and how it is told again: as JSON, or as a legal stream.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use sluice_providers::Usage;

use super::events;

/// A complete answer of one choice that is plain text.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) model: String,
    pub(super) fingerprint: Option<String>,
    pub(super) content: String,
    pub(super) usage: Option<Value>,
    /// As the provider sent it, if it did not stream.
    pub(super) body: Option<Bytes>,
}

/// Fields of a message beside its role and content that are nothing when they are empty.
const EMPTY_IS_NOTHING: [&str; 6] =
    ["refusal", "annotations", "audio", "tool_calls", "function_call", "reasoning_content"];

impl Answer {
    /// The answer in a JSON body; nothing if it is not one that may be told again: cut off,
    /// filtered, calling tools, or more than text.
    pub fn of_json(body: Bytes) -> Option<Self> {
        let value: Value = serde_json::from_slice(&body).ok()?;
        let [choice] = value.get("choices")?.as_array()?.as_slice() else { return None };
        let message = choice.get("message")?.as_object()?;
        let stopped = choice.get("finish_reason").and_then(Value::as_str) == Some("stop");
        if !stopped || !is_nothing(choice.get("logprobs")) || !only_text(message) {
            return None;
        }
        let content = message.get("content")?.as_str()?.to_owned();
        Some(Self { usage: value.get("usage").cloned(), body: Some(body), content, ..Self::label(&value)? })
    }

    /// The answer in a stream of events, as the client got it. The usage is the provider's.
    pub fn of_events(stream: &[u8], usage: Option<Usage>) -> Option<Self> {
        let (mut answer, mut content, mut stopped, mut done) = (None, String::new(), false, false);
        for data in events::data(stream) {
            if data == "[DONE]" {
                done = true;
                continue;
            }
            let value: Value = serde_json::from_str(data).ok()?;
            if answer.is_none() {
                answer = Self::label(&value);
            }
            let choices = value.get("choices")?.as_array()?;
            let choice = match choices.as_slice() {
                [] => continue,
                [choice] => choice,
                _ => return None,
            };
            let delta = choice.get("delta")?.as_object()?;
            if !is_nothing(choice.get("logprobs")) || !only_text(delta) {
                return None;
            }
            content.push_str(delta.get("content").and_then(Value::as_str).unwrap_or_default());
            match choice.get("finish_reason").and_then(Value::as_str) {
                None => {}
                Some("stop") => stopped = true,
                Some(_) => return None,
            }
        }
        let answer = answer.filter(|_| stopped && done)?;
        Some(Self { content, usage: usage.map(|usage| shown(&usage)), ..answer })
    }

    fn label(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            id: text("id")?,
            created: value.get("created").and_then(Value::as_u64).unwrap_or(0),
            model: text("model")?,
            fingerprint: text("system_fingerprint"),
            content: String::new(),
            usage: None,
            body: None,
        })
    }

    /// Bytes held, about.
    pub fn size(&self) -> usize {
        self.content.len() + self.body.as_ref().map_or(0, Bytes::len) + self.id.len() + self.model.len() + 256
    }

    /// Tokens that need not be spent: prompt and answer.
    pub fn tokens(&self) -> u64 {
        self.usage.as_ref().and_then(|u| u.get("total_tokens")).and_then(Value::as_u64).unwrap_or(0)
    }

    /// The whole answer.
    pub fn json(&self) -> Bytes {
        if let Some(body) = &self.body {
            return body.clone();
        }
        let mut value = self.head("chat.completion");
        let message = json!({"role": "assistant", "content": self.content, "refusal": null});
        let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": "stop"});
        value.insert("choices".to_owned(), json!([choice]));
        value.extend(self.usage.clone().map(|usage| ("usage".to_owned(), usage)));
        Bytes::from(Value::Object(value).to_string())
    }

    /// The answer as a stream, with the usage chunk if it was asked for.
    pub fn events(&self, include_usage: bool) -> Bytes {
        let mut out = Vec::with_capacity(self.content.len() * 6 + 1024);
        let mut chunk = |delta: Value, finish: Value| {
            let mut value = self.head("chat.completion.chunk");
            let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish});
            value.insert("choices".to_owned(), json!([choice]));
            if include_usage {
                value.insert("usage".to_owned(), Value::Null);
            }
            events::push(&mut out, &Value::Object(value).to_string());
        };
        chunk(json!({"role": "assistant", "content": "", "refusal": null}), Value::Null);
        for piece in events::pieces(&self.content) {
            chunk(json!({"content": piece}), Value::Null);
        }
        chunk(json!({}), json!("stop"));
        if let (true, Some(usage)) = (include_usage, &self.usage) {
            let mut value = self.head("chat.completion.chunk");
            value.insert("choices".to_owned(), json!([]));
            value.insert("usage".to_owned(), usage.clone());
            events::push(&mut out, &Value::Object(value).to_string());
        }
        events::push(&mut out, "[DONE]");
        Bytes::from(out)
    }

    fn head(&self, object: &str) -> Map<String, Value> {
        let mut head = Map::new();
        head.insert("id".to_owned(), json!(self.id));
        head.insert("object".to_owned(), json!(object));
        head.insert("created".to_owned(), json!(self.created));
        head.insert("model".to_owned(), json!(self.model));
        head.extend(self.fingerprint.as_ref().map(|print| ("system_fingerprint".to_owned(), json!(print))));
        head
    }
}

fn is_nothing(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::String(text)) => text.is_empty(),
        Some(_) => false,
    }
}

/// Nothing but role and text, so that nothing is lost when it is told again.
fn only_text(message: &Map<String, Value>) -> bool {
    message.iter().all(|(name, value)| match name.as_str() {
        "role" | "content" => true,
        name => EMPTY_IS_NOTHING.contains(&name) && is_nothing(Some(value)),
    })
}

/// Usage in OpenAI's words; ours counts cached and reasoning tokens inside the totals.
fn shown(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(finish: &str, message: &Value) -> Bytes {
        let usage = json!({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5});
        let value = json!({"id": "c1", "object": "chat.completion", "created": 7, "model": "m", "usage": usage,
            "choices": [{"index": 0, "message": message, "finish_reason": finish}]});
        Bytes::from(value.to_string())
    }

    #[test]
    fn a_stream_of_an_answer_is_the_same_answer() {
        let said =
            json!({"role": "assistant", "content": "Grüße, world.\nA second line of more words than one piece."});
        let answer = Answer::of_json(body("stop", &said)).unwrap();
        assert_eq!(answer.json(), body("stop", &said), "its own bytes");
        let stream = answer.events(true);
        let usage = Usage { input: 3, output: 2, ..Usage::default() };
        let again = Answer::of_events(&stream, Some(usage)).unwrap();
        assert_eq!((again.content.as_str(), again.id.as_str(), again.tokens()), (answer.content.as_str(), "c1", 5));
        assert_eq!(again.events(false), answer.events(false), "told again, it is the same");
        let text = String::from_utf8(stream.to_vec()).unwrap();
        assert!(text.contains("\"total_tokens\":5") && text.ends_with("data: [DONE]\n\n"));
        assert!(!String::from_utf8_lossy(&answer.events(false)).contains("usage"));
    }

    #[test]
    fn what_is_not_complete_text_is_not_kept() {
        let text = json!({"role": "assistant", "content": "x"});
        assert!(Answer::of_json(body("length", &text)).is_none());
        assert!(Answer::of_json(body("content_filter", &text)).is_none());
        let tools = json!({"role": "assistant", "content": "x", "tool_calls": [{"id": "1"}]});
        assert!(Answer::of_json(body("stop", &tools)).is_none());
        let unknown = json!({"role": "assistant", "content": "x", "thinking": "hm"});
        assert!(Answer::of_json(body("stop", &unknown)).is_none());
        let whole = Answer::of_json(body("stop", &text)).unwrap().events(false);
        let cut = whole.strip_suffix(b"data: [DONE]\n\n").unwrap();
        assert!(Answer::of_events(cut, None).is_none(), "a stream that broke off");
    }
}
