//! Metrics of the cache: names in one table, labels bounded by the config.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::embedding_metrics::EmbeddingMetrics;
use super::request_metrics::Buckets;
use super::shared_cache_metrics::SharedCacheMetrics;
use super::verify_metrics::VerifyMetrics;

/// Every metric: name (counters get `_total` behind it), and what it means.
pub(super) const CACHE_METRICS: [(&str, &str); 8] = [
    (
        "sluice_cache_lookups",
        "requests by model and what the cache made of them: hit-exact, hit-semantic, joined, denied (a hit that a limit refused), miss, bypass",
    ),
    ("sluice_cache_saved_tokens", "tokens that hits and joined requests did not spend"),
    ("sluice_cache_saved_micros", "cost that hits and joined requests did not spend, micro-dollars"),
    ("sluice_cache_charged_tokens", "tokens that hits and joined requests were charged with"),
    ("sluice_cache_charged_micros", "cost that hits and joined requests were charged with, micro-dollars"),
    ("sluice_cache_lookup_seconds", "how long a look-up took, by what came of it"),
    ("sluice_cache_entries", "answers held"),
    ("sluice_cache_bytes", "bytes of the answers held, about"),
];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Looked {
    model: String,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Model {
    model: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Taken {
    result: &'static str,
}

/// Metrics of the cache. Cheap to clone.
#[derive(Clone)]
pub struct CacheMetrics(Arc<Inner>, EmbeddingMetrics);

struct Inner {
    lookups: Family<Looked, Counter>,
    tokens: Family<Model, Counter>,
    cost: Family<Model, Counter>,
    charged_tokens: Family<Model, Counter>,
    charged_cost: Family<Model, Counter>,
    seconds: Family<Taken, Histogram, Buckets>,
    entries: Gauge,
    bytes: Gauge,
    shared: SharedCacheMetrics,
    verify: VerifyMetrics,
}

impl CacheMetrics {
    /// Registers every metric.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let inner = Inner {
            lookups: Family::default(),
            tokens: Family::default(),
            cost: Family::default(),
            charged_tokens: Family::default(),
            charged_cost: Family::default(),
            seconds: Family::new_with_constructor(Buckets { first: 0.000_002, factor: 2.0, count: 16 }),
            entries: Gauge::default(),
            bytes: Gauge::default(),
            shared: SharedCacheMetrics::register(registry),
            verify: VerifyMetrics::register(registry),
        };
        let [lookups, tokens, cost, charged_tokens, charged_cost, seconds, entries, bytes] = CACHE_METRICS;
        registry.register(lookups.0, lookups.1, inner.lookups.clone());
        registry.register(tokens.0, tokens.1, inner.tokens.clone());
        registry.register(cost.0, cost.1, inner.cost.clone());
        registry.register(charged_tokens.0, charged_tokens.1, inner.charged_tokens.clone());
        registry.register(charged_cost.0, charged_cost.1, inner.charged_cost.clone());
        registry.register(seconds.0, seconds.1, inner.seconds.clone());
        registry.register(entries.0, entries.1, inner.entries.clone());
        registry.register(bytes.0, bytes.1, inner.bytes.clone());
        Self(Arc::new(inner), EmbeddingMetrics::register(registry))
    }

    /// Those of the embeddings models that it asks.
    pub fn embeddings(&self) -> &EmbeddingMetrics {
        &self.1
    }

    /// Those of the answers that replicas share.
    pub fn shared(&self) -> &SharedCacheMetrics {
        &self.0.shared
    }

    /// Those of hits that are checked.
    pub fn verify(&self) -> &VerifyMetrics {
        &self.0.verify
    }

    /// A request was looked up, or the cache had no part in it.
    pub fn looked(&self, model: &str, result: &'static str, taken: Duration) {
        self.0.lookups.get_or_create(&Looked { model: model.to_owned(), result }).inc();
        self.0.seconds.get_or_create(&Taken { result }).observe(taken.as_secs_f64());
    }

    /// What a hit did not spend.
    pub fn saved(&self, model: &str, tokens: u64, cost_micros: u64) {
        let model = Model { model: model.to_owned() };
        self.0.tokens.get_or_create(&model).inc_by(tokens);
        self.0.cost.get_or_create(&model).inc_by(cost_micros);
    }

    /// What a hit was charged with.
    pub fn charged(&self, model: &str, tokens: u64, cost_micros: u64) {
        let model = Model { model: model.to_owned() };
        self.0.charged_tokens.get_or_create(&model).inc_by(tokens);
        self.0.charged_cost.get_or_create(&model).inc_by(cost_micros);
    }

    /// What is held.
    pub fn holds(&self, entries: u64, bytes: u64) {
        self.0.entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
        self.0.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}
