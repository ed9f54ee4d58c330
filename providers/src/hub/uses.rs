//! Which features a request uses, and in which field: what a provider lacks is refused by name.

use crate::adapter::{TranslateError, Unsupported};
use crate::call::{BadRequest, Call, Endpoint};
use crate::declare::{Declaration, Feature, Support};
use crate::dialect::Dialect;
use crate::hub::message::{Media, Part, Role};
use crate::hub::request::{ChatRequest, Effort, Format, ToolChoice};

impl From<BadRequest> for Unsupported {
    fn from(bad: BadRequest) -> Self {
        Self { message: bad.message, param: bad.param }
    }
}

/// Refuses what a provider that does not speak the client's API cannot do. Costs a full reading
/// of the request, except where it goes through as it is.
pub(crate) fn check<'a>(declared: &Declaration, call: &'a Call) -> Result<Option<ChatRequest<'a>>, Unsupported> {
    let endpoint = call.endpoint;
    if declared.endpoint(endpoint) == Support::No {
        let message = format!("providers of kind `{}` do not serve {}", declared.kind, endpoint.path());
        return Err(Unsupported { message, param: None });
    }
    let dialect = Dialect::of(endpoint);
    let counts = endpoint == Endpoint::CountTokens;
    if counts || dialect.is_none_or(|dialect| declared.speaks.contains(&dialect)) {
        return Ok(None);
    }
    let request = ChatRequest::of(call)?;
    let mut refused = None;
    request.uses(&mut |feature, field| {
        if refused.is_none() && declared.feature(feature) == Support::No {
            refused = Some(Unsupported::feature(declared.kind, feature, field));
        }
    });
    refused.map_or(Ok(Some(request)), Err)
}

impl From<BadRequest> for TranslateError {
    fn from(bad: BadRequest) -> Self {
        Self::Request(bad.into())
    }
}

impl Unsupported {
    /// A field with a value that cannot be translated.
    pub(crate) fn field(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { message: message.into(), param: Some(param.into()) }
    }

    /// A feature that a provider of this kind does not have.
    pub(crate) fn feature(kind: &str, feature: Feature, field: String) -> Self {
        let message = format!("`{field}`: {} cannot be translated for providers of kind `{kind}`", feature.label());
        Self { message, param: Some(field) }
    }
}

impl ChatRequest<'_> {
    /// Calls `found` for every feature in use with the field that uses it.
    pub(crate) fn uses(&self, found: &mut dyn FnMut(Feature, String)) {
        self.uses_tools(found);
        self.uses_sampling(found);
        let mut flag = |on: bool, feature: Feature, field: &str| {
            if on {
                found(feature, field.to_owned());
            }
        };
        flag(self.functions, Feature::Functions, "functions");
        flag(self.audio_output, Feature::AudioOutput, "modalities");
        flag(matches!(self.format, Format::JsonObject), Feature::JsonObject, "response_format");
        flag(matches!(self.format, Format::JsonSchema(_)), Feature::JsonSchema, "response_format");
        let effort = self.reasoning.effort.is_some_and(|effort| effort > Effort::None);
        flag(effort, Feature::Reasoning, "reasoning_effort");
        flag(!effort && self.reasoning.wanted(), Feature::Reasoning, "thinking");
        flag(self.user.is_some(), Feature::User, "user");
        flag(self.metadata.is_some(), Feature::Metadata, "metadata");
        flag(self.service_tier.is_some(), Feature::ServiceTier, "service_tier");
        if let Some(search) = &self.web_search {
            found(Feature::WebSearch, search.field.clone());
        }
        for message in &self.messages {
            let at = format!("messages[{}]", message.index);
            parts(&message.parts, &at, message.role, found);
        }
    }

    fn uses_tools(&self, found: &mut dyn FnMut(Feature, String)) {
        if self.tools.is_empty() {
            return;
        }
        found(Feature::Tools, "tools".to_owned());
        match self.tool_choice {
            Some(ToolChoice::Named(_)) => found(Feature::NamedTool, "tool_choice".to_owned()),
            Some(ToolChoice::None) => found(Feature::NoTool, "tool_choice".to_owned()),
            _ => {}
        }
        if self.single_tool() {
            found(Feature::SingleTool, "parallel_tool_calls".to_owned());
        }
        if let Some(index) = self.tools.iter().position(|tool| tool.cache.is_some()) {
            found(Feature::CacheMarks, format!("tools[{index}].cache_control"));
        }
    }

    fn uses_sampling(&self, found: &mut dyn FnMut(Feature, String)) {
        let sampling = &self.sampling;
        for (on, feature, field) in [
            (!sampling.stop.is_empty(), Feature::Stop, "stop"),
            (sampling.top_k.is_some(), Feature::TopK, "top_k"),
            (sampling.seed.is_some(), Feature::Seed, "seed"),
            (sampling.n > 1, Feature::Choices, "n"),
            (sampling.logprobs, Feature::Logprobs, "logprobs"),
            (sampling.logit_bias.is_some(), Feature::LogitBias, "logit_bias"),
            (sampling.frequency_penalty.is_some(), Feature::Penalties, "frequency_penalty"),
            (sampling.presence_penalty.is_some(), Feature::Penalties, "presence_penalty"),
        ] {
            if on {
                found(feature, field.to_owned());
            }
        }
    }
}

fn parts(parts: &[Part<'_>], at: &str, role: Role, found: &mut dyn FnMut(Feature, String)) {
    let mut number = 0;
    for part in parts {
        let field = |rest: &str| format!("{at}.content[{number}]{rest}");
        match part {
            Part::Image { media: Media::Data(_), .. } => found(Feature::ImageData, field(".image_url.url")),
            Part::Image { .. } => found(Feature::ImageUrl, field(".image_url.url")),
            Part::File { media, cited, .. } => {
                match media {
                    Media::Id(_) => found(Feature::FileId, field(".file.file_id")),
                    Media::Text(_) => {}
                    Media::Url(_) | Media::Data(_) => found(Feature::FileData, field(".file.file_data")),
                }
                if *cited {
                    found(Feature::Citations, field(".citations"));
                }
            }
            Part::Audio(_) => found(Feature::AudioInput, field(".input_audio")),
            Part::Thinking { .. } | Part::Redacted(_) if role == Role::Assistant => {
                found(Feature::SealedReasoning, format!("{at}.thinking_blocks"));
                continue;
            }
            Part::Cache(_) => {
                found(Feature::CacheMarks, format!("{at}.cache_control"));
                continue;
            }
            Part::ToolResult(result) => self::parts(&result.parts, at, role, found),
            _ => {}
        }
        number += 1;
    }
}
