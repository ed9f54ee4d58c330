//! How a model's requests are spread over its targets, compiled.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, StatusCode};

use super::model::TargetRoute;

/// How a target is picked among those of the same priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// The better of two drawn by weight: tokens in flight times first-token time.
    #[default]
    P2c,
    /// In turn, by weight.
    RoundRobin,
    /// The fewest requests under way for its weight.
    LeastInflight,
    /// The lowest price for this request.
    Cheapest,
    /// The same session goes to the same target.
    Affinity,
    /// Where the beginning of the prompt was before.
    Prefix,
    /// This gateway's zone first.
    Locality,
}

impl Balance {
    /// All, as configs name them.
    pub const NAMES: [(&'static str, Self); 7] = [
        ("p2c", Self::P2c),
        ("round_robin", Self::RoundRobin),
        ("least_inflight", Self::LeastInflight),
        ("cheapest", Self::Cheapest),
        ("affinity", Self::Affinity),
        ("prefix", Self::Prefix),
        ("locality", Self::Locality),
    ];

    /// As configs name it.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, balance)| *balance == self).map_or("p2c", |(name, _)| name)
    }
}

/// All that routes a model's requests beside its targets.
#[derive(Clone, Debug)]
pub struct Routing {
    /// How a target is picked.
    pub balance: Balance,
    /// The header that names a session.
    pub affinity_header: HeaderName,
    /// How long the head of a stream is held back for its first content.
    pub hold: Duration,
    /// When another target is tried.
    pub retry: RetryRules,
    /// When a second attempt is started beside a slow one.
    pub hedge: Option<HedgeAfter>,
    /// Models that step in, by cause.
    pub fallback: Fallback,
    /// Go on with the next target when a stream breaks off.
    pub continuation: bool,
    /// Shadow traffic.
    pub mirror: Option<Mirror>,
    /// Other models and the percent of users that get each.
    pub split: Vec<(Arc<str>, u8)>,
    /// Faults made on purpose.
    pub faults: Option<Faults>,
}

impl Default for Routing {
    fn default() -> Self {
        Self {
            balance: Balance::default(),
            affinity_header: HeaderName::from_static("x-session-id"),
            hold: Duration::from_secs(15),
            retry: RetryRules::default(),
            hedge: None,
            fallback: Fallback::default(),
            continuation: false,
            mirror: None,
            split: Vec::new(),
            faults: None,
        }
    }
}

/// When another target is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryRules {
    /// Attempts in all.
    pub attempts: u32,
    /// Retries as a share of requests, percent.
    pub budget_percent: u32,
    /// Retries a second that are allowed whatever the share.
    pub budget_per_second: u32,
    /// Try the same target again when no other is left.
    pub same_target: bool,
    /// The longest pause before the same target is tried again.
    pub longest_pause: Duration,
}

impl Default for RetryRules {
    fn default() -> Self {
        Self {
            attempts: 4,
            budget_percent: 20,
            budget_per_second: 10,
            same_target: false,
            longest_pause: Duration::from_secs(1),
        }
    }
}

/// When a second attempt is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HedgeAfter {
    /// After the 95th percentile of the target's first-token times, once enough are known.
    P95,
    /// After a fixed time.
    Time(Duration),
}

/// Models that step in, by cause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fallback {
    /// The prompt does not fit.
    pub on_context_length: Option<Arc<str>>,
    /// The provider refuses the content.
    pub on_content_policy: Option<Arc<str>>,
    /// A budget is used up.
    pub on_budget: Option<Arc<str>>,
}

/// Shadow traffic.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// Where it goes.
    pub target: TargetRoute,
    /// Share of requests, percent.
    pub percent: u8,
}

/// Faults made on purpose; each with the percent of attempts that get it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// A pause before the attempt.
    pub delay: Option<(Duration, u8)>,
    /// A status instead of the attempt.
    pub abort: Option<(StatusCode, u8)>,
    /// A stream is cut after so many chunks.
    pub cut: Option<(u32, u8)>,
}

/// When a target is ejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthRules {
    /// Faults in a row; 0 is never.
    pub consecutive_faults: u32,
    /// How far its share of faults may be above its peers', percentage points; 100 is never.
    pub faults_above_peers: u32,
    /// The first ejection.
    pub eject_for: Duration,
    /// The longest.
    pub eject_at_most: Duration,
    /// Share of a model's targets that may be ejected at once, percent.
    pub max_ejected_percent: u32,
}

impl Default for HealthRules {
    fn default() -> Self {
        Self {
            consecutive_faults: 5,
            faults_above_peers: 25,
            eject_for: Duration::from_secs(5),
            eject_at_most: Duration::from_mins(5),
            max_ejected_percent: 50,
        }
    }
}

/// What a target takes at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circuit {
    /// Connections; over HTTP/1.1 each request under way needs one.
    pub connections: u32,
    /// Requests under way.
    pub in_flight: u32,
    /// Requests that wait for room.
    pub pending: u32,
}

impl Default for Circuit {
    fn default() -> Self {
        Self { connections: 10_000, in_flight: 10_000, pending: 1000 }
    }
}

/// How a provider is asked whether it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// From the root of the provider's address.
    pub path: String,
    /// Between two checks.
    pub interval: Duration,
    /// How long the answer may take.
    pub timeout: Duration,
    /// Failed checks in a row that take it out.
    pub fall: u32,
    /// Good checks in a row that bring it back.
    pub rise: u32,
}
