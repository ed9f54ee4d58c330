//! A whole answer as a response.

use serde_json::{Value, json};

use crate::adapter::{Exchange, Usage};
use crate::dialect::cite;
use crate::hub::{Block, Choice, Citation, Completion, Finish, seal};

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
    let (mut output, mut said) = (Vec::new(), 0);
    for blocks in groups(&choice.blocks) {
        add(&frame, blocks, status, &mut said, &mut output);
    }
    frame.ended(choice.finish, &output, answer.usage.as_ref())
}

/// Text and refusals in a row are parts of one message; everything else is an item of its own.
fn groups(blocks: &[Block]) -> Vec<&[Block]> {
    let spoken = |block: &Block| matches!(block, Block::Text { .. } | Block::Refusal(_));
    blocks.chunk_by(|a, b| spoken(a) && spoken(b)).collect()
}

/// `said` counts the characters of text so far.
fn add(frame: &Frame, blocks: &[Block], status: &str, said: &mut usize, output: &mut Vec<Value>) {
    let id = |prefix: &str, output: &[Value]| frame.item(prefix, output.len());
    let item = match blocks {
        [Block::Reasoning { text, signature }] => reasoning(&id("rs", output), text, signature.as_deref()),
        [Block::Redacted(data)] => reasoning(&id("rs", output), "", Some(&seal::redacted(data))),
        [Block::Seal(seal)] => reasoning(&id("rs", output), "", Some(&seal::of_text(seal))),
        [Block::Tool { id: call, name, arguments, signature }] => {
            match (signature.as_deref().map(seal::of_call), output.last_mut()) {
                // Reasoning before the call carries its seal.
                (Some(seal), Some(last)) if last["type"] == "reasoning" && last["encrypted_content"].is_null() => {
                    last["encrypted_content"] = seal.into();
                }
                (Some(seal), _) => output.push(reasoning(&id("rs", output), "", Some(&seal))),
                (None, _) => {}
            }
            function_call(&id("fc", output), (call, name, arguments), "completed")
        }
        spoken => message(&id("msg", output), &parts(spoken, said), status),
    };
    output.push(item);
}

/// Passages of text in a row are one part.
fn parts(blocks: &[Block], said: &mut usize) -> Vec<Value> {
    let is_text = |block: &Block| matches!(block, Block::Text { .. });
    let runs = blocks.chunk_by(|a, b| is_text(a) && is_text(b));
    let run = |run: &[Block]| {
        let mut part = Part::new(matches!(run, [Block::Refusal(_), ..]), *said);
        for block in run {
            match block {
                Block::Text { text, citations } => {
                    part.say(text);
                    for citation in citations {
                        part.cite(citation);
                    }
                }
                Block::Refusal(text) => part.say(text),
                _ => {}
            }
        }
        *said += part.said;
        part.json()
    };
    runs.map(run).collect()
}

/// A part of a message, as it grows.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) refusal: bool,
    pub(super) text: String,
    /// Characters of text before it.
    base: usize,
    /// Its own.
    pub(super) said: usize,
    annotations: Vec<Value>,
    citations: Vec<Value>,
}

impl Part {
    pub(super) fn new(refusal: bool, base: usize) -> Self {
        Self { refusal, base, ..Self::default() }
    }

    pub(super) fn say(&mut self, text: &str) {
        self.text.push_str(text);
        if !self.refusal {
            self.said += text.chars().count();
        }
    }

    /// Takes a source; the annotation it becomes, if it becomes one, and its number.
    pub(super) fn cite(&mut self, citation: &Citation) -> Option<(usize, Value)> {
        let span = citation.span_in(self.base + self.said);
        let Some(annotation) = cite::annotation(citation, span, self.base) else {
            self.citations.extend(cite::raw(citation));
            return None;
        };
        self.annotations.push(annotation.clone());
        Some((self.annotations.len() - 1, annotation))
    }

    pub(super) fn json(&self) -> Value {
        if self.refusal {
            return json!({"type": "refusal", "refusal": self.text});
        }
        let mut part =
            json!({"type": "output_text", "text": self.text, "annotations": self.annotations, "logprobs": []});
        if !self.citations.is_empty() {
            part["citations"] = self.citations.clone().into();
        }
        part
    }
}

pub(super) fn message(id: &str, content: &[Value], status: &str) -> Value {
    json!({"id": id, "type": "message", "status": status, "role": "assistant", "content": content})
}

pub(super) fn reasoning(id: &str, text: &str, seal: Option<&str>) -> Value {
    let summary = if text.is_empty() { json!([]) } else { json!([{"type": "summary_text", "text": text}]) };
    let mut item = json!({"id": id, "type": "reasoning", "summary": summary});
    if let Some(seal) = seal {
        item["encrypted_content"] = seal.into();
    }
    item
}

/// A call: its id, name and arguments.
pub(super) fn function_call(item: &str, (id, name, arguments): (&str, &str, &str), status: &str) -> Value {
    json!({"id": item, "type": "function_call", "status": status, "call_id": id, "name": name, "arguments": arguments})
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
