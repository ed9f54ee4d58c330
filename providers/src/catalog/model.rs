//! One model: its bounds, how its tokens are counted, and what they cost.

use std::sync::Arc;

use crate::adapter::Usage;

/// How a model's prompt is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tokenizer {
    /// OpenAI's `o200k_base`.
    O200k,
    /// OpenAI's `cl100k_base`.
    Cl100k,
    /// Meta's Llama 3.
    Llama3,
    /// DeepSeek V3 and R1.
    DeepSeek,
    /// Qwen 2 to 3.
    Qwen,
    /// Mistral's third, before Tekken.
    Mistral,
    /// Moonshot's Kimi K2.
    Kimi,
    /// Z.ai's GLM 4.
    Glm,
    /// MiniMax M2.
    MiniMax,
    /// No vocabulary is known: `o200k_base` times a factor.
    Ratio {
        /// The factor, percent: the upper side of what was seen.
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
    /// One token for so many pixels, up to a bound.
    Area {
        /// Pixels of a token.
        pixels: u32,
        /// The bound, tokens.
        most: u32,
    },
    /// So much for a small image or for each 768-pixel tile of a large one.
    Flat {
        /// Tokens of each.
        tokens: u32,
    },
    /// The model is not known to take images: counted like the commonest tile model.
    None,
}

/// What goes into or comes out of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Modality {
    /// Text.
    Text,
    /// Images.
    Image,
    /// Sound.
    Audio,
    /// Moving pictures.
    Video,
    /// Documents.
    Pdf,
    /// Vectors.
    Embedding,
}

/// What goes in and comes out, each in the order it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Modalities {
    /// Goes in.
    pub input: Arc<[Modality]>,
    /// Comes out.
    pub output: Arc<[Modality]>,
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
    /// Generated tokens that are reasoning.
    pub reasoning: u64,
    /// What is not tokens, a million of them: pictures, characters spoken, seconds heard, searches.
    pub unit: u64,
    /// Other prices of requests with a long prompt.
    pub long: Option<LongPrices>,
}

/// What a request costs, all of it, whose prompt is longer than a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongPrices {
    /// The bound, prompt tokens.
    pub above: u64,
    /// Prompt tokens.
    pub input: u64,
    /// Prompt tokens read from the provider's cache.
    pub cached_input: u64,
    /// Prompt tokens written to the provider's cache.
    pub cache_write: u64,
    /// Generated tokens, reasoning included.
    pub output: u64,
}

impl Prices {
    /// The price of a usage in micro-dollars, rounded up. Each token is charged once, at the rate
    /// of where it came from.
    pub fn cost_micros(&self, usage: &Usage) -> u64 {
        let cached = usage.cached_input.min(usage.input);
        let written = usage.cache_write.min(usage.input - cached);
        let fresh = usage.input - cached - written;
        let reasoning = usage.reasoning.min(usage.output);
        let rates = match self.long.filter(|long| usage.input > long.above) {
            Some(long) => [long.input, long.cached_input, long.cache_write, long.output, long.output],
            None => [self.input, self.cached_input, self.cache_write, self.output, self.reasoning],
        };
        let tokens = [fresh, cached, written, usage.output - reasoning, reasoning];
        let total: u128 = tokens.into_iter().zip(rates).map(|(count, rate)| u128::from(count) * u128::from(rate)).sum();
        let total = total + u128::from(usage.units) * u128::from(self.unit);
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
    /// What goes in and comes out.
    pub modalities: Modalities,
    /// What it costs, where that is known.
    pub prices: Option<Prices>,
    /// What images cost.
    pub images: ImageRule,
}
