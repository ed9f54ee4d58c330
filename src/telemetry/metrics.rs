//! Prometheus metrics: every name in a table, every label bounded by the config.

use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::cache_metrics::CacheMetrics;
use super::record::Record;
use super::request_metrics::RequestMetrics;
use super::route_metrics::RouteMetrics;
use super::runtime_metrics::{RuntimeMetrics, gauge};
use super::store_metrics::StoreMetrics;

/// The gateway's own: name (counters get `_total` behind it), and what it means.
const METRICS: [(&str, &str); 8] = [
    ("sluice_admissions", "decisions by limit: denied and observed name it, granted is `all`"),
    ("sluice_attempt_failures", "attempts that failed before anything was sent to the client"),
    ("sluice_requests_in_flight", "requests under way"),
    ("sluice_bytes_in_flight", "bytes of request bodies held"),
    ("sluice_leases_open", "reservations not settled yet"),
    ("sluice_config_generation", "the config that is live"),
    ("sluice_config_reloads", "reloads by result"),
    ("sluice_access_log_dropped", "access-log lines dropped because stdout was too slow"),
];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Decision {
    limit: String,
    decision: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Failure {
    target: String,
    kind: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reload {
    result: &'static str,
}

/// All metrics of the process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    requests: RequestMetrics,
    runtime: RuntimeMetrics,
    store: StoreMetrics,
    routes: RouteMetrics,
    cache: CacheMetrics,
    admissions: Family<Decision, Counter>,
    /// The one of `admissions` that every request needs.
    granted: Counter,
    attempt_failures: Family<Failure, Counter>,
    in_flight: Gauge,
    bytes_in_flight: Gauge,
    leases_open: Gauge,
    generation: Gauge,
    reloads: Family<Reload, Counter>,
    log_dropped: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A registry of its own: two gateways in one process do not share numbers.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let requests = RequestMetrics::register(&mut registry);
        let admissions = Family::default();
        let inner = Inner {
            requests,
            granted: admissions.get_or_create_owned(&Decision { limit: "all".to_owned(), decision: "granted" }),
            admissions,
            attempt_failures: Family::default(),
            in_flight: Gauge::default(),
            bytes_in_flight: Gauge::default(),
            leases_open: Gauge::default(),
            generation: Gauge::default(),
            reloads: Family::default(),
            log_dropped: Counter::default(),
            runtime: RuntimeMetrics::register(&mut registry),
            store: StoreMetrics::register(&mut registry),
            routes: RouteMetrics::register(&mut registry),
            cache: CacheMetrics::register(&mut registry),
            registry,
        };
        Self(Arc::new(inner.registered()))
    }

    /// Those of queues and of the store.
    pub fn store(&self) -> &StoreMetrics {
        &self.0.store
    }

    /// Those of the cache.
    pub fn cache(&self) -> &CacheMetrics {
        &self.0.cache
    }

    /// Those of targets and of failover.
    pub fn routes(&self) -> &RouteMetrics {
        &self.0.routes
    }

    /// One request that has ended.
    pub fn observe(&self, record: &Record) {
        self.0.requests.observe(record);
    }

    /// The store let a request in; limits that only observe would have refused it.
    pub fn granted(&self, observed: &[Arc<str>]) {
        self.0.granted.inc();
        for limit in observed {
            self.admission(limit, "observed");
        }
    }

    /// A decision of the store, `denied` or `observed`, and the limit it hangs on.
    pub fn admission(&self, limit: &str, decision: &'static str) {
        self.0.admissions.get_or_create(&Decision { limit: limit.to_owned(), decision }).inc();
    }

    /// An attempt that failed before anything was sent. `kind` is a code of the gateway's or a
    /// status; anything else is `other`, so that it cannot grow labels without bound.
    pub fn attempt_failed(&self, target: &str, kind: &str) {
        let known = kind.len() <= 40
            && kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        let kind = if known { kind } else { "other" }.to_owned();
        self.0.attempt_failures.get_or_create(&Failure { target: target.to_owned(), kind }).inc();
    }

    /// A request has begun.
    pub fn begin(&self) {
        self.0.in_flight.inc();
    }

    /// A request has ended.
    pub fn end(&self) {
        self.0.in_flight.dec();
    }

    /// Bytes of request bodies held.
    pub fn set_bytes_in_flight(&self, bytes: usize) {
        self.0.bytes_in_flight.set(gauge(bytes));
    }

    /// Reservations not settled yet.
    pub fn set_leases_open(&self, leases: usize) {
        self.0.leases_open.set(gauge(leases));
    }

    /// The generation that is live.
    pub fn set_generation(&self, generation: u64) {
        self.0.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
    }

    /// Reloads so far, by result.
    pub fn set_reloads(&self, ok: u64, failed: u64) {
        for (result, total) in [("ok", ok), ("failed", failed)] {
            let counter = self.0.reloads.get_or_create_owned(&Reload { result });
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }

    /// An access-log line was dropped.
    pub fn log_dropped(&self) {
        self.0.log_dropped.inc();
    }

    /// How many were.
    pub fn logs_dropped(&self) -> u64 {
        self.0.log_dropped.get()
    }

    /// The metrics in the `OpenMetrics` text format. Called from the runtime, it reads its numbers
    /// too.
    pub fn render(&self) -> String {
        self.0.runtime.sample();
        let mut out = String::with_capacity(16 * 1024);
        // Writing to a string cannot fail.
        text::encode(&mut out, &self.0.registry).unwrap_or_default();
        out
    }
}

impl Inner {
    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        let [admissions, failures, in_flight, bytes, leases, generation, reloads, dropped] = METRICS;
        registry.register(admissions.0, admissions.1, self.admissions.clone());
        registry.register(failures.0, failures.1, self.attempt_failures.clone());
        registry.register(in_flight.0, in_flight.1, self.in_flight.clone());
        registry.register(bytes.0, bytes.1, self.bytes_in_flight.clone());
        registry.register(leases.0, leases.1, self.leases_open.clone());
        registry.register(generation.0, generation.1, self.generation.clone());
        registry.register(reloads.0, reloads.1, self.reloads.clone());
        registry.register(dropped.0, dropped.1, self.log_dropped.clone());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::cache_metrics::CACHE_METRICS;
    use super::super::request_metrics::REQUEST_METRICS;
    use super::super::runtime_metrics::RUNTIME_METRICS;
    use super::super::shared_cache_metrics::SHARED_METRICS;
    use super::super::verify_metrics::VERIFY_METRICS;
    use super::*;
    use crate::telemetry::Outcome;

    fn tables() -> impl Iterator<Item = (&'static str, &'static str)> {
        METRICS.into_iter().chain(REQUEST_METRICS).chain(RUNTIME_METRICS)
    }

    fn record(model: Option<&str>) -> Record {
        let mut record = Record::start(Arc::from("r"), "/v1/chat/completions");
        record.model = model.map(Arc::from);
        record.target = model.map(|model| Arc::from(format!("p/{model}")));
        record.tokens = [10, 0, 0, 5, 0];
        record.outcome = Outcome::Ok;
        record
    }

    #[test]
    fn every_metric_is_registered_under_its_own_name() {
        let metrics = Metrics::new();
        let mut full = record(Some("m"));
        full.cost_micros = 7;
        full.stream = true;
        full.count_method = Some("exact");
        full.first_token = Some(std::time::Duration::from_millis(3));
        metrics.observe(&full);
        metrics.attempt_failed("p/m", "connect_failed");
        metrics.admission("t/l", "denied");
        metrics.set_reloads(3, 1);
        let text = metrics.render();
        for (name, help) in tables() {
            assert!(text.contains(&format!("# HELP {name} {help}")), "{name}\n{text}");
        }
        assert!(text.contains("sluice_tokens_total{model=\"m\",target=\"p/m\",kind=\"output\"} 5"), "{text}");
        assert!(text.contains("sluice_admissions_total{limit=\"t/l\",decision=\"denied\"} 1"));
        assert!(text.contains("sluice_config_reloads_total{result=\"ok\"} 3"));
    }

    #[test]
    fn labels_do_not_grow_with_traffic() {
        let metrics = Metrics::new();
        for index in 0..1000 {
            let mut one = record(None);
            one.key = Some(Arc::from(format!("key{index}")));
            one.user = Some(format!("user{index}"));
            metrics.observe(&one);
            metrics.attempt_failed("p/m", &format!("Code {index}"));
        }
        let text = metrics.render();
        assert_eq!(text.lines().filter(|line| line.starts_with("sluice_requests_total")).count(), 1);
        assert_eq!(text.lines().filter(|line| line.starts_with("sluice_attempt_failures_total")).count(), 1);
        assert!(!text.contains("key1") && !text.contains("user1"));
    }

    #[test]
    fn the_table_is_documented() {
        let docs = include_str!("../../docs/telemetry.md");
        for (name, _) in tables().chain(CACHE_METRICS).chain(SHARED_METRICS).chain(VERIFY_METRICS) {
            assert!(docs.contains(&format!("`{name}")), "{name} is not in docs/telemetry.md");
        }
    }
}
