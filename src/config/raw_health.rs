//! When a target is ejected, what it takes at once, and how it is asked whether it is there.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

/// When a target is ejected for its own faults: failed connections, resets, 5xx, missed deadlines,
/// answers that cannot be read, streams that stall or break off.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHealth {
    /// Faults in a row. 0 never ejects for them. Default 5.
    pub(super) consecutive_faults: Option<u32>,
    /// By how much its share of faults in the last 10 s may be above that of the model's other
    /// targets, percentage points, from 20 requests on. 100 never ejects for it. Default 25.
    #[schemars(with = "Option<u32>")]
    pub(super) faults_above_peers: Option<Spanned<u32>>,
    /// The first ejection; each that follows soon is twice as long. Then one request at a time
    /// tries it. Default `5s`.
    #[schemars(with = "Option<String>")]
    pub(super) eject_for: Option<Spanned<String>>,
    /// The longest ejection. Default `5m`.
    #[schemars(with = "Option<String>")]
    pub(super) eject_at_most: Option<Spanned<String>>,
    /// Share of a model's targets that may be ejected at once, percent; one of two may with 50. If
    /// none is left, the least bad is tried. Default 50.
    #[schemars(with = "Option<u32>")]
    pub(super) max_ejected_percent: Option<Spanned<u32>>,
}

/// What a target takes at once. More waits, then goes to the next target.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCircuit {
    /// Connections; over HTTP/1.1 each request under way needs one. Default 10000.
    #[schemars(with = "Option<u32>")]
    pub(super) connections: Option<Spanned<u32>>,
    /// Requests under way. Default 10000.
    #[schemars(with = "Option<u32>")]
    pub(super) in_flight: Option<Spanned<u32>>,
    /// Requests that wait for room when no target of the model has any. Default 1000.
    pub(super) pending: Option<u32>,
}

/// Asks a provider again and again whether it is there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCheck {
    /// What is asked with GET, from the root of the provider's address: `/health`. Any status below
    /// 400 is good.
    #[schemars(with = "String")]
    pub(super) path: Spanned<String>,
    /// Between two checks; at least `200ms`. Default `2s`.
    #[schemars(with = "Option<String>")]
    pub(super) interval: Option<Spanned<String>>,
    /// How long the answer may take. Default `1s`.
    #[schemars(with = "Option<String>")]
    pub(super) timeout: Option<Spanned<String>>,
    /// Failed checks in a row that take it out. Default 3.
    pub(super) fall: Option<u32>,
    /// Good checks in a row that bring it back. Default 2.
    pub(super) rise: Option<u32>,
}
