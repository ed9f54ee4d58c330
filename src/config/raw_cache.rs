//! The section `cache` as it is written.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::raw_embedders::{RawEmbedder, RawOpinion};

/// Which answers are kept and who shares them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCache {
    /// `exact`: the same request. `semantic`: also the same short question in other words; see
    /// docs/cache.md for how often that is wrong. Default `exact`.
    #[schemars(with = "Option<String>")]
    pub(super) mode: Option<Spanned<String>>,
    /// Public models, with `*`. Default all.
    pub(super) models: Option<Vec<String>>,
    /// Who shares answers: all of a `tenant`, the requests of one `key`, or of one end `user` of a
    /// key. Default `key`.
    #[schemars(with = "Option<String>")]
    pub(super) scope: Option<Spanned<String>>,
    /// How long an answer is kept. Default `1h`.
    #[schemars(with = "Option<String>")]
    pub(super) ttl: Option<Spanned<String>>,
    /// All answers together. Default `256MiB`. Changing it needs a restart.
    #[schemars(with = "Option<String>")]
    pub(super) max_bytes: Option<Spanned<String>>,
    /// One answer; larger ones are not kept. Default `1MiB`.
    #[schemars(with = "Option<String>")]
    pub(super) max_entry: Option<Spanned<String>>,
    /// `semantic`: requests with a higher temperature are answered only exactly. Default 1.
    #[schemars(with = "Option<f64>")]
    pub(super) max_temperature: Option<Spanned<f64>>,
    /// `semantic`: the part of false hits that is accepted among questions made to be confused,
    /// from `0.1%` to `5%`. Default `1%`.
    #[schemars(with = "Option<String>")]
    pub(super) max_false_hits: Option<Spanned<String>>,
    /// `semantic`: also the last question of a conversation; what came before must be the same.
    /// Default false.
    #[serde(default)]
    pub(super) history: bool,
    /// `semantic`: the embeddings model that makes the shortlist. Default: the built-in one.
    pub(super) embeddings: Option<RawEmbedder>,
    /// `semantic`: an embeddings model that must agree to each answer to other words. Default: none.
    pub(super) second_opinion: Option<RawOpinion>,
}
