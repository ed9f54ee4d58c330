//! A policy file as it is written. The doc comments are the reference.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

/// One policy file: a tenant, its keys and its limits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPolicy {
    /// The tenant that the keys belong to. Each tenant has one file.
    #[schemars(with = "String")]
    pub(crate) tenant: Spanned<String>,
    /// Output tokens to reserve for a request that sets no `max_tokens`. Default 4096.
    #[schemars(with = "Option<u64>")]
    pub(crate) default_output: Option<Spanned<u64>>,
    /// What an answer from the cache costs the limits: `0`, `full`, or a part of what it cost when
    /// it was made, such as `25%`. A key may say otherwise. Default `0`.
    #[schemars(with = "Option<String>")]
    pub(crate) hit_cost: Option<Spanned<RawPart>>,
    /// The virtual keys that clients send.
    #[serde(default)]
    #[schemars(with = "Vec<RawKey>")]
    pub(crate) keys: Vec<Spanned<RawKey>>,
    /// What limits do while the shared store cannot be reached; a limit may say otherwise. Default
    /// `slice`.
    pub(crate) on_store_down: Option<RawStoreDown>,
    /// Priority classes, beside the built-in `interactive`, `standard` and `batch`.
    #[serde(default)]
    #[schemars(with = "std::collections::BTreeMap<String, RawClass>")]
    pub(crate) classes: IndexMap<String, Spanned<RawClass>>,
    /// Limits: sentences such as `100k tokens/min per key`, or the long form.
    #[serde(default)]
    #[schemars(with = "Vec<RawLimit>")]
    pub(crate) limits: Vec<Spanned<RawLimit>>,
}

/// A virtual key. `sluice key new --name web` makes one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawKey {
    /// Name in logs and limits; unique within the tenant.
    pub(crate) name: String,
    /// `sha256:` and the 64 hex digits of the secret's SHA-256.
    pub(crate) key: String,
    /// The best priority class the key may ask for. Default `standard`.
    pub(crate) class: Option<String>,
    /// Patterns of the models the key may use. Default all.
    pub(crate) models: Option<Vec<String>>,
    /// What an answer from the cache costs the limits. Default the file's.
    #[schemars(with = "Option<String>")]
    pub(crate) hit_cost: Option<RawPart>,
}

/// `0`, `0.25`, `25%` and `full` are all fine.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum RawPart {
    Number(f64),
    Text(String),
}

impl RawPart {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// A priority class.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawClass {
    /// 0 is served first; at most 255.
    pub(crate) rank: u32,
    /// Share among classes of the same rank. Default 1.
    pub(crate) weight: Option<u32>,
    /// Longest wait in the queue, such as `30s`; `0s` refuses at once. Default `30s`.
    pub(crate) max_wait: Option<String>,
    /// Most requests waiting per model. Default 1000.
    pub(crate) max_depth: Option<u32>,
    /// Each time its oldest waiter has waited this long the class is served as if one rank
    /// better; `0s` is never. Default `10s`.
    pub(crate) age_after: Option<String>,
    /// Slots of a pool that only this class may use. Default 0.
    pub(crate) reserved: Option<u32>,
}

/// A limit, as a sentence or in the long form.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RawLimit {
    /// `<amount> <unit>[/<period>] [per key|tenant|user|global] [on <model>] [burst <amount>] [observe]`
    Sentence(String),
    /// The long form, for what a sentence cannot say.
    Long(RawLongLimit),
}

/// The long form of a limit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawLongLimit {
    /// Name in errors, headers and metrics; unique within the tenant.
    pub(crate) name: String,
    /// How much: `100k`, `1.5M`, `$50`.
    #[schemars(with = "String")]
    pub(crate) amount: RawAmount,
    /// `tokens`, `input tokens`, `output tokens`, `requests` or `concurrent`; not for money.
    pub(crate) unit: Option<String>,
    /// `second`, `minute`, `hour`, `day` or `month`; not for `concurrent`.
    pub(crate) per: Option<String>,
    /// The most that can be saved up; for `second`, `minute` and `hour`. Default the amount.
    #[schemars(with = "Option<String>")]
    pub(crate) burst: Option<RawAmount>,
    /// Who shares a bucket. Default `tenant`.
    pub(crate) scope: Option<RawScope>,
    /// Which requests the limit applies to. Default all of the tenant's.
    pub(crate) r#match: Option<RawMatch>,
    /// `observe` counts and reports, and refuses nothing. Default `enforce`.
    pub(crate) mode: Option<RawMode>,
    /// What it does while the shared store cannot be reached. Default the file's.
    pub(crate) on_store_down: Option<RawStoreDown>,
}

/// `60` and `60k` are both fine.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum RawAmount {
    Number(u64),
    Text(String),
}

impl RawAmount {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// Who shares a bucket.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawScope {
    /// Each key.
    Key,
    /// The tenant as a whole.
    Tenant,
    /// Each end user.
    User,
    /// All tenants together.
    Global,
}

/// Whether a limit refuses.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawMode {
    /// It does.
    Enforce,
    /// It only reports.
    Observe,
}

/// What a limit does while the shared store cannot be reached.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawStoreDown {
    /// Each replica spends its share.
    Slice,
    /// Refuses.
    Deny,
    /// Lets pass, and charges later.
    Allow,
}

/// Patterns a request must match; `*` stands for anything.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawMatch {
    /// Public model name.
    pub(crate) model: Option<String>,
    /// Key name.
    pub(crate) key: Option<String>,
    /// Class name.
    pub(crate) class: Option<String>,
    /// End user.
    pub(crate) user: Option<String>,
}
