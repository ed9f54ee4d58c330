//! Metrics of the embeddings models that the cache asks: names in one table, labels bounded by the config.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::request_metrics::Buckets;

/// Every metric: name (counters get `_total` behind it), and what it means.
const EMBEDDING_METRICS: [(&str, &str); 5] = [
    ("sluice_cache_embeddings", "calls to embeddings models by what came of them"),
    ("sluice_cache_embedding_seconds", "how long such a call took"),
    ("sluice_cache_embedding_tokens", "tokens spent on embeddings"),
    ("sluice_cache_embedding_micros", "cost of embeddings, micro-dollars"),
    ("sluice_cache_second_opinions", "answers to other words that a second opinion was asked about, by what it was"),
];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Result {
    model: String,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Model {
    model: String,
}

/// Metrics of embeddings models. Cheap to clone.
#[derive(Clone)]
pub struct EmbeddingMetrics(Arc<Inner>);

struct Inner {
    calls: Family<Result, Counter>,
    seconds: Family<Model, Histogram, Buckets>,
    tokens: Family<Model, Counter>,
    cost: Family<Model, Counter>,
    opinions: Family<Result, Counter>,
}

impl EmbeddingMetrics {
    /// Registers every metric.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let inner = Inner {
            calls: Family::default(),
            seconds: Family::new_with_constructor(Buckets { first: 0.001, factor: 2.0, count: 14 }),
            tokens: Family::default(),
            cost: Family::default(),
            opinions: Family::default(),
        };
        let [calls, seconds, tokens, cost, opinions] = EMBEDDING_METRICS;
        registry.register(calls.0, calls.1, inner.calls.clone());
        registry.register(seconds.0, seconds.1, inner.seconds.clone());
        registry.register(tokens.0, tokens.1, inner.tokens.clone());
        registry.register(cost.0, cost.1, inner.cost.clone());
        registry.register(opinions.0, opinions.1, inner.opinions.clone());
        Self(Arc::new(inner))
    }

    /// A call to a model, and what came of it: `ok`, or why not.
    pub fn called(&self, model: &str, result: &'static str, taken: Duration) {
        let (model, of) = (model.to_owned(), Model { model: model.to_owned() });
        self.0.calls.get_or_create(&Result { model, result }).inc();
        self.0.seconds.get_or_create(&of).observe(taken.as_secs_f64());
    }

    /// What a call cost.
    pub fn spent(&self, model: &str, tokens: u64, cost_micros: u64) {
        let model = Model { model: model.to_owned() };
        self.0.tokens.get_or_create(&model).inc_by(tokens);
        self.0.cost.get_or_create(&model).inc_by(cost_micros);
    }

    /// A second opinion: `agreed`, `disagreed` or `none`.
    pub fn opinion(&self, model: &str, result: &'static str) {
        self.0.opinions.get_or_create(&Result { model: model.to_owned(), result }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_documented() {
        let docs = include_str!("../../docs/telemetry.md");
        for (name, _) in EMBEDDING_METRICS {
            assert!(docs.contains(&format!("`{name}`")), "{name} is not in docs/telemetry.md");
        }
    }
}
