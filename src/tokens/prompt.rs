//! `prompt` of legacy completions and `input` of embeddings: text, texts, token ids, or several
//! prompts of token ids.

use std::borrow::Cow;

use serde::Deserialize;
use sluice_providers::BadRequest;
use sluice_providers::catalog::Tokenizer;

use super::vocabulary::count;

#[derive(Deserialize)]
#[serde(untagged)]
enum Prompt<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Texts(Vec<String>),
    Ids(Vec<u32>),
    ManyIds(Vec<Vec<u32>>),
}

/// Tokens, and how many prompts there are.
pub(super) fn tokens(tokenizer: Tokenizer, raw: &str, param: &'static str) -> Result<(u64, u64), BadRequest> {
    let prompt: Prompt<'_> = serde_json::from_str(raw).map_err(|_| {
        let message = format!("`{param}` must be a string, an array of strings, or an array of token ids");
        BadRequest::field(param, message)
    })?;
    Ok(match prompt {
        Prompt::Text(text) => (count(tokenizer, &text), 1),
        Prompt::Texts(texts) => (texts.iter().map(|text| count(tokenizer, text)).sum(), texts.len() as u64),
        Prompt::Ids(ids) => (ids.len() as u64, 1),
        Prompt::ManyIds(many) => (many.iter().map(|ids| ids.len() as u64).sum(), many.len() as u64),
    })
}
