//! The section `cache` as it is written.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::raw::RawRedis;
use super::raw_embedders::{RawEmbedder, RawOpinion};

/// Which answers are kept and who shares them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCache {
    /// `exact`: the same request. `semantic`: also the same short question in other words; see
    /// docs/cache.md for how often that is wrong. `off`: only what a rule says. Default `exact`.
    #[schemars(with = "Option<String>")]
    pub(super) mode: Option<Spanned<String>>,
    /// Public models, with `*`. Default all. Rules have their own.
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
    pub(super) history: Option<bool>,
    /// `semantic`: the part of hits in other words that are also answered live, behind the client's
    /// back and at nobody's expense but the provider's bill, to measure how many are wrong: `1%`.
    /// Default `0%`.
    #[schemars(with = "Option<String>")]
    pub(super) verify_sample: Option<Spanned<String>>,
    /// Requests that ask the same while an answer is on its way get that answer, from its
    /// beginning, instead of a call of their own. Default true.
    pub(super) coalesce: Option<bool>,
    /// Other terms for some requests. The first rule that matches counts; what it leaves out is as
    /// in the section itself.
    #[serde(default)]
    #[schemars(with = "Vec<RawCacheRule>")]
    pub(super) rules: Vec<Spanned<RawCacheRule>>,
    /// `semantic`: the embeddings model that makes the shortlist, of all rules. Default: the built-in one.
    pub(super) embeddings: Option<RawEmbedder>,
    /// `semantic`: an embeddings model that must agree to each answer to other words. Default: none.
    pub(super) second_opinion: Option<RawOpinion>,
    /// Share answers with the other replicas, through the section `redis` or the one here. Default true
    /// where there is one of them. Changing it needs a restart.
    #[schemars(with = "Option<bool>")]
    pub(super) shared: Option<Spanned<bool>>,
    /// A Redis for answers alone, with the keys of the section `redis` but `lease` and `slice_percent`:
    /// one that may evict, which a store of limits must not. `timeout` is for a whole look-up. Changing
    /// it needs a restart.
    pub(super) redis: Option<RawRedis>,
}

/// Terms of the cache for some requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCacheRule {
    /// Name in metrics and at `/cache`; unique. Default its place, `rules[0]`.
    pub(super) name: Option<String>,
    /// Which requests. Default all.
    #[serde(default)]
    pub(super) r#match: RawCacheMatch,
    /// `off`, `exact` or `semantic`.
    #[schemars(with = "Option<String>")]
    pub(super) mode: Option<Spanned<String>>,
    /// `tenant`, `key` or `user`.
    #[schemars(with = "Option<String>")]
    pub(super) scope: Option<Spanned<String>>,
    /// How long an answer is kept.
    #[schemars(with = "Option<String>")]
    pub(super) ttl: Option<Spanned<String>>,
    /// One answer; larger ones are not kept.
    #[schemars(with = "Option<String>")]
    pub(super) max_entry: Option<Spanned<String>>,
    /// Requests with a higher temperature are answered only exactly.
    #[schemars(with = "Option<f64>")]
    pub(super) max_temperature: Option<Spanned<f64>>,
    /// The part of false hits that is accepted, from `0.1%` to `5%`.
    #[schemars(with = "Option<String>")]
    pub(super) max_false_hits: Option<Spanned<String>>,
    /// The part of hits in other words that are also answered live.
    #[schemars(with = "Option<String>")]
    pub(super) verify_sample: Option<Spanned<String>>,
    /// Also the last question of a conversation.
    pub(super) history: Option<bool>,
    /// Requests that ask the same at once share one call.
    pub(super) coalesce: Option<bool>,
}

/// Patterns that all must match; `*` stands for anything.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCacheMatch {
    /// Public model name.
    pub(super) model: Option<String>,
    /// Tenant.
    pub(super) tenant: Option<String>,
    /// Key name.
    pub(super) key: Option<String>,
    /// Class name.
    pub(super) class: Option<String>,
    /// End user.
    pub(super) user: Option<String>,
}
