//! Messages and their parts as Anthropic's content blocks.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::adapter::TranslateError;
use crate::hub::{CacheMark, ChatRequest, Media, Message, Part, arguments, legal, trimmed, turns, untranslatable};

/// `cache_control`.
pub(super) fn cache_control(mark: &CacheMark) -> Value {
    match &mark.ttl {
        Some(ttl) => json!({"type": "ephemeral", "ttl": ttl}),
        None => json!({"type": "ephemeral"}),
    }
}

/// The `system` blocks and the `messages`.
pub(super) fn conversation(request: &ChatRequest<'_>) -> Result<(Vec<Value>, Vec<Value>), TranslateError> {
    let (system, turns) = turns(request, |message| blocks(&message.parts, message))?;
    Ok((system, trimmed(turns)))
}

fn blocks(parts: &[Part<'_>], message: &Message<'_>) -> Result<Vec<Value>, TranslateError> {
    let mut blocks: Vec<Value> = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            Part::Cache(mark) => {
                if let Some(block) = blocks.last_mut() {
                    block["cache_control"] = cache_control(mark);
                }
            }
            // The API takes no empty text, and no reasoning without its seal.
            Part::Text(text) if text.trim().is_empty() => {}
            Part::Thinking { signature, .. } if signature.is_empty() => {}
            _ => blocks.push(block(part, message)?),
        }
    }
    Ok(blocks)
}

fn block(part: &Part<'_>, message: &Message<'_>) -> Result<Value, TranslateError> {
    Ok(match part {
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::Image { media, .. } => json!({"type": "image", "source": source(media, message)?}),
        Part::File { media, name, cited } => {
            let mut document = json!({"type": "document", "source": source(media, message)?});
            if let Some(name) = name {
                document["title"] = name.as_ref().into();
            }
            if *cited {
                document["citations"] = json!({"enabled": true});
            }
            document
        }
        Part::Thinking { text, signature } => json!({"type": "thinking", "thinking": text, "signature": signature}),
        Part::Redacted(data) => json!({"type": "redacted_thinking", "data": data}),
        Part::ToolCall { id, name, arguments: text, .. } => {
            json!({"type": "tool_use", "id": legal(id), "name": name, "input": arguments(text, message)?})
        }
        Part::ToolResult(result) => {
            let mut wire = json!({"type": "tool_result", "tool_use_id": legal(&result.id)});
            let content = blocks(&result.parts, message)?;
            if !content.is_empty() {
                wire["content"] = content.into();
            }
            if result.failed {
                wire["is_error"] = true.into();
            }
            wire
        }
        Part::Audio(_) | Part::Cache(_) => return Err(untranslatable(message, "sound").into()),
    })
}

fn source(media: &Media<'_>, message: &Message<'_>) -> Result<Value, TranslateError> {
    Ok(match media {
        Media::Url(url) if url.starts_with("https:") => json!({"type": "url", "url": url}),
        Media::Url(_) => return Err(untranslatable(message, "URLs but https").into()),
        Media::Data(blob) if blob.media_type == "text/plain" => {
            let text = STANDARD.decode(blob.data.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let text = text.ok_or_else(|| untranslatable(message, "text that is not UTF-8 in base64"))?;
            json!({"type": "text", "media_type": "text/plain", "data": text})
        }
        Media::Data(blob) => json!({"type": "base64", "media_type": blob.media_type, "data": blob.data}),
        Media::Text(text) => json!({"type": "text", "media_type": "text/plain", "data": text}),
        Media::Id(_) => return Err(untranslatable(message, "files by id").into()),
    })
}
