//! The JSON of answers: whole ones, and the chunks of streams.

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

    /// The tokens of the answer, in order.
    pub(crate) fn words(&self) -> Vec<String> {
        if let Some(text) = &self.behaviour.text {
            return text.split_inclusive(' ').map(str::to_owned).collect();
        }
        let bound = ["max_completion_tokens", "max_tokens"].iter().find_map(|name| self.body[*name].as_u64());
        let count = self.behaviour.tokens.unwrap_or_else(|| bound.unwrap_or(10).min(10));
        let word = |index: u64| WORDS[usize::try_from(index).unwrap_or(0) % WORDS.len()].to_owned();
        (0..count).map(word).collect()
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
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
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
    let words = asked.words();
    let choices: Vec<Value> = (0..asked.body["n"].as_u64().unwrap_or(1).max(1))
        .map(|index| match (asked.chat, asked.tool()) {
            (true, Some(name)) => json!({"index": index, "finish_reason": "tool_calls", "logprobs": null, "message": {
                "role": "assistant", "content": null, "refusal": null, "tool_calls": [
                    {"id": "call_mock_1", "type": "function", "function": {"name": name, "arguments": ARGUMENTS.concat()}}]}}),
            (true, None) => json!({"index": index, "finish_reason": "stop", "logprobs": null,
                "message": {"role": "assistant", "content": words.concat(), "refusal": null}}),
            (false, _) => json!({"index": index, "finish_reason": "stop", "logprobs": null, "text": words.concat()}),
        })
        .collect();
    let (prefix, object) = if asked.chat { ("chatcmpl", "chat.completion") } else { ("cmpl", "text_completion") };
    let mut answer = json!({"id": format!("{prefix}-mock{id}"), "object": object, "created": CREATED,
        "model": asked.model(), "choices": choices, "system_fingerprint": "fp_mock"});
    if asked.behaviour.usage {
        answer["usage"] = asked.usage(words.len() * choices_of(asked));
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
    pub(crate) content: Vec<String>,
    pub(crate) end: Vec<String>,
}

/// All events of a streamed answer, as `data:` text.
pub(crate) fn events(asked: &Asked, id: u64) -> Events {
    let (prefix, object) = if asked.chat { ("chatcmpl", "chat.completion.chunk") } else { ("cmpl", "text_completion") };
    let null_usage = if asked.wants_usage() { ",\"usage\":null" } else { "" };
    let model = Value::from(asked.model());
    let head = format!(
        "data: {{\"id\":\"{prefix}-mock{id}\",\"object\":\"{object}\",\"created\":{CREATED},\"model\":{model},\"system_fingerprint\":\"fp_mock\",\"choices\":["
    );
    let chunk = |body: &str, finish: &str| {
        format!("{head}{{\"index\":0,{body},\"logprobs\":null,\"finish_reason\":{finish}}}]{null_usage}}}\n\n")
    };
    let (mut prelude, mut content, mut reason) = (Vec::new(), Vec::new(), "\"stop\"");
    if let Some(name) = asked.tool().filter(|_| asked.chat) {
        reason = "\"tool_calls\"";
        let name = Value::from(name);
        content.push(chunk(&format!("\"delta\":{{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{{\"index\":0,\"id\":\"call_mock_1\",\"type\":\"function\",\"function\":{{\"name\":{name},\"arguments\":\"\"}}}}]}}"), "null"));
        content.extend(ARGUMENTS.iter().map(|part| {
            let part = Value::from(*part);
            chunk(
                &format!("\"delta\":{{\"tool_calls\":[{{\"index\":0,\"function\":{{\"arguments\":{part}}}}}]}}"),
                "null",
            )
        }));
    } else {
        if asked.chat {
            prelude.push(chunk("\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}", "null"));
        }
        content.extend(asked.words().into_iter().map(|word| {
            let word = Value::from(word);
            let body =
                if asked.chat { format!("\"delta\":{{\"content\":{word}}}") } else { format!("\"text\":{word}") };
            chunk(&body, "null")
        }));
    }
    let mut end = vec![chunk(if asked.chat { "\"delta\":{}" } else { "\"text\":\"\"" }, reason)];
    if asked.wants_usage() {
        end.push(format!("{head}],\"usage\":{}}}\n\n", asked.usage(content.len())));
    }
    end.push("data: [DONE]\n\n".to_owned());
    Events { prelude, content, end }
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
