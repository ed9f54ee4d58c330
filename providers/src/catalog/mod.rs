//! What is known of providers and models: addresses and credentials, context windows, output caps,
//! modalities, tokenizers, prices. Facts that files of `catalog/` state; a config may override them.

mod files;
mod kind;
mod litellm;
mod model;
mod names;
mod raw;
mod store;

pub use kind::{AuthStyle, Kind};
pub use litellm::{LiteLlm, LiteLlmError};
pub use model::{ImageRule, LongPrices, Modalities, Modality, Model, Prices, Tokenizer};
pub use raw::{ModelFacts, TokenizerName};
pub use store::{Catalog, CatalogError};

#[cfg(test)]
mod tests;
