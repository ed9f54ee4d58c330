//! Metrics of hits that were checked: names in one table, labels bounded by the config.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Every metric: name (counters get `_total` behind it), and what it means.
pub(super) const VERIFY_METRICS: [(&str, &str); 5] = [
    (
        "sluice_cache_verified",
        "hits in other words that were answered live as well: agree, disagree, failed (no answer to compare), skipped",
    ),
    ("sluice_cache_verify_tokens", "tokens that these live answers took; nobody is charged with them"),
    ("sluice_cache_verify_cost_micros", "what they cost, micro-dollars"),
    ("sluice_cache_false_hit_upper_bound", "95 % upper bound of the part of false hits (Clopper-Pearson)"),
    ("sluice_cache_semantic_off", "1 while other words are not answered because they were wrong too often"),
];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Verified {
    model: String,
    rule: String,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ruled {
    model: String,
    rule: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Model {
    model: String,
}

/// Metrics of checks.
#[derive(Default)]
pub struct VerifyMetrics {
    verified: Family<Verified, Counter>,
    tokens: Family<Model, Counter>,
    cost: Family<Model, Counter>,
    bound: Family<Ruled, Gauge<f64, AtomicU64>>,
    off: Family<Ruled, Gauge>,
}

impl VerifyMetrics {
    /// Registers every metric.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let [verified, tokens, cost, bound, off] = VERIFY_METRICS;
        registry.register(verified.0, verified.1, metrics.verified.clone());
        registry.register(tokens.0, tokens.1, metrics.tokens.clone());
        registry.register(cost.0, cost.1, metrics.cost.clone());
        registry.register(bound.0, bound.1, metrics.bound.clone());
        registry.register(off.0, off.1, metrics.off.clone());
        metrics
    }

    /// What came of a check: `agree`, `disagree`, `failed` or `skipped`.
    pub fn verified(&self, model: &str, rule: &str, result: &'static str) {
        let labels = Verified { model: model.to_owned(), rule: rule.to_owned(), result };
        self.verified.get_or_create(&labels).inc();
    }

    /// What a live answer took.
    pub fn took(&self, model: &str, tokens: u64, cost_micros: u64) {
        let model = Model { model: model.to_owned() };
        self.tokens.get_or_create(&model).inc_by(tokens);
        self.cost.get_or_create(&model).inc_by(cost_micros);
    }

    /// How models stand under their rules, in place of what was known: model, rule, bound, off.
    pub fn stand<'a>(&self, all: impl Iterator<Item = (&'a str, &'a str, f64, bool)>) {
        self.bound.clear();
        self.off.clear();
        for (model, rule, bound, off) in all {
            let labels = Ruled { model: model.to_owned(), rule: rule.to_owned() };
            self.bound.get_or_create(&labels).set(bound);
            self.off.get_or_create(&labels).set(i64::from(off));
        }
    }
}
