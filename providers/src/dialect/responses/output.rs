//! A whole answer as a response.

use serde_json::{Value, json};

use super::items::REDACTED;
use crate::adapter::{Exchange, Usage};
use crate::hub::{Block, Choice, Completion, Finish};

/// What all responses of one call have in common.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    id: String,
    model: String,
    created: u64,
    /// What the client asked, for the fields that say it back.
    asked: Value,
}

impl Frame {
    pub(super) fn new(exchange: &Exchange<'_>) -> Self {
        let mut asked: Value = serde_json::from_slice(&exchange.call.body).unwrap_or(Value::Null);
        if let Some(fields) = asked.as_object_mut() {
            fields.retain(|name, _| ECHOED.iter().any(|(echoed, _)| echoed == name));
        }
        Self {
            id: exchange.call.stamp.id.to_string(),
            model: exchange.target.model.clone(),
            created: exchange.call.stamp.created,
            asked,
        }
    }

    /// Takes over what the provider calls itself and its answer.
    pub(super) fn named(&mut self, id: Option<&str>, model: Option<&str>) {
        if let Some(id) = id {
            id.clone_into(&mut self.id);
        }
        if let Some(model) = model {
            model.clone_into(&mut self.model);
        }
    }

    /// The id of an item.
    pub(super) fn item(&self, prefix: &str, index: usize) -> String {
        format!("{prefix}_{}_{index}", self.id.trim_start_matches("resp_"))
    }

    /// The response object.
    pub(super) fn response(&self, status: &str, output: &[Value], usage: Option<&Usage>) -> Value {
        let id = if self.id.starts_with("resp_") { self.id.clone() } else { format!("resp_{}", self.id) };
        let mut response = json!({"id": id, "object": "response", "created_at": self.created, "status": status,
            "background": false, "error": null, "incomplete_details": null, "model": self.model, "output": output,
            "previous_response_id": null, "store": false, "usage": usage.map(self::usage)});
        for (name, default) in ECHOED {
            let said = self.asked.get(name).filter(|value| !value.is_null());
            response[*name] = said.cloned().unwrap_or_else(|| serde_json::from_str(default).unwrap_or(Value::Null));
        }
        response
    }

    /// The response at its end.
    pub(super) fn ended(&self, finish: Option<Finish>, output: &[Value], usage: Option<&Usage>) -> Value {
        let why = match finish {
            Some(Finish::Length) => "max_output_tokens",
            Some(Finish::ContentFilter) => "content_filter",
            _ => return self.response("completed", output, usage),
        };
        let mut response = self.response("incomplete", output, usage);
        response["incomplete_details"] = json!({"reason": why});
        response
    }
}

/// Fields of a request that its response repeats, with their defaults.
const ECHOED: &[(&str, &str)] = &[
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("service_tier", "null"),
    ("temperature", "null"),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("top_p", "null"),
    ("truncation", "\"disabled\""),
    ("user", "null"),
];

/// The body of `/v1/responses`.
pub(crate) fn whole(answer: &Completion, exchange: &Exchange<'_>) -> Value {
    let mut frame = Frame::new(exchange);
    frame.named(answer.id.as_deref(), answer.model.as_deref());
    let none = Choice::default();
    let choice = answer.choices.first().unwrap_or(&none);
    let status =
        if matches!(choice.finish, Some(Finish::Length | Finish::ContentFilter)) { "incomplete" } else { "completed" };
    let output: Vec<Value> = groups(&choice.blocks)
        .into_iter()
        .enumerate()
        .map(|(index, blocks)| item(&frame, blocks, index, status))
        .collect();
    frame.ended(choice.finish, &output, answer.usage.as_ref())
}

/// Text and refusals in a row are parts of one message; everything else is an item of its own.
fn groups(blocks: &[Block]) -> Vec<&[Block]> {
    let spoken = |block: &Block| matches!(block, Block::Text(_) | Block::Refusal(_));
    blocks.chunk_by(|a, b| spoken(a) && spoken(b)).collect()
}

fn item(frame: &Frame, blocks: &[Block], index: usize, status: &str) -> Value {
    match blocks {
        [Block::Reasoning { text, signature }] => reasoning(&frame.item("rs", index), text, signature.as_deref()),
        [Block::Redacted(data)] => reasoning(&frame.item("rs", index), "", Some(&format!("{REDACTED}{data}"))),
        [Block::Tool { id, name, arguments, signature }] => {
            let call = (id.as_str(), name.as_str(), arguments.as_str(), signature.as_deref());
            function_call(&frame.item("fc", index), call, "completed")
        }
        spoken => {
            let parts: Vec<Value> = spoken
                .iter()
                .filter_map(|block| match block {
                    Block::Text(text) => Some(part(false, text)),
                    Block::Refusal(text) => Some(part(true, text)),
                    _ => None,
                })
                .collect();
            message(&frame.item("msg", index), &parts, status)
        }
    }
}

pub(super) fn message(id: &str, content: &[Value], status: &str) -> Value {
    json!({"id": id, "type": "message", "status": status, "role": "assistant", "content": content})
}

pub(super) fn part(refusal: bool, text: &str) -> Value {
    if refusal {
        return json!({"type": "refusal", "refusal": text});
    }
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

pub(super) fn reasoning(id: &str, text: &str, seal: Option<&str>) -> Value {
    let summary = if text.is_empty() { json!([]) } else { json!([{"type": "summary_text", "text": text}]) };
    let mut item = json!({"id": id, "type": "reasoning", "summary": summary});
    if let Some(seal) = seal {
        item["encrypted_content"] = seal.into();
    }
    item
}

/// A call: its id, name, arguments and the provider's seal.
pub(super) fn function_call(item: &str, call: (&str, &str, &str, Option<&str>), status: &str) -> Value {
    let (id, name, arguments, seal) = call;
    let mut item = json!({"id": item, "type": "function_call", "status": status, "call_id": id, "name": name,
        "arguments": arguments});
    if let Some(seal) = seal {
        item["signature"] = seal.into();
    }
    item
}

fn usage(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached_input},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input.saturating_add(usage.output),
    })
}
