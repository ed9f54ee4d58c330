//! The fields without which a request is none, with the JSON they may begin with.

use super::top::Top;
use crate::call::BadRequest;
use crate::endpoint::Endpoint;

/// Checks the fields that make the request.
pub(super) fn fields(endpoint: Endpoint, top: &Top<'_>) -> Result<(), BadRequest> {
    let field = |name, first, what| field(top, name, first, what);
    let text = "a string or an array";
    match endpoint {
        Endpoint::ChatCompletions | Endpoint::CountTokens => field("messages", "[", "an array of messages"),
        Endpoint::Messages => {
            field("messages", "[", "an array of messages")?;
            field("max_tokens", "0123456789", "a number of 0 or more")
        }
        Endpoint::Completions => field("prompt", "[\"", text),
        Endpoint::Responses => responses(top),
        Endpoint::Embeddings | Endpoint::Moderations => field("input", "[\"", text),
        Endpoint::Speech => field("input", "\"", "a string"),
        Endpoint::Images => field("prompt", "\"", "a string"),
        Endpoint::Rerank => {
            field("query", "\"", "a string")?;
            field("documents", "[", "an array")
        }
        Endpoint::Transcriptions => Ok(()),
    }
}

fn responses(top: &Top<'_>) -> Result<(), BadRequest> {
    if top.optional::<bool>("background", "true or false")? == Some(true) {
        let message = "`background`: what a response that is made later uses cannot be accounted to this request";
        return Err(BadRequest::field("background", message));
    }
    let stored = ["previous_response_id", "conversation", "prompt"];
    if top.bytes("input").is_none() && stored.into_iter().any(|name| top.bytes(name).is_some()) {
        return Ok(());
    }
    field(top, "input", "[\"", "a string or an array")
}

fn field(top: &Top<'_>, name: &str, first: &str, what: &str) -> Result<(), BadRequest> {
    // Whether it is text is looked at where it is counted.
    let Some(raw) = top.bytes(name) else {
        return Err(BadRequest::field(name, format!("missing required parameter: `{name}`")));
    };
    if !raw.first().is_some_and(|byte| first.as_bytes().contains(byte)) {
        return Err(BadRequest::field(name, format!("`{name}` must be {what}")));
    }
    let empty = raw.strip_prefix(b"[").is_some_and(|rest| rest.trim_ascii_start().starts_with(b"]"));
    if empty {
        return Err(BadRequest::field(name, format!("`{name}` must not be empty")));
    }
    Ok(())
}
