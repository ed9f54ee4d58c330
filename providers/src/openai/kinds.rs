//! The providers that speak `OpenAI`'s API, each a row of data: what it has, and where its API is
//! narrower than `OpenAI`'s.

use super::adapter::{OpenAi, Quirks};
use crate::call::Endpoint;
use crate::declare::{Declaration, Feature, Support};
use crate::dialect::Dialect;

const CHAT: &[Dialect] = &[Dialect::OpenAiChat];
const BOTH: &[Dialect] = &[Dialect::OpenAiChat, Dialect::OpenAiResponses];

/// Chat, which is translated, and what goes through as it is.
const fn with_chat<const N: usize>(all: [Endpoint; N]) -> [(Endpoint, Support); N] {
    let mut listed = [(Endpoint::ChatCompletions, Support::Yes); N];
    let mut at = 0;
    while at < N {
        if !matches!(all[at], Endpoint::ChatCompletions) {
            listed[at] = (all[at], Support::AsIs);
        }
        at += 1;
    }
    listed
}

/// Chat alone.
const CHAT_ONLY: &[(Endpoint, Support)] = &with_chat([Endpoint::ChatCompletions]);
/// Chat and the retired completions.
const TEXT: &[(Endpoint, Support)] = &with_chat([Endpoint::ChatCompletions, Endpoint::Completions]);
const COHERE_ALL: &[(Endpoint, Support)] =
    &with_chat([Endpoint::ChatCompletions, Endpoint::Embeddings, Endpoint::Rerank]);
/// All three.
pub(crate) const ALL: &[(Endpoint, Support)] =
    &with_chat([Endpoint::ChatCompletions, Endpoint::Completions, Endpoint::Embeddings]);

/// All that OpenAI has.
const OPENAI_ALL: &[(Endpoint, Support)] = &with_chat([
    Endpoint::ChatCompletions,
    Endpoint::Completions,
    Endpoint::Embeddings,
    Endpoint::Responses,
    Endpoint::Moderations,
    Endpoint::Images,
    Endpoint::Speech,
    Endpoint::Transcriptions,
]);
/// What of it Azure has too.
pub(super) const AZURE_ALL: &[(Endpoint, Support)] = &with_chat([
    Endpoint::ChatCompletions,
    Endpoint::Completions,
    Endpoint::Embeddings,
    Endpoint::Images,
    Endpoint::Speech,
    Endpoint::Transcriptions,
]);
const GROQ_ALL: &[(Endpoint, Support)] =
    &with_chat([Endpoint::ChatCompletions, Endpoint::Speech, Endpoint::Transcriptions]);
const MISTRAL_ALL: &[(Endpoint, Support)] =
    &with_chat([Endpoint::ChatCompletions, Endpoint::Embeddings, Endpoint::Moderations, Endpoint::Transcriptions]);
const XAI_ALL: &[(Endpoint, Support)] = &with_chat([Endpoint::ChatCompletions, Endpoint::Responses, Endpoint::Images]);
const TOGETHER_ALL: &[(Endpoint, Support)] = &with_chat([
    Endpoint::ChatCompletions,
    Endpoint::Completions,
    Endpoint::Embeddings,
    Endpoint::Images,
    Endpoint::Speech,
    Endpoint::Transcriptions,
    Endpoint::Rerank,
]);
/// What servers of one's own have, if the model has it.
const SERVER_ALL: &[(Endpoint, Support)] = &with_chat([
    Endpoint::ChatCompletions,
    Endpoint::Completions,
    Endpoint::Embeddings,
    Endpoint::Transcriptions,
    Endpoint::Rerank,
]);
/// As above without sound.
const RERANK_ALL: &[(Endpoint, Support)] =
    &with_chat([Endpoint::ChatCompletions, Endpoint::Completions, Endpoint::Embeddings, Endpoint::Rerank]);

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

pub(super) const PLAIN: Quirks =
    Quirks { max_tokens: false, stream_options: true, web_search: false, rerank: "rerank" };
/// Also searches the web if asked to.
pub(super) const SEARCHES: Quirks = Quirks { web_search: true, ..PLAIN };
/// Knows `max_tokens` only.
const OLD_BOUND: Quirks = Quirks { max_tokens: true, ..PLAIN };
/// Knows neither `max_completion_tokens` nor `stream_options`, and reports usage unasked.
pub(super) const OLD: Quirks = Quirks { stream_options: false, ..OLD_BOUND };

const fn compatible(kind: &'static str, title: &'static str, endpoints: &'static [(Endpoint, Support)]) -> Declaration {
    Declaration { kind, title, speaks: CHAT, endpoints, features: AS_IS }
}

/// A provider that has Responses too.
const fn responsive(kind: &'static str, title: &'static str, endpoints: &'static [(Endpoint, Support)]) -> Declaration {
    Declaration { speaks: BOTH, ..compatible(kind, title, endpoints) }
}

pub(crate) static OPENAI: OpenAi = OpenAi { declared: &responsive("openai", "OpenAI", OPENAI_ALL), quirks: SEARCHES };
pub(crate) static MISTRAL: OpenAi = OpenAi { declared: &compatible("mistral", "Mistral", MISTRAL_ALL), quirks: OLD };
pub(crate) static GROQ: OpenAi = OpenAi { declared: &compatible("groq", "Groq", GROQ_ALL), quirks: PLAIN };
pub(crate) static DEEPSEEK: OpenAi =
    OpenAi { declared: &compatible("deepseek", "DeepSeek", CHAT_ONLY), quirks: OLD_BOUND };
pub(crate) static XAI: OpenAi = OpenAi { declared: &responsive("xai", "xAI", XAI_ALL), quirks: PLAIN };
pub(crate) static TOGETHER: OpenAi =
    OpenAi { declared: &compatible("together", "Together", TOGETHER_ALL), quirks: OLD_BOUND };
pub(crate) static FIREWORKS: OpenAi =
    OpenAi { declared: &compatible("fireworks", "Fireworks", ALL), quirks: OLD_BOUND };
pub(crate) static OPENROUTER: OpenAi =
    OpenAi { declared: &compatible("openrouter", "OpenRouter", TEXT), quirks: SEARCHES };
pub(crate) static CEREBRAS: OpenAi = OpenAi { declared: &compatible("cerebras", "Cerebras", TEXT), quirks: PLAIN };
pub(crate) static PERPLEXITY: OpenAi =
    OpenAi { declared: &compatible("perplexity", "Perplexity", CHAT_ONLY), quirks: Quirks { web_search: true, ..OLD } };
pub(crate) static COHERE: OpenAi = OpenAi {
    declared: &compatible("cohere", "Cohere", COHERE_ALL),
    // Beside the API that is compatible, not in it.
    quirks: Quirks { rerank: "../../v2/rerank", ..OLD_BOUND },
};
pub(crate) static NVIDIA: OpenAi = OpenAi { declared: &compatible("nvidia", "NVIDIA NIM", ALL), quirks: OLD_BOUND };
pub(crate) static VLLM: OpenAi = OpenAi { declared: &compatible("vllm", "vLLM", SERVER_ALL), quirks: PLAIN };
pub(crate) static SGLANG: OpenAi = OpenAi { declared: &compatible("sglang", "SGLang", RERANK_ALL), quirks: PLAIN };
pub(crate) static OLLAMA: OpenAi = OpenAi { declared: &compatible("ollama", "Ollama", ALL), quirks: OLD_BOUND };
pub(crate) static LLAMACPP: OpenAi =
    OpenAi { declared: &compatible("llamacpp", "llama.cpp", RERANK_ALL), quirks: PLAIN };
pub(crate) static LMSTUDIO: OpenAi = OpenAi { declared: &compatible("lmstudio", "LM Studio", ALL), quirks: OLD_BOUND };
