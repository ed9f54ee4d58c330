//! Messages and their parts as Gemini's contents.

use serde_json::{Value, json};

use super::generation::Generation;
use crate::adapter::TranslateError;
use crate::hub::{ChatRequest, Media, Message, Part, Role, ToolResult, arguments, turns, untranslatable};

/// What Google says to send in place of a seal that was never given or has been lost.
const NO_SEAL: &str = "skip_thought_signature_validator";

/// How a platform wants conversations.
#[derive(Clone, Copy)]
pub(super) struct Style {
    pub(super) generation: Generation,
    /// Calls and results carry ids; else they are matched by name and order.
    pub(super) ids: bool,
}

/// The parts of the system instruction, and the contents.
pub(super) fn conversation(
    request: &ChatRequest<'_>,
    style: Style,
) -> Result<(Vec<Value>, Vec<Value>), TranslateError> {
    let (system, turns) = turns(request, |message| parts(message, style))?;
    let name = |role| if role == Role::Assistant { "model" } else { "user" };
    let contents = turns.into_iter().map(|(role, parts)| json!({"role": name(role), "parts": parts}));
    Ok((system, contents.collect()))
}

fn parts(message: &Message<'_>, style: Style) -> Result<Vec<Value>, TranslateError> {
    let mut parts = Vec::with_capacity(message.parts.len());
    let mut last_text = None;
    let mut calls = 0;
    for part in &message.parts {
        match part {
            Part::Text(said) if said.is_empty() => {}
            Part::Text(said) => {
                last_text = Some(parts.len());
                parts.push(json!({"text": said}));
            }
            Part::Image { media, .. } => parts.push(file(media, "image/jpeg", message)?),
            Part::File { media, .. } => parts.push(file(media, "application/pdf", message)?),
            Part::Audio(audio) => {
                parts.push(json!({"inlineData": {"mimeType": format!("audio/{}", audio.format), "data": audio.data}}));
            }
            Part::ToolCall { id, name, arguments: text, signature } => {
                let call = json!({"name": name, "args": arguments(text, message)?});
                let seal = signature.as_deref();
                parts.push(sealed_call(call, id, seal.or((calls == 0).then_some(NO_SEAL)), seal.is_some(), style));
                calls += 1;
            }
            Part::ToolResult(result) => results(result, style, message, &mut parts)?,
            // Reasoning is only ever shown in part: what counts of it are the seals.
            Part::Thinking { .. } | Part::Redacted(_) | Part::Cache(_) => {}
        }
    }
    if let Some(seal) = &message.text_signature {
        match last_text.and_then(|at: usize| parts.get_mut(at)) {
            Some(part) => part["thoughtSignature"] = seal.as_ref().into(),
            // Streams bring the seal in a part of its own, with no text in it: it goes back as it came.
            None => parts.push(json!({"text": "", "thoughtSignature": seal})),
        }
    }
    Ok(parts)
}

fn sealed_call(mut call: Value, id: &str, seal: Option<&str>, own: bool, style: Style) -> Value {
    if style.ids {
        call["id"] = id.into();
    }
    let mut part = json!({"functionCall": call});
    if let Some(seal) = seal.filter(|_| own || style.generation.levels()) {
        part["thoughtSignature"] = seal.into();
    }
    part
}

fn results(
    result: &ToolResult<'_>,
    style: Style,
    message: &Message<'_>,
    parts: &mut Vec<Value>,
) -> Result<(), TranslateError> {
    let text: String = result
        .parts
        .iter()
        .filter_map(|part| if let Part::Text(text) = part { Some(text.as_ref()) } else { None })
        .collect();
    let object = serde_json::from_str::<Value>(&text).ok().filter(Value::is_object);
    let response = match (result.failed, object) {
        (true, _) => json!({"error": text}),
        (false, Some(object)) => object,
        (false, None) => json!({"output": text}),
    };
    let mut wire = json!({"name": result.name, "response": response});
    if style.ids {
        wire["id"] = result.id.as_ref().into();
    }
    parts.push(json!({"functionResponse": wire}));
    for part in &result.parts {
        match part {
            Part::Image { media, .. } => parts.push(file(media, "image/jpeg", message)?),
            Part::File { media, .. } => parts.push(file(media, "application/pdf", message)?),
            _ => {}
        }
    }
    Ok(())
}

/// `guess` is the type of what a URL does not name.
fn file(media: &Media<'_>, guess: &str, message: &Message<'_>) -> Result<Value, TranslateError> {
    Ok(match media {
        Media::Data(blob) => json!({"inlineData": {"mimeType": blob.media_type, "data": blob.data}}),
        Media::Url(url) if url.starts_with("s3://") => {
            return Err(untranslatable(message, "URLs but http, https and gs").into());
        }
        Media::Url(url) => json!({"fileData": {"mimeType": by_name(url).unwrap_or(guess), "fileUri": url}}),
        Media::Text(text) => json!({"text": text}),
        Media::Id(_) => return Err(untranslatable(message, "files by id").into()),
    })
}

/// The media type that the end of a URL's path tells.
fn by_name(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next()?;
    let (_, extension) = path.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "heic" => "image/heic",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "mp3" => "audio/mp3",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        _ => return None,
    })
}
