//! What an adapter says of itself, as data: docs/providers.md is made of it, and so is the refusal
//! of what a provider cannot do.

use crate::call::Endpoint;
use crate::dialect::Dialect;

/// What becomes of a part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It works.
    Yes,
    /// It works, in another way than the provider's own; says which.
    By(&'static str),
    /// It goes to the provider as the client sent it; whether it works is the model's business.
    AsIs,
    /// It is a hint, and has no effect.
    Ignored,
    /// It is refused before money is spent.
    No,
}

impl Support {
    /// For the docs.
    pub fn label(self) -> String {
        match self {
            Self::Yes => "yes".to_owned(),
            Self::By(how) => format!("by {how}"),
            Self::AsIs => "as is".to_owned(),
            Self::Ignored => "ignored".to_owned(),
            Self::No => "refused".to_owned(),
        }
    }
}

/// A part of a chat request that not every provider has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feature {
    /// `tools`
    Tools,
    /// `tool_choice` that names a tool
    NamedTool,
    /// `tool_choice: none` beside tools
    NoTool,
    /// `parallel_tool_calls: false`
    SingleTool,
    /// Images as data
    ImageData,
    /// Images by URL
    ImageUrl,
    /// Files as data
    FileData,
    /// Files by id
    FileId,
    /// `citations` of a file
    Citations,
    /// Sound in
    AudioInput,
    /// Sound out
    AudioOutput,
    /// `response_format: json_object`
    JsonObject,
    /// `response_format: json_schema`
    JsonSchema,
    /// `stop`
    Stop,
    /// `top_k`
    TopK,
    /// `seed`
    Seed,
    /// `n` above 1
    Choices,
    /// `logprobs`
    Logprobs,
    /// `logit_bias`
    LogitBias,
    /// `frequency_penalty`, `presence_penalty`
    Penalties,
    /// `reasoning_effort`, `thinking`
    Reasoning,
    /// Reasoning of earlier turns with its seal
    SealedReasoning,
    /// `cache_control`
    CacheMarks,
    /// `user`
    User,
    /// `metadata`
    Metadata,
    /// `service_tier`
    ServiceTier,
    /// `web_search_options`
    WebSearch,
    /// `functions`, `function_call`
    Functions,
}

impl Feature {
    /// All of them, in the order of the docs.
    pub const ALL: &'static [Self] = &[
        Self::Tools,
        Self::NamedTool,
        Self::NoTool,
        Self::SingleTool,
        Self::ImageData,
        Self::ImageUrl,
        Self::FileData,
        Self::FileId,
        Self::Citations,
        Self::AudioInput,
        Self::AudioOutput,
        Self::JsonObject,
        Self::JsonSchema,
        Self::Stop,
        Self::TopK,
        Self::Seed,
        Self::Choices,
        Self::Logprobs,
        Self::LogitBias,
        Self::Penalties,
        Self::Reasoning,
        Self::SealedReasoning,
        Self::CacheMarks,
        Self::User,
        Self::Metadata,
        Self::ServiceTier,
        Self::WebSearch,
        Self::Functions,
    ];

    /// For the docs and in errors.
    pub fn label(self) -> &'static str {
        match self {
            Self::Tools => "`tools`",
            Self::NamedTool => "`tool_choice` that names a tool",
            Self::NoTool => "`tool_choice: none`",
            Self::SingleTool => "`parallel_tool_calls: false`",
            Self::ImageData => "images as `data:` URLs",
            Self::ImageUrl => "images by URL",
            Self::FileData => "files as `data:` URLs",
            Self::FileId => "files by id",
            Self::Citations => "`citations` of files",
            Self::AudioInput => "sound in the prompt",
            Self::AudioOutput => "`modalities: [audio]`",
            Self::JsonObject => "`response_format: json_object`",
            Self::JsonSchema => "`response_format: json_schema`",
            Self::Stop => "`stop`",
            Self::TopK => "`top_k`",
            Self::Seed => "`seed`",
            Self::Choices => "`n` above 1",
            Self::Logprobs => "`logprobs`",
            Self::LogitBias => "`logit_bias`",
            Self::Penalties => "`frequency_penalty`, `presence_penalty`",
            Self::Reasoning => "`reasoning_effort`, `thinking`",
            Self::SealedReasoning => "signed reasoning sent back",
            Self::CacheMarks => "`cache_control`",
            Self::User => "`user`",
            Self::Metadata => "`metadata`",
            Self::ServiceTier => "`service_tier`",
            Self::WebSearch => "`web_search_options`",
            Self::Functions => "`functions` (retired)",
        }
    }
}

/// A list of features with some of them changed.
pub(crate) const fn with<const N: usize>(
    mut all: [(Feature, Support); N],
    own: &[(Feature, Support)],
) -> [(Feature, Support); N] {
    let mut at = 0;
    while at < own.len() {
        let mut place = 0;
        while place < N {
            if all[place].0 as u8 == own[at].0 as u8 {
                all[place].1 = own[at].1;
            }
            place += 1;
        }
        at += 1;
    }
    all
}

/// What an adapter declares.
#[derive(Debug)]
pub struct Declaration {
    /// The kind, as configs name it.
    pub kind: &'static str,
    /// The provider's name, for people.
    pub title: &'static str,
    /// What it speaks itself: requests in these go through as bytes.
    pub speaks: &'static [Dialect],
    /// What can be called. What is not listed is refused.
    pub endpoints: &'static [(Endpoint, Support)],
    /// What of a chat request works. What is not listed is refused.
    pub features: &'static [(Feature, Support)],
}

impl Declaration {
    /// What becomes of a feature.
    pub fn feature(&self, feature: Feature) -> Support {
        let listed = self.features.iter().find(|(listed, _)| *listed == feature);
        listed.map_or(Support::No, |(_, support)| *support)
    }

    /// Whether an endpoint can be called. Where chat completions can, so can every other API for
    /// conversations.
    pub fn endpoint(&self, endpoint: Endpoint) -> Support {
        let listed = |wanted| self.endpoints.iter().find(|(listed, _)| *listed == wanted).map(|(_, support)| *support);
        if let Some(support) = listed(endpoint) {
            return support;
        }
        let holds_conversations = listed(Endpoint::ChatCompletions).is_some_and(|support| support != Support::No);
        match Dialect::of(endpoint) {
            Some(_) if !holds_conversations => Support::No,
            Some(_) if endpoint == Endpoint::CountTokens => Support::By("the gateway's own count"),
            Some(dialect) if self.speaks.contains(&dialect) => Support::AsIs,
            Some(_) => Support::By("translation"),
            None => Support::No,
        }
    }
}
