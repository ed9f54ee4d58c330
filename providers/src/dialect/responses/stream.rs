//! A stream as numbered events: items and parts that open, grow and close, and the whole response
//! at the end.

use serde_json::{Value, json};

use super::output::{self, Frame, Part};
use crate::adapter::{Exchange, Usage};
use crate::dialect::seam::Encoder;
use crate::error::UpstreamError;
use crate::hub::{Citation, Event, Finish, seal};
use crate::text::{number, quote};

/// The item that is open.
enum Open {
    /// A message: its open part, and those that are closed.
    Message {
        part: Part,
        parts: Vec<Value>,
    },
    Reasoning {
        text: String,
    },
}

/// A call of a function. Several may be open at once: their pieces may come mixed.
struct Call {
    /// Counts the calls.
    index: u32,
    /// Its place in the output.
    at: usize,
    id: String,
    name: String,
    arguments: String,
}

/// Writes events.
pub(crate) struct ResponsesStream {
    frame: Frame,
    /// The number of the next event.
    next: u64,
    begun: bool,
    open: Option<Open>,
    calls: Vec<Call>,
    /// What is closed; `null` in the place of a call that is open.
    output: Vec<Value>,
    /// Characters of text in parts that are closed.
    said: usize,
    finish: Option<Finish>,
    usage: Option<Usage>,
    ended: bool,
}

impl ResponsesStream {
    pub(crate) fn new(exchange: &Exchange<'_>) -> Self {
        Self {
            frame: Frame::new(exchange),
            next: 0,
            begun: false,
            open: None,
            calls: Vec::new(),
            output: Vec::new(),
            said: 0,
            finish: None,
            usage: None,
            ended: false,
        }
    }

    fn event(&mut self, name: &str, mut data: Value, out: &mut Vec<u8>) {
        data["type"] = name.into();
        data["sequence_number"] = self.next.into();
        self.next += 1;
        out.extend_from_slice(format!("event: {name}\ndata: {data}\n\n").as_bytes());
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !self.begun {
            self.begun = true;
            let response = self.frame.response("in_progress", &[], None);
            self.event("response.created", json!({"response": response}), out);
            self.event("response.in_progress", json!({"response": response}), out);
        }
    }

    /// The place of the open item in the output.
    fn at(&self) -> usize {
        self.output.len()
    }

    fn item_id(&self) -> String {
        let prefix = match &self.open {
            Some(Open::Reasoning { .. }) => "rs",
            _ => "msg",
        };
        self.frame.item(prefix, self.at())
    }

    fn start(&mut self, open: Open, out: &mut Vec<u8>) {
        self.begin(out);
        self.stop(out);
        self.open = Some(open);
        let id = self.item_id();
        let item = match &self.open {
            Some(Open::Reasoning { .. }) => output::reasoning(&id, "", None),
            _ => output::message(&id, &[], "in_progress"),
        };
        self.event("response.output_item.added", json!({"output_index": self.at(), "item": item}), out);
    }

    /// Opens a part of a message, closing the one before.
    fn part(&mut self, refusal: bool, out: &mut Vec<u8>) {
        match &self.open {
            Some(Open::Message { part, .. }) if part.refusal == refusal => return,
            Some(Open::Message { .. }) => self.close_part(out),
            _ => self.start(Open::Message { part: Part::default(), parts: Vec::new() }, out),
        }
        let fresh = Part::new(refusal, self.said);
        let (empty, mut number) = (fresh.json(), 0);
        if let Some(Open::Message { part, parts }) = &mut self.open {
            *part = fresh;
            number = parts.len();
        }
        let data = json!({"item_id": self.item_id(), "output_index": self.at(), "content_index": number,
            "part": empty});
        self.event("response.content_part.added", data, out);
    }

    fn close_part(&mut self, out: &mut Vec<u8>) {
        let Some(Open::Message { part, parts }) = &mut self.open else { return };
        let Part { refusal, text, .. } = part;
        let (refusal, text, number) = (*refusal, text.clone(), parts.len());
        self.said += part.said;
        let part = std::mem::take(part).json();
        parts.push(part.clone());
        let at = json!({"item_id": self.item_id(), "output_index": self.at(), "content_index": number});
        let (name, field) =
            if refusal { ("response.refusal.done", "refusal") } else { ("response.output_text.done", "text") };
        let mut done = at.clone();
        done[field] = text.into();
        if !refusal {
            done["logprobs"] = json!([]);
        }
        self.event(name, done, out);
        let mut whole = at;
        whole["part"] = part;
        self.event("response.content_part.done", whole, out);
    }

    /// The commonest event, written without a tree in between. `at` is the item's place and id, and the name
    /// and number of its part.
    fn delta(&mut self, name: &str, at: (usize, &str, &str, usize), text: &str, out: &mut Vec<u8>) {
        let (item, id, place, part) = at;
        out.extend_from_slice(format!("event: {name}\ndata: {{\"type\":\"{name}\",\"sequence_number\":").as_bytes());
        number(self.next, out);
        self.next += 1;
        out.extend_from_slice(b",\"item_id\":");
        quote(id, out);
        out.extend_from_slice(b",\"output_index\":");
        number(item as u64, out);
        if !place.is_empty() {
            out.extend_from_slice(format!(",\"{place}\":{part}").as_bytes());
        }
        out.extend_from_slice(b",\"delta\":");
        quote(text, out);
        out.extend_from_slice(if place == "content_index" { b",\"logprobs\":[]}\n\n" } else { b"}\n\n" });
    }

    fn say(&mut self, refusal: bool, said: &str, out: &mut Vec<u8>) {
        self.part(refusal, out);
        let mut number = 0;
        if let Some(Open::Message { part, parts }) = &mut self.open {
            part.say(said);
            number = parts.len();
        }
        let name = if refusal { "response.refusal.delta" } else { "response.output_text.delta" };
        self.delta(name, (self.at(), &self.item_id(), "content_index", number), said, out);
    }

    fn cite(&mut self, citation: &Citation, out: &mut Vec<u8>) {
        self.part(false, out);
        let Some(Open::Message { part, parts }) = &mut self.open else { return };
        let number = parts.len();
        let Some((index, annotation)) = part.cite(citation) else { return };
        let data = json!({"item_id": self.item_id(), "output_index": self.at(), "content_index": number,
            "annotation_index": index, "annotation": annotation});
        self.event("response.output_text.annotation.added", data, out);
    }

    /// An item that is nothing but a provider's seal.
    fn sealed(&mut self, seal: &str, out: &mut Vec<u8>) {
        self.stop(out);
        self.reason("", out);
        self.close(Some(seal), out);
    }

    fn reason(&mut self, more: &str, out: &mut Vec<u8>) {
        if !matches!(self.open, Some(Open::Reasoning { .. })) {
            self.start(Open::Reasoning { text: String::new() }, out);
        }
        let Some(Open::Reasoning { text }) = &mut self.open else { return };
        let first = text.is_empty() && !more.is_empty();
        text.push_str(more);
        if first {
            let data = json!({"item_id": self.item_id(), "output_index": self.at(), "summary_index": 0,
                "part": {"type": "summary_text", "text": ""}});
            self.event("response.reasoning_summary_part.added", data, out);
        }
        if !more.is_empty() {
            let at = (self.at(), &*self.item_id(), "summary_index", 0);
            self.delta("response.reasoning_summary_text.delta", at, more, out);
        }
    }

    fn call(&mut self, mut call: Call, seal: Option<&str>, out: &mut Vec<u8>) {
        self.begin(out);
        match seal.map(seal::of_call) {
            // Reasoning before the call carries its seal.
            Some(seal) if matches!(self.open, Some(Open::Reasoning { .. })) => self.close(Some(&seal), out),
            Some(seal) => self.sealed(&seal, out),
            None => self.close(None, out),
        }
        call.at = self.output.len();
        let id = self.frame.item("fc", call.at);
        let item = output::function_call(&id, (&call.id, &call.name, ""), "in_progress");
        self.event("response.output_item.added", json!({"output_index": call.at, "item": item}), out);
        self.output.push(Value::Null);
        self.calls.push(call);
    }

    fn argue(&mut self, index: u32, json: &str, out: &mut Vec<u8>) {
        let Some(call) = self.calls.iter_mut().find(|call| call.index == index) else { return };
        call.arguments.push_str(json);
        let at = call.at;
        self.delta("response.function_call_arguments.delta", (at, &self.frame.item("fc", at), "", 0), json, out);
    }

    fn close_calls(&mut self, out: &mut Vec<u8>) {
        for call in std::mem::take(&mut self.calls) {
            let id = self.frame.item("fc", call.at);
            let done = json!({"item_id": id, "output_index": call.at, "name": call.name, "arguments": call.arguments});
            self.event("response.function_call_arguments.done", done, out);
            let item = output::function_call(&id, (&call.id, &call.name, &call.arguments), "completed");
            self.event("response.output_item.done", json!({"output_index": call.at, "item": item}), out);
            if let Some(place) = self.output.get_mut(call.at) {
                *place = item;
            }
        }
    }

    /// Closes the open item; `seal` is the provider's, on reasoning.
    fn close(&mut self, seal: Option<&str>, out: &mut Vec<u8>) {
        if matches!(self.open, Some(Open::Message { .. })) {
            self.close_part(out);
        }
        let id = self.item_id();
        let Some(open) = self.open.take() else { return };
        let at = json!({"item_id": id, "output_index": self.at()});
        let with = |fields: Value| {
            let mut data = at.clone();
            if let (Value::Object(data), Value::Object(fields)) = (&mut data, fields) {
                data.extend(fields);
            }
            data
        };
        let item = match open {
            Open::Message { parts, .. } => {
                let cut = matches!(self.finish, Some(Finish::Length | Finish::ContentFilter));
                output::message(&id, &parts, if cut { "incomplete" } else { "completed" })
            }
            Open::Reasoning { text } => {
                if !text.is_empty() {
                    let done = with(json!({"summary_index": 0, "text": text}));
                    self.event("response.reasoning_summary_text.done", done, out);
                    let part = json!({"type": "summary_text", "text": text});
                    let done = with(json!({"summary_index": 0, "part": part}));
                    self.event("response.reasoning_summary_part.done", done, out);
                }
                output::reasoning(&id, &text, seal)
            }
        };
        self.event("response.output_item.done", json!({"output_index": self.at(), "item": item}), out);
        self.output.push(item);
    }

    fn stop(&mut self, out: &mut Vec<u8>) {
        self.close(None, out);
        self.close_calls(out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.begin(out);
        self.stop(out);
        let output = std::mem::take(&mut self.output);
        let response = self.frame.ended(self.finish, &output, self.usage.as_ref());
        let cut = response["status"] == "incomplete";
        self.event(if cut { "response.incomplete" } else { "response.completed" }, json!({"response": response}), out);
    }

    fn fail(&mut self, error: &UpstreamError, out: &mut Vec<u8>) {
        self.ended = true;
        self.begin(out);
        // Calls that were not closed have only their places.
        self.output.retain(|item| !item.is_null());
        let mut response = self.frame.response("failed", &self.output, None);
        let code = error.code.as_deref().unwrap_or("server_error");
        response["error"] = json!({"code": code, "message": error.message});
        self.event("response.failed", json!({"response": response}), out);
    }
}

impl Encoder for ResponsesStream {
    fn encode(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match *event {
            Event::Start { id, model, .. } => {
                self.frame.named(id, model);
                self.begin(out);
            }
            Event::Text { choice: 0, text } => self.say(false, text, out),
            Event::Refusal { choice: 0, text } => self.say(true, text, out),
            Event::Reasoning { choice: 0, text } => self.reason(text, out),
            Event::Signature { choice: 0, signature } => {
                self.reason("", out);
                self.close(Some(signature), out);
            }
            Event::Redacted { choice: 0, data } => self.sealed(&seal::redacted(data), out),
            Event::TextSignature { choice: 0, signature } => self.sealed(&seal::of_text(signature), out),
            Event::Citation { choice: 0, citation } => self.cite(citation, out),
            Event::Tool { choice: 0, index, id, name, signature } => {
                let (id, name) = (id.to_owned(), name.to_owned());
                self.call(Call { index, at: 0, id, name, arguments: String::new() }, signature, out);
            }
            Event::Arguments { choice: 0, index, json } => self.argue(index, json, out),
            Event::Finish { choice: 0, reason, .. } => self.finish = Some(reason),
            Event::Usage(usage) => self.usage = Some(usage),
            Event::Error(fault) => self.fail(fault, out),
            Event::End => self.end(out),
            // Other alternatives cannot be asked for, and a part of a message is one text.
            _ => {}
        }
    }
}
