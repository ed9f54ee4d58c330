//! Reads answers of every format down to what was said, independently of how the mock writes them.

use serde_json::{Value, json};

use crate::common::Speak;

/// What a model said, without a format.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) thought: String,
    /// Names and arguments.
    pub(crate) calls: Vec<(String, Value)>,
    /// Prompt, of that cached, and answer.
    pub(crate) usage: (u64, u64, u64),
    pub(crate) finish: String,
    /// URLs and titles of what the text cites.
    pub(crate) sources: Vec<(String, String)>,
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn string(value: &Value) -> String {
    text(value).to_owned()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Takes sources: objects with a URL and a title, under any of their names.
fn cite(said: &mut Said, sources: &[Value]) {
    for source in sources {
        let inner = ["url_citation", "web"].into_iter().map(|name| &source[name]).find(|inner| inner.is_object());
        let page = inner.unwrap_or(source);
        let url =
            [&page["url"], &page["uri"], &source["location"]["web"]["url"]].into_iter().find(|url| url.is_string());
        said.sources.push((string(url.unwrap()), string(&page["title"])));
    }
}

fn parsed(arguments: &str) -> Value {
    serde_json::from_str(if arguments.is_empty() { "{}" } else { arguments }).unwrap()
}

/// A whole answer.
pub(crate) fn whole(speak: Speak, body: &Value) -> Said {
    let mut said = Said::default();
    match speak {
        Speak::OpenAi | Speak::Azure => {
            let message = &body["choices"][0]["message"];
            said.text = string(&message["content"]);
            said.thought = string(&message["reasoning_content"]);
            for call in list(&message["tool_calls"]) {
                said.calls
                    .push((text(&call["function"]["name"]).to_owned(), parsed(text(&call["function"]["arguments"]))));
            }
            cite(&mut said, list(&message["annotations"]));
            said.finish = string(&body["choices"][0]["finish_reason"]);
            openai_usage(&mut said, &body["usage"]);
        }
        Speak::Responses => responses(&mut said, body),
        Speak::Anthropic | Speak::VertexClaude | Speak::BedrockClaude => {
            for block in list(&body["content"]) {
                match text(&block["type"]) {
                    "text" => {
                        said.text += text(&block["text"]);
                        cite(&mut said, list(&block["citations"]));
                    }
                    "thinking" => said.thought += text(&block["thinking"]),
                    _ => said.calls.push((text(&block["name"]).to_owned(), block["input"].clone())),
                }
            }
            said.finish = string(&body["stop_reason"]);
            claude_usage(&mut said, &body["usage"]);
        }
        Speak::Gemini | Speak::Vertex => google(&mut said, body),
        Speak::Converse => {
            for block in list(&body["output"]["message"]["content"]) {
                said.text += text(&block["text"]);
                let cited = &block["citationsContent"];
                said.text += text(&cited["content"][0]["text"]);
                cite(&mut said, list(&cited["citations"]));
                said.thought += text(&block["reasoningContent"]["reasoningText"]["text"]);
                if block["toolUse"].is_object() {
                    said.calls.push((text(&block["toolUse"]["name"]).to_owned(), block["toolUse"]["input"].clone()));
                }
            }
            said.finish = string(&body["stopReason"]);
            aws_usage(&mut said, &body["usage"]);
        }
    }
    said
}

fn openai_usage(said: &mut Said, usage: &Value) {
    said.usage = (
        number(&usage["prompt_tokens"]),
        number(&usage["prompt_tokens_details"]["cached_tokens"]),
        number(&usage["completion_tokens"]),
    );
}

fn claude_usage(said: &mut Said, usage: &Value) {
    let (cached, written) = (number(&usage["cache_read_input_tokens"]), number(&usage["cache_creation_input_tokens"]));
    said.usage = (number(&usage["input_tokens"]) + cached + written, cached, number(&usage["output_tokens"]));
}

fn aws_usage(said: &mut Said, usage: &Value) {
    let (cached, written) = (number(&usage["cacheReadInputTokens"]), number(&usage["cacheWriteInputTokens"]));
    said.usage = (number(&usage["inputTokens"]) + cached + written, cached, number(&usage["outputTokens"]));
}

fn responses(said: &mut Said, body: &Value) {
    for item in list(&body["output"]) {
        match text(&item["type"]) {
            "message" => {
                said.text += text(&item["content"][0]["text"]);
                cite(said, list(&item["content"][0]["annotations"]));
            }
            "reasoning" => said.thought += text(&item["summary"][0]["text"]),
            _ => said.calls.push((text(&item["name"]).to_owned(), parsed(text(&item["arguments"])))),
        }
    }
    said.finish = string(&body["status"]);
    let usage = &body["usage"];
    said.usage = (
        number(&usage["input_tokens"]),
        number(&usage["input_tokens_details"]["cached_tokens"]),
        number(&usage["output_tokens"]),
    );
}

fn google(said: &mut Said, body: &Value) {
    for part in list(&body["candidates"][0]["content"]["parts"]) {
        if part["thought"] == true {
            said.thought += text(&part["text"]);
        } else {
            said.text += text(&part["text"]);
        }
        if part["functionCall"].is_object() {
            said.calls.push((text(&part["functionCall"]["name"]).to_owned(), part["functionCall"]["args"].clone()));
        }
    }
    cite(said, list(&body["candidates"][0]["groundingMetadata"]["groundingChunks"]));
    if let Some(finish) = body["candidates"][0]["finishReason"].as_str() {
        finish.clone_into(&mut said.finish);
    }
    let usage = &body["usageMetadata"];
    let answer = number(&usage["candidatesTokenCount"]) + number(&usage["thoughtsTokenCount"]);
    said.usage = (number(&usage["promptTokenCount"]), number(&usage["cachedContentTokenCount"]), answer);
}

/// A stream, to its end.
pub(crate) fn stream(speak: Speak, bytes: &[u8]) -> Said {
    match speak {
        Speak::OpenAi | Speak::Azure => chunks(&sse(bytes)),
        Speak::Responses => {
            let events = sse(bytes);
            for (index, event) in events.iter().enumerate() {
                assert_eq!(event["sequence_number"], index, "{event}");
            }
            let deltas: String = events
                .iter()
                .filter(|event| event["type"] == "response.output_text.delta")
                .map(|event| text(&event["delta"]))
                .collect();
            let mut said = Said::default();
            responses(&mut said, &events.last().unwrap()["response"]);
            assert_eq!(said.text, deltas);
            let added = events.iter().filter(|event| event["type"] == "response.output_text.annotation.added");
            assert_eq!(added.count(), said.sources.len());
            said
        }
        Speak::Anthropic | Speak::VertexClaude => claude(&sse(bytes)),
        Speak::BedrockClaude => {
            use base64::Engine;
            let inner = |(name, payload): &(String, Value)| -> Value {
                assert_eq!(name, "chunk");
                let bytes = base64::engine::general_purpose::STANDARD.decode(text(&payload["bytes"])).unwrap();
                serde_json::from_slice(&bytes).unwrap()
            };
            claude(&frames(bytes).iter().map(inner).collect::<Vec<_>>())
        }
        Speak::Gemini | Speak::Vertex => {
            let mut said = Said::default();
            for event in sse(bytes) {
                google(&mut said, &event);
            }
            said
        }
        Speak::Converse => converse(&frames(bytes)),
    }
}

fn chunks(events: &[Value]) -> Said {
    let (mut said, mut calls) = (Said::default(), Vec::<(String, String)>::new());
    for event in events {
        let choice = &event["choices"][0];
        let delta = &choice["delta"];
        said.text += text(&delta["content"]);
        said.thought += text(&delta["reasoning_content"]);
        cite(&mut said, list(&delta["annotations"]));
        for call in list(&delta["tool_calls"]) {
            let index = usize::try_from(number(&call["index"])).unwrap();
            if let Some(name) = call["function"]["name"].as_str() {
                assert_eq!(index, calls.len());
                calls.push((name.to_owned(), String::new()));
            }
            calls[index].1 += text(&call["function"]["arguments"]);
        }
        if let Some(finish) = choice["finish_reason"].as_str() {
            finish.clone_into(&mut said.finish);
        }
        if event["usage"].is_object() {
            openai_usage(&mut said, &event["usage"]);
        }
    }
    said.calls = calls.into_iter().map(|(name, arguments)| (name, parsed(&arguments))).collect();
    said
}

fn claude(events: &[Value]) -> Said {
    let (mut said, mut blocks) = (Said::default(), Vec::<Value>::new());
    assert_eq!(events[0]["type"], "message_start");
    assert_eq!(events.last().unwrap()["type"], "message_stop");
    let mut open = None;
    for event in events {
        let index = usize::try_from(number(&event["index"])).unwrap();
        let delta = &event["delta"];
        match text(&event["type"]) {
            "content_block_start" => {
                assert_eq!((open, index), (None, blocks.len()));
                blocks.push(event["content_block"].clone());
                blocks[index]["partial"] = "".into();
                open = Some(index);
            }
            "content_block_delta" => {
                assert_eq!(open, Some(index));
                if delta["type"] == "citations_delta" {
                    cite(&mut said, std::slice::from_ref(&delta["citation"]));
                }
                for (kind, name, into) in [
                    ("text_delta", "text", "text"),
                    ("thinking_delta", "thinking", "thinking"),
                    ("signature_delta", "signature", "signature"),
                    ("input_json_delta", "partial_json", "partial"),
                ] {
                    if delta["type"] == kind {
                        blocks[index][into] = format!("{}{}", text(&blocks[index][into]), text(&delta[name])).into();
                    }
                }
            }
            "content_block_stop" => assert_eq!(open.take(), Some(index)),
            "message_delta" => {
                text(&delta["stop_reason"]).clone_into(&mut said.finish);
                claude_usage(&mut said, &event["usage"]);
            }
            _ => {}
        }
    }
    for block in blocks {
        match text(&block["type"]) {
            "text" => said.text += text(&block["text"]),
            "thinking" => {
                assert!(block["signature"].as_str().is_some_and(|signature| !signature.is_empty()));
                said.thought += text(&block["thinking"]);
            }
            _ => said.calls.push((text(&block["name"]).to_owned(), parsed(text(&block["partial"])))),
        }
    }
    said
}

fn converse(frames: &[(String, Value)]) -> Said {
    let (mut said, mut calls) = (Said::default(), Vec::<(u64, String, String)>::new());
    assert_eq!(frames[0].0, "messageStart");
    for (name, payload) in frames {
        let index = number(&payload["contentBlockIndex"]);
        let delta = &payload["delta"];
        match name.as_str() {
            "contentBlockStart" => {
                calls.push((index, text(&payload["start"]["toolUse"]["name"]).to_owned(), String::new()));
            }
            "contentBlockDelta" => {
                said.text += text(&delta["text"]);
                said.thought += text(&delta["reasoningContent"]["text"]);
                if delta["citation"].is_object() {
                    cite(&mut said, std::slice::from_ref(&delta["citation"]));
                }
                if let Some(input) = delta["toolUse"]["input"].as_str() {
                    calls.iter_mut().find(|call| call.0 == index).unwrap().2 += input;
                }
            }
            "messageStop" => text(&payload["stopReason"]).clone_into(&mut said.finish),
            "metadata" => aws_usage(&mut said, &payload["usage"]),
            _ => {}
        }
    }
    said.calls = calls.into_iter().map(|(_, name, input)| (name, parsed(&input))).collect();
    said
}

/// The JSON of every event but `[DONE]`.
pub(crate) fn sse(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

/// Type and payload of every frame, checksums checked.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(String, Value)> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let read = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        let (total, headers) = (read(0) as usize, read(4) as usize);
        assert_eq!(read(8), crc32fast::hash(&bytes[..8]));
        assert_eq!(read(total - 4), crc32fast::hash(&bytes[..total - 4]));
        let payload = serde_json::from_slice(&bytes[12 + headers..total - 4]).unwrap_or(json!(null));
        frames.push((header(&bytes[12..12 + headers]), payload));
        bytes = &bytes[total..];
    }
    frames
}

/// The event or exception type.
fn header(mut bytes: &[u8]) -> String {
    while !bytes.is_empty() {
        let name = usize::from(bytes[0]);
        assert_eq!(bytes[1 + name], 7);
        let length = usize::from(u16::from_be_bytes([bytes[2 + name], bytes[3 + name]]));
        let value = &bytes[4 + name..4 + name + length];
        if matches!(&bytes[1..=name], b":event-type" | b":exception-type") {
            return String::from_utf8_lossy(value).into_owned();
        }
        bytes = &bytes[4 + name + length..];
    }
    panic!("no type")
}
