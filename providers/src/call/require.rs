//! The fields without which a request is none, with the JSON they may begin with.

use serde_json::value::RawValue;

use super::Top;
use crate::call::{BadRequest, optional};
use crate::endpoint::Endpoint;
use crate::text::some;

/// A field: its name, its JSON, how that may begin, and what it must be in words.
type Needed<'a> = (&'static str, Option<&'a RawValue>, &'static str, &'static str);

/// Checks the fields that make the request.
pub(super) fn fields(endpoint: Endpoint, top: &Top<'_>) -> Result<(), BadRequest> {
    let text = "a string or an array";
    match endpoint {
        Endpoint::ChatCompletions | Endpoint::CountTokens => {
            field(("messages", top.messages, "[", "an array of messages"))
        }
        Endpoint::Messages => {
            field(("messages", top.messages, "[", "an array of messages"))?;
            field(("max_tokens", top.max_tokens, "0123456789", "a number of 0 or more"))
        }
        Endpoint::Completions => field(("prompt", top.prompt, "[\"", text)),
        Endpoint::Responses => responses(top),
        Endpoint::Embeddings | Endpoint::Moderations => field(("input", top.input, "[\"", text)),
        Endpoint::Speech => field(("input", top.input, "\"", "a string")),
        Endpoint::Images => field(("prompt", top.prompt, "\"", "a string")),
        Endpoint::Rerank => {
            field(("query", top.query, "\"", "a string"))?;
            field(("documents", top.documents, "[", "an array"))
        }
        Endpoint::Transcriptions => Ok(()),
    }
}

fn responses(top: &Top<'_>) -> Result<(), BadRequest> {
    if optional::<bool>(top.background, "background", "true or false")? == Some(true) {
        let message = "`background`: what a response that is made later uses cannot be accounted to this request";
        return Err(BadRequest::field("background", message));
    }
    let stored = [top.previous_response_id, top.conversation, top.prompt];
    if some(top.input).is_none() && stored.into_iter().any(|raw| some(raw).is_some()) {
        return Ok(());
    }
    field(("input", top.input, "[\"", "a string or an array"))
}

fn field((name, raw, first, what): Needed<'_>) -> Result<(), BadRequest> {
    let Some(raw) = some(raw).map(RawValue::get) else {
        return Err(BadRequest::field(name, format!("missing required parameter: `{name}`")));
    };
    if !raw.starts_with(|c| first.contains(c)) {
        return Err(BadRequest::field(name, format!("`{name}` must be {what}")));
    }
    let empty = raw.strip_prefix('[').is_some_and(|rest| rest.trim_start().starts_with(']'));
    if empty {
        return Err(BadRequest::field(name, format!("`{name}` must not be empty")));
    }
    Ok(())
}
