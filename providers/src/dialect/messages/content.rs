//! The content blocks of a Messages request.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::call::BadRequest;
use crate::hub::{Blob, CacheMark, Media, Message, Part, Role, ToolResult, WireCache, asks_for_citations, seal};
use crate::text::{Text, some, str_of};

#[derive(Deserialize)]
struct WireMessage<'a> {
    #[serde(borrow)]
    role: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireBlock<'a> {
    #[serde(borrow)]
    r#type: Option<Text<'a>>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    source: Option<WireSource<'a>>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_use_id: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    is_error: Option<bool>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
    cache_control: Option<WireCache>,
    #[serde(borrow)]
    citations: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireSource<'a> {
    #[serde(borrow)]
    r#type: Option<Text<'a>>,
    #[serde(borrow)]
    media_type: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    url: Option<Text<'a>>,
    #[serde(borrow)]
    file_id: Option<Text<'a>>,
}

/// The calls made so far, by id, with the names of their tools.
type Calls<'a> = HashMap<Cow<'a, str>, Cow<'a, str>>;

/// `system`: a string, or blocks of text.
pub(super) fn system(raw: &RawValue) -> Result<Vec<Part<'_>>, BadRequest> {
    blocks(raw, "system", &mut Calls::new())
}

/// Reads all messages.
pub(super) fn conversation<'a>(raw: &[&'a RawValue], messages: &mut Vec<Message<'a>>) -> Result<(), BadRequest> {
    let mut calls = Calls::new();
    for (index, raw) in raw.iter().enumerate() {
        let at = format!("messages[{index}]");
        let wire: WireMessage<'a> = serde_json::from_str(raw.get()).map_err(|error| unreadable(&at, &error))?;
        let role = match str_of(wire.role.as_ref()) {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            other => {
                let message = format!("`{at}.role` must be user or assistant, not `{other}`");
                return Err(BadRequest::field(format!("{at}.role"), message));
            }
        };
        let field = format!("{at}.content");
        let Some(content) = some(wire.content) else {
            return Err(BadRequest::field(&field, format!("`{field}` is missing")));
        };
        let (parts, text_signature) = seal::unsealed(blocks(content, &field, &mut calls)?);
        messages.push(Message { role, name: None, parts, text_signature, index });
    }
    Ok(())
}

fn unreadable(at: &str, error: &serde_json::Error) -> BadRequest {
    BadRequest::field(at, format!("`{at}` cannot be read: {error}"))
}

fn blocks<'a>(raw: &'a RawValue, at: &str, calls: &mut Calls<'a>) -> Result<Vec<Part<'a>>, BadRequest> {
    if raw.get().starts_with('"') {
        let text: Text<'a> = serde_json::from_str(raw.get()).map_err(|error| unreadable(at, &error))?;
        return Ok(vec![Part::Text(text.0)]);
    }
    let list: Vec<WireBlock<'a>> = serde_json::from_str(raw.get()).map_err(|error| unreadable(at, &error))?;
    let mut parts = Vec::with_capacity(list.len());
    for (number, mut wire) in list.into_iter().enumerate() {
        let cache = wire.cache_control.take();
        parts.push(block(wire, &format!("{at}[{number}]"), calls)?);
        parts.extend(cache.map(|cache| Part::Cache(CacheMark { ttl: cache.ttl })));
    }
    Ok(parts)
}

fn block<'a>(wire: WireBlock<'a>, at: &str, calls: &mut Calls<'a>) -> Result<Part<'a>, BadRequest> {
    let missing = |field: &str| {
        let field = format!("{at}.{field}");
        BadRequest::field(&field, format!("`{field}` is missing"))
    };
    let or_empty = |text: Option<Text<'a>>| text.map_or(Cow::Borrowed(""), |text| text.0);
    match str_of(wire.r#type.as_ref()) {
        "text" => Ok(Part::Text(wire.text.ok_or_else(|| missing("text"))?.0)),
        "image" => {
            let source = wire.source.ok_or_else(|| missing("source"))?;
            Ok(Part::Image { media: media(source, at)?, detail: None })
        }
        "document" => {
            let source = wire.source.ok_or_else(|| missing("source"))?;
            let name = wire.title.map(|title| title.0);
            let cited = asks_for_citations(wire.citations);
            if str_of(source.r#type.as_ref()) == "text" {
                let text = source.data.ok_or_else(|| missing("source.data"))?.0;
                return Ok(if cited { Part::File { media: Media::Text(text), name, cited } } else { Part::Text(text) });
            }
            Ok(Part::File { media: media(source, at)?, name, cited })
        }
        "tool_use" => {
            let (Some(id), Some(name)) = (wire.id, wire.name) else {
                return Err(BadRequest::field(at, format!("`{at}` needs `id` and `name`")));
            };
            calls.insert(id.0.clone(), name.0.clone());
            let arguments = some(wire.input).map_or(Cow::Borrowed("{}"), |input| Cow::Borrowed(input.get()));
            Ok(Part::ToolCall { id: id.0, name: name.0, arguments, signature: None })
        }
        "tool_result" => tool_result(wire, at, calls),
        "thinking" => Ok(Part::Thinking { text: or_empty(wire.thinking), signature: or_empty(wire.signature) }),
        "redacted_thinking" => Ok(Part::Redacted(or_empty(wire.data))),
        other => {
            let field = format!("{at}.type");
            let message = format!("`{field}` is `{other}`, which cannot be translated for this model's provider");
            Err(BadRequest::field(field, message))
        }
    }
}

fn tool_result<'a>(wire: WireBlock<'a>, at: &str, calls: &mut Calls<'a>) -> Result<Part<'a>, BadRequest> {
    let field = format!("{at}.tool_use_id");
    let Some(id) = wire.tool_use_id else {
        return Err(BadRequest::field(&field, format!("`{field}` is missing")));
    };
    let Some(name) = calls.get(&id.0).cloned() else {
        let message = format!("`{field}` is `{}`, but no earlier message made a call with that id", id.as_str());
        return Err(BadRequest::field(field, message));
    };
    let parts = match some(wire.content) {
        Some(raw) => blocks(raw, &format!("{at}.content"), calls)?,
        None => Vec::new(),
    };
    Ok(Part::ToolResult(ToolResult { id: id.0, name, parts, failed: wire.is_error.unwrap_or(false) }))
}

fn media<'a>(source: WireSource<'a>, at: &str) -> Result<Media<'a>, BadRequest> {
    let at = format!("{at}.source");
    match (str_of(source.r#type.as_ref()), source.data, source.media_type) {
        ("base64", Some(data), Some(kind)) => Ok(Media::Data(Blob { media_type: kind.0, data: data.0 })),
        ("url", ..) if source.url.is_some() => Ok(Media::Url(source.url.map_or(Cow::Borrowed(""), |url| url.0))),
        ("file", ..) if source.file_id.is_some() => Ok(Media::Id(source.file_id.map_or(Cow::Borrowed(""), |id| id.0))),
        _ => {
            let message = format!("`{at}` must be base64 with `media_type` and `data`, or url with `url`");
            Err(BadRequest::field(at, message))
        }
    }
}
