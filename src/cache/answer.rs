//! A kept answer, and how it is told again: as it was told, or for who wants it otherwise as JSON or as a legal stream.

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value, json};
use sluice_providers::{Endpoint, Usage};

use super::chunk::Chunk;
use super::pieces::Pieces;
use super::{events, verbatim};

/// A complete answer of one choice that is plain text.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    id: String,
    created: u64,
    model: String,
    fingerprint: Option<String>,
    pub(super) content: String,
    pub(super) usage: Option<Value>,
    pub(super) told: Told,
}

/// How an answer was told the first time.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Told {
    /// In one piece, as the provider sent it.
    Whole(Bytes),
    /// As a stream; with usage in it or not.
    Stream(Pieces, bool),
    /// In an API that has one form for each way to ask, which are kept apart.
    AsIs(Pieces),
}

/// Fields of a message beside its role and content that are nothing when they are empty.
pub(super) const EMPTY_IS_NOTHING: [&str; 6] =
    ["refusal", "annotations", "audio", "tool_calls", "function_call", "reasoning_content"];

impl Answer {
    /// The answer that a client got; nothing if it is not one that may be told again: cut off, filtered, calling
    /// tools, or more than text. The usage is the provider's.
    pub fn of(endpoint: Endpoint, bytes: &[u8], streamed: bool, usage: Option<Usage>) -> Option<Self> {
        let usage = usage.as_ref().map(shown);
        let content = match (endpoint, streamed) {
            (Endpoint::ChatCompletions, true) => return Self::of_events(bytes, usage),
            (Endpoint::ChatCompletions, false) => return Self::of_json(bytes),
            (Endpoint::Messages, true) => verbatim::message_stream(bytes),
            (Endpoint::Messages, false) => verbatim::message(bytes),
            (Endpoint::Responses, true) => verbatim::response_stream(bytes),
            (Endpoint::Responses, false) => verbatim::response(bytes),
            _ => None,
        };
        Some(Self::as_is(content?, bytes, usage))
    }

    /// An answer that is told again byte for byte.
    pub(super) fn as_is(content: String, bytes: &[u8], usage: Option<Value>) -> Self {
        let (id, model) = (String::new(), String::new());
        Self { id, created: 0, model, fingerprint: None, content, usage, told: Told::AsIs(Pieces::of(bytes)) }
    }

    /// The answer in a JSON body.
    pub(super) fn of_json(body: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let [choice] = value.get("choices")?.as_array()?.as_slice() else { return None };
        let message = choice.get("message")?.as_object()?;
        let stopped = choice.get("finish_reason").and_then(Value::as_str) == Some("stop");
        if !stopped || !is_nothing(choice.get("logprobs")) || !only_text(message) {
            return None;
        }
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            id: text("id")?,
            created: value.get("created").and_then(Value::as_u64).unwrap_or(0),
            model: text("model")?,
            fingerprint: text("system_fingerprint"),
            content: message.get("content")?.as_str()?.to_owned(),
            usage: value.get("usage").cloned(),
            // A copy: the answer is a slice of the buffer it was read into, which is many times as large.
            told: Told::Whole(Bytes::copy_from_slice(body)),
        })
    }

    /// The answer in a stream of events, as the client got it.
    pub(super) fn of_events(stream: &[u8], usage: Option<Value>) -> Option<Self> {
        let (mut answer, mut content, mut stopped, mut done) = (None, String::new(), false, false);
        let mut reported: Option<Value> = None;
        for data in events::data(stream) {
            if data == "[DONE]" {
                done = true;
                continue;
            }
            let chunk: Chunk<'_> = serde_json::from_str(data).ok()?;
            if answer.is_none() {
                answer = Self::label(&chunk);
            }
            reported = chunk.usage.or(reported);
            let choice = match chunk.choices.as_slice() {
                [] => continue,
                [choice] => choice,
                _ => return None,
            };
            if !is_nothing(choice.logprobs.as_ref()) || choice.delta.more {
                return None;
            }
            content.push_str(choice.delta.content.as_ref().map_or("", |text| &text.0));
            match choice.finish_reason.as_ref().map(|text| &*text.0) {
                None => {}
                Some("stop") => stopped = true,
                Some(_) => return None,
            }
        }
        let answer = answer.filter(|_| stopped && done)?;
        let told = Told::Stream(Pieces::of(stream), reported.is_some());
        Some(Self { content, usage: reported.or(usage), told, ..answer })
    }

    fn label(chunk: &Chunk<'_>) -> Option<Self> {
        let text = |raw: Option<&RawValue>| serde_json::from_str::<Option<String>>(raw?.get()).ok()?;
        Some(Self {
            id: text(chunk.id)?,
            created: chunk.created.as_ref().and_then(Number::as_u64).unwrap_or(0),
            model: text(chunk.model)?,
            fingerprint: text(chunk.system_fingerprint),
            content: String::new(),
            usage: None,
            told: Told::Whole(Bytes::new()),
        })
    }

    /// Bytes held, about.
    pub fn size(&self) -> usize {
        let told = match &self.told {
            Told::Whole(body) => body.len(),
            Told::Stream(pieces, _) | Told::AsIs(pieces) => pieces.size(),
        };
        self.content.len() + told + self.id.len() + self.model.len() + 256
    }

    /// The answer again, for a client that asks for it like this.
    pub fn tell(&self, stream: bool, include_usage: bool) -> Bytes {
        match &self.told {
            Told::AsIs(pieces) => pieces.stream(),
            _ if stream => self.events(include_usage),
            _ => self.json(),
        }
    }

    /// The whole answer.
    fn json(&self) -> Bytes {
        if let Told::Whole(body) = &self.told {
            return body.clone();
        }
        let mut value = self.head("chat.completion");
        let message = json!({"role": "assistant", "content": self.content, "refusal": null});
        let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": "stop"});
        value.insert("choices".to_owned(), json!([choice]));
        value.extend(self.usage.clone().map(|usage| ("usage".to_owned(), usage)));
        Bytes::from(Value::Object(value).to_string())
    }

    /// The answer as a stream, with the usage chunk if it was asked for; in the same pieces, if it was one.
    fn events(&self, include_usage: bool) -> Bytes {
        match &self.told {
            Told::Stream(pieces, usage) if *usage == include_usage => pieces.stream(),
            Told::Stream(pieces, _) => self.again(&pieces.stream(), include_usage),
            _ => self.in_pieces(include_usage),
        }
    }

    /// A stream with or without usage, which it was without or with.
    fn again(&self, stream: &[u8], include_usage: bool) -> Bytes {
        let mut out = Vec::with_capacity(stream.len() + 1024);
        let chunks = events::data(stream).filter_map(|data| serde_json::from_str::<Map<String, Value>>(data).ok());
        for mut chunk in chunks {
            if chunk.get("choices").and_then(Value::as_array).is_none_or(Vec::is_empty) {
                continue;
            }
            if include_usage {
                chunk.insert("usage".to_owned(), Value::Null);
            } else {
                chunk.shift_remove("usage");
            }
            events::push(&mut out, &Value::Object(chunk).to_string());
        }
        self.end(&mut out, include_usage);
        Bytes::from(out)
    }

    fn in_pieces(&self, include_usage: bool) -> Bytes {
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
        self.end(&mut out, include_usage);
        Bytes::from(out)
    }

    fn end(&self, out: &mut Vec<u8>, include_usage: bool) {
        if let (true, Some(usage)) = (include_usage, &self.usage) {
            let mut value = self.head("chat.completion.chunk");
            value.insert("choices".to_owned(), json!([]));
            value.insert("usage".to_owned(), usage.clone());
            events::push(out, &Value::Object(value).to_string());
        }
        events::push(out, "[DONE]");
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

pub(super) fn is_nothing(value: Option<&Value>) -> bool {
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
        let answer = Answer::of_json(&body("stop", &said)).unwrap();
        assert_eq!(answer.tell(false, false), body("stop", &said), "its own bytes");
        let stream = answer.tell(true, true);
        let again = Answer::of_events(&stream, None).unwrap();
        assert_eq!((&again.content, &again.id, &again.usage), (&answer.content, &answer.id, &answer.usage));
        let text = String::from_utf8(stream.to_vec()).unwrap();
        assert!(text.contains("\"total_tokens\":5") && text.ends_with("data: [DONE]\n\n"));
        assert!(!String::from_utf8_lossy(&answer.tell(true, false)).contains("usage"));
        let value: Value = serde_json::from_slice(&again.tell(false, false)).unwrap();
        assert_eq!(
            (&value["choices"][0]["message"]["content"], &value["usage"]),
            (&said["content"], &answer.usage.unwrap())
        );
    }

    #[test]
    fn a_kept_answer_does_not_hold_the_buffer_it_was_read_into() {
        let read = body("stop", &json!({"role": "assistant", "content": "Hello"}));
        let answer = Answer::of_json(&read).unwrap();
        assert_ne!(answer.tell(false, false).as_ptr(), read.as_ptr());
        assert!(read.is_unique(), "nothing else holds it");
    }

    #[test]
    fn a_stream_is_told_again_in_its_own_pieces() {
        let chunk = |delta: Value, finish: Value| {
            json!({"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m", "unheard_of": [1],
                "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
        };
        let plain = [
            chunk(json!({"role": "assistant", "content": ""}), Value::Null),
            chunk(json!({"content": "O"}), Value::Null),
            chunk(json!({"content": "ne piece and another \u{1f980}"}), Value::Null),
            chunk(json!({}), json!("stop")),
        ];
        let stream = |chunks: &[Value]| {
            chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect::<String>() + "data: [DONE]\n\n"
        };
        let usage = json!({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5});
        let mut full: Vec<Value> = plain.to_vec();
        for chunk in &mut full {
            chunk["usage"] = Value::Null;
        }
        full.push(json!({"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": [],
            "usage": usage}));
        let without = Answer::of_events(stream(&plain).as_bytes(), Some(usage)).unwrap();
        assert_eq!(without.tell(true, false), stream(&plain));
        assert_eq!(without.tell(true, true), stream(&full));
        let with = Answer::of_events(stream(&full).as_bytes(), None).unwrap();
        assert_eq!(with.tell(true, true), stream(&full));
        assert_eq!(with.tell(true, false), stream(&plain));
        assert_eq!(with.content, "One piece and another \u{1f980}");
    }

    #[test]
    fn what_is_not_complete_text_is_not_kept() {
        let text = json!({"role": "assistant", "content": "x"});
        assert!(Answer::of_json(&body("length", &text)).is_none());
        assert!(Answer::of_json(&body("content_filter", &text)).is_none());
        let tools = json!({"role": "assistant", "content": "x", "tool_calls": [{"id": "1"}]});
        assert!(Answer::of_json(&body("stop", &tools)).is_none());
        let unknown = json!({"role": "assistant", "content": "x", "thinking": "hm"});
        assert!(Answer::of_json(&body("stop", &unknown)).is_none());
        let whole = Answer::of_json(&body("stop", &text)).unwrap().tell(true, false);
        let cut = whole.strip_suffix(b"data: [DONE]\n\n").unwrap();
        assert!(Answer::of_events(cut, None).is_none(), "a stream that broke off");
    }
}
