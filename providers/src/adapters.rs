//! Every adapter there is.

use crate::adapter::Adapter;
use crate::anthropic::ANTHROPIC;
use crate::bedrock::BEDROCK;
use crate::gemini::{GEMINI, VERTEX};
use crate::openai::{AZURE, kinds};

/// All adapters, in the order of the docs.
pub const ADAPTERS: &[&dyn Adapter] = &[
    &kinds::OPENAI,
    &ANTHROPIC,
    &GEMINI,
    &VERTEX,
    &BEDROCK,
    &AZURE,
    &kinds::MISTRAL,
    &kinds::GROQ,
    &kinds::DEEPSEEK,
    &kinds::XAI,
    &kinds::TOGETHER,
    &kinds::FIREWORKS,
    &kinds::OPENROUTER,
    &kinds::CEREBRAS,
    &kinds::PERPLEXITY,
    &kinds::COHERE,
    &kinds::NVIDIA,
    &kinds::VLLM,
    &kinds::SGLANG,
    &kinds::OLLAMA,
    &kinds::LLAMACPP,
    &kinds::LMSTUDIO,
];

/// The adapter of a provider kind, by the name it has in configs.
pub fn adapter(name: &str) -> Option<&'static dyn Adapter> {
    ADAPTERS.iter().copied().find(|adapter| adapter.name() == name)
}
