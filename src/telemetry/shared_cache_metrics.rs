//! Metrics of the answers that replicas share: names in one table, labels of words.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::request_metrics::Buckets;

/// Every metric: name (counters get `_total` behind it), and what it means.
pub(super) const SHARED_METRICS: [(&str, &str); 5] = [
    ("sluice_cache_tier_lookups", "look-ups by where: memory or redis, and what came of them"),
    ("sluice_cache_shared_up", "1 while answers are shared through redis"),
    ("sluice_cache_shared_calls", "calls of the shared cache by result: ok, error or timeout"),
    ("sluice_cache_shared_call_seconds", "how long calls of the shared cache took"),
    ("sluice_cache_shared_writes", "answers for the shared cache: written, failed, dropped (too many at once) or down"),
];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Looked {
    tier: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Call {
    op: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Op {
    op: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Written {
    result: &'static str,
}

/// Metrics of shared answers. Cheap to clone.
#[derive(Clone)]
pub struct SharedCacheMetrics(Arc<Inner>);

struct Inner {
    looked: Family<Looked, Counter>,
    up: Gauge,
    calls: Family<Call, Counter>,
    seconds: Family<Op, Histogram, Buckets>,
    writes: Family<Written, Counter>,
}

impl Default for SharedCacheMetrics {
    /// Metrics that nobody is shown.
    fn default() -> Self {
        Self::register(&mut Registry::default())
    }
}

impl SharedCacheMetrics {
    /// Registers every metric.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let inner = Inner {
            looked: Family::default(),
            up: Gauge::default(),
            calls: Family::default(),
            seconds: Family::new_with_constructor(Buckets { first: 0.000_05, factor: 2.0, count: 14 }),
            writes: Family::default(),
        };
        let [looked, up, calls, seconds, writes] = SHARED_METRICS;
        registry.register(looked.0, looked.1, inner.looked.clone());
        registry.register(up.0, up.1, inner.up.clone());
        registry.register(calls.0, calls.1, inner.calls.clone());
        registry.register(seconds.0, seconds.1, inner.seconds.clone());
        registry.register(writes.0, writes.1, inner.writes.clone());
        Self(Arc::new(inner))
    }

    /// A tier was asked.
    pub fn looked(&self, tier: &'static str, result: &'static str) {
        self.0.looked.get_or_create(&Looked { tier, result }).inc();
    }

    /// Whether the store is used.
    pub fn up(&self, up: bool) {
        self.0.up.set(i64::from(up));
    }

    /// A call of the store has ended.
    pub fn called(&self, op: &'static str, result: &'static str, taken: Duration) {
        self.0.calls.get_or_create(&Call { op, result }).inc();
        self.0.seconds.get_or_create(&Op { op }).observe(taken.as_secs_f64());
    }

    /// What became of an answer that was to be shared.
    pub fn wrote(&self, result: &'static str) {
        self.0.writes.get_or_create(&Written { result }).inc();
    }

    /// How many came to this.
    pub fn written(&self, result: &'static str) -> u64 {
        self.0.writes.get_or_create(&Written { result }).get()
    }
}
