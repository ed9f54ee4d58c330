//! Metrics of queues and of the store of limits: names in one table, labels bounded by the config.

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
const STORE_METRICS: [(&str, &str); 13] = [
    ("sluice_queue_waiting", "requests of this replica that wait, by model and class"),
    ("sluice_queue_ended", "waits that ended, by how: granted, refused or left"),
    ("sluice_queue_wait_seconds", "how long requests waited that were granted"),
    ("sluice_store_up", "1 while the shared store answers"),
    ("sluice_store_calls", "calls of the shared store by result"),
    ("sluice_store_call_seconds", "how long calls of the shared store took"),
    ("sluice_store_downs", "times the shared store was lost"),
    ("sluice_store_resets", "times the shared store was found empty and was restored"),
    ("sluice_store_owed", "limits whose use during an outage is not reported to the shared store yet"),
    ("sluice_leases_expired", "leases and places of replicas that died, given back"),
    ("sluice_slice_granted", "units granted from this replica's slices while the shared store was down"),
    ("sluice_slice_bound", "units that all slices of a bucket together may overshoot its limit by in an outage"),
    ("sluice_store_lag_seconds", "age of what this replica knows of the shared levels"),
];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Line {
    model: String,
    class: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ended {
    model: String,
    class: String,
    how: &'static str,
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
struct Limit {
    limit: String,
}

/// Metrics of queues and of the store. Cheap to clone.
#[derive(Clone)]
pub struct StoreMetrics(Arc<Inner>);

struct Inner {
    waiting: Family<Line, Gauge>,
    ended: Family<Ended, Counter>,
    wait: Family<Line, Histogram, Buckets>,
    up: Gauge,
    calls: Family<Call, Counter>,
    call_seconds: Family<Op, Histogram, Buckets>,
    downs: Counter,
    resets: Counter,
    owed: Gauge,
    expired: Counter,
    slice_granted: Family<Limit, Counter>,
    slice_bound: Family<Limit, Gauge>,
    lag: Gauge<f64, std::sync::atomic::AtomicU64>,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitEnd {
    /// With a lease.
    Granted,
    /// With a refusal.
    Refused,
    /// The client left.
    Left,
}

impl StoreMetrics {
    /// Metrics that are shown by `registry`.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let inner = Inner {
            waiting: Family::default(),
            ended: Family::default(),
            wait: Family::new_with_constructor(Buckets { first: 0.001, factor: 2.0, count: 20 }),
            up: Gauge::default(),
            calls: Family::default(),
            call_seconds: Family::new_with_constructor(Buckets { first: 0.000_05, factor: 2.0, count: 14 }),
            downs: Counter::default(),
            resets: Counter::default(),
            owed: Gauge::default(),
            expired: Counter::default(),
            slice_granted: Family::default(),
            slice_bound: Family::default(),
            lag: Gauge::default(),
        };
        let [waiting, ended, wait, up, calls, seconds, downs, resets, owed, expired, granted, bound, lag] =
            STORE_METRICS;
        registry.register(waiting.0, waiting.1, inner.waiting.clone());
        registry.register(ended.0, ended.1, inner.ended.clone());
        registry.register(wait.0, wait.1, inner.wait.clone());
        registry.register(up.0, up.1, inner.up.clone());
        registry.register(calls.0, calls.1, inner.calls.clone());
        registry.register(seconds.0, seconds.1, inner.call_seconds.clone());
        registry.register(downs.0, downs.1, inner.downs.clone());
        registry.register(resets.0, resets.1, inner.resets.clone());
        registry.register(owed.0, owed.1, inner.owed.clone());
        registry.register(expired.0, expired.1, inner.expired.clone());
        registry.register(granted.0, granted.1, inner.slice_granted.clone());
        registry.register(bound.0, bound.1, inner.slice_bound.clone());
        registry.register(lag.0, lag.1, inner.lag.clone());
        Self(Arc::new(inner))
    }

    /// A request begins to wait.
    pub fn wait_began(&self, model: &str, class: &str) {
        self.0.waiting.get_or_create(&line(model, class)).inc();
    }

    /// It has ended.
    pub fn wait_ended(&self, model: &str, class: &str, how: WaitEnd, after: Duration) {
        let line = line(model, class);
        self.0.waiting.get_or_create(&line).dec();
        let name = match how {
            WaitEnd::Granted => "granted",
            WaitEnd::Refused => "refused",
            WaitEnd::Left => "left",
        };
        if how == WaitEnd::Granted {
            self.0.wait.get_or_create(&line).observe(after.as_secs_f64());
        }
        self.0.ended.get_or_create(&Ended { model: line.model, class: line.class, how: name }).inc();
    }

    /// The shared store answers, or does not.
    pub fn store_up(&self, up: bool) {
        let before = self.0.up.set(i64::from(up));
        if before == 1 && !up {
            self.0.downs.inc();
        }
    }

    /// A call of the shared store ended: `ok`, `timeout` or `error`.
    pub fn store_call(&self, op: &'static str, result: &'static str, took: Duration) {
        self.0.calls.get_or_create(&Call { op, result }).inc();
        self.0.call_seconds.get_or_create(&Op { op }).observe(took.as_secs_f64());
    }

    /// The shared store was empty, and has been restored.
    pub fn store_reset(&self) {
        self.0.resets.inc();
    }

    /// Limits whose use is still to be reported.
    pub fn owed(&self, limits: usize) {
        self.0.owed.set(i64::try_from(limits).unwrap_or(i64::MAX));
    }

    /// Leases and places that expired.
    pub fn expired(&self, count: u64) {
        self.0.expired.inc_by(count);
    }

    /// Units granted from a slice.
    pub fn slice_granted(&self, limit: &str, units: u64) {
        self.0.slice_granted.get_or_create(&Limit { limit: limit.to_owned() }).inc_by(units);
    }

    /// The bound of what slices may overshoot, units.
    pub fn slice_bound(&self, limit: &str, units: u64) {
        let units = i64::try_from(units).unwrap_or(i64::MAX);
        self.0.slice_bound.get_or_create(&Limit { limit: limit.to_owned() }).set(units);
    }

    /// How old what is known of the shared levels is.
    pub fn lag(&self, age: Duration) {
        self.0.lag.set(age.as_secs_f64());
    }
}

fn line(model: &str, class: &str) -> Line {
    Line { model: model.to_owned(), class: class.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_documented() {
        let docs = include_str!("../../docs/telemetry.md");
        for (name, _) in STORE_METRICS {
            assert!(docs.contains(&format!("`{name}`")), "{name} is not in docs/telemetry.md");
        }
    }

    #[test]
    fn losing_the_store_counts_once() {
        let metrics = StoreMetrics::register(&mut Registry::default());
        for up in [false, true, false, false, true] {
            metrics.store_up(up);
        }
        assert_eq!((metrics.0.downs.get(), metrics.0.up.get()), (1, 1));
    }
}
