//! Windows and prices from LiteLLM's table, `model_prices_and_context_window.json`.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

use super::model::{LongPrices, Model, Prices};
use super::names::{first, shorter};
use super::raw::micros;

/// LiteLLM's name of each kind, as its entries and their prefixes have it.
const PROVIDERS: &[(&str, &[&str])] = &[
    ("openai", &["openai", "text-completion-openai"]),
    ("azure", &["azure", "azure_text"]),
    ("anthropic", &["anthropic"]),
    ("gemini", &["gemini"]),
    ("vertex", &["vertex_ai", "vertex_ai-language-models", "vertex_ai-anthropic_models", "vertex_ai-embedding-models"]),
    ("bedrock", &["bedrock", "bedrock_converse"]),
    ("mistral", &["mistral"]),
    ("groq", &["groq"]),
    ("deepseek", &["deepseek"]),
    ("xai", &["xai"]),
    ("together", &["together_ai"]),
    ("fireworks", &["fireworks_ai", "fireworks_ai-embedding-models"]),
    ("openrouter", &["openrouter"]),
    ("cerebras", &["cerebras"]),
    ("perplexity", &["perplexity"]),
    ("cohere", &["cohere", "cohere_chat"]),
    ("nvidia", &["nvidia_nim"]),
];

/// LiteLLM's table. Entries that cannot be read are left out.
#[derive(Debug)]
pub struct LiteLlm {
    entries: HashMap<String, Entry>,
    version: Arc<str>,
}

/// The file is not LiteLLM's table.
#[derive(Debug, thiserror::Error)]
#[error("not LiteLLM's price table: {0}")]
pub struct LiteLlmError(String);

#[derive(Debug, Deserialize)]
struct Entry {
    litellm_provider: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    max_input_tokens: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    max_output_tokens: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    max_tokens: Option<u64>,
    input_cost_per_token: Option<f64>,
    output_cost_per_token: Option<f64>,
    cache_read_input_token_cost: Option<f64>,
    cache_creation_input_token_cost: Option<f64>,
    output_cost_per_reasoning_token: Option<f64>,
    input_cost_per_token_above_200k_tokens: Option<f64>,
    output_cost_per_token_above_200k_tokens: Option<f64>,
    cache_read_input_token_cost_above_200k_tokens: Option<f64>,
    cache_creation_input_token_cost_above_200k_tokens: Option<f64>,
}

/// Counts may be written as floats, or as a sentence.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a whole number")]
fn lenient<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let value = serde_json::Value::deserialize(from)?;
    let float = value.as_f64().filter(|value| (0.0..1e15).contains(value) && value.fract() == 0.0);
    Ok(value.as_u64().or_else(|| float.map(|value| value as u64)))
}

impl LiteLlm {
    /// Reads the table's JSON; `version` is shown with prices taken from it.
    pub fn parse(json: &str, version: &str) -> Result<Self, LiteLlmError> {
        let raw: HashMap<String, serde_json::Value> =
            serde_json::from_str(json).map_err(|error| LiteLlmError(error.to_string()))?;
        // `sample_spec` explains the fields with sentences.
        let read = raw.into_iter().filter(|(name, _)| name != "sample_spec");
        let entries: HashMap<String, Entry> =
            read.filter_map(|(name, value)| Some((name, serde_json::from_value(value).ok()?))).collect();
        if entries.values().all(|entry| entry.input_cost_per_token.is_none()) {
            return Err(LiteLlmError("no entry has an input_cost_per_token".to_owned()));
        }
        Ok(Self { entries, version: Arc::from(version) })
    }

    /// How many models it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The model with what the table says of it; `None` if it says nothing.
    pub(super) fn model(&self, kind: &str, name: &str, base: &Model) -> Option<Model> {
        let providers = PROVIDERS.iter().find(|(known, _)| *known == kind).map(|(_, providers)| *providers)?;
        let mut candidate = Some(name);
        let mut next = Some(first(kind, name)).filter(|other| *other != name);
        let entry = loop {
            let tried = candidate?;
            if let Some(entry) = self.entry(providers, tried) {
                break entry;
            }
            candidate = next.take().or_else(|| shorter(tried));
        };
        Some(Model {
            known: true,
            context_window: entry.max_input_tokens.or(entry.max_tokens).unwrap_or(base.context_window),
            max_output: entry.max_output_tokens.or(entry.max_tokens).unwrap_or(base.max_output),
            prices: entry.prices(&self.version).or_else(|| base.prices.clone()),
            name: Arc::from(name),
            ..base.clone()
        })
    }

    fn entry(&self, providers: &[&str], name: &str) -> Option<&Entry> {
        let prefixed = providers.iter().find_map(|provider| self.entries.get(&format!("{provider}/{name}")));
        let bare = self.entries.get(name);
        let ours = |entry: &&Entry| entry.litellm_provider.as_deref().is_some_and(|owner| providers.contains(&owner));
        prefixed.or_else(|| bare.filter(ours))
    }
}

impl Entry {
    fn prices(&self, version: &Arc<str>) -> Option<Prices> {
        let million = |price: f64| micros(price * 1e6);
        let (input, output) = (self.input_cost_per_token?, self.output_cost_per_token.unwrap_or(0.0));
        let or = |price: Option<f64>, other: f64| million(price.unwrap_or(other));
        let long = self.input_cost_per_token_above_200k_tokens.map(|input| LongPrices {
            above: 200_000,
            input: million(input),
            cached_input: or(self.cache_read_input_token_cost_above_200k_tokens, input),
            cache_write: or(self.cache_creation_input_token_cost_above_200k_tokens, input),
            output: or(self.output_cost_per_token_above_200k_tokens, output),
        });
        Some(Prices {
            version: Arc::clone(version),
            input: million(input),
            cached_input: or(self.cache_read_input_token_cost, input),
            cache_write: or(self.cache_creation_input_token_cost, input),
            output: million(output),
            reasoning: or(self.output_cost_per_reasoning_token, output),
            unit: 0,
            long,
        })
    }
}
