//! Checks the turns of a conversation: roles, content blocks, and that calls and results match.

use serde_json::Value;

use super::render::signature;
use crate::format::{items, stranger};
use crate::refusal::Refusal;

const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

pub(super) fn system(system: &Value) -> Result<(), Refusal> {
    for (index, block) in items(system).iter().enumerate() {
        if block["type"] != "text" {
            return Err(Refusal::invalid(format!("system.{index}.type: Input should be 'text'")));
        }
        if block["text"].as_str().is_none_or(str::is_empty) {
            return Err(Refusal::invalid("system: text content blocks must be non-empty"));
        }
    }
    Ok(())
}

pub(super) fn messages(messages: &Value, thinks: bool) -> Result<(), Refusal> {
    let Some(list) = messages.as_array() else { return Err(Refusal::invalid("messages: Field required")) };
    if list.is_empty() {
        return Err(Refusal::invalid("messages: at least one message is required"));
    }
    for (index, message) in list.iter().enumerate() {
        shape(index, message)?;
    }
    if list.first().is_some_and(|first| first["role"] != "user") {
        return Err(Refusal::invalid("messages: first message must use the \"user\" role"));
    }
    pairs(&turns(list))?;
    let last = list.last().filter(|last| last["role"] == "assistant");
    let text =
        last.and_then(|last| last["content"].as_str().or_else(|| items(&last["content"]).last()?["text"].as_str()));
    if text.is_some_and(|text| text.ends_with(char::is_whitespace)) {
        return Err(Refusal::invalid("messages: final assistant content cannot end with trailing whitespace"));
    }
    if thinks { thought(list) } else { Ok(()) }
}

fn shape(index: usize, message: &Value) -> Result<(), Refusal> {
    let at = |path: &str, text: &str| Refusal::invalid(format!("messages.{index}{path}: {text}"));
    match message["role"].as_str() {
        Some("user" | "assistant") => {}
        Some("system") => {
            return Err(Refusal::invalid(
                "messages: Unexpected role \"system\". The Messages API accepts a top-level `system` parameter, not \"system\" as an input message role.",
            ));
        }
        _ => return Err(at(".role", "Input should be 'user' or 'assistant'")),
    }
    if let Some(name) = stranger(message, &["role", "content"]) {
        return Err(at(&format!(".{name}"), "Extra inputs are not permitted"));
    }
    match &message["content"] {
        Value::Null => Err(at(".content", "Field required")),
        Value::String(text) if text.is_empty() => {
            Err(Refusal::invalid("messages: text content blocks must be non-empty"))
        }
        Value::String(_) => Ok(()),
        Value::Array(blocks) if blocks.is_empty() => Err(Refusal::invalid(format!(
            "messages.{index}: all messages must have non-empty content except for the optional final assistant message"
        ))),
        Value::Array(blocks) => blocks
            .iter()
            .enumerate()
            .try_for_each(|(place, each)| block(&format!("messages.{index}.content.{place}"), each, &message["role"])),
        _ => Err(at(".content", "Input should be a valid string")),
    }
}

fn block(at: &str, block: &Value, role: &Value) -> Result<(), Refusal> {
    let kind = block["type"].as_str().unwrap_or("");
    let wrong = |text: &str| Err(Refusal::invalid(format!("{at}.{kind}{text}")));
    let (fields, of): (&[&str], &str) = match kind {
        "text" => (&["type", "text", "cache_control", "citations"], "both"),
        "image" => (&["type", "source", "cache_control"], "user"),
        "document" => (&["type", "source", "title", "context", "citations", "cache_control"], "user"),
        "tool_result" => (&["type", "tool_use_id", "content", "is_error", "cache_control"], "user"),
        "tool_use" => (&["type", "id", "name", "input", "cache_control", "caller"], "assistant"),
        "thinking" => (&["type", "thinking", "signature"], "assistant"),
        "redacted_thinking" => (&["type", "data"], "assistant"),
        "server_tool_use" | "web_search_tool_result" | "search_result" => return Ok(()),
        _ => {
            let text = format!(
                "{at}: Input tag '{kind}' found using 'type' does not match any of the expected tags: 'document', 'image', 'redacted_thinking', 'text', 'thinking', 'tool_result', 'tool_use'"
            );
            return Err(Refusal::invalid(text));
        }
    };
    if of != "both" && role != of {
        return Err(Refusal::invalid(format!("{at}: `{kind}` blocks can only be in `{of}` messages")));
    }
    if let Some(name) = stranger(block, fields) {
        return wrong(&format!(".{name}: Extra inputs are not permitted"));
    }
    match kind {
        "text" if block["text"].as_str().is_none_or(str::is_empty) => {
            Err(Refusal::invalid("messages: text content blocks must be non-empty"))
        }
        "image" | "document" => source(at, kind, &block["source"]),
        "tool_use" if !block["input"].is_object() => wrong(".input: Input should be a valid dictionary"),
        "tool_use"
            if block["id"].as_str().is_none_or(|id| {
                id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
            }) =>
        {
            wrong(".id: String should match pattern '^[a-zA-Z0-9_-]+$'")
        }
        "thinking" if block["signature"].as_str() != Some(&signature(block["thinking"].as_str().unwrap_or(""))) => {
            Err(Refusal::invalid(format!("{at}: Invalid `signature` in `thinking` block")))
        }
        _ => Ok(()),
    }
}

fn source(at: &str, kind: &str, source: &Value) -> Result<(), Refusal> {
    let wrong = |text: String| Err(Refusal::invalid(format!("{at}.{kind}.source{text}")));
    match source["type"].as_str() {
        Some("base64") => {
            let media = source["media_type"].as_str().unwrap_or("");
            if kind == "image" && !IMAGES.contains(&media) {
                return wrong(
                    ".base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'"
                        .to_owned(),
                );
            }
            let data = source["data"].as_str().unwrap_or("");
            if data.is_empty() || data.starts_with("data:") {
                return wrong(
                    ".base64.data: The image was specified using the data URI scheme, or is empty".to_owned(),
                );
            }
            Ok(())
        }
        Some("url") if source["url"].as_str().is_some_and(|url| url.starts_with("https://")) => Ok(()),
        Some("url") => wrong(".url.url: Only HTTPS URLs are supported.".to_owned()),
        Some("file") => Ok(()),
        Some("text" | "content") if kind == "document" => Ok(()),
        _ => {
            wrong(": Input tag found using 'type' does not match any of the expected tags: 'base64', 'url'".to_owned())
        }
    }
}

/// Messages of one role in a row are one turn: the index of its last message, and its blocks.
fn turns(list: &[Value]) -> Vec<(usize, &Value, Vec<&Value>)> {
    let mut turns: Vec<(usize, &Value, Vec<&Value>)> = Vec::new();
    for (index, message) in list.iter().enumerate() {
        // A string is one block of text.
        let blocks = message["content"].as_array().map_or(std::slice::from_ref(&message["content"]), Vec::as_slice);
        match turns.last_mut().filter(|(_, role, _)| **role == message["role"]) {
            Some((last, _, all)) => {
                *last = index;
                all.extend(blocks);
            }
            None => turns.push((index, &message["role"], blocks.iter().collect())),
        }
    }
    turns
}

/// Every result answers a call of the turn before it, and every call has one.
fn pairs(turns: &[(usize, &Value, Vec<&Value>)]) -> Result<(), Refusal> {
    let mut calls: Vec<&str> = Vec::new();
    let mut caller = 0;
    for (index, _, blocks) in turns {
        let ids = |kind: &str, name: &str| -> Vec<&str> {
            blocks.iter().filter(|block| block["type"] == kind).filter_map(|block| block[name].as_str()).collect()
        };
        let results = ids("tool_result", "tool_use_id");
        if let Some(id) = results.iter().find(|id| !calls.contains(id)) {
            return Err(Refusal::invalid(format!(
                "messages.{index}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
            )));
        }
        // Results come before anything else the user says.
        let led = blocks.iter().take(results.len()).all(|block| block["type"] == "tool_result");
        unanswered(caller, calls.iter().filter(|id| !led || !results.contains(id)))?;
        calls = ids("tool_use", "id");
        caller = *index;
    }
    // The conversation may end with a call only to be continued by its model, which cannot be.
    unanswered(caller, calls.iter())
}

fn unanswered<'a>(index: usize, ids: impl Iterator<Item = &'a &'a str>) -> Result<(), Refusal> {
    let ids: Vec<&str> = ids.copied().collect();
    if ids.is_empty() {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: {}. Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
        ids.join(", ")
    )))
}

/// With thinking on, the turn that called tools begins with its thoughts.
fn thought(list: &[Value]) -> Result<(), Refusal> {
    let last = list.iter().enumerate().rev().find(|(_, message)| message["role"] == "assistant");
    let Some((index, message)) = last else { return Ok(()) };
    let blocks = items(&message["content"]);
    let calls = blocks.iter().any(|block| block["type"] == "tool_use");
    let kind = blocks.first().and_then(|block| block["type"].as_str()).unwrap_or("text");
    if !calls || kind.ends_with("thinking") {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "messages.{index}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{kind}`. When `thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks)."
    )))
}
