//! A conversation of the hub's as chat messages.

use serde_json::{Value, json};

use crate::hub::{Media, Message, Part, Role, ToolResult};

/// All messages. Results of tools are messages of their own, and come right after the calls.
pub(super) fn messages(turns: &[Message<'_>]) -> Vec<Value> {
    let mut all = Vec::with_capacity(turns.len());
    for turn in turns {
        match turn.role {
            Role::Assistant => all.extend(assistant(turn)),
            Role::System => all.extend(said("system", turn)),
            Role::User => {
                let results = turn.parts.iter().filter_map(|part| match part {
                    Part::ToolResult(result) => Some(result),
                    _ => None,
                });
                results.for_each(|result| tool_result(result, &mut all));
                all.extend(said("user", turn));
            }
        }
    }
    all
}

/// A message that is not the model's; `None` if nothing is left to say in it.
fn said(role: &str, turn: &Message<'_>) -> Option<Value> {
    let parts: Vec<Value> = turn.parts.iter().filter_map(content).collect();
    let mut message = json!({"role": role, "content": plain(parts)?});
    if let Some(name) = &turn.name {
        message["name"] = json!(name);
    }
    Some(message)
}

/// Content as the string it can be, else as parts; `None` if there is none.
fn plain(parts: Vec<Value>) -> Option<Value> {
    if parts.is_empty() {
        return None;
    }
    if let [only] = parts.as_slice()
        && only["type"] == "text"
    {
        return Some(only["text"].clone());
    }
    Some(parts.into())
}

fn assistant(turn: &Message<'_>) -> Option<Value> {
    let (mut text, mut calls) = (String::new(), Vec::new());
    for part in &turn.parts {
        match part {
            Part::Text(more) => text.push_str(more),
            Part::ToolCall { id, name, arguments, .. } => {
                let arguments = if arguments.trim().is_empty() { "{}" } else { arguments };
                let function = json!({"name": name, "arguments": arguments});
                calls.push(json!({"id": id, "type": "function", "function": function}));
            }
            // Reasoning is sealed for the provider that made it.
            _ => {}
        }
    }
    if text.is_empty() && calls.is_empty() {
        return None;
    }
    let content = if text.is_empty() { Value::Null } else { text.into() };
    let mut message = json!({"role": "assistant", "content": content});
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    Some(message)
}

/// The result, and what of it only a user can say.
fn tool_result(result: &ToolResult<'_>, all: &mut Vec<Value>) {
    let (mut text, mut shown) = (String::new(), Vec::new());
    for part in &result.parts {
        match part {
            Part::Text(more) => {
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(more);
            }
            other => shown.extend(content(other)),
        }
    }
    if result.failed {
        text = format!("Error: {text}");
    }
    all.push(json!({"role": "tool", "tool_call_id": result.id, "content": text}));
    if !shown.is_empty() {
        all.push(json!({"role": "user", "content": shown}));
    }
}

fn content(part: &Part<'_>) -> Option<Value> {
    Some(match part {
        Part::Text(text) | Part::File { media: Media::Text(text), .. } => json!({"type": "text", "text": text}),
        Part::Image { media, detail } => {
            let mut image = json!({"url": url(media)});
            if let Some(detail) = detail {
                image["detail"] = json!(detail);
            }
            json!({"type": "image_url", "image_url": image})
        }
        Part::File { media: Media::Id(id), .. } => json!({"type": "file", "file": {"file_id": id}}),
        Part::File { media, name, .. } => {
            let name = name.as_deref().unwrap_or("document.pdf");
            json!({"type": "file", "file": {"filename": name, "file_data": url(media)}})
        }
        Part::Audio(audio) => {
            json!({"type": "input_audio", "input_audio": {"data": audio.data, "format": audio.format}})
        }
        _ => return None,
    })
}

fn url(media: &Media<'_>) -> String {
    match media {
        Media::Url(url) | Media::Id(url) | Media::Text(url) => url.to_string(),
        Media::Data(blob) => format!("data:{};base64,{}", blob.media_type, blob.data),
    }
}
