//! Chat and legacy completions, whole and as streams of `data:` chunks.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::read;
use crate::answer::{Asked, Block, Numbers, Piece};
use crate::behaviour::{Finish, Source};
use crate::format::{Format, Heard};
use crate::refusal::{Dialect, Refusal};
use crate::wire::{self, Events};

const CREATED: u64 = 1_700_000_000;
/// Begins the ids of tool calls.
const CALL: &str = "call_";

/// Chat completions, or legacy ones; as OpenAI or as Azure serves them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenAi {
    pub(crate) chat: bool,
    pub(crate) azure: bool,
}

impl Format for OpenAi {
    fn dialect(&self) -> Dialect {
        if self.azure { Dialect::Azure } else { Dialect::OpenAi }
    }

    fn read(&self, heard: &Heard<'_>) -> Result<Asked, Refusal> {
        read::read(*self, heard)
    }

    fn whole(&self, asked: &Asked, id: u64) -> Value {
        let choices: Vec<Value> = (0..asked.choices).map(|index| self.choice(asked, index)).collect();
        let (prefix, object) = if self.chat { ("chatcmpl", "chat.completion") } else { ("cmpl", "text_completion") };
        let mut answer = json!({"id": format!("{prefix}-mock{id}"), "object": object, "created": CREATED,
            "model": asked.model, "choices": choices, "system_fingerprint": "fp_mock"});
        if self.azure {
            answer["prompt_filter_results"] = json!([{"prompt_index": 0, "content_filter_results": safe()}]);
        }
        if asked.behaviour.usage {
            answer["usage"] = usage(asked.numbers());
        }
        answer
    }

    fn events(&self, asked: &Asked, id: u64) -> Events {
        let frame = Frame::new(*self, asked, id);
        let delta = if self.chat { "\"delta\":{}" } else { "\"text\":\"\"" };
        let mut end = vec![frame.chunk(delta, &format!("\"{}\"", reason(asked.finish())))];
        if frame.usage {
            end.push(format!("{}],\"usage\":{}}}\n\n", frame.head, usage(asked.numbers())));
        }
        end.push("data: [DONE]\n\n".to_owned());
        let steps = asked.steps(CALL);
        let mut prelude = Vec::new();
        if self.azure {
            let filter = json!([{"prompt_index": 0, "content_filter_results": safe()}]);
            prelude.push(format!(
                "data: {{\"choices\":[],\"created\":0,\"id\":\"\",\"model\":\"\",\"object\":\"\",\"prompt_filter_results\":{filter}}}\n\n"
            ));
        }
        if self.chat && !matches!(asked.finish(), Finish::ToolCalls) {
            prelude.push(frame.chunk("\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}", "null"));
        }
        let chat = self.chat;
        let (asked, mut said) = (asked.clone(), 0);
        let content = steps.map(move |step| {
            let body = if chat { chat_delta(&step.piece) } else { legacy_delta(&step.piece) };
            let mut chunk = frame.chunk(&body, "null");
            if let Piece::Text(text) = &step.piece {
                said += text.chars().count();
            }
            for source in asked.cited(&step).iter().filter(|_| chat) {
                let body = format!("\"delta\":{{\"annotations\":[{}]}}", annotation(source, said));
                chunk.push_str(&frame.chunk(&body, "null"));
            }
            Bytes::from(chunk)
        });
        Events {
            prelude: prelude.into_iter().map(Bytes::from).collect(),
            content: Box::new(content),
            end: end.into_iter().map(Bytes::from).collect(),
            error: wire::data(&json!({"error":
                {"message": "mock stream error", "type": "server_error", "code": "mock_error"}})),
            malformed: Bytes::from_static(b"data: {\"choices\":[{\n\n"),
        }
    }
}

impl OpenAi {
    fn choice(self, asked: &Asked, index: usize) -> Value {
        let blocks = asked.blocks(CALL);
        let finish = reason(asked.finish());
        let mut choice = if self.chat {
            json!({"index": index, "finish_reason": finish, "logprobs": null, "message": message(&blocks, &asked.behaviour.sources)})
        } else {
            let text: String = blocks
                .iter()
                .filter_map(|block| match block {
                    Block::Text(text) => Some(text.as_str()),
                    _ => None,
                })
                .collect();
            json!({"index": index, "finish_reason": finish, "logprobs": null, "text": text})
        };
        if self.azure {
            choice["content_filter_results"] = safe();
        }
        choice
    }
}

/// The assistant's message.
fn message(blocks: &[Block], sources: &[Source]) -> Value {
    let mut message = json!({"role": "assistant", "content": null, "refusal": null});
    let mut calls = Vec::new();
    for block in blocks {
        match block {
            Block::Text(text) => {
                message["content"] = text.clone().into();
                let said = text.chars().count();
                if !sources.is_empty() {
                    message["annotations"] = sources.iter().map(|source| annotation(source, said)).collect();
                }
            }
            // DeepSeek's field, which vLLM and others took over.
            Block::Reasoning(text) => message["reasoning_content"] = text.clone().into(),
            Block::Call { id, name, arguments } => {
                calls.push(json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}));
            }
        }
    }
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    } else if message["content"].is_null() {
        message["content"] = "".into();
    }
    message
}

/// The whole text rests on a page.
fn annotation(source: &Source, said: usize) -> Value {
    let cited = json!({"url": source.url, "title": source.title, "start_index": 0, "end_index": said});
    json!({"type": "url_citation", "url_citation": cited})
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::ContentFilter => "content_filter",
    }
}

/// Usage as OpenAI reports it: `prompt_tokens` includes cached ones.
pub(crate) fn usage(numbers: Numbers) -> Value {
    let Numbers { input, cached, output, reasoning, .. } = numbers;
    json!({
        "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0},
    })
}

/// Azure's verdict on harmless text.
fn safe() -> Value {
    let names = ["hate", "self_harm", "sexual", "violence"];
    let verdicts = names.map(|name| (name.to_owned(), json!({"filtered": false, "severity": "safe"})));
    Value::Object(Map::from_iter(verdicts))
}

/// What the chunks of one stream have in common.
struct Frame {
    head: String,
    tail: &'static str,
    usage: bool,
    filter: String,
}

impl Frame {
    fn new(format: OpenAi, asked: &Asked, id: u64) -> Self {
        let (prefix, object) =
            if format.chat { ("chatcmpl", "chat.completion.chunk") } else { ("cmpl", "text_completion") };
        let model = Value::from(asked.model.as_str());
        let head = format!(
            "data: {{\"id\":\"{prefix}-mock{id}\",\"object\":\"{object}\",\"created\":{CREATED},\"model\":{model},\
             \"system_fingerprint\":\"fp_mock\",\"choices\":["
        );
        let usage = asked.behaviour.usage && asked.body["stream_options"]["include_usage"] == true;
        let filter = if format.azure { format!(",\"content_filter_results\":{}", safe()) } else { String::new() };
        Self { head, tail: if usage { ",\"usage\":null" } else { "" }, usage, filter }
    }

    fn chunk(&self, body: &str, finish: &str) -> String {
        let Self { head, tail, filter, .. } = self;
        format!("{head}{{\"index\":0,{body},\"logprobs\":null,\"finish_reason\":{finish}{filter}}}]{tail}}}\n\n")
    }
}

fn chat_delta(piece: &Piece) -> String {
    match piece {
        Piece::Text(word) => format!("\"delta\":{{\"content\":{}}}", Value::from(&**word)),
        Piece::Reasoning(word) => format!("\"delta\":{{\"reasoning_content\":{}}}", Value::from(&**word)),
        Piece::Call { index, id, name } => {
            // The first call of an answer also brings the role, as OpenAI sends it.
            let role = if *index == 0 { "\"role\":\"assistant\",\"content\":null," } else { "" };
            format!(
                "\"delta\":{{{role}\"tool_calls\":[{{\"index\":{index},\"id\":\"{id}\",\"type\":\"function\",\
                 \"function\":{{\"name\":{},\"arguments\":\"\"}}}}]}}",
                Value::from(name.as_str())
            )
        }
        Piece::Arguments { index, text } => format!(
            "\"delta\":{{\"tool_calls\":[{{\"index\":{index},\"function\":{{\"arguments\":{}}}}}]}}",
            Value::from(&**text)
        ),
    }
}

fn legacy_delta(piece: &Piece) -> String {
    let text = if let Piece::Text(word) = piece { &**word } else { "" };
    format!("\"text\":{}", Value::from(text))
}
