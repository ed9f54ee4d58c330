//! OpenAI's Responses: items instead of messages, and a stream of named, numbered events.

use bytes::Bytes;
use serde_json::{Value, json};

use super::read;
use crate::answer::{Asked, Block, Numbers, Piece, Shape, Step, words_in};
use crate::behaviour::{Finish, Reason, Source};
use crate::format::{Format, Heard, items};
use crate::refusal::{Dialect, Refusal};
use crate::wire::{self, Events};

const CREATED: u64 = 1_700_000_000;
const CALL: &str = "call_";

/// `POST /v1/responses`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Responses;

impl Format for Responses {
    fn dialect(&self) -> Dialect {
        Dialect::OpenAi
    }

    fn read(&self, heard: &Heard<'_>) -> Result<Asked, Refusal> {
        let body = &heard.body;
        let Some(model) = body["model"].as_str() else {
            return Err(Refusal::invalid("Missing required parameter: 'model'.").param("model"));
        };
        for stranger in ["messages", "max_tokens", "response_format"] {
            if !body[stranger].is_null() {
                return Err(Refusal::invalid(format!("Unknown parameter: '{stranger}'.")).param(stranger));
            }
        }
        // Usage comes unasked; the one option of streams is `include_obfuscation`.
        if !body["stream_options"]["include_usage"].is_null() {
            let stranger = "stream_options.include_usage";
            return Err(Refusal::invalid(format!("Unknown parameter: '{stranger}'.")).param(stranger));
        }
        if let Some(id) = body["previous_response_id"].as_str().filter(|id| !id.starts_with("resp_mock")) {
            let message = format!("Previous response with id '{id}' not found.");
            let mut refusal = Refusal::new(Reason::Invalid, message).param("previous_response_id");
            refusal.status = 404;
            return Err(refusal);
        }
        calls_have_outputs(&body["input"], body["previous_response_id"].is_string())?;
        let format = &body["text"]["format"];
        Ok(Asked {
            behaviour: heard.behaviour.clone(),
            model: model.to_owned(),
            streams: body["stream"] == true,
            choices: 1,
            bound: body["max_output_tokens"].as_u64(),
            tools: read::tools(&body["tools"]),
            choice: read::choice(body)?,
            single: body["parallel_tool_calls"] == false,
            shape: match format["type"].as_str() {
                Some("json_object") => Shape::Object,
                Some("json_schema") => Shape::Schema(format["schema"].clone()),
                _ => Shape::Text,
            },
            thinks: false,
            answers_tools: items(&body["input"]).last().is_some_and(|last| last["type"] == "function_call_output"),
            words: words_in(&body["input"]) + words_in(&body["instructions"]),
            body: body.clone(),
        })
    }

    fn whole(&self, asked: &Asked, id: u64) -> Value {
        let blocks = asked.blocks(CALL);
        let output: Vec<Value> =
            blocks.iter().enumerate().map(|(index, block)| item(asked, block, (id, index), "completed")).collect();
        response(asked, id, status(asked), &output)
    }

    fn events(&self, asked: &Asked, id: u64) -> Events {
        let mut numbered = Numbered::default();
        let begun = response(asked, id, "in_progress", &[]);
        let prelude = vec![
            numbered.event("response.created", json!({"response": begun})),
            numbered.event("response.in_progress", json!({"response": begun})),
        ];
        let mut open = Open { asked: asked.clone(), id, numbered, text: String::new(), call: Value::Null };
        // The last events are numbered after all content, whose count is known.
        let blocks = asked.blocks(CALL);
        let after = 2 + asked.steps(CALL).map(|step| sent(&step) + asked.cited(&step).len() as u64).sum::<u64>();
        let done = self.whole(asked, id);
        let name = if status(asked) == "completed" { "response.completed" } else { "response.incomplete" };
        let mut last = Numbered { next: after };
        let end = vec![last.event(name, json!({"response": done}))];
        let content = asked.steps(CALL).map(move |step| open.step(&step, &blocks));
        let failed = json!({"type": "error", "code": "server_error", "message": "mock stream error", "param": null,
            "sequence_number": 3});
        Events {
            prelude,
            content: Box::new(content),
            end,
            error: wire::named("error", &failed),
            malformed: Bytes::from_static(b"event: response.output_text.delta\ndata: {\"type\":\n\n"),
        }
    }
}

/// Outputs of functions need their calls, unless those are in a stored response.
fn calls_have_outputs(input: &Value, stored: bool) -> Result<(), Refusal> {
    let ids = |kind: &str| -> Vec<&str> {
        let found = items(input).iter().filter(|item| item["type"] == kind);
        found.filter_map(|item| item["call_id"].as_str()).collect()
    };
    let (calls, outputs) = (ids("function_call"), ids("function_call_output"));
    if let Some(id) = outputs.iter().find(|id| !stored && !calls.contains(id)) {
        return Err(
            Refusal::invalid(format!("No tool call found for function call output with call_id {id}.")).param("input")
        );
    }
    if let Some(id) = calls.iter().find(|id| !outputs.contains(id)) {
        return Err(Refusal::invalid(format!("No tool output found for function call {id}.")).param("input"));
    }
    Ok(())
}

fn status(asked: &Asked) -> &'static str {
    if matches!(asked.finish(), Finish::Length | Finish::ContentFilter) { "incomplete" } else { "completed" }
}

fn response(asked: &Asked, id: u64, status: &str, output: &[Value]) -> Value {
    let why = match (status, asked.finish()) {
        ("incomplete", Finish::Length) => json!({"reason": "max_output_tokens"}),
        ("incomplete", _) => json!({"reason": "content_filter"}),
        _ => Value::Null,
    };
    let usage = if status == "in_progress" || !asked.behaviour.usage { Value::Null } else { usage(asked.numbers()) };
    let echo = |name: &str, default: Value| if asked.body[name].is_null() { default } else { asked.body[name].clone() };
    json!({"id": format!("resp_mock{id}"), "object": "response", "created_at": CREATED, "status": status, "error": null,
        "incomplete_details": why, "instructions": asked.body["instructions"], "max_output_tokens": asked.bound,
        "model": asked.model, "output": output, "parallel_tool_calls": true,
        "previous_response_id": asked.body["previous_response_id"],
        "reasoning": echo("reasoning", json!({"effort": null, "summary": null})), "store": echo("store", json!(true)),
        "temperature": echo("temperature", json!(1.0)), "text": echo("text", json!({"format": {"type": "text"}})),
        "tool_choice": echo("tool_choice", json!("auto")), "tools": echo("tools", json!([])),
        "top_p": echo("top_p", json!(1.0)), "truncation": "disabled", "usage": usage, "user": null,
        "metadata": echo("metadata", json!({}))})
}

fn usage(numbers: Numbers) -> Value {
    let Numbers { input, cached, output, reasoning, .. } = numbers;
    json!({"input_tokens": input, "input_tokens_details": {"cached_tokens": cached}, "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": reasoning}, "total_tokens": input + output})
}

fn item(asked: &Asked, block: &Block, (id, index): (u64, usize), status: &str) -> Value {
    match block {
        Block::Text(text) => json!({"type": "message", "id": format!("msg_mock{id}_{index}"), "status": status,
            "role": "assistant", "content": [part(text, &asked.behaviour.sources)]}),
        Block::Reasoning(text) => json!({"type": "reasoning", "id": format!("rs_mock{id}_{index}"),
            "summary": [{"type": "summary_text", "text": text}]}),
        Block::Call { id: call, name, arguments } => {
            json!({"type": "function_call", "id": format!("fc_mock{id}_{index}"),
            "call_id": call, "name": name, "arguments": arguments, "status": status})
        }
    }
}

fn part(text: &str, sources: &[Source]) -> Value {
    let cited: Vec<Value> = sources.iter().map(|source| annotation(source, text)).collect();
    json!({"type": "output_text", "text": text, "annotations": cited, "logprobs": []})
}

/// The whole text rests on a page.
fn annotation(source: &Source, text: &str) -> Value {
    json!({"type": "url_citation", "url": source.url, "title": source.title, "start_index": 0,
        "end_index": text.chars().count()})
}

/// How many events a step becomes.
fn sent(step: &Step) -> u64 {
    match step.piece {
        Piece::Call { .. } => {
            if step.closes {
                3
            } else {
                1
            }
        }
        Piece::Arguments { .. } => 1 + if step.closes { 2 } else { 0 },
        Piece::Text(_) | Piece::Reasoning(_) => 1 + if step.opens { 2 } else { 0 } + if step.closes { 3 } else { 0 },
    }
}

#[derive(Default)]
struct Numbered {
    next: u64,
}

impl Numbered {
    fn event(&mut self, name: &str, fields: Value) -> Bytes {
        let mut event = json!({"type": name, "sequence_number": self.next});
        self.next += 1;
        if let (Value::Object(event), Value::Object(fields)) = (&mut event, fields) {
            event.extend(fields);
        }
        wire::named(name, &event)
    }
}

/// The item being streamed.
struct Open {
    asked: Asked,
    id: u64,
    numbered: Numbered,
    text: String,
    call: Value,
}

impl Open {
    fn step(&mut self, step: &Step, blocks: &[Block]) -> Bytes {
        let (id, index) = (self.id, step.block);
        let mut parts = Vec::new();
        let asked = self.asked.clone();
        let whole = |status| blocks.get(index).map_or(Value::Null, |block| item(&asked, block, (id, index), status));
        if step.opens {
            self.text.clear();
            let mut empty = whole("in_progress");
            for (name, value) in [("content", json!([])), ("summary", json!([])), ("arguments", json!(""))] {
                if !empty[name].is_null() {
                    empty[name] = value;
                }
            }
            self.call = empty["id"].clone();
            parts
                .push(self.numbered.event("response.output_item.added", json!({"output_index": index, "item": empty})));
        }
        match &step.piece {
            Piece::Call { .. } => {}
            Piece::Arguments { text, .. } => {
                let fields = json!({"item_id": self.call, "output_index": index, "delta": text});
                parts.push(self.numbered.event("response.function_call_arguments.delta", fields));
                self.text.push_str(text);
            }
            Piece::Text(text) => self.words(step, text, TEXT, &mut parts),
            Piece::Reasoning(text) => self.words(step, text, SUMMARY, &mut parts),
        }
        if step.closes {
            if matches!(step.piece, Piece::Arguments { .. } | Piece::Call { .. }) {
                let fields = json!({"item_id": self.call, "output_index": index, "arguments": self.text});
                parts.push(self.numbered.event("response.function_call_arguments.done", fields));
            }
            let fields = json!({"output_index": index, "item": whole("completed")});
            parts.push(self.numbered.event("response.output_item.done", fields));
        }
        wire::join(&parts)
    }

    /// A part of a message or of a reasoning summary.
    fn words(&mut self, step: &Step, text: &str, names: Names, parts: &mut Vec<Bytes>) {
        let at = |item: &Value| json!({"item_id": item, "output_index": step.block, names.index: 0});
        let with = |mut fields: Value, name: &str, value: Value| {
            fields[name] = value;
            fields
        };
        let make = |text: &str| {
            if names.index == "content_index" {
                part(text, if text.is_empty() { &[] } else { &self.asked.behaviour.sources })
            } else {
                json!({"type": "summary_text", "text": text})
            }
        };
        if step.opens {
            parts.push(self.numbered.event(names.part_added, with(at(&self.call), "part", make(""))));
        }
        self.text.push_str(text);
        parts.push(self.numbered.event(names.delta, with(at(&self.call), "delta", text.into())));
        for (number, source) in self.asked.cited(step).iter().enumerate() {
            let mut fields = with(at(&self.call), "annotation_index", number.into());
            fields["annotation"] = annotation(source, &self.text);
            parts.push(self.numbered.event("response.output_text.annotation.added", fields));
        }
        if step.closes {
            let all = self.text.clone();
            parts.push(self.numbered.event(names.done, with(at(&self.call), "text", all.as_str().into())));
            parts.push(self.numbered.event(names.part_done, with(at(&self.call), "part", make(&all))));
        }
    }
}

#[derive(Clone, Copy)]
struct Names {
    index: &'static str,
    part_added: &'static str,
    delta: &'static str,
    done: &'static str,
    part_done: &'static str,
}

const TEXT: Names = Names {
    index: "content_index",
    part_added: "response.content_part.added",
    delta: "response.output_text.delta",
    done: "response.output_text.done",
    part_done: "response.content_part.done",
};

const SUMMARY: Names = Names {
    index: "summary_index",
    part_added: "response.reasoning_summary_part.added",
    delta: "response.reasoning_summary_text.delta",
    done: "response.reasoning_summary_text.done",
    part_done: "response.reasoning_summary_part.done",
};
