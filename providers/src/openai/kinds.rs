//! The providers that speak `OpenAI`'s API, each a row of data: where it is, how it takes keys, what
//! it has, and where its API is narrower than `OpenAI`'s.

use super::adapter::{OpenAi, Quirks};
use crate::call::Endpoint;
use crate::declare::{Auth, Declaration, Feature, Support};
use crate::dialect::Dialect;

const CHAT: &[Dialect] = &[Dialect::OpenAiChat];
const BOTH: &[Dialect] = &[Dialect::OpenAiChat, Dialect::OpenAiResponses];
const BEARER: &[Auth] = &[Auth::Bearer];

/// Chat alone.
const CHAT_ONLY: &[(Endpoint, Support)] = &[(Endpoint::ChatCompletions, Support::Yes)];
/// Chat and the retired completions.
const TEXT: &[(Endpoint, Support)] =
    &[(Endpoint::ChatCompletions, Support::Yes), (Endpoint::Completions, Support::AsIs)];
/// Chat and embeddings.
const CHAT_EMBED: &[(Endpoint, Support)] =
    &[(Endpoint::ChatCompletions, Support::Yes), (Endpoint::Embeddings, Support::AsIs)];
/// All three.
pub(crate) const ALL: &[(Endpoint, Support)] = &[
    (Endpoint::ChatCompletions, Support::Yes),
    (Endpoint::Completions, Support::AsIs),
    (Endpoint::Embeddings, Support::AsIs),
];

/// All that OpenAI has.
const OPENAI_ALL: &[(Endpoint, Support)] = &[
    (Endpoint::ChatCompletions, Support::Yes),
    (Endpoint::Completions, Support::AsIs),
    (Endpoint::Embeddings, Support::AsIs),
    (Endpoint::Responses, Support::AsIs),
    (Endpoint::Moderations, Support::AsIs),
    (Endpoint::Images, Support::AsIs),
    (Endpoint::Speech, Support::AsIs),
    (Endpoint::Transcriptions, Support::AsIs),
];
/// What of it Azure has too.
pub(super) const AZURE_ALL: &[(Endpoint, Support)] = &[
    (Endpoint::ChatCompletions, Support::Yes),
    (Endpoint::Completions, Support::AsIs),
    (Endpoint::Embeddings, Support::AsIs),
    (Endpoint::Images, Support::AsIs),
    (Endpoint::Speech, Support::AsIs),
    (Endpoint::Transcriptions, Support::AsIs),
];
const GROQ_ALL: &[(Endpoint, Support)] = &[
    (Endpoint::ChatCompletions, Support::Yes),
    (Endpoint::Speech, Support::AsIs),
    (Endpoint::Transcriptions, Support::AsIs),
];
const MISTRAL_ALL: &[(Endpoint, Support)] = &[
    (Endpoint::ChatCompletions, Support::Yes),
    (Endpoint::Embeddings, Support::AsIs),
    (Endpoint::Moderations, Support::AsIs),
    (Endpoint::Transcriptions, Support::AsIs),
];
const XAI_ALL: &[(Endpoint, Support)] = &[
    (Endpoint::ChatCompletions, Support::Yes),
    (Endpoint::Responses, Support::AsIs),
    (Endpoint::Images, Support::AsIs),
];
const TOGETHER_ALL: &[(Endpoint, Support)] = &[
    (Endpoint::ChatCompletions, Support::Yes),
    (Endpoint::Completions, Support::AsIs),
    (Endpoint::Embeddings, Support::AsIs),
    (Endpoint::Images, Support::AsIs),
    (Endpoint::Speech, Support::AsIs),
    (Endpoint::Transcriptions, Support::AsIs),
    (Endpoint::Rerank, Support::AsIs),
];
/// What servers of one's own have, if the model has it.
const SERVER_ALL: &[(Endpoint, Support)] = &[
    (Endpoint::ChatCompletions, Support::Yes),
    (Endpoint::Completions, Support::AsIs),
    (Endpoint::Embeddings, Support::AsIs),
    (Endpoint::Transcriptions, Support::AsIs),
    (Endpoint::Rerank, Support::AsIs),
];
/// As above without sound.
const RERANK_ALL: &[(Endpoint, Support)] = &[
    (Endpoint::ChatCompletions, Support::Yes),
    (Endpoint::Completions, Support::AsIs),
    (Endpoint::Embeddings, Support::AsIs),
    (Endpoint::Rerank, Support::AsIs),
];

/// Nothing of a request is looked at: it goes through as it is.
pub(crate) const AS_IS: &[(Feature, Support)] = &{
    let mut all = [(Feature::Tools, Support::AsIs); Feature::ALL.len()];
    let mut at = 0;
    while at < all.len() {
        all[at].0 = Feature::ALL[at];
        at += 1;
    }
    all
};

pub(super) const PLAIN: Quirks = Quirks { max_tokens: false, stream_options: true };
/// Knows `max_tokens` only.
const OLD_BOUND: Quirks = Quirks { max_tokens: true, stream_options: true };
/// Knows neither `max_completion_tokens` nor `stream_options`, and reports usage unasked.
const OLD: Quirks = Quirks { max_tokens: true, stream_options: false };

const fn compatible(
    kind: &'static str,
    title: &'static str,
    base_url: Option<&'static str>,
    endpoints: &'static [(Endpoint, Support)],
) -> Declaration {
    Declaration { kind, title, base_url, auth: BEARER, speaks: CHAT, endpoints, features: AS_IS }
}

/// A provider that has Responses too.
const fn responsive(
    kind: &'static str,
    title: &'static str,
    base_url: &'static str,
    endpoints: &'static [(Endpoint, Support)],
) -> Declaration {
    Declaration { speaks: BOTH, ..compatible(kind, title, Some(base_url), endpoints) }
}

pub(crate) static OPENAI: OpenAi =
    OpenAi { declared: &responsive("openai", "OpenAI", "https://api.openai.com/v1", OPENAI_ALL), quirks: PLAIN };
pub(crate) static MISTRAL: OpenAi =
    OpenAi { declared: &compatible("mistral", "Mistral", Some("https://api.mistral.ai/v1"), MISTRAL_ALL), quirks: OLD };
pub(crate) static GROQ: OpenAi =
    OpenAi { declared: &compatible("groq", "Groq", Some("https://api.groq.com/openai/v1"), GROQ_ALL), quirks: PLAIN };
pub(crate) static DEEPSEEK: OpenAi = OpenAi {
    declared: &compatible("deepseek", "DeepSeek", Some("https://api.deepseek.com"), CHAT_ONLY),
    quirks: OLD_BOUND,
};
pub(crate) static XAI: OpenAi =
    OpenAi { declared: &responsive("xai", "xAI", "https://api.x.ai/v1", XAI_ALL), quirks: PLAIN };
pub(crate) static TOGETHER: OpenAi = OpenAi {
    declared: &compatible("together", "Together", Some("https://api.together.xyz/v1"), TOGETHER_ALL),
    quirks: OLD_BOUND,
};
pub(crate) static FIREWORKS: OpenAi = OpenAi {
    declared: &compatible("fireworks", "Fireworks", Some("https://api.fireworks.ai/inference/v1"), ALL),
    quirks: OLD_BOUND,
};
pub(crate) static OPENROUTER: OpenAi = OpenAi {
    declared: &compatible("openrouter", "OpenRouter", Some("https://openrouter.ai/api/v1"), TEXT),
    quirks: PLAIN,
};
pub(crate) static CEREBRAS: OpenAi =
    OpenAi { declared: &compatible("cerebras", "Cerebras", Some("https://api.cerebras.ai/v1"), TEXT), quirks: PLAIN };
pub(crate) static PERPLEXITY: OpenAi = OpenAi {
    declared: &compatible("perplexity", "Perplexity", Some("https://api.perplexity.ai"), CHAT_ONLY),
    quirks: OLD,
};
pub(crate) static COHERE: OpenAi = OpenAi {
    declared: &compatible("cohere", "Cohere", Some("https://api.cohere.ai/compatibility/v1"), CHAT_EMBED),
    quirks: OLD_BOUND,
};
pub(crate) static NVIDIA: OpenAi = OpenAi {
    declared: &compatible("nvidia", "NVIDIA NIM", Some("https://integrate.api.nvidia.com/v1"), ALL),
    quirks: OLD_BOUND,
};
pub(crate) static VLLM: OpenAi = OpenAi { declared: &compatible("vllm", "vLLM", None, SERVER_ALL), quirks: PLAIN };
pub(crate) static SGLANG: OpenAi =
    OpenAi { declared: &compatible("sglang", "SGLang", None, RERANK_ALL), quirks: PLAIN };
pub(crate) static OLLAMA: OpenAi = OpenAi { declared: &compatible("ollama", "Ollama", None, ALL), quirks: OLD_BOUND };
pub(crate) static LLAMACPP: OpenAi =
    OpenAi { declared: &compatible("llamacpp", "llama.cpp", None, RERANK_ALL), quirks: PLAIN };
pub(crate) static LMSTUDIO: OpenAi =
    OpenAi { declared: &compatible("lmstudio", "LM Studio", None, ALL), quirks: OLD_BOUND };
