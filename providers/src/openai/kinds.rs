//! The providers that speak `OpenAI`'s API, each a row of data: what it has, and where its API is
//! narrower than `OpenAI`'s.

use super::adapter::{OpenAi, Quirks};
use crate::call::Endpoint;
use crate::declare::{Declaration, Feature, Support};
use crate::dialect::Dialect;

const CHAT: &[Dialect] = &[Dialect::OpenAiChat];

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

const fn compatible(kind: &'static str, title: &'static str, endpoints: &'static [(Endpoint, Support)]) -> Declaration {
    Declaration { kind, title, speaks: CHAT, endpoints, features: AS_IS }
}

pub(crate) static OPENAI: OpenAi = OpenAi { declared: &compatible("openai", "OpenAI", ALL), quirks: PLAIN };
pub(crate) static MISTRAL: OpenAi = OpenAi { declared: &compatible("mistral", "Mistral", CHAT_EMBED), quirks: OLD };
pub(crate) static GROQ: OpenAi = OpenAi { declared: &compatible("groq", "Groq", CHAT_ONLY), quirks: PLAIN };
pub(crate) static DEEPSEEK: OpenAi =
    OpenAi { declared: &compatible("deepseek", "DeepSeek", CHAT_ONLY), quirks: OLD_BOUND };
pub(crate) static XAI: OpenAi = OpenAi { declared: &compatible("xai", "xAI", CHAT_ONLY), quirks: PLAIN };
pub(crate) static TOGETHER: OpenAi = OpenAi { declared: &compatible("together", "Together", ALL), quirks: OLD_BOUND };
pub(crate) static FIREWORKS: OpenAi =
    OpenAi { declared: &compatible("fireworks", "Fireworks", ALL), quirks: OLD_BOUND };
pub(crate) static OPENROUTER: OpenAi =
    OpenAi { declared: &compatible("openrouter", "OpenRouter", TEXT), quirks: PLAIN };
pub(crate) static CEREBRAS: OpenAi = OpenAi { declared: &compatible("cerebras", "Cerebras", TEXT), quirks: PLAIN };
pub(crate) static PERPLEXITY: OpenAi =
    OpenAi { declared: &compatible("perplexity", "Perplexity", CHAT_ONLY), quirks: OLD };
pub(crate) static COHERE: OpenAi = OpenAi { declared: &compatible("cohere", "Cohere", CHAT_EMBED), quirks: OLD_BOUND };
pub(crate) static NVIDIA: OpenAi = OpenAi { declared: &compatible("nvidia", "NVIDIA NIM", ALL), quirks: OLD_BOUND };
pub(crate) static VLLM: OpenAi = OpenAi { declared: &compatible("vllm", "vLLM", ALL), quirks: PLAIN };
pub(crate) static SGLANG: OpenAi = OpenAi { declared: &compatible("sglang", "SGLang", ALL), quirks: PLAIN };
pub(crate) static OLLAMA: OpenAi = OpenAi { declared: &compatible("ollama", "Ollama", ALL), quirks: OLD_BOUND };
pub(crate) static LLAMACPP: OpenAi = OpenAi { declared: &compatible("llamacpp", "llama.cpp", ALL), quirks: PLAIN };
pub(crate) static LMSTUDIO: OpenAi = OpenAi { declared: &compatible("lmstudio", "LM Studio", ALL), quirks: OLD_BOUND };
