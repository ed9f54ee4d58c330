//! A stream as chat completion chunks.

use serde_json::json;

use super::seam::Encoder;
use super::{chat, cite};
use crate::adapter::{Exchange, Usage};
use crate::error::UpstreamError;
use crate::hub::{Citation, Event};
use crate::text::{number, quote};

/// Writes chunks. All of one stream have the same head, made once.
pub(super) struct ChatStream {
    id: String,
    model: String,
    created: u64,
    include_usage: bool,
    /// `data: {"id":...,"choices":[{"index":`; empty until the answer begins.
    head: Vec<u8>,
    /// Alternatives whose role was said.
    begun: u32,
    /// Reasoning since the last seal: a seal is sent together with what it seals.
    reasoning: String,
    /// Characters of text so far, of each alternative.
    said: Vec<usize>,
}

impl ChatStream {
    pub(super) fn new(exchange: &Exchange<'_>) -> Self {
        Self {
            id: exchange.call.stamp.id.to_string(),
            model: exchange.target.model.clone(),
            created: exchange.call.stamp.created,
            include_usage: exchange.call.include_usage,
            head: Vec::new(),
            begun: 0,
            reasoning: String::new(),
            said: Vec::new(),
        }
    }

    fn open(&mut self, out: &mut Vec<u8>) {
        if self.head.is_empty() {
            self.head.extend_from_slice(b"data: {\"id\":");
            quote(&self.id, &mut self.head);
            self.head.extend_from_slice(b",\"object\":\"chat.completion.chunk\",\"created\":");
            number(self.created, &mut self.head);
            self.head.extend_from_slice(b",\"model\":");
            quote(&self.model, &mut self.head);
            self.head.extend_from_slice(b",\"choices\":[");
        }
        out.extend_from_slice(&self.head);
    }

    fn begin(&mut self, choice: u32, out: &mut Vec<u8>) {
        while self.begun <= choice && self.begun < u32::from(u8::MAX) {
            let next = self.begun;
            self.begun += 1;
            self.chunk(next, out, |out| out.extend_from_slice(b"\"role\":\"assistant\",\"content\":\"\""));
        }
    }

    fn chunk(&mut self, choice: u32, out: &mut Vec<u8>, delta: impl FnOnce(&mut Vec<u8>)) {
        self.open(out);
        out.extend_from_slice(b"{\"index\":");
        number(u64::from(choice), out);
        out.extend_from_slice(b",\"delta\":{");
        delta(out);
        out.extend_from_slice(b"},\"finish_reason\":null}");
        self.close(out);
    }

    fn close(&self, out: &mut Vec<u8>) {
        // Each chunk but the last has a usage of null for clients that asked for one.
        out.extend_from_slice(if self.include_usage { b"],\"usage\":null}\n\n" } else { b"]}\n\n" });
    }

    /// A delta with one string.
    fn string(&mut self, choice: u32, name: &str, text: &str, out: &mut Vec<u8>) {
        self.begin(choice, out);
        self.chunk(choice, out, |out| {
            out.push(b'"');
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            quote(text, out);
        });
    }

    /// A delta with one field of any shape.
    fn field(&mut self, choice: u32, json: &str, out: &mut Vec<u8>) {
        self.begin(choice, out);
        self.chunk(choice, out, |out| out.extend_from_slice(json.as_bytes()));
    }

    fn tool(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        let Event::Tool { choice, index, id, name, signature } = *event else { return };
        self.begin(choice, out);
        self.chunk(choice, out, |out| {
            out.extend_from_slice(b"\"tool_calls\":[{\"index\":");
            number(u64::from(index), out);
            out.extend_from_slice(b",\"id\":");
            quote(id, out);
            out.extend_from_slice(b",\"type\":\"function\",\"function\":{\"name\":");
            quote(name, out);
            out.extend_from_slice(b",\"arguments\":\"\"}");
            if let Some(signature) = signature {
                out.extend_from_slice(b",\"extra_content\":{\"google\":{\"thought_signature\":");
                quote(signature, out);
                out.extend_from_slice(b"}}");
            }
            out.extend_from_slice(b"}]");
        });
    }

    fn arguments(&mut self, choice: u32, index: u32, json: &str, out: &mut Vec<u8>) {
        self.chunk(choice, out, |out| {
            out.extend_from_slice(b"\"tool_calls\":[{\"index\":");
            number(u64::from(index), out);
            out.extend_from_slice(b",\"function\":{\"arguments\":");
            quote(json, out);
            out.extend_from_slice(b"}}]");
        });
    }

    fn text(&mut self, choice: u32, text: &str, out: &mut Vec<u8>) {
        let at = choice as usize;
        if self.said.len() <= at {
            self.said.resize(at.min(MOST_CHOICES) + 1, 0);
        }
        if let Some(said) = self.said.get_mut(at) {
            *said += text.chars().count();
        }
        self.string(choice, "content", text, out);
    }

    fn cite(&mut self, choice: u32, citation: &Citation, out: &mut Vec<u8>) {
        let said = self.said.get(choice as usize).copied().unwrap_or(0);
        let field = match cite::chat_annotation(citation, citation.span_in(said)) {
            Some(annotation) => format!("\"annotations\":[{annotation}]"),
            None => format!("\"citations\":[{}]", citation.raw),
        };
        self.field(choice, &field, out);
    }

    fn thinking(&mut self, choice: u32, block: &serde_json::Value, out: &mut Vec<u8>) {
        self.field(choice, &format!("\"thinking_blocks\":[{block}]"), out);
    }

    fn finish(&mut self, choice: u32, reason: &str, out: &mut Vec<u8>) {
        self.begin(choice, out);
        self.open(out);
        out.extend_from_slice(b"{\"index\":");
        number(u64::from(choice), out);
        out.extend_from_slice(b",\"delta\":{},\"finish_reason\":");
        quote(reason, out);
        out.push(b'}');
        self.close(out);
    }

    fn usage(&mut self, usage: &Usage, out: &mut Vec<u8>) {
        if self.include_usage {
            self.open(out);
            out.extend_from_slice(b"],\"usage\":");
            out.extend_from_slice(chat::usage(usage).to_string().as_bytes());
            out.extend_from_slice(b"}\n\n");
        }
    }
}

/// A number of an alternative beyond it is a provider's mistake.
const MOST_CHOICES: usize = 128;

fn error(error: &UpstreamError, out: &mut Vec<u8>) {
    let inner = json!({"message": error.message, "type": error.err_type, "param": error.param, "code": error.code});
    out.extend_from_slice(format!("data: {}\n\n", json!({"error": inner})).as_bytes());
}

impl Encoder for ChatStream {
    fn encode(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match *event {
            Event::Start { id, model, .. } => {
                if let Some(id) = id {
                    id.clone_into(&mut self.id);
                }
                if let Some(model) = model {
                    model.clone_into(&mut self.model);
                }
                self.begin(0, out);
            }
            Event::Text { choice, text } => self.text(choice, text, out),
            Event::Refusal { choice, text } => self.string(choice, "refusal", text, out),
            Event::Reasoning { choice, text } => {
                self.reasoning.push_str(text);
                self.string(choice, "reasoning_content", text, out);
            }
            Event::Signature { choice, signature } => {
                let text = std::mem::take(&mut self.reasoning);
                let block = json!({"type": "thinking", "thinking": text, "signature": signature});
                self.thinking(choice, &block, out);
            }
            Event::Redacted { choice, data } => {
                self.thinking(choice, &json!({"type": "redacted_thinking", "data": data}), out);
            }
            Event::TextSignature { choice, signature } => {
                let seal = json!({"google": {"thought_signature": signature}});
                self.field(choice, &format!("\"extra_content\":{seal}"), out);
            }
            Event::Tool { .. } => self.tool(event, out),
            Event::Arguments { choice, index, json } => self.arguments(choice, index, json, out),
            Event::Citation { choice, citation } => self.cite(choice, citation, out),
            // A chat message has one text.
            Event::Passage { .. } => {}
            Event::Finish { choice, reason, .. } => self.finish(choice, reason.openai(), out),
            Event::Usage(usage) => self.usage(&usage, out),
            Event::Error(fault) => error(fault, out),
            Event::End => out.extend_from_slice(b"data: [DONE]\n\n"),
        }
    }
}
