//! Embeddings models of the section `cache` as they are written.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

/// The embeddings model that makes the shortlist.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEmbedder {
    /// `provider/model`, one of `providers`.
    #[schemars(with = "String")]
    pub(super) model: Spanned<String>,
    /// Length of the vectors, for models that let one choose. Default: the model's own.
    #[schemars(with = "Option<u32>")]
    pub(super) dimensions: Option<Spanned<u32>>,
    /// How long a request waits for it; then it is a miss, and its answer is kept for exact
    /// matches only. Default `300ms`.
    #[schemars(with = "Option<String>")]
    pub(super) timeout: Option<Spanned<String>>,
}

/// The embeddings model that must agree before an answer to other words is given.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOpinion {
    /// `provider/model`, one of `providers`.
    #[schemars(with = "String")]
    pub(super) model: Spanned<String>,
    /// The cosine of the two prompts that is agreement, above 0 and at most 1. Every model has its
    /// own. Default 0.9.
    #[schemars(with = "Option<f64>")]
    pub(super) min_similarity: Option<Spanned<f64>>,
    /// Length of the vectors, for models that let one choose. Default: the model's own.
    #[schemars(with = "Option<u32>")]
    pub(super) dimensions: Option<Spanned<u32>>,
    /// How long a request waits for it; then it is a miss. Default `300ms`.
    #[schemars(with = "Option<String>")]
    pub(super) timeout: Option<Spanned<String>>,
}
