//! Messages and their parts as Converse's content blocks.

use serde_json::{Value, json};

use crate::adapter::TranslateError;
use crate::hub::{
    Blob, CacheMark, ChatRequest, Media, Message, Part, ToolResult, arguments, legal, trimmed, turns, untranslatable,
};

/// A mark up to which the prompt is cached.
pub(super) fn cache_point(mark: &CacheMark) -> Value {
    match &mark.ttl {
        Some(ttl) => json!({"cachePoint": {"type": "default", "ttl": ttl}}),
        None => json!({"cachePoint": {"type": "default"}}),
    }
}

/// What is known while a conversation is written.
struct Writer {
    /// Documents so far.
    documents: u32,
    /// The model seals its reasoning, and knows its seals.
    seals: bool,
}

/// The `system` blocks and the `messages`.
pub(super) fn conversation(request: &ChatRequest<'_>, seals: bool) -> Result<(Vec<Value>, Vec<Value>), TranslateError> {
    let mut writer = Writer { documents: 0, seals };
    let (system, turns) = turns(request, |message| blocks(&message.parts, message, &mut writer))?;
    Ok((system, trimmed(turns)))
}

fn blocks(parts: &[Part<'_>], message: &Message<'_>, writer: &mut Writer) -> Result<Vec<Value>, TranslateError> {
    let mut blocks = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            // The API takes no empty text, and no reasoning without its seal.
            Part::Text(text) if text.trim().is_empty() => {}
            Part::Thinking { signature, .. } if signature.is_empty() || !writer.seals => {}
            Part::Redacted(_) if !writer.seals => {}
            Part::Cache(_) if blocks.is_empty() => {}
            _ => blocks.push(block(part, message, writer)?),
        }
    }
    Ok(blocks)
}

fn block(part: &Part<'_>, message: &Message<'_>, writer: &mut Writer) -> Result<Value, TranslateError> {
    Ok(match part {
        Part::Text(text) => json!({"text": text}),
        Part::Image { media, .. } => json!({"image": image(media, message)?}),
        Part::File { media: media @ (Media::Data(_) | Media::Text(_)), name, cited } => {
            writer.documents += 1;
            let (format, source) = match media {
                Media::Data(blob) => (document_format(blob, message)?, json!({"bytes": blob.data})),
                Media::Text(text) | Media::Url(text) | Media::Id(text) => ("txt", json!({"text": text})),
            };
            let name = legal_name(name.as_deref(), writer.documents);
            let mut document = json!({"format": format, "name": name, "source": source});
            if *cited {
                document["citations"] = json!({"enabled": true});
            }
            json!({"document": document})
        }
        Part::Thinking { text, signature } => {
            json!({"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}})
        }
        Part::Redacted(data) => json!({"reasoningContent": {"redactedContent": data}}),
        Part::ToolCall { id, name, arguments: text, .. } => {
            json!({"toolUse": {"toolUseId": legal(id), "name": name, "input": arguments(text, message)?}})
        }
        Part::ToolResult(result) => json!({"toolResult": tool_result(result, message, writer)?}),
        Part::Cache(mark) => cache_point(mark),
        Part::File { .. } => return Err(untranslatable(message, "files but as data").into()),
        Part::Audio(_) => return Err(untranslatable(message, "sound").into()),
    })
}

fn tool_result(result: &ToolResult<'_>, message: &Message<'_>, writer: &mut Writer) -> Result<Value, TranslateError> {
    let parts: Vec<Part<'_>> = result.parts.iter().filter(|part| !matches!(part, Part::Cache(_))).cloned().collect();
    let mut content = blocks(&parts, message, writer)?;
    if content.is_empty() {
        content.push(json!({"text": "(empty)"}));
    }
    let mut wire = json!({"toolUseId": legal(&result.id), "content": content});
    if result.failed {
        wire["status"] = "error".into();
    }
    Ok(wire)
}

fn image(media: &Media<'_>, message: &Message<'_>) -> Result<Value, TranslateError> {
    let (format, source) = match media {
        Media::Data(blob) => (blob.media_type.strip_prefix("image/"), json!({"bytes": blob.data})),
        Media::Url(url) if url.starts_with("s3://") => {
            (url.rsplit_once('.').map(|(_, extension)| extension), json!({"s3Location": {"uri": url}}))
        }
        _ => {
            let what = "images by URL but s3, and the gateway fetches none: send the image as a `data:` URL";
            return Err(untranslatable(message, what).into());
        }
    };
    let format = match format {
        Some("jpg" | "jpeg") => "jpeg",
        Some("png") => "png",
        Some("gif") => "gif",
        Some("webp") => "webp",
        _ => return Err(untranslatable(message, "images but png, jpeg, gif and webp").into()),
    };
    Ok(json!({"format": format, "source": source}))
}

fn document_format(blob: &Blob<'_>, message: &Message<'_>) -> Result<&'static str, TranslateError> {
    Ok(match blob.media_type.as_ref() {
        "application/pdf" => "pdf",
        "text/csv" => "csv",
        "application/msword" => "doc",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
        "application/vnd.ms-excel" => "xls",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
        "text/html" => "html",
        "text/plain" => "txt",
        "text/markdown" => "md",
        other => return Err(untranslatable(message, &format!("files of type {other}")).into()),
    })
}

/// Names are of letters, digits, single blanks and a few signs, and must differ.
fn legal_name(name: Option<&str>, number: u32) -> String {
    let name = name.map_or("document", |name| name.rsplit_once('.').map_or(name, |(stem, _)| stem));
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(150).collect();
    format!("{plain}-{number}")
}
