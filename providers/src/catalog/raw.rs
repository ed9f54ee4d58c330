//! The catalog's files and a config's own models, as they are written.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::kind::AuthStyle;
use super::model::{ImageRule, LongPrices, Modalities, Modality, Model, Prices, Tokenizer};

/// One file of the catalog.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawKind {
    pub(super) kind: Arc<str>,
    pub(super) title: Arc<str>,
    pub(super) base_url: Option<Arc<str>>,
    pub(super) auth: RawAuth,
    pub(super) version: Arc<str>,
    /// False: there is no public list of prices per token.
    #[serde(default = "yes")]
    pub(super) priced: bool,
    /// Kinds whose models this one has too.
    #[serde(default)]
    pub(super) inherits: Vec<String>,
    #[serde(default)]
    pub(super) models: BTreeMap<Arc<str>, ModelFacts>,
    pub(super) unknown: RawUnknown,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawAuth {
    Bearer,
    Google,
    Header(Arc<str>),
    SigV4(String),
    Entra(Arc<str>),
}

impl RawAuth {
    pub(super) fn compile(&self) -> Result<AuthStyle, String> {
        Ok(match self {
            Self::Bearer => AuthStyle::Bearer,
            Self::Google => AuthStyle::Google,
            Self::Header(name) => AuthStyle::Header(Arc::clone(name)),
            Self::Entra(header) => AuthStyle::Entra { header: Arc::clone(header) },
            Self::SigV4(service) if service == "bedrock" => AuthStyle::SigV4 { service: "bedrock" },
            Self::SigV4(service) => return Err(format!("unknown service {service}")),
        })
    }
}

/// What is assumed of a model that no file lists.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUnknown {
    pub(super) context: u64,
    pub(super) output: u64,
    /// Percent of `o200k_base`.
    pub(super) ratio: u32,
}

/// What is known of a model. Prices are US dollars per million tokens.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelFacts {
    /// Take what is not said here from this model, `kind/model`.
    pub like: Option<String>,
    /// Most tokens of prompt and answer together.
    pub context: Option<u64>,
    /// Most tokens of one answer.
    pub output: Option<u64>,
    /// The vocabulary its prompts are counted with.
    pub tokenizer: Option<TokenizerName>,
    /// Without a vocabulary: so many percent of what `o200k` counts.
    pub ratio: Option<u32>,
    /// What goes in. Default text.
    pub takes: Option<Vec<Modality>>,
    /// What comes out. Default text.
    pub gives: Option<Vec<Modality>>,
    /// Price of prompt tokens.
    pub input: Option<f64>,
    /// Price of prompt tokens read from the provider's cache. Default that of prompt tokens.
    pub cached: Option<f64>,
    /// Price of prompt tokens written to the provider's cache. Default that of prompt tokens.
    pub cache_write: Option<f64>,
    /// Price of generated tokens.
    pub generated: Option<f64>,
    /// Price of reasoning tokens. Default that of generated tokens.
    pub reasoning: Option<f64>,
    /// Price of what is not tokens: a million pictures, characters spoken, seconds heard or searches. Default 0.
    pub unit: Option<f64>,
    /// Prices of requests with a long prompt.
    pub long: Option<LongFacts>,
    /// What images cost in tokens.
    pub images: Option<ImageFacts>,
}

/// Other prices of requests with a long prompt, US dollars per million tokens.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LongFacts {
    /// Prompts of more tokens than this.
    pub above: u64,
    /// Price of prompt tokens.
    pub input: f64,
    /// Price of prompt tokens read from the cache. Default that of prompt tokens.
    pub cached: Option<f64>,
    /// Price of prompt tokens written to the cache. Default that of prompt tokens.
    pub cache_write: Option<f64>,
    /// Price of generated tokens.
    pub generated: f64,
}

/// The vocabularies there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenizerName {
    /// OpenAI from GPT-4o on.
    O200k,
    /// OpenAI before.
    Cl100k,
    /// Llama 3.
    Llama3,
    /// DeepSeek V3 and R1.
    DeepSeek,
    /// Qwen 2 to 3.
    Qwen,
    /// Mistral before Tekken.
    Mistral,
    /// Kimi K2.
    Kimi,
    /// GLM 4.
    Glm,
    /// MiniMax M2.
    MiniMax,
}

impl From<TokenizerName> for Tokenizer {
    fn from(name: TokenizerName) -> Self {
        match name {
            TokenizerName::O200k => Self::O200k,
            TokenizerName::Cl100k => Self::Cl100k,
            TokenizerName::Llama3 => Self::Llama3,
            TokenizerName::DeepSeek => Self::DeepSeek,
            TokenizerName::Qwen => Self::Qwen,
            TokenizerName::Mistral => Self::Mistral,
            TokenizerName::Kimi => Self::Kimi,
            TokenizerName::Glm => Self::Glm,
            TokenizerName::MiniMax => Self::MiniMax,
        }
    }
}

/// What images cost in tokens: one of these shapes.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub enum ImageFacts {
    /// A base and so much per 512-pixel tile.
    Tile {
        /// Tokens of any image.
        base: u32,
        /// Tokens of each tile.
        tile: u32,
    },
    /// One per 32-pixel patch, times a factor.
    Patch {
        /// The factor, percent.
        patch_percent: u32,
    },
    /// One for so many pixels.
    Area {
        /// Pixels of a token.
        pixels: u32,
        /// The most, tokens.
        most: u32,
    },
    /// So much for a small image or each 768-pixel tile.
    Flat {
        /// Tokens of each.
        flat: u32,
    },
}

impl ImageFacts {
    fn compile(self) -> ImageRule {
        match self {
            Self::Tile { base, tile } => ImageRule::Tile { base, per_tile: tile },
            Self::Patch { patch_percent } => ImageRule::Patch { percent: patch_percent },
            Self::Area { pixels, most } => ImageRule::Area { pixels, most },
            Self::Flat { flat } => ImageRule::Flat { tokens: flat },
        }
    }
}

impl ModelFacts {
    /// The model of these facts, the rest from `base`. The error says what is missing or wrong.
    pub(super) fn over(&self, name: &Arc<str>, version: &Arc<str>, base: &Model) -> Result<Model, String> {
        let numbers = [self.input, self.cached, self.cache_write, self.generated, self.reasoning, self.unit];
        if numbers.into_iter().flatten().any(|price| !(0.0..=1e6).contains(&price)) {
            return Err("a price must be dollars per million tokens, 0 or more".to_owned());
        }
        if self.tokenizer.is_some() && self.ratio.is_some() {
            return Err("give tokenizer or ratio, not both".to_owned());
        }
        if self.ratio.is_some_and(|ratio| !(10..=1000).contains(&ratio)) {
            return Err("ratio is percent, 10 to 1000".to_owned());
        }
        let listed = |given: &Option<Vec<Modality>>, base: &Arc<[Modality]>| {
            given.as_ref().map_or_else(|| Arc::clone(base), |given| Arc::from(given.as_slice()))
        };
        Ok(Model {
            name: Arc::clone(name),
            known: true,
            context_window: self.context.unwrap_or(base.context_window),
            max_output: self.output.unwrap_or(base.max_output),
            tokenizer: match (self.tokenizer, self.ratio) {
                (Some(name), _) => name.into(),
                (None, Some(percent)) => Tokenizer::Ratio { percent },
                (None, None) => base.tokenizer,
            },
            modalities: Modalities {
                input: listed(&self.takes, &base.modalities.input),
                output: listed(&self.gives, &base.modalities.output),
            },
            prices: self.prices(version, base.prices.as_ref())?,
            images: self.images.map_or(base.images, ImageFacts::compile),
        })
    }

    fn prices(&self, version: &Arc<str>, base: Option<&Prices>) -> Result<Option<Prices>, String> {
        let (Some(input), Some(generated)) = (self.input, self.generated) else {
            let others = [self.input, self.cached, self.cache_write, self.generated, self.reasoning, self.unit];
            if others.iter().any(Option::is_some) {
                return Err("prices need both input and generated".to_owned());
            }
            return Ok(base.cloned());
        };
        let or = |price: Option<f64>, other: f64| micros(price.unwrap_or(other));
        Ok(Some(Prices {
            version: Arc::clone(version),
            input: micros(input),
            cached_input: or(self.cached, input),
            cache_write: or(self.cache_write, input),
            output: micros(generated),
            reasoning: or(self.reasoning, generated),
            unit: or(self.unit, 0.0),
            long: self.long.map(|long| LongPrices {
                above: long.above,
                input: micros(long.input),
                cached_input: or(long.cached, long.input),
                cache_write: or(long.cache_write, long.input),
                output: micros(long.generated),
            }),
        }))
    }
}

/// Dollars as micro-dollars; prices have at most six decimals and are never negative.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped and rounded first")]
pub(super) fn micros(dollars: f64) -> u64 {
    (dollars * 1_000_000.0).round().clamp(0.0, 1e15) as u64
}
