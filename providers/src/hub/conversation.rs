//! The messages of a chat completions request, typed and checked.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::parse::WireCache;
use crate::call::BadRequest;
use crate::hub::message::{Audio, Blob, CacheMark, Media, Message, Part, Role, ToolResult};
use crate::text::{Text, some, str_of};

#[derive(Deserialize)]
struct WireMessage<'a> {
    #[serde(borrow)]
    role: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<WireToolCall<'a>>>,
    #[serde(borrow)]
    tool_call_id: Option<Text<'a>>,
    #[serde(borrow)]
    thinking_blocks: Option<Vec<WireThinking<'a>>>,
    cache_control: Option<WireCache>,
    #[serde(borrow)]
    extra_content: Option<Extra<'a>>,
}

#[derive(Deserialize)]
struct WireToolCall<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    function: Option<WireFunction<'a>>,
    #[serde(borrow)]
    extra_content: Option<Extra<'a>>,
}

#[derive(Deserialize)]
struct WireFunction<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    arguments: Option<Text<'a>>,
}

/// Where Google's own `OpenAI` endpoint puts its seals.
#[derive(Deserialize)]
struct Extra<'a> {
    #[serde(borrow)]
    google: Option<Google<'a>>,
}

#[derive(Deserialize)]
struct Google<'a> {
    #[serde(borrow)]
    thought_signature: Option<Text<'a>>,
}

impl<'a> Extra<'a> {
    /// The seal, if there is one.
    fn seal(self) -> Option<Cow<'a, str>> {
        self.google?.thought_signature.map(|seal| seal.0)
    }
}

#[derive(Deserialize)]
struct WireThinking<'a> {
    #[serde(borrow)]
    r#type: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
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
    image_url: Option<&'a RawValue>,
    #[serde(borrow)]
    input_audio: Option<WireAudio<'a>>,
    #[serde(borrow)]
    file: Option<WireFile<'a>>,
    cache_control: Option<WireCache>,
    #[serde(borrow)]
    citations: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireImage<'a> {
    #[serde(borrow)]
    url: Text<'a>,
    #[serde(borrow)]
    detail: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireAudio<'a> {
    #[serde(borrow)]
    data: Text<'a>,
    #[serde(borrow)]
    format: Text<'a>,
}

#[derive(Deserialize)]
struct WireFile<'a> {
    #[serde(borrow)]
    file_data: Option<Text<'a>>,
    #[serde(borrow)]
    file_id: Option<Text<'a>>,
    #[serde(borrow)]
    filename: Option<Text<'a>>,
}

/// The calls made so far, by id, with the names of their tools.
type Calls<'a> = HashMap<Cow<'a, str>, Cow<'a, str>>;

/// Reads all messages.
pub(super) fn read<'a>(raw: &[&'a RawValue]) -> Result<Vec<Message<'a>>, BadRequest> {
    let mut calls = Calls::new();
    raw.iter().enumerate().map(|(index, raw)| message(raw, index, &mut calls)).collect()
}

fn unreadable(at: &str, error: &serde_json::Error) -> BadRequest {
    BadRequest::field(at, format!("`{at}` cannot be read: {error}"))
}

fn message<'a>(raw: &'a RawValue, index: usize, calls: &mut Calls<'a>) -> Result<Message<'a>, BadRequest> {
    let at = format!("messages[{index}]");
    let wire: WireMessage<'a> = serde_json::from_str(raw.get()).map_err(|error| unreadable(&at, &error))?;
    let role = match str_of(wire.role.as_ref()) {
        "system" | "developer" => Role::System,
        "user" | "tool" => Role::User,
        "assistant" => Role::Assistant,
        other => {
            let message = format!("`{at}.role` must be system, developer, user, assistant or tool, not `{other}`");
            return Err(BadRequest::field(format!("{at}.role"), message));
        }
    };
    let is_tool = str_of(wire.role.as_ref()) == "tool";
    let mut parts = Vec::new();
    for thinking in wire.thinking_blocks.into_iter().flatten() {
        let text = |text: Option<Text<'a>>| text.map_or(Cow::Borrowed(""), |text| text.0);
        parts.push(match str_of(thinking.r#type.as_ref()) {
            "redacted_thinking" => Part::Redacted(text(thinking.data)),
            _ => Part::Thinking { text: text(thinking.thinking), signature: text(thinking.signature) },
        });
    }
    content(wire.content, &at, &mut parts)?;
    parts.extend(wire.refusal.map(|refusal| Part::Text(refusal.0)));
    for (number, call) in wire.tool_calls.into_iter().flatten().enumerate() {
        parts.push(tool_call(call, &format!("{at}.tool_calls[{number}]"), calls)?);
    }
    if is_tool {
        parts = vec![tool_result(wire.tool_call_id, parts, &at, calls)?];
    }
    parts.extend(wire.cache_control.map(|cache| Part::Cache(CacheMark { ttl: cache.ttl })));
    let name = wire.name.map(|name| name.0);
    Ok(Message { role, name, parts, text_signature: wire.extra_content.and_then(Extra::seal), index })
}

fn tool_call<'a>(call: WireToolCall<'a>, at: &str, calls: &mut Calls<'a>) -> Result<Part<'a>, BadRequest> {
    let (Some(function), Some(id)) = (call.function, call.id) else {
        return Err(BadRequest::field(at, format!("`{at}` needs `id` and `function`")));
    };
    calls.insert(id.0.clone(), function.name.0.clone());
    Ok(Part::ToolCall {
        id: id.0,
        name: function.name.0,
        arguments: function.arguments.map_or(Cow::Borrowed(""), |arguments| arguments.0),
        signature: call.extra_content.and_then(Extra::seal),
    })
}

fn tool_result<'a>(
    id: Option<Text<'a>>,
    parts: Vec<Part<'a>>,
    at: &str,
    calls: &Calls<'a>,
) -> Result<Part<'a>, BadRequest> {
    let field = format!("{at}.tool_call_id");
    let Some(id) = id else {
        return Err(BadRequest::field(&field, format!("`{field}` is missing")));
    };
    let Some(name) = calls.get(&id.0).cloned() else {
        let message = format!("`{field}` is `{}`, but no earlier message made a call with that id", id.as_str());
        return Err(BadRequest::field(field, message));
    };
    Ok(Part::ToolResult(ToolResult { id: id.0, name, parts, failed: false }))
}

fn content<'a>(raw: Option<&'a RawValue>, at: &str, parts: &mut Vec<Part<'a>>) -> Result<(), BadRequest> {
    let Some(raw) = some(raw) else { return Ok(()) };
    let at = format!("{at}.content");
    if raw.get().starts_with('"') {
        let text: Text<'a> = serde_json::from_str(raw.get()).map_err(|error| unreadable(&at, &error))?;
        parts.push(Part::Text(text.0));
        return Ok(());
    }
    let list: Vec<WirePart<'a>> = serde_json::from_str(raw.get()).map_err(|error| unreadable(&at, &error))?;
    for (number, wire) in list.into_iter().enumerate() {
        let at = format!("{at}[{number}]");
        let cache = wire.cache_control.as_ref().map(|cache| CacheMark { ttl: cache.ttl.clone() });
        parts.push(part(wire, &at)?);
        parts.extend(cache.map(Part::Cache));
    }
    Ok(())
}

fn part<'a>(wire: WirePart<'a>, at: &str) -> Result<Part<'a>, BadRequest> {
    let missing = |field: &str| {
        let field = format!("{at}.{field}");
        BadRequest::field(&field, format!("`{field}` is missing"))
    };
    match str_of(wire.r#type.as_ref()) {
        "text" | "input_text" | "output_text" => Ok(Part::Text(wire.text.ok_or_else(|| missing("text"))?.0)),
        "refusal" => Ok(Part::Text(wire.refusal.ok_or_else(|| missing("refusal"))?.0)),
        "image_url" => image(some(wire.image_url).ok_or_else(|| missing("image_url"))?, at),
        "input_audio" => {
            let audio = wire.input_audio.ok_or_else(|| missing("input_audio"))?;
            Ok(Part::Audio(Audio { format: audio.format.0, data: audio.data.0 }))
        }
        "file" => file(wire.file.ok_or_else(|| missing("file"))?, asks_for_citations(wire.citations), at),
        other => {
            let message = format!("`{at}.type` must be text, image_url, input_audio, file or refusal, not `{other}`");
            Err(BadRequest::field(format!("{at}.type"), message))
        }
    }
}

fn image<'a>(raw: &'a RawValue, at: &str) -> Result<Part<'a>, BadRequest> {
    let at = format!("{at}.image_url");
    let (url, detail) = if raw.get().starts_with('"') {
        (serde_json::from_str::<Text<'a>>(raw.get()).map_err(|error| unreadable(&at, &error))?, None)
    } else {
        let image: WireImage<'a> = serde_json::from_str(raw.get()).map_err(|error| unreadable(&at, &error))?;
        (image.url, image.detail.map(|detail| detail.0))
    };
    Ok(Part::Image { media: located(url.0, &format!("{at}.url"))?, detail })
}

/// Anthropic's `citations` of a document, also taken in chat requests as an extension.
pub(crate) fn asks_for_citations(raw: Option<&RawValue>) -> bool {
    #[derive(Deserialize)]
    struct Citations {
        enabled: bool,
    }
    raw.and_then(|raw| serde_json::from_str::<Citations>(raw.get()).ok()).is_some_and(|citations| citations.enabled)
}

fn file<'a>(file: WireFile<'a>, cited: bool, at: &str) -> Result<Part<'a>, BadRequest> {
    let at = format!("{at}.file");
    let name = file.filename.map(|name| name.0);
    let media = match (file.file_data, file.file_id) {
        (Some(data), _) => located(data.0, &format!("{at}.file_data"))?,
        (None, Some(id)) => Media::Id(id.0),
        (None, None) => return Err(BadRequest::field(&at, format!("`{at}` needs `file_data` or `file_id`"))),
    };
    Ok(Part::File { media, name, cited })
}

/// A URL, or the data of a `data:` URL (RFC 2397) in base64.
pub(crate) fn located<'a>(url: Cow<'a, str>, at: &str) -> Result<Media<'a>, BadRequest> {
    let Some(rest) = url.strip_prefix("data:") else {
        if url.starts_with("https://")
            || url.starts_with("http://")
            || url.starts_with("gs://")
            || url.starts_with("s3://")
        {
            return Ok(Media::Url(url));
        }
        let message = format!("`{at}` must be an http or https URL, or a `data:` URL with base64");
        return Err(BadRequest::field(at, message));
    };
    let Some((head, _)) = rest.split_once(',').filter(|(head, _)| head.ends_with(";base64")) else {
        let message = format!("`{at}` must be of the form data:<type>;base64,<data>");
        return Err(BadRequest::field(at, message));
    };
    let kind = head.split(';').next().unwrap_or_default().len();
    let start = "data:".len() + head.len() + 1;
    let (media_type, data) = match url {
        Cow::Borrowed(url) => (
            Cow::Borrowed(url.get(5..5 + kind).unwrap_or_default()),
            Cow::Borrowed(url.get(start..).unwrap_or_default()),
        ),
        Cow::Owned(url) => (
            Cow::Owned(url.get(5..5 + kind).unwrap_or_default().to_owned()),
            Cow::Owned(url.get(start..).unwrap_or_default().to_owned()),
        ),
    };
    if media_type.is_empty() {
        return Err(BadRequest::field(at, format!("`{at}` does not say its media type")));
    }
    Ok(Media::Data(Blob { media_type, data }))
}
