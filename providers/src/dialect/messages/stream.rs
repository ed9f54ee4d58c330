//! A stream as Anthropic's events: blocks that open, grow and close, one after the other.

use serde_json::{Value, json};

use super::whole;
use crate::adapter::{Exchange, Usage};
use crate::dialect::cite;
use crate::dialect::seam::Encoder;
use crate::error::UpstreamError;
use crate::fault_type;
use crate::hub::{Citation, Event, Finish, seal};
use crate::text::{number, quote};

/// What the block that is open is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
    Tool(u32),
}

/// Writes events.
pub(crate) struct MessagesStream {
    id: String,
    model: String,
    begun: bool,
    open: Option<Open>,
    /// Blocks so far.
    blocks: u32,
    /// The block of each call.
    calls: Vec<u32>,
    /// What the open block cites.
    cited: Vec<Value>,
    finish: Option<(Finish, Option<String>)>,
    /// What the prompt costs as far as it is known; at the end, what all cost.
    usage: Usage,
    ended: bool,
}

impl MessagesStream {
    pub(crate) fn new(exchange: &Exchange<'_>) -> Self {
        Self {
            id: exchange.call.stamp.id.to_string(),
            model: exchange.target.model.clone(),
            begun: false,
            open: None,
            blocks: 0,
            calls: Vec::new(),
            cited: Vec::new(),
            finish: None,
            usage: Usage { input: exchange.prompt, ..Usage::default() },
            ended: false,
        }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.begun {
            return;
        }
        self.begun = true;
        let message = json!({"id": whole::id(&self.id), "type": "message", "role": "assistant", "model": self.model,
            "content": [], "stop_reason": null, "stop_sequence": null, "usage": whole::usage(&self.usage)});
        event("message_start", &json!({"type": "message_start", "message": message}), out);
        event("ping", &json!({"type": "ping"}), out);
    }

    /// Opens a block, closing the one before; its number.
    fn start(&mut self, kind: Option<Open>, block: &Value, out: &mut Vec<u8>) -> u32 {
        self.begin(out);
        self.stop(out);
        let index = self.blocks;
        self.blocks += 1;
        self.open = kind;
        self.cited.clear();
        event(
            "content_block_start",
            &json!({"type": "content_block_start", "index": index, "content_block": block}),
            out,
        );
        if kind.is_none() {
            close(index, out);
        }
        index
    }

    fn stop(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            close(self.blocks.saturating_sub(1), out);
        }
    }

    /// Makes sure that a block of this kind is open; its number.
    fn within(&mut self, kind: Open, block: impl FnOnce() -> Value, out: &mut Vec<u8>) -> u32 {
        if self.open == Some(kind) { self.blocks.saturating_sub(1) } else { self.start(Some(kind), &block(), out) }
    }

    fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        let index = self.within(Open::Text, || json!({"type": "text", "text": ""}), out);
        delta(index, "text_delta", "text", text, out);
    }

    fn thinking(&mut self, name: &str, field: &str, text: &str, out: &mut Vec<u8>) {
        let block = || json!({"type": "thinking", "thinking": "", "signature": ""});
        let index = self.within(Open::Thinking, block, out);
        delta(index, name, field, text, out);
    }

    fn cite(&mut self, citation: &Citation, out: &mut Vec<u8>) {
        let index = self.within(Open::Text, || json!({"type": "text", "text": ""}), out);
        if let Some(citation) = cite::of_block(citation).filter(|citation| !self.cited.contains(citation)) {
            self.cited.push(citation.clone());
            let delta = json!({"type": "citations_delta", "citation": citation});
            event("content_block_delta", &json!({"type": "content_block_delta", "index": index, "delta": delta}), out);
        }
    }

    fn redacted(&mut self, data: &str, out: &mut Vec<u8>) {
        self.start(None, &whole::redacted(data), out);
    }

    fn tool(&mut self, call: (u32, &str, &str, Option<&str>), out: &mut Vec<u8>) {
        let (index, id, name, signature) = call;
        match signature.map(seal::of_call) {
            // Reasoning before the call carries its seal.
            Some(seal) if self.open == Some(Open::Thinking) => {
                self.thinking("signature_delta", "signature", &seal, out);
            }
            Some(seal) => self.redacted(&seal, out),
            None => {}
        }
        let block = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
        let at = self.start(Some(Open::Tool(index)), &block, out);
        let place = index as usize;
        if self.calls.len() <= place {
            self.calls.resize(place.min(MOST_CALLS) + 1, at);
        }
        if let Some(slot) = self.calls.get_mut(place) {
            *slot = at;
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.begin(out);
        self.stop(out);
        let (reason, sequence) = self.finish.take().unwrap_or((Finish::Stop, None));
        let delta = json!({"stop_reason": whole::stop_reason(reason), "stop_sequence": sequence});
        let last = json!({"type": "message_delta", "delta": delta, "usage": whole::usage(&self.usage)});
        event("message_delta", &last, out);
        event("message_stop", &json!({"type": "message_stop"}), out);
    }
}

/// No answer calls more tools; a number beyond it is a provider's mistake.
const MOST_CALLS: usize = 1024;

fn event(name: &str, data: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("event: {name}\ndata: {data}\n\n").as_bytes());
}

fn close(index: u32, out: &mut Vec<u8>) {
    event("content_block_stop", &json!({"type": "content_block_stop", "index": index}), out);
}

/// The commonest event, written without a tree in between.
fn delta(index: u32, kind: &str, field: &str, text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":");
    number(u64::from(index), out);
    out.extend_from_slice(b",\"delta\":{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"");
    out.extend_from_slice(field.as_bytes());
    out.extend_from_slice(b"\":");
    quote(text, out);
    out.extend_from_slice(b"}}\n\n");
}

fn error(error: &UpstreamError, out: &mut Vec<u8>) {
    let kind = fault_type::anthropic(error.status, &error.err_type);
    event("error", &json!({"type": "error", "error": {"type": kind, "message": error.message}}), out);
}

impl Encoder for MessagesStream {
    fn encode(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match *event {
            Event::Start { id, model, prompt } => {
                if let Some(id) = id {
                    id.clone_into(&mut self.id);
                }
                if let Some(model) = model {
                    model.clone_into(&mut self.model);
                }
                self.usage = prompt.unwrap_or(self.usage);
                self.begin(out);
            }
            Event::Passage { choice: 0 } if self.open == Some(Open::Text) => self.stop(out),
            Event::Citation { choice: 0, citation } => self.cite(citation, out),
            Event::Text { choice: 0, text } | Event::Refusal { choice: 0, text } => self.text(text, out),
            Event::Reasoning { choice: 0, text } => self.thinking("thinking_delta", "thinking", text, out),
            Event::Signature { choice: 0, signature } => {
                self.thinking("signature_delta", "signature", signature, out);
                self.stop(out);
            }
            Event::Redacted { choice: 0, data } => self.redacted(data, out),
            Event::TextSignature { choice: 0, signature } => self.redacted(&seal::of_text(signature), out),
            Event::Tool { choice: 0, index, id, name, signature } => self.tool((index, id, name, signature), out),
            Event::Arguments { choice: 0, index, json } => {
                // Calls whose pieces come mixed keep their blocks: clients go by the number.
                if let Some(at) = self.calls.get(index as usize) {
                    delta(*at, "input_json_delta", "partial_json", json, out);
                }
            }
            Event::Finish { choice: 0, reason, sequence } => {
                self.finish = Some((reason, sequence.map(str::to_owned)));
            }
            Event::Usage(usage) => self.usage = usage,
            Event::Error(fault) => error(fault, out),
            Event::End => self.end(out),
            // Other alternatives cannot be asked for.
            _ => {}
        }
    }
}
