//! The top level of a body, whatever the endpoint calls its fields.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{BadRequest, NAMES, Spans, text, typed};
use crate::endpoint::Endpoint;

/// The fields of a body, by name.
pub(super) struct Top<'a> {
    body: &'a [u8],
    spans: &'a Spans,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

/// Where the form of an answer stands beside other things.
#[derive(Deserialize)]
struct Formed<'a> {
    #[serde(borrow)]
    format: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    user_id: Option<Cow<'a, str>>,
}

impl<'a> Top<'a> {
    pub(super) fn new(body: &'a [u8], spans: &'a Spans) -> Self {
        Self { body, spans }
    }

    /// The bytes of a field that is there and not `null`.
    pub(super) fn bytes(&self, name: &str) -> Option<&'a [u8]> {
        let at = NAMES.iter().position(|known| *known == name)?;
        self.body.get(self.spans.get(at)?.clone()?).filter(|raw| *raw != b"null")
    }

    /// The same as text; `None` also for what is not UTF-8.
    pub(super) fn raw(&self, name: &str) -> Option<&'a str> {
        text(self.bytes(name)?)
    }

    /// A field that may be left out or `null`.
    pub(super) fn optional<T: Deserialize<'a>>(&self, name: &str, what: &str) -> Result<Option<T>, BadRequest> {
        self.raw(name).map(|raw| typed(raw, name, what)).transpose()
    }

    fn count(&self, name: &str) -> Result<Option<u64>, BadRequest> {
        self.optional(name, "a number of 0 or more")
    }

    /// The form of the answer, wherever the endpoint has it.
    pub(super) fn format(&self, endpoint: Endpoint) -> Option<&'a str> {
        let within = |name| serde_json::from_str::<Formed<'a>>(self.raw(name)?).ok()?.format.map(RawValue::get);
        match endpoint {
            Endpoint::Responses => within("text"),
            Endpoint::Messages | Endpoint::CountTokens => within("output_config").or(self.raw("output_format")),
            _ => self.raw("response_format"),
        }
    }

    /// The end user, wherever the endpoint has it.
    pub(super) fn user(&self, endpoint: Endpoint) -> Result<Option<String>, BadRequest> {
        if endpoint.is_anthropic() {
            let metadata = self.raw("metadata").and_then(|raw| serde_json::from_str::<Metadata<'_>>(raw).ok());
            return Ok(metadata.and_then(|metadata| metadata.user_id).map(Cow::into_owned));
        }
        self.optional("user", "a string")
    }

    /// Whether the answer is a stream.
    pub(super) fn streams(&self, endpoint: Endpoint) -> Result<bool, BadRequest> {
        if !endpoint.may_stream() {
            return Ok(false);
        }
        if endpoint == Endpoint::Speech {
            let format = self.optional::<Cow<'_, str>>("stream_format", "a string")?;
            return Ok(format.as_deref() == Some("sse"));
        }
        Ok(self.optional("stream", "true or false")?.unwrap_or(false))
    }

    /// Whether the usage chunk of a stream is asked for.
    pub(super) fn include_usage(&self) -> Result<bool, BadRequest> {
        let options = self.optional::<StreamOptions>("stream_options", "an object")?;
        Ok(options.and_then(|options| options.include_usage).unwrap_or(false))
    }

    /// The bound of the answer, under any of its names.
    pub(super) fn max_output(&self) -> Result<Option<u64>, BadRequest> {
        let most = self.count("max_completion_tokens")?.or(self.count("max_tokens")?);
        Ok(most.or(self.count("max_output_tokens")?))
    }

    /// Choices that are generated, at least 1.
    pub(super) fn choices(&self) -> Result<u64, BadRequest> {
        Ok(self.count("n")?.unwrap_or(1).max(self.count("best_of")?.unwrap_or(1)).max(1))
    }
}
