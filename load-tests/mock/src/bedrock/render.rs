//! Converse answers, whole and as event-stream frames.

use bytes::Bytes;
use serde_json::{Value, json};

use super::check;
use crate::answer::{Asked, Block, Numbers, Piece, Step};
use crate::behaviour::{Finish, Source};
use crate::format::{Format, Heard};
use crate::refusal::{Dialect, Refusal};
use crate::wire::{self, Events};

const CALL: &str = "tooluse_";
const SIGNATURE: &str = "bW9jay1zaWduYXR1cmU=";

/// `Converse` and `ConverseStream`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Converse;

impl Format for Converse {
    fn dialect(&self) -> Dialect {
        Dialect::Bedrock
    }

    fn read(&self, heard: &Heard<'_>) -> Result<Asked, Refusal> {
        check::read(heard)
    }

    fn whole(&self, asked: &Asked, _: u64) -> Value {
        let content: Vec<Value> = asked.blocks(CALL).iter().map(|each| block(each, &asked.behaviour.sources)).collect();
        json!({"metrics": {"latencyMs": 1}, "output": {"message": {"content": content, "role": "assistant"}},
            "stopReason": reason(asked.finish()), "usage": usage(asked.numbers())})
    }

    fn events(&self, asked: &Asked, _: u64) -> Events {
        let bad = asked.behaviour.bad_crc;
        let sources = asked.clone();
        let content = asked.steps(CALL).map(move |step| {
            let bytes = wire::join(&frames(&step, sources.cited(&step)));
            if bad { wire::corrupt(&bytes) } else { bytes }
        });
        let mut end = vec![event("messageStop", json!({"stopReason": reason(asked.finish())}))];
        if asked.behaviour.usage {
            let metadata = json!({"metrics": {"latencyMs": 1}, "usage": usage(asked.numbers())});
            end.push(event("metadata", metadata));
        }
        Events {
            prelude: vec![event("messageStart", json!({"role": "assistant"}))],
            content: Box::new(content),
            end,
            error: wire::aws("exception", "modelStreamErrorException", b"{\"message\":\"mock stream error\"}"),
            malformed: wire::aws("event", "contentBlockDelta", b"{\"contentBlockIndex\":"),
        }
    }

    fn stream_type(&self) -> &'static str {
        "application/vnd.amazon.eventstream"
    }
}

/// An event, padded so that its length does not tell its content.
fn event(name: &str, mut payload: Value) -> Bytes {
    payload["p"] = "abcdefghijkl".into();
    wire::aws("event", name, payload.to_string().as_bytes())
}

fn frames(step: &Step, cited: &[Source]) -> Vec<Bytes> {
    let index = step.block;
    let delta = |delta: Value| event("contentBlockDelta", json!({"contentBlockIndex": index, "delta": delta}));
    let mut frames = Vec::new();
    match &step.piece {
        Piece::Text(text) => frames.push(delta(json!({"text": text}))),
        Piece::Reasoning(text) => {
            frames.push(delta(json!({"reasoningContent": {"text": text}})));
            if step.closes {
                frames.push(delta(json!({"reasoningContent": {"signature": SIGNATURE}})));
            }
        }
        // Only calls have a start; text begins with its first delta.
        Piece::Call { id, name, .. } => {
            let start = json!({"toolUse": {"toolUseId": id, "name": name}});
            frames.push(event("contentBlockStart", json!({"contentBlockIndex": index, "start": start})));
        }
        Piece::Arguments { text, .. } => frames.push(delta(json!({"toolUse": {"input": text}}))),
    }
    frames.extend(cited.iter().map(|source| delta(json!({"citation": citation(source)}))));
    if step.closes {
        frames.push(event("contentBlockStop", json!({"contentBlockIndex": index})));
    }
    frames
}

fn citation(source: &Source) -> Value {
    json!({"title": source.title, "sourceContent": [{"text": source.quote}], "location": {"web": {"url": source.url}}})
}

fn block(block: &Block, sources: &[Source]) -> Value {
    match block {
        Block::Text(text) if sources.is_empty() => json!({"text": text}),
        Block::Text(text) => {
            let citations: Vec<Value> = sources.iter().map(citation).collect();
            json!({"citationsContent": {"content": [{"text": text}], "citations": citations}})
        }
        Block::Reasoning(text) => {
            json!({"reasoningContent": {"reasoningText": {"text": text, "signature": SIGNATURE}}})
        }
        Block::Call { id, name, arguments } => {
            let input: Value = serde_json::from_str(arguments).unwrap_or_default();
            json!({"toolUse": {"toolUseId": id, "name": name, "input": input}})
        }
    }
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
        Finish::ContentFilter => "content_filtered",
    }
}

/// Usage as Converse reports it: `inputTokens` is only what no cache had to do with, the total is
/// everything.
fn usage(numbers: Numbers) -> Value {
    json!({"inputTokens": numbers.fresh(), "outputTokens": numbers.output, "totalTokens": numbers.input + numbers.output,
        "cacheReadInputTokens": numbers.cached, "cacheWriteInputTokens": numbers.written})
}
