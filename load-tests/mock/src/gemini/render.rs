//! generateContent answers, whole and as chunks; a function call is never split.

use bytes::Bytes;
use serde_json::{Value, json};

use super::check;
use crate::answer::{Asked, Block, Numbers, Piece, Step};
use crate::behaviour::Finish;
use crate::format::{Format, Heard};
use crate::refusal::{Dialect, Refusal};
use crate::wire::{self, Events};

/// Signs thoughts; it must come back as it was.
pub(super) const SIGNATURE: &str = "bW9jay10aG91Z2h0LXNpZ25hdHVyZQ==";

/// From Vertex, or from AI Studio.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gemini {
    pub(crate) vertex: bool,
    /// The stream is server-sent events (`alt=sse`), not one JSON array.
    pub(crate) sse: bool,
}

impl Format for Gemini {
    fn dialect(&self) -> Dialect {
        if self.vertex { Dialect::Vertex } else { Dialect::Gemini }
    }

    fn read(&self, heard: &Heard<'_>) -> Result<Asked, Refusal> {
        check::read(*self, heard)
    }

    fn whole(&self, asked: &Asked, id: u64) -> Value {
        let mut parts: Vec<Value> = asked.blocks("").iter().map(part).collect();
        sign(asked, &mut parts);
        let candidates: Vec<Value> = (0..asked.choices)
            .map(|index| {
                let mut candidate = json!({"content": {"parts": parts, "role": "model"},
                    "finishReason": reason(asked.finish()), "index": index});
                ground(asked, &mut candidate);
                candidate
            })
            .collect();
        answer(asked, id, &candidates, asked.behaviour.usage.then(|| usage(asked.numbers())))
    }

    fn events(&self, asked: &Asked, id: u64) -> Events {
        let numbers = asked.numbers();
        let (format, grounded) = (*self, asked.clone());
        let head = answer(asked, id, &[], None);
        let with_usage = asked.behaviour.usage;
        let chunk = move |parts: Value, finish: Option<&str>, said: u64, first: bool| {
            let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": 0});
            if let Some(finish) = finish {
                candidate["finishReason"] = finish.into();
                ground(&grounded, &mut candidate);
            }
            let mut event = head.clone();
            event["candidates"] = json!([candidate]);
            if with_usage {
                let said = Numbers { output: said, ..numbers };
                event["usageMetadata"] = usage(if finish.is_some() { numbers } else { said });
            }
            format.frame(&event, first)
        };
        let silent = asked.steps("").next().is_none();
        let mut last = json!([{"text": ""}]);
        if thinks(asked) && asked.finish() != Finish::ToolCalls {
            last[0]["thoughtSignature"] = SIGNATURE.into();
        }
        let end_event = chunk(last, Some(reason(asked.finish())), 0, silent);
        let mut end = vec![end_event];
        if !self.sse {
            end.push(Bytes::from_static(b"\n]"));
        }
        let mut calls = Calls { asked: asked.clone(), arguments: String::new(), name: String::new(), first: true };
        let (mut said, mut first) = (0, true);
        let content = asked.steps("").filter_map(move |step| {
            said += 1;
            calls.part(&step).map(|part| chunk(json!([part]), None, said, std::mem::take(&mut first)))
        });
        let error = json!({"error": {"code": 503, "message": "mock stream error", "status": "UNAVAILABLE"}});
        let malformed = if self.sse { "data: {\"candidates\":[{\r\n\r\n" } else { ",{\"candidates\":[{" };
        Events {
            prelude: Vec::new(),
            content: Box::new(content),
            end,
            error: self.frame(&error, false),
            malformed: Bytes::from(malformed),
        }
    }

    fn stream_type(&self) -> &'static str {
        if self.sse { "text/event-stream" } else { "application/json; charset=UTF-8" }
    }
}

impl Gemini {
    fn frame(self, event: &Value, first: bool) -> Bytes {
        if self.sse {
            return wire::google(event);
        }
        Bytes::from(format!("{}{event}", if first { "[" } else { ",\r\n" }))
    }
}

/// Gathers the arguments of a call until it is whole.
struct Calls {
    asked: Asked,
    arguments: String,
    name: String,
    first: bool,
}

impl Calls {
    fn part(&mut self, step: &Step) -> Option<Value> {
        match &step.piece {
            Piece::Text(text) => return Some(json!({"text": text})),
            Piece::Reasoning(text) => return Some(json!({"text": text, "thought": true})),
            Piece::Call { name, .. } => {
                self.name.clone_from(name);
                self.arguments.clear();
            }
            Piece::Arguments { text, .. } => self.arguments.push_str(text),
        }
        if !step.closes {
            return None;
        }
        let block = Block::Call { id: String::new(), name: self.name.clone(), arguments: self.arguments.clone() };
        let mut parts = vec![part(&block)];
        if std::mem::take(&mut self.first) {
            sign(&self.asked, &mut parts);
        }
        parts.pop()
    }
}

fn part(block: &Block) -> Value {
    match block {
        Block::Text(text) => json!({"text": text}),
        Block::Reasoning(text) => json!({"text": text, "thought": true}),
        Block::Call { name, arguments, .. } => {
            let args: Value = serde_json::from_str(arguments).unwrap_or_default();
            json!({"functionCall": {"name": name, "args": args}})
        }
    }
}

fn thinks(asked: &Asked) -> bool {
    asked.thinks || asked.behaviour.reasoning.is_some() || asked.model.starts_with("gemini-3")
}

/// The first call is signed by models that think; where none is, the last text.
fn sign(asked: &Asked, parts: &mut [Value]) {
    if !thinks(asked) {
        return;
    }
    let call = parts.iter().position(|part| part["functionCall"].is_object());
    let text = parts.iter().rposition(|part| part["text"].is_string() && part["thought"] != true);
    if let Some(part) = call.or(text).and_then(|at| parts.get_mut(at)) {
        part["thoughtSignature"] = SIGNATURE.into();
    }
}

/// Says what the text rests on, in bytes of it; an offset of 0 is left out.
fn ground(asked: &Asked, candidate: &mut Value) {
    let sources = &asked.behaviour.sources;
    if sources.is_empty() {
        return;
    }
    let said = asked.said();
    let chunks: Vec<Value> =
        sources.iter().map(|source| json!({"web": {"uri": source.url, "title": source.title}})).collect();
    let indices: Vec<usize> = (0..chunks.len()).collect();
    let support = json!({"segment": {"endIndex": said.len(), "text": said}, "groundingChunkIndices": indices});
    candidate["groundingMetadata"] =
        json!({"groundingChunks": chunks, "groundingSupports": [support], "webSearchQueries": ["mock"]});
}

fn answer(asked: &Asked, id: u64, candidates: &[Value], usage: Option<Value>) -> Value {
    let mut answer = json!({"candidates": candidates, "modelVersion": asked.model, "responseId": format!("mock{id}")});
    if let Some(usage) = usage {
        answer["usageMetadata"] = usage;
    }
    answer
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        // Calls end like any answer.
        Finish::Stop | Finish::ToolCalls => "STOP",
        Finish::Length => "MAX_TOKENS",
        Finish::ContentFilter => "SAFETY",
    }
}

/// Usage as Google reports it: the prompt includes what was cached, the answer excludes thoughts.
fn usage(numbers: Numbers) -> Value {
    let Numbers { input, cached, output, reasoning, .. } = numbers;
    let mut usage = json!({"promptTokenCount": input, "candidatesTokenCount": output.saturating_sub(reasoning),
        "totalTokenCount": input + output, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": input}]});
    if cached > 0 {
        usage["cachedContentTokenCount"] = cached.into();
        usage["cacheTokensDetails"] = json!([{"modality": "TEXT", "tokenCount": cached}]);
    }
    if reasoning > 0 {
        usage["thoughtsTokenCount"] = reasoning.into();
    }
    usage
}
