//! The JSON of answers: whole ones, and the chunks of streams.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::behaviour::Behaviour;

/// Single tokens of OpenAI's vocabularies.
const WORDS: [&str; 12] =
    [" the", " river", " runs", " under", " stone", " and", " light", " over", " water", " to", " open", " sea"];
/// Dimensions of an embedding.
const DIMENSIONS: usize = 8;
const CREATED: u64 = 1_700_000_000;

/// One request as the mock reads it.
pub(crate) struct Asked {
    pub(crate) body: Value,
    pub(crate) chat: bool,
    pub(crate) behaviour: Behaviour,
    /// Prompt tokens read from the simulated cache.
    pub(crate) cached: u64,
}

impl Asked {
    pub(crate) fn streams(&self) -> bool {
        self.body["stream"] == true
    }

    pub(crate) fn wants_usage(&self) -> bool {
        self.behaviour.usage && self.body["stream_options"]["include_usage"] == true
    }

    fn model(&self) -> &str {
        self.body["model"].as_str().unwrap_or("")
    }

    /// The tokens of the answer, in order; made as they are needed, however many there are.
    pub(crate) fn words(&self) -> Box<dyn Iterator<Item = Cow<'static, str>> + Send> {
        if let Some(text) = &self.behaviour.text {
            let words: Vec<_> = text.split_inclusive(' ').map(|word| Cow::Owned(word.to_owned())).collect();
            return Box::new(words.into_iter());
        }
        Box::new(WORDS.into_iter().cycle().map(Cow::Borrowed).take(self.length()))
    }

    /// How many tokens the answer has.
    fn length(&self) -> usize {
        if let Some(text) = &self.behaviour.text {
            return text.split_inclusive(' ').count();
        }
        let bound = ["max_completion_tokens", "max_tokens"].iter().find_map(|name| self.body[*name].as_u64());
        let count = self.behaviour.tokens.unwrap_or_else(|| bound.unwrap_or(10).min(10));
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    /// The tool to call, if the answer is to be a call.
    pub(crate) fn tool(&self) -> Option<String> {
        let asked = self.behaviour.reply_tool && self.body["tool_choice"] != "none";
        let name = self.body["tools"].get(0)?["function"]["name"].as_str()?;
        asked.then(|| name.to_owned())
    }

    /// Words of the prompt and a little more: a number that is stated, not a tokenizer's.
    fn prompt_tokens(&self) -> u64 {
        let text = [&self.body["messages"], &self.body["prompt"], &self.body["input"]];
        let words: usize = text.iter().map(|value| words_in(value)).sum();
        self.behaviour.prompt_tokens.unwrap_or(words as u64 + 8)
    }

    pub(crate) fn usage(&self, generated: usize) -> Value {
        let (prompt, completion) = (self.prompt_tokens(), self.behaviour.completion_tokens.unwrap_or(generated as u64));
        json!({
            "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": self.cached, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0,
                "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0},
        })
    }
}

fn words_in(value: &Value) -> usize {
    match value {
        Value::String(text) => text.split_whitespace().count(),
        Value::Array(items) => items.iter().map(words_in).sum(),
        Value::Object(fields) => fields.values().map(words_in).sum(),
        _ => 0,
    }
}

/// A whole chat or legacy completion.
pub(crate) fn whole(asked: &Asked, id: u64) -> Value {
    let words: String = asked.words().collect();
    let choices: Vec<Value> = (0..asked.body["n"].as_u64().unwrap_or(1).max(1))
        .map(|index| match (asked.chat, asked.tool()) {
            (true, Some(name)) => json!({"index": index, "finish_reason": "tool_calls", "logprobs": null, "message": {
                "role": "assistant", "content": null, "refusal": null, "tool_calls": [
                    {"id": "call_mock_1", "type": "function", "function": {"name": name, "arguments": ARGUMENTS.concat()}}]}}),
            (true, None) => json!({"index": index, "finish_reason": "stop", "logprobs": null,
                "message": {"role": "assistant", "content": words, "refusal": null}}),
            (false, _) => json!({"index": index, "finish_reason": "stop", "logprobs": null, "text": words}),
        })
        .collect();
    let (prefix, object) = if asked.chat { ("chatcmpl", "chat.completion") } else { ("cmpl", "text_completion") };
    let mut answer = json!({"id": format!("{prefix}-mock{id}"), "object": object, "created": CREATED,
        "model": asked.model(), "choices": choices, "system_fingerprint": "fp_mock"});
    if asked.behaviour.usage {
        answer["usage"] = asked.usage(asked.length() * choices_of(asked));
    }
    answer
}

fn choices_of(asked: &Asked) -> usize {
    usize::try_from(asked.body["n"].as_u64().unwrap_or(1).max(1)).unwrap_or(1)
}

/// The argument fragments of a streamed tool call.
const ARGUMENTS: [&str; 3] = ["{\"city\":", "\"Paris\"", "}"];

/// The events of a stream: prelude, one per token, and what comes after the last.
pub(crate) struct Events {
    pub(crate) prelude: Vec<String>,
    pub(crate) content: Box<dyn Iterator<Item = String> + Send>,
    pub(crate) end: Vec<String>,
}

/// What the chunks of one stream have in common.
struct Frame {
    head: String,
    tail: &'static str,
}

impl Frame {
    fn new(asked: &Asked, id: u64) -> Self {
        let (prefix, object) =
            if asked.chat { ("chatcmpl", "chat.completion.chunk") } else { ("cmpl", "text_completion") };
        let model = Value::from(asked.model());
        let head = format!(
            "data: {{\"id\":\"{prefix}-mock{id}\",\"object\":\"{object}\",\"created\":{CREATED},\"model\":{model},\
             \"system_fingerprint\":\"fp_mock\",\"choices\":["
        );
        Self { head, tail: if asked.wants_usage() { ",\"usage\":null" } else { "" } }
    }

    fn chunk(&self, body: &str, finish: &str) -> String {
        let Self { head, tail } = self;
        format!("{head}{{\"index\":0,{body},\"logprobs\":null,\"finish_reason\":{finish}}}]{tail}}}\n\n")
    }
}

/// All events of a streamed answer, as `data:` text.
pub(crate) fn events(asked: &Asked, id: u64) -> Events {
    let frame = Frame::new(asked, id);
    let tool = asked.tool().filter(|_| asked.chat);
    let reason = if tool.is_some() { "\"tool_calls\"" } else { "\"stop\"" };
    let mut end = vec![frame.chunk(if asked.chat { "\"delta\":{}" } else { "\"text\":\"\"" }, reason)];
    let length = if tool.is_some() { ARGUMENTS.len() + 1 } else { asked.length() };
    if asked.wants_usage() {
        end.push(format!("{}],\"usage\":{}}}\n\n", frame.head, asked.usage(length)));
    }
    end.push("data: [DONE]\n\n".to_owned());
    if let Some(name) = tool {
        return Events { prelude: Vec::new(), content: Box::new(tool_call(&frame, &name).into_iter()), end };
    }
    let prelude = if asked.chat {
        vec![frame.chunk("\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}", "null")]
    } else {
        Vec::new()
    };
    let chat = asked.chat;
    let content = asked.words().map(move |word| {
        let word = Value::from(&*word);
        let body = if chat { format!("\"delta\":{{\"content\":{word}}}") } else { format!("\"text\":{word}") };
        frame.chunk(&body, "null")
    });
    Events { prelude, content: Box::new(content), end }
}

/// The chunks of a streamed tool call.
fn tool_call(frame: &Frame, name: &str) -> Vec<String> {
    let name = Value::from(name);
    let first = format!(
        "\"delta\":{{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{{\"index\":0,\"id\":\"call_mock_1\",\
         \"type\":\"function\",\"function\":{{\"name\":{name},\"arguments\":\"\"}}}}]}}"
    );
    let rest = ARGUMENTS.iter().map(|part| {
        let part = Value::from(*part);
        format!("\"delta\":{{\"tool_calls\":[{{\"index\":0,\"function\":{{\"arguments\":{part}}}}}]}}")
    });
    std::iter::once(first).chain(rest).map(|body| frame.chunk(&body, "null")).collect()
}

/// Embeddings: the same text always has the same vector.
pub(crate) fn embeddings(asked: &Asked) -> Value {
    let inputs: Vec<Value> = match &asked.body["input"] {
        Value::Array(items) if items.first().is_some_and(|item| !item.is_number()) => items.clone(),
        one => vec![one.clone()],
    };
    let base64 = asked.body["encoding_format"] == "base64";
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            let vector = vector(&input.to_string());
            let embedding = if base64 {
                let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
                Value::from(STANDARD.encode(bytes))
            } else {
                json!(vector)
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let prompt = asked.prompt_tokens();
    json!({"object": "list", "data": data, "model": asked.model(),
        "usage": {"prompt_tokens": prompt, "total_tokens": prompt}})
}

fn vector(text: &str) -> Vec<f32> {
    let mut seed = 17u32;
    text.bytes().for_each(|byte| seed = seed.wrapping_mul(31).wrapping_add(u32::from(byte)));
    (0..DIMENSIONS)
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Sixteenths are exact in both encodings.
            f32::from((seed >> 24) as u8) / 16.0 - 8.0
        })
        .collect()
}

/// An error in OpenAI's shape.
pub(crate) fn error(status: u16) -> Value {
    let (kind, code) = match status {
        401 => ("invalid_request_error", "invalid_api_key"),
        404 => ("invalid_request_error", "model_not_found"),
        429 => ("requests", "rate_limit_exceeded"),
        400..=499 => ("invalid_request_error", "mock_error"),
        _ => ("server_error", "mock_error"),
    };
    json!({"error": {"message": format!("mock error {status}"), "type": kind, "param": null, "code": code}})
}
