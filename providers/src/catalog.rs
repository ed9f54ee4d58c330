//! What is known of models: context windows, output caps, tokenizers, prices.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::adapter::Usage;

/// How a model's prompt is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tokenizer {
    /// OpenAI's `o200k_base`.
    O200k,
    /// OpenAI's `cl100k_base`.
    Cl100k,
    /// No vocabulary is known: `o200k_base` times a factor.
    Ratio {
        /// The factor, percent.
        percent: u32,
    },
}

/// What an image costs in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageRule {
    /// A base (which is all that low detail costs) and so much per 512-pixel tile.
    Tile {
        /// Tokens of any image.
        base: u32,
        /// Tokens of each tile.
        per_tile: u32,
    },
    /// One token per 32-pixel patch, up to 1536, times a factor.
    Patch {
        /// The factor, percent.
        percent: u32,
    },
    /// The model is not known to take images: counted like the commonest tile model.
    None,
}

/// Prices of one model, micro-dollars per million tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prices {
    /// The version of the table.
    pub version: Arc<str>,
    /// Prompt tokens.
    pub input: u64,
    /// Prompt tokens read from the provider's cache.
    pub cached_input: u64,
    /// Prompt tokens written to the provider's cache.
    pub cache_write: u64,
    /// Generated tokens.
    pub output: u64,
    /// What is not tokens, a million of them: pictures, characters spoken, seconds heard, searches.
    pub unit: u64,
}

impl Prices {
    /// The price of a usage in micro-dollars, rounded up. Each prompt token is charged once, at
    /// the rate of where it came from.
    pub fn cost_micros(&self, usage: &Usage) -> u64 {
        let cached = usage.cached_input.min(usage.input);
        let written = usage.cache_write.min(usage.input - cached);
        let fresh = usage.input - cached - written;
        let part = |tokens: u64, price: u64| u128::from(tokens) * u128::from(price);
        let total = part(fresh, self.input)
            + part(cached, self.cached_input)
            + part(written, self.cache_write)
            + part(usage.output, self.output)
            + part(usage.units, self.unit);
        u64::try_from(total.div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }
}

/// One model as a provider kind knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The name it was found under.
    pub name: Arc<str>,
    /// Whether the catalog lists it; else the rest is a cautious guess.
    pub known: bool,
    /// Most tokens of prompt and answer together.
    pub context_window: u64,
    /// Most tokens of one answer.
    pub max_output: u64,
    /// How its prompts are counted.
    pub tokenizer: Tokenizer,
    /// What it costs, where that is known.
    pub prices: Option<Prices>,
    /// What images cost.
    pub images: ImageRule,
}

/// All models.
#[derive(Debug)]
pub struct Catalog {
    models: HashMap<&'static str, HashMap<Arc<str>, Arc<Model>>>,
    unknown: RawUnknown,
}

/// The table that is built in is not one that parses. Only a broken build can meet it.
#[derive(Debug, thiserror::Error)]
#[error("the built-in catalog {file} is broken: {message}")]
pub struct CatalogError {
    file: &'static str,
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCatalog {
    version: String,
    models: Vec<RawModel>,
    unknown: RawUnknown,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawModel {
    name: String,
    context: u64,
    output: u64,
    tokenizer: RawTokenizer,
    input: f64,
    cached: Option<f64>,
    cache_write: Option<f64>,
    generated: f64,
    unit: Option<f64>,
    images: Option<RawImages>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUnknown {
    context: u64,
    output: u64,
    ratio_percent: u32,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawTokenizer {
    O200k,
    Cl100k,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum RawImages {
    Tile { base: u32, tile: u32 },
    Patch { patch_percent: u32 },
}

const OPENAI: &str = include_str!("../catalog/openai.yaml");

impl Catalog {
    /// The catalog this build carries.
    pub fn builtin() -> Result<Self, CatalogError> {
        let broken = |message: String| CatalogError { file: "openai.yaml", message };
        let raw: RawCatalog = serde_saphyr::from_str(OPENAI).map_err(|error| broken(error.to_string()))?;
        let version: Arc<str> = Arc::from(raw.version);
        let mut models = HashMap::new();
        for model in raw.models {
            let model = compile(model, &version);
            if let Some(twice) = models.insert(Arc::clone(&model.name), Arc::new(model)) {
                return Err(broken(format!("model {} stands twice", twice.name)));
            }
        }
        Ok(Self { models: HashMap::from([("openai", models)]), unknown: raw.unknown })
    }

    /// The model of a provider kind by the name the provider knows it under: as it stands, else
    /// without a date or a tag behind it (`gpt-4o-2024-08-06`), else a cautious guess.
    pub fn model(&self, kind: &str, name: &str) -> Arc<Model> {
        let models = self.models.get(kind);
        let mut candidate = Some(name);
        while let Some(tried) = candidate {
            if let Some(found) = models.and_then(|models| models.get(tried)) {
                return Arc::clone(found);
            }
            candidate = shorter(tried);
        }
        Arc::new(Model {
            name: Arc::from(name),
            known: false,
            context_window: self.unknown.context,
            max_output: self.unknown.output,
            tokenizer: Tokenizer::Ratio { percent: self.unknown.ratio_percent },
            prices: None,
            images: ImageRule::None,
        })
    }

    /// How many models are listed.
    pub fn len(&self) -> usize {
        self.models.values().map(HashMap::len).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The name without its last part, if that is a version: `-0613`, `-2024-08-06`, `-latest`,
/// `-preview`. Other parts (`-mini`, `-audio`) are other models.
fn shorter(name: &str) -> Option<&str> {
    let (rest, last) = name.rsplit_once('-')?;
    let date = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    (date || matches!(last, "latest" | "preview")).then_some(rest)
}

fn compile(raw: RawModel, version: &Arc<str>) -> Model {
    let prices = Prices {
        version: Arc::clone(version),
        input: micros(raw.input),
        cached_input: micros(raw.cached.unwrap_or(raw.input)),
        cache_write: micros(raw.cache_write.unwrap_or(raw.input)),
        output: micros(raw.generated),
        unit: micros(raw.unit.unwrap_or(0.0)),
    };
    Model {
        name: Arc::from(raw.name),
        known: true,
        context_window: raw.context,
        max_output: raw.output,
        tokenizer: match raw.tokenizer {
            RawTokenizer::O200k => Tokenizer::O200k,
            RawTokenizer::Cl100k => Tokenizer::Cl100k,
        },
        prices: Some(prices),
        images: match raw.images {
            Some(RawImages::Tile { base, tile }) => ImageRule::Tile { base, per_tile: tile },
            Some(RawImages::Patch { patch_percent }) => ImageRule::Patch { percent: patch_percent },
            None => ImageRule::None,
        },
    }
}

/// Dollars as micro-dollars; prices have at most six decimals and are never negative.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped and rounded first")]
fn micros(dollars: f64) -> u64 {
    (dollars * 1_000_000.0).round().clamp(0.0, 1e15) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_with_versions_behind_them() {
        let catalog = Catalog::builtin().unwrap();
        let name = |name| catalog.model("openai", name).name.to_string();
        assert_eq!(name("gpt-4o-2024-08-06"), "gpt-4o");
        assert_eq!(name("gpt-4o-mini"), "gpt-4o-mini");
        assert_eq!(name("gpt-3.5-turbo-0613"), "gpt-3.5-turbo");
        assert_eq!(name("gpt-4-0125-preview"), "gpt-4");
        let other = catalog.model("openai", "gpt-4o-audio");
        assert!(!other.known && other.prices.is_none() && matches!(other.tokenizer, Tokenizer::Ratio { .. }));
    }

    #[test]
    fn every_prompt_token_is_charged_once() {
        let catalog = Catalog::builtin().unwrap();
        let prices = catalog.model("openai", "gpt-4o").prices.clone().unwrap();
        let usage = Usage { input: 1000, cached_input: 400, output: 100, ..Usage::default() };
        // 600 at $2.50, 400 at $1.25 and 100 at $10 a million.
        assert_eq!(prices.cost_micros(&usage), 1500 + 500 + 1000);
        assert_eq!(prices.cost_micros(&Usage { output: 1, ..Usage::default() }), 10);
        let huge = Usage { input: u64::MAX, output: u64::MAX, ..Usage::default() };
        assert_eq!(prices.cost_micros(&huge), u64::MAX);
    }
}
