//! The files this build carries, in the order of the docs.

/// Names and texts.
pub(super) const FILES: &[(&str, &str)] = &[
    ("openai.yaml", include_str!("../../catalog/openai.yaml")),
    ("azure.yaml", include_str!("../../catalog/azure.yaml")),
    ("anthropic.yaml", include_str!("../../catalog/anthropic.yaml")),
    ("gemini.yaml", include_str!("../../catalog/gemini.yaml")),
    ("vertex.yaml", include_str!("../../catalog/vertex.yaml")),
    ("bedrock.yaml", include_str!("../../catalog/bedrock.yaml")),
    ("mistral.yaml", include_str!("../../catalog/mistral.yaml")),
    ("groq.yaml", include_str!("../../catalog/groq.yaml")),
    ("deepseek.yaml", include_str!("../../catalog/deepseek.yaml")),
    ("xai.yaml", include_str!("../../catalog/xai.yaml")),
    ("together.yaml", include_str!("../../catalog/together.yaml")),
    ("fireworks.yaml", include_str!("../../catalog/fireworks.yaml")),
    ("openrouter.yaml", include_str!("../../catalog/openrouter.yaml")),
    ("cerebras.yaml", include_str!("../../catalog/cerebras.yaml")),
    ("perplexity.yaml", include_str!("../../catalog/perplexity.yaml")),
    ("cohere.yaml", include_str!("../../catalog/cohere.yaml")),
    ("nvidia.yaml", include_str!("../../catalog/nvidia.yaml")),
    ("vllm.yaml", include_str!("../../catalog/vllm.yaml")),
    ("sglang.yaml", include_str!("../../catalog/sglang.yaml")),
    ("ollama.yaml", include_str!("../../catalog/ollama.yaml")),
    ("llamacpp.yaml", include_str!("../../catalog/llamacpp.yaml")),
    ("lmstudio.yaml", include_str!("../../catalog/lmstudio.yaml")),
];
