//! Messages answers, whole and as named events.

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::check;
use crate::answer::{Asked, Block, Numbers, Piece, Step};
use crate::behaviour::{Finish, Source};
use crate::format::{Format, Heard};
use crate::refusal::{Dialect, Refusal};
use crate::wire::{self, Events};

const CALL: &str = "toolu_";

/// Messages, as Anthropic serves them itself or through a cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anthropic {
    Api,
    Vertex,
    Bedrock,
}

/// The signature that a thought must come back with.
pub(super) fn signature(thought: &str) -> String {
    let digest: String = Sha256::digest(thought).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("EmockSig{digest}")
}

impl Format for Anthropic {
    fn dialect(&self) -> Dialect {
        match self {
            Self::Bedrock => Dialect::Bedrock,
            Self::Api | Self::Vertex => Dialect::Anthropic,
        }
    }

    fn read(&self, heard: &Heard<'_>) -> Result<Asked, Refusal> {
        check::read(*self, heard)
    }

    fn whole(&self, asked: &Asked, id: u64) -> Value {
        let content: Vec<Value> = asked.blocks(CALL).iter().map(|each| block(each, &asked.behaviour.sources)).collect();
        let mut message = frame(asked, id);
        message["content"] = content.into();
        message["stop_reason"] = reason(asked.finish()).into();
        message["usage"] = usage(asked.numbers());
        message
    }

    fn events(&self, asked: &Asked, id: u64) -> Events {
        let wrap = if *self == Self::Bedrock { chunk } else { wire::named };
        let numbers = asked.numbers();
        let mut message = frame(asked, id);
        message["usage"] = usage(Numbers { output: 1, ..numbers });
        let prelude = vec![
            wrap("message_start", &json!({"type": "message_start", "message": message})),
            wrap("ping", &json!({"type": "ping"})),
        ];
        let delta = json!({"type": "message_delta", "usage": usage(numbers),
            "delta": {"stop_reason": reason(asked.finish()), "stop_sequence": null}});
        let end = vec![wrap("message_delta", &delta), wrap("message_stop", &json!({"type": "message_stop"}))];
        let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": "mock stream error"}});
        let mut thought = String::new();
        let bad = asked.behaviour.bad_crc && *self == Self::Bedrock;
        let sources = asked.clone();
        let content = asked.steps(CALL).map(move |step| {
            let bytes = wire::join(&step_events(&step, sources.cited(&step), &mut thought, wrap));
            if bad { wire::corrupt(&bytes) } else { bytes }
        });
        let (error, malformed) = match self {
            Self::Bedrock => (exception(), wire::aws("event", "chunk", b"{\"bytes\":")),
            _ => {
                (wire::named("error", &error), Bytes::from_static(b"event: content_block_delta\ndata: {\"type\":\n\n"))
            }
        };
        Events { prelude, content: Box::new(content), end, error, malformed }
    }

    fn stream_type(&self) -> &'static str {
        if *self == Self::Bedrock { "application/vnd.amazon.eventstream" } else { "text/event-stream; charset=utf-8" }
    }
}

/// The end of a Bedrock stream whose model failed.
fn exception() -> Bytes {
    wire::aws("exception", "modelStreamErrorException", b"{\"message\":\"mock stream error\"}")
}

/// The event as Bedrock's `InvokeModelWithResponseStream` carries it.
fn chunk(_: &str, event: &Value) -> Bytes {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.encode(event.to_string());
    wire::aws("event", "chunk", json!({"bytes": bytes, "p": "abcdef"}).to_string().as_bytes())
}

fn step_events(step: &Step, cited: &[Source], thought: &mut String, wrap: fn(&str, &Value) -> Bytes) -> Vec<Bytes> {
    let index = step.block;
    let delta = |delta: Value| {
        wrap("content_block_delta", &json!({"type": "content_block_delta", "index": index, "delta": delta}))
    };
    let mut parts = Vec::new();
    if step.opens {
        let block = match &step.piece {
            Piece::Text(_) => json!({"type": "text", "text": ""}),
            Piece::Reasoning(_) => json!({"type": "thinking", "thinking": "", "signature": ""}),
            Piece::Call { id, name, .. } => json!({"type": "tool_use", "id": id, "name": name, "input": {}}),
            Piece::Arguments { .. } => Value::Null,
        };
        let start = json!({"type": "content_block_start", "index": index, "content_block": block});
        parts.push(wrap("content_block_start", &start));
    }
    match &step.piece {
        Piece::Text(text) => parts.push(delta(json!({"type": "text_delta", "text": text}))),
        Piece::Reasoning(text) => {
            thought.push_str(text);
            parts.push(delta(json!({"type": "thinking_delta", "thinking": text})));
            if step.closes {
                parts.push(delta(json!({"type": "signature_delta", "signature": signature(thought)})));
            }
        }
        Piece::Call { .. } => parts.push(delta(json!({"type": "input_json_delta", "partial_json": ""}))),
        Piece::Arguments { text, .. } => parts.push(delta(json!({"type": "input_json_delta", "partial_json": text}))),
    }
    parts.extend(cited.iter().map(|source| delta(json!({"type": "citations_delta", "citation": citation(source)}))));
    if step.closes {
        parts.push(wrap("content_block_stop", &json!({"type": "content_block_stop", "index": index})));
    }
    parts
}

/// A message that has said nothing yet.
fn frame(asked: &Asked, id: u64) -> Value {
    json!({"id": format!("msg_mock{id}"), "type": "message", "role": "assistant", "model": asked.model, "content": [],
        "stop_reason": null, "stop_sequence": null})
}

/// As Anthropic's own search cites a page.
fn citation(source: &Source) -> Value {
    json!({"type": "web_search_result_location", "cited_text": source.quote, "url": source.url, "title": source.title,
        "encrypted_index": "RW1vY2s="})
}

fn block(block: &Block, sources: &[Source]) -> Value {
    match block {
        Block::Text(text) if sources.is_empty() => json!({"type": "text", "text": text}),
        Block::Text(text) => {
            json!({"type": "text", "text": text, "citations": sources.iter().map(citation).collect::<Vec<_>>()})
        }
        Block::Reasoning(text) => json!({"type": "thinking", "thinking": text, "signature": signature(text)}),
        Block::Call { id, name, arguments } => {
            let input: Value = serde_json::from_str(arguments).unwrap_or_default();
            json!({"type": "tool_use", "id": id, "name": name, "input": input})
        }
    }
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
        Finish::ContentFilter => "refusal",
    }
}

/// Usage as Anthropic reports it: `input_tokens` is only what no cache had to do with.
fn usage(numbers: Numbers) -> Value {
    json!({"input_tokens": numbers.fresh(), "cache_creation_input_tokens": numbers.written,
        "cache_read_input_tokens": numbers.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": numbers.written, "ephemeral_1h_input_tokens": 0},
        "output_tokens": numbers.output, "service_tier": "standard"})
}
