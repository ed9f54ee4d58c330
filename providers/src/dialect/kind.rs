//! The APIs that clients and providers speak.

use crate::call::Endpoint;

/// An API for conversations. What a client speaks is known by the endpoint it calls; what a
/// provider speaks, its adapter declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `OpenAI`'s `/v1/chat/completions`.
    OpenAiChat,
    /// `OpenAI`'s `/v1/responses`.
    OpenAiResponses,
    /// Anthropic's `/v1/messages`.
    AnthropicMessages,
}

impl Dialect {
    /// What a client that calls an endpoint speaks; `None` where no conversation is held.
    pub fn of(endpoint: Endpoint) -> Option<Self> {
        match endpoint {
            Endpoint::ChatCompletions => Some(Self::OpenAiChat),
            Endpoint::Responses => Some(Self::OpenAiResponses),
            Endpoint::Messages | Endpoint::CountTokens => Some(Self::AnthropicMessages),
            _ => None,
        }
    }
}
