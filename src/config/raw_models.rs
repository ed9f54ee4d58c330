//! Models as they are written: targets, balance, deadlines, retries, and what else routes a request.

use std::collections::BTreeMap;
use std::fmt;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

use super::raw::{RawCount, RawTimeouts};
use super::raw_health::{RawCircuit, RawHealth};

/// A model's targets.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(super) enum RawModel {
    /// Targets, best first.
    Targets(Vec<RawTarget>),
    /// Targets with all that can be said of them.
    Long(Box<RawLongModel>),
}

/// A target: `provider/model`, or the long form.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(super) enum RawTarget {
    /// `provider/model`.
    Label(String),
    /// A target with its own settings.
    Long(Box<RawLongTarget>),
}

/// A model, its targets, and how requests are spread over them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLongModel {
    /// Targets `provider/model`, or the long form of each. Without `balance` and without a `weight`
    /// or `priority` on any of them they are an order: best first. Otherwise those without a
    /// priority are one group of priority 0.
    pub(super) targets: Vec<RawTarget>,
    /// Requests at once. Default no bound.
    pub(super) concurrent: Option<u32>,
    /// Prompt and answer tokens per minute: `100k`. Default no bound.
    #[schemars(with = "Option<String>")]
    pub(super) tokens_per_minute: Option<RawCount>,
    /// How a target is picked among those of the same priority: `p2c` (the better of two drawn by
    /// weight: tokens in flight times first-token time), `round_robin`, `least_inflight`,
    /// `cheapest`, `affinity` (the same session, user or `prompt_cache_key` goes to the same
    /// target), `prefix` (to where the beginning of the prompt is in the cache), `locality` (this
    /// gateway's `zone` first). Default `p2c`.
    #[schemars(with = "Option<String>")]
    pub(super) balance: Option<Spanned<String>>,
    /// The header that names a session, for `affinity`. Default `x-session-id`.
    #[schemars(with = "Option<String>")]
    pub(super) affinity_header: Option<Spanned<String>>,
    /// Deadlines; each overrides the provider's.
    #[serde(default)]
    pub(super) timeouts: RawTimeouts,
    /// A stream whose first content has not come after so many milliseconds shows its client a
    /// status and comments; until the first content it may still be served by another target.
    /// Default 15000.
    pub(super) hold_ms: Option<u64>,
    /// When another target is tried.
    #[serde(default)]
    pub(super) retry: RawRetry,
    /// A second attempt on another target when the first is slow to speak. Default none.
    pub(super) hedge: Option<RawHedge>,
    /// Other models, by the cause why this one cannot answer. The key must be allowed to use them.
    #[serde(default)]
    pub(super) fallback: RawFallback,
    /// Go on with the next target when a stream breaks off after its first content: the text so
    /// far becomes the beginning of the next target's answer. Only plain text with one choice, no
    /// tools and no JSON mode. The prompt is charged again. Default false.
    #[serde(default)]
    pub(super) continuation: bool,
    /// A copy of some requests to another target, whose answer is thrown away.
    pub(super) mirror: Option<RawMirror>,
    /// Percent of users that get another model instead, by its name: an A/B test. A user always
    /// gets the same.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, u8>")]
    pub(super) split: IndexMap<String, Spanned<u8>>,
    /// Faults made on purpose, to rehearse failover. Needs `allow_faults`.
    #[schemars(with = "Option<RawFaults>")]
    pub(super) faults: Option<Spanned<RawFaults>>,
}

/// A target with its own settings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLongTarget {
    /// `provider/model`.
    #[schemars(with = "String")]
    pub(super) target: Spanned<String>,
    /// Its share of the traffic among targets of the same priority. Default 1.
    #[schemars(with = "Option<u32>")]
    pub(super) weight: Option<Spanned<u32>>,
    /// Lower is tried first; the next group takes over when none of this one can be used. Default 0,
    /// or its place in the list where no target has a weight or a priority.
    pub(super) priority: Option<u32>,
    /// Where it is, for `locality`.
    pub(super) zone: Option<String>,
    /// Deadlines; each overrides the model's.
    #[serde(default)]
    pub(super) timeouts: RawTimeouts,
    /// When it is ejected; overrides the provider's.
    #[serde(default)]
    pub(super) health: RawHealth,
    /// What it takes at once; overrides the provider's.
    #[serde(default)]
    pub(super) circuit: RawCircuit,
}

/// When another target is tried: after a failed connection, a reset or a missed deadline before the
/// first content, 408, 429, 500, 502, 503, 504, 529 and answers that cannot be read; never after
/// another 4xx, and never once content was sent.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRetry {
    /// Attempts in all. Default 4.
    #[schemars(with = "Option<u32>")]
    pub(super) attempts: Option<Spanned<u32>>,
    /// Retries as a share of the model's requests in the last 10 s, percent. Default 20.
    #[schemars(with = "Option<u32>")]
    pub(super) budget_percent: Option<Spanned<u32>>,
    /// Retries a second that are allowed whatever the share. Default 10.
    pub(super) budget_per_second: Option<u32>,
    /// Try the same target again when no other is left, after its `retry-after` or a growing pause
    /// with jitter. Default false.
    #[serde(default)]
    pub(super) same_target: bool,
    /// The longest such pause. Default `1s`.
    #[schemars(with = "Option<String>")]
    pub(super) longest_pause: Option<Spanned<String>>,
}

/// A second attempt for slow streams.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHedge {
    /// After this time without content: a duration, or `p95` of the target's first-token times.
    /// Default `p95`.
    #[schemars(with = "Option<String>")]
    pub(super) after: Option<Spanned<String>>,
}

/// Models that step in, by cause.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "they are the keys of the file")]
pub(super) struct RawFallback {
    /// When the prompt does not fit.
    #[schemars(with = "Option<String>")]
    pub(super) on_context_length: Option<Spanned<String>>,
    /// When the provider refuses the content.
    #[schemars(with = "Option<String>")]
    pub(super) on_content_policy: Option<Spanned<String>>,
    /// When a budget (`$50/day`) is used up.
    #[schemars(with = "Option<String>")]
    pub(super) on_budget: Option<Spanned<String>>,
}

/// Shadow traffic: never billed to the caller, never waited for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMirror {
    /// `provider/model`.
    #[schemars(with = "String")]
    pub(super) target: Spanned<String>,
    /// Share of requests, percent. Default 100.
    #[schemars(with = "Option<u8>")]
    pub(super) percent: Option<Spanned<u8>>,
}

/// Faults made on purpose. They count as the target's for failover, not for its health.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFaults {
    /// Wait this long before an attempt.
    #[schemars(with = "Option<String>")]
    pub(super) delay: Option<Spanned<String>>,
    /// Share of attempts that are delayed, percent. Default 100.
    pub(super) delay_percent: Option<u8>,
    /// Fail an attempt with this status.
    #[schemars(with = "Option<u16>")]
    pub(super) abort: Option<Spanned<u16>>,
    /// Share of attempts that fail, percent. Default 100.
    pub(super) abort_percent: Option<u8>,
    /// Cut a stream after so many chunks.
    pub(super) cut_after: Option<u32>,
    /// Share of streams that are cut, percent. Default 100.
    pub(super) cut_percent: Option<u8>,
}

// By hand, not `untagged`: the error then names the key that is wrong, and where.
impl<'de> Deserialize<'de> for RawModel {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RawModel;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list [provider/model], or { targets: [...], concurrent: N, balance: ... }")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<RawModel, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(seq)).map(RawModel::Targets)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawModel, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(map)).map(Box::new).map(RawModel::Long)
            }
        }
        from.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for RawTarget {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RawTarget;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("provider/model, or { target: provider/model, weight: N, priority: N, zone: ... }")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RawTarget, E> {
                Ok(RawTarget::Label(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawTarget, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(map)).map(Box::new).map(RawTarget::Long)
            }
        }
        from.deserialize_any(Either)
    }
}
