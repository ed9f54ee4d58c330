//! Metrics of targets and of failover: names in one table, labels bounded by the config.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Every metric: name (counters get `_total` behind it), and what it means.
const ROUTE_METRICS: [(&str, &str); 10] = [
    ("sluice_attempts", "attempts by target, retries and hedges included"),
    ("sluice_retries", "retries by model: allowed, or refused by the retry budget"),
    ("sluice_ejections", "ejections of targets by cause"),
    ("sluice_target_ejected", "1 while a target is ejected"),
    ("sluice_provider_up", "1 while a provider's active checks pass"),
    ("sluice_hedges", "second attempts beside slow ones: won, lost, or refused a lease"),
    ("sluice_fallbacks", "requests that another model answered, by cause"),
    ("sluice_continuations", "streams that broke off and went on with another target, by result"),
    ("sluice_mirrored", "copies of requests by target and result"),
    ("sluice_faults_made", "faults made on purpose, by model and kind"),
];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Target {
    target: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Provider {
    provider: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ejection {
    target: String,
    cause: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Mirrored {
    target: String,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Result {
    model: String,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Why {
    model: String,
    cause: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Made {
    model: String,
    kind: &'static str,
}

/// Metrics of targets and of failover. Cheap to clone.
#[derive(Clone)]
pub struct RouteMetrics(Arc<Inner>);

#[derive(Default)]
struct Inner {
    attempts: Family<Target, Counter>,
    retries: Family<Result, Counter>,
    ejections: Family<Ejection, Counter>,
    ejected: Family<Target, Gauge>,
    up: Family<Provider, Gauge>,
    hedges: Family<Result, Counter>,
    fallbacks: Family<Why, Counter>,
    continuations: Family<Result, Counter>,
    mirrored: Family<Mirrored, Counter>,
    faults: Family<Made, Counter>,
}

impl RouteMetrics {
    /// Registers every metric.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let inner = Inner::default();
        let [attempts, retries, ejections, ejected, up, hedges, fallbacks, continuations, mirrored, faults] =
            ROUTE_METRICS;
        registry.register(attempts.0, attempts.1, inner.attempts.clone());
        registry.register(retries.0, retries.1, inner.retries.clone());
        registry.register(ejections.0, ejections.1, inner.ejections.clone());
        registry.register(ejected.0, ejected.1, inner.ejected.clone());
        registry.register(up.0, up.1, inner.up.clone());
        registry.register(hedges.0, hedges.1, inner.hedges.clone());
        registry.register(fallbacks.0, fallbacks.1, inner.fallbacks.clone());
        registry.register(continuations.0, continuations.1, inner.continuations.clone());
        registry.register(mirrored.0, mirrored.1, inner.mirrored.clone());
        registry.register(faults.0, faults.1, inner.faults.clone());
        Self(Arc::new(inner))
    }

    /// The count of attempts at a target, to be kept: finding it is not for every request.
    pub fn attempts(&self, target: &str) -> Attempts {
        Attempts(self.0.attempts.get_or_create_owned(&Target { target: target.to_owned() }))
    }

    /// A retry was wanted.
    pub fn retry(&self, model: &str, allowed: bool) {
        let result = if allowed { "allowed" } else { "refused" };
        self.0.retries.get_or_create(&Result { model: model.to_owned(), result }).inc();
    }

    /// A target was ejected.
    pub fn ejection(&self, target: &str, cause: &'static str) {
        self.0.ejections.get_or_create(&Ejection { target: target.to_owned(), cause }).inc();
    }

    /// Whether a target is ejected now.
    pub fn ejected(&self, target: &str, ejected: bool) {
        self.0.ejected.get_or_create(&Target { target: target.to_owned() }).set(i64::from(ejected));
    }

    /// Whether a provider's active checks pass.
    pub fn provider_up(&self, provider: &str, up: bool) {
        self.0.up.get_or_create(&Provider { provider: provider.to_owned() }).set(i64::from(up));
    }

    /// A second attempt beside a slow one: `won`, `lost` or `refused`.
    pub fn hedge(&self, model: &str, result: &'static str) {
        self.0.hedges.get_or_create(&Result { model: model.to_owned(), result }).inc();
    }

    /// Another model steps in.
    pub fn fallback(&self, model: &str, cause: &'static str) {
        self.0.fallbacks.get_or_create(&Why { model: model.to_owned(), cause }).inc();
    }

    /// A stream that broke off: `ok` or `failed`.
    pub fn continuation(&self, model: &str, result: &'static str) {
        self.0.continuations.get_or_create(&Result { model: model.to_owned(), result }).inc();
    }

    /// A copy of a request: `ok`, `failed` or `skipped`.
    pub fn mirrored(&self, target: &str, result: &'static str) {
        self.0.mirrored.get_or_create(&Mirrored { target: target.to_owned(), result }).inc();
    }

    /// A fault made on purpose: `delay`, `abort` or `cut`.
    pub fn fault_made(&self, model: &str, kind: &'static str) {
        self.0.faults.get_or_create(&Made { model: model.to_owned(), kind }).inc();
    }
}

/// The attempts at one target.
#[derive(Clone, Debug)]
pub struct Attempts(Counter);

impl Attempts {
    /// The target is tried.
    pub fn inc(&self) {
        self.0.inc();
    }
}

impl Default for RouteMetrics {
    /// Metrics that nobody reads.
    fn default() -> Self {
        Self::register(&mut Registry::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_documented() {
        let docs = include_str!("../../docs/telemetry.md");
        for (name, _) in ROUTE_METRICS {
            assert!(docs.contains(&format!("`{name}`")), "{name} is not in docs/telemetry.md");
        }
    }
}
