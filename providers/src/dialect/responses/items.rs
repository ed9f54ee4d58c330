//! The items of a Responses request: messages, calls of functions and their outputs, reasoning.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::call::BadRequest;
use crate::hub::{Audio, Media, Message, Part, Role, ToolResult, located, seal};
use crate::text::{Text, some, str_of};

#[derive(Deserialize)]
struct WireItem<'a> {
    #[serde(borrow)]
    r#type: Option<Text<'a>>,
    #[serde(borrow)]
    role: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    call_id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<Text<'a>>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    #[serde(borrow)]
    summary: Option<Vec<WirePart<'a>>>,
    #[serde(borrow)]
    encrypted_content: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WirePart<'a> {
    #[serde(borrow)]
    r#type: Option<Text<'a>>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    image_url: Option<Text<'a>>,
    #[serde(borrow)]
    detail: Option<Text<'a>>,
    #[serde(borrow)]
    file_id: Option<Text<'a>>,
    #[serde(borrow)]
    file_data: Option<Text<'a>>,
    #[serde(borrow)]
    file_url: Option<Text<'a>>,
    #[serde(borrow)]
    filename: Option<Text<'a>>,
    #[serde(borrow)]
    input_audio: Option<WireAudio<'a>>,
}

#[derive(Deserialize)]
struct WireAudio<'a> {
    #[serde(borrow)]
    data: Text<'a>,
    #[serde(borrow)]
    format: Text<'a>,
}

/// Reads `input`: a string, or items.
pub(super) fn read<'a>(raw: &'a RawValue, messages: &mut Vec<Message<'a>>) -> Result<(), BadRequest> {
    if raw.get().starts_with('"') {
        let text: Text<'a> = serde_json::from_str(raw.get()).map_err(|error| unreadable("input", &error))?;
        add(messages, Role::User, vec![Part::Text(text.0)], 0);
        return Ok(());
    }
    let items: Vec<&'a RawValue> = serde_json::from_str(raw.get()).map_err(|error| unreadable("input", &error))?;
    let mut calls = HashMap::new();
    for (index, raw) in items.into_iter().enumerate() {
        let at = format!("input[{index}]");
        let wire: WireItem<'a> = serde_json::from_str(raw.get()).map_err(|error| unreadable(&at, &error))?;
        let (role, parts) = item(wire, &at, &mut calls)?;
        add(messages, role, parts, index);
    }
    for message in messages.iter_mut().filter(|message| message.role == Role::Assistant) {
        (message.parts, message.text_signature) = seal::unsealed(std::mem::take(&mut message.parts));
    }
    Ok(())
}

/// Items of the model's in a row are one turn of it.
fn add<'a>(messages: &mut Vec<Message<'a>>, role: Role, parts: Vec<Part<'a>>, index: usize) {
    match messages.last_mut().filter(|last| role == Role::Assistant && last.role == role) {
        Some(last) => last.parts.extend(parts),
        None => messages.push(Message { role, name: None, parts, text_signature: None, index }),
    }
}

fn unreadable(at: &str, error: &serde_json::Error) -> BadRequest {
    BadRequest::field(at, format!("`{at}` cannot be read: {error}"))
}

/// The calls made so far, by id, with the names of their functions.
type Calls<'a> = HashMap<Cow<'a, str>, Cow<'a, str>>;

fn item<'a>(wire: WireItem<'a>, at: &str, calls: &mut Calls<'a>) -> Result<(Role, Vec<Part<'a>>), BadRequest> {
    match str_of(wire.r#type.as_ref()) {
        "message" | "" => message(&wire, at),
        "function_call" => {
            let (Some(id), Some(name)) = (wire.call_id, wire.name) else {
                return Err(BadRequest::field(at, format!("`{at}` needs `call_id` and `name`")));
            };
            calls.insert(id.0.clone(), name.0.clone());
            let arguments = wire.arguments.map_or(Cow::Borrowed(""), |text| text.0);
            Ok((Role::Assistant, vec![Part::ToolCall { id: id.0, name: name.0, arguments, signature: None }]))
        }
        "function_call_output" => output(wire, at, calls),
        "reasoning" => Ok((Role::Assistant, reasoning(wire))),
        other => {
            let field = format!("{at}.type");
            let message = format!("`{field}` is `{other}`, which this model's provider does not have");
            Err(BadRequest::field(field, message))
        }
    }
}

fn message<'a>(wire: &WireItem<'a>, at: &str) -> Result<(Role, Vec<Part<'a>>), BadRequest> {
    let role = match str_of(wire.role.as_ref()) {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => {
            let field = format!("{at}.role");
            let message = format!("`{field}` must be system, developer, user or assistant, not `{other}`");
            return Err(BadRequest::field(field, message));
        }
    };
    let field = format!("{at}.content");
    let Some(content) = some(wire.content) else {
        return Err(BadRequest::field(&field, format!("`{field}` is missing")));
    };
    Ok((role, parts(content, &field)?))
}

fn output<'a>(wire: WireItem<'a>, at: &str, calls: &Calls<'a>) -> Result<(Role, Vec<Part<'a>>), BadRequest> {
    let field = format!("{at}.call_id");
    let Some(id) = wire.call_id else {
        return Err(BadRequest::field(&field, format!("`{field}` is missing")));
    };
    let Some(name) = calls.get(&id.0).cloned() else {
        let message = format!("`{field}` is `{}`, but no earlier item made a call with that id", id.as_str());
        return Err(BadRequest::field(field, message));
    };
    let parts = match some(wire.output) {
        Some(raw) => parts(raw, &format!("{at}.output"))?,
        None => Vec::new(),
    };
    Ok((Role::User, vec![Part::ToolResult(ToolResult { id: id.0, name, parts, failed: false })]))
}

/// The gateway's own answers carry a provider's seal as `encrypted_content`.
fn reasoning(wire: WireItem<'_>) -> Vec<Part<'_>> {
    let Some(seal) = wire.encrypted_content.map(|text| text.0) else { return Vec::new() };
    let mut text = String::new();
    wire.summary.iter().flatten().for_each(|part| text.push_str(str_of(part.text.as_ref())));
    vec![Part::Thinking { text: Cow::Owned(text), signature: seal }]
}

fn parts<'a>(raw: &'a RawValue, at: &str) -> Result<Vec<Part<'a>>, BadRequest> {
    if raw.get().starts_with('"') {
        let text: Text<'a> = serde_json::from_str(raw.get()).map_err(|error| unreadable(at, &error))?;
        return Ok(vec![Part::Text(text.0)]);
    }
    let list: Vec<WirePart<'a>> = serde_json::from_str(raw.get()).map_err(|error| unreadable(at, &error))?;
    list.into_iter().enumerate().map(|(number, wire)| part(wire, &format!("{at}[{number}]"))).collect()
}

fn part<'a>(wire: WirePart<'a>, at: &str) -> Result<Part<'a>, BadRequest> {
    let missing = |field: &str| {
        let field = format!("{at}.{field}");
        BadRequest::field(&field, format!("`{field}` is missing"))
    };
    match str_of(wire.r#type.as_ref()) {
        "input_text" | "output_text" | "text" | "summary_text" => {
            Ok(Part::Text(wire.text.ok_or_else(|| missing("text"))?.0))
        }
        "refusal" => Ok(Part::Text(wire.refusal.ok_or_else(|| missing("refusal"))?.0)),
        "input_image" => {
            let media = match (wire.image_url, wire.file_id) {
                (Some(url), _) => located(url.0, &format!("{at}.image_url"))?,
                (None, Some(id)) => Media::Id(id.0),
                (None, None) => return Err(missing("image_url")),
            };
            Ok(Part::Image { media, detail: wire.detail.map(|detail| detail.0) })
        }
        "input_file" => {
            let name = wire.filename.map(|name| name.0);
            let media = match (wire.file_data, wire.file_url, wire.file_id) {
                (Some(data), ..) => located(data.0, &format!("{at}.file_data"))?,
                (None, Some(url), _) => located(url.0, &format!("{at}.file_url"))?,
                (None, None, Some(id)) => Media::Id(id.0),
                (None, None, None) => return Err(missing("file_data")),
            };
            Ok(Part::File { media, name, cited: false })
        }
        "input_audio" => {
            let audio = wire.input_audio.ok_or_else(|| missing("input_audio"))?;
            Ok(Part::Audio(Audio { format: audio.format.0, data: audio.data.0 }))
        }
        other => {
            let field = format!("{at}.type");
            Err(BadRequest::field(&field, format!("`{field}` is `{other}`, which is not a part of an item")))
        }
    }
}
