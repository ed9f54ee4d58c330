//! The names under which a model may be listed: with and without what providers put around it.

use super::model::Tokenizer;

/// Regions before the names of Bedrock's inference profiles.
const REGIONS: [&str; 8] = ["us", "eu", "apac", "global", "us-gov", "jp", "au", "ca"];

/// The name that a lookup begins with: of a Bedrock ARN the model, without its region.
pub(super) fn first<'a>(kind: &str, name: &'a str) -> &'a str {
    if kind != "bedrock" {
        return name;
    }
    let name = name.rsplit('/').next().unwrap_or(name);
    match name.split_once('.') {
        Some((region, rest)) if REGIONS.contains(&region) => rest,
        _ => name,
    }
}

/// The name without its last part, if that is a version: `-0613`, `-2024-08-06`, `-latest`,
/// `-preview`, `-v1`, `:0`, `:free`, `@20250514`. Other parts (`-mini`, `-audio`) are other models,
/// and so is a single digit (`claude-opus-4-1`).
pub(super) fn shorter(name: &str) -> Option<&str> {
    if let Some((rest, _)) = name.rsplit_once(['@', ':']) {
        return Some(rest);
    }
    let (rest, last) = name.rsplit_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let date = last.len() >= 2 && digits(last);
    let version = last.strip_prefix('v').is_some_and(digits);
    (date || version || matches!(last, "latest" | "preview")).then_some(rest)
}

/// The vocabulary of a model that is not listed, by the family its name tells.
pub(super) fn family(name: &str) -> Option<Tokenizer> {
    const FAMILIES: [(&[&str], Tokenizer); 8] = [
        (&["gpt-oss", "gpt-4o", "gpt-4.1", "gpt-5"], Tokenizer::O200k),
        (&["llama-3", "llama3", "llama-v3", "nemotron-70b"], Tokenizer::Llama3),
        (&["qwen"], Tokenizer::Qwen),
        (&["deepseek-v3", "deepseek-r1", "deepseek-v2"], Tokenizer::DeepSeek),
        (&["kimi-k2"], Tokenizer::Kimi),
        (&["glm-4"], Tokenizer::Glm),
        (&["minimax-m2"], Tokenizer::MiniMax),
        (&["mistral-7b", "mixtral"], Tokenizer::Mistral),
    ];
    let name = name.to_ascii_lowercase();
    // Distilled models keep the vocabulary of what they were made of, which comes later in the name.
    let at = |parts: &[&str]| parts.iter().filter_map(|part| name.rfind(part)).max();
    let found = FAMILIES.iter().filter_map(|(parts, tokenizer)| Some((at(parts)?, *tokenizer)));
    found.max_by_key(|(at, _)| *at).map(|(_, tokenizer)| tokenizer)
}
