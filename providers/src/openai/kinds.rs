//! The providers that speak `OpenAI`'s API, each a row of data: what it has, and where its API is
//! narrower than `OpenAI`'s.

use super::adapter::{OpenAi, Quirks};
use crate::call::Endpoint;
use crate::declare::{Declaration, Feature, Support};
use crate::dialect::Dialect;

const CHAT: &[Dialect] = &[Dialect::OpenAiChat];
const BOTH: &[Dialect] = &[Dialect::OpenAiChat, Dialect::OpenAiResponses];

/// Chat alone.
const CHAT_ONLY: &[(Endpoint, Support)] = &[(Endpoint::ChatCompletions, Support::Yes)];
/// Chat and the retired completions.
const TEXT: &[(Endpoint, Support)] =
    &[(Endpoint::ChatCompletions, Support::Yes), (Endpoint::Completions, Support::AsIs)];
const COHERE_ALL: &[(Endpoint, Support)] = &[
    (Endpoint::ChatCompletions, Support::Yes),
    (Endpoint::Embeddings, Support::AsIs),
    (Endpoint::Rerank, Support::AsIs),
];
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
