//! Prometheus metrics: every name in one table, every label bounded by the config.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::cache_metrics::CacheMetrics;
use super::record::{Record, TOKEN_KINDS};
use super::route_metrics::RouteMetrics;
use super::store_metrics::StoreMetrics;

/// Every metric: name (counters get `_total` behind it), and what it means.
pub const METRICS: [(&str, &str); 21] = [
    ("sluice_requests", "requests by public model, target and outcome"),
    ("sluice_tokens", "tokens by kind, settled"),
    ("sluice_cost_micros", "cost settled, micro-dollars"),
    ("gen_ai_server_time_to_first_token_seconds", "from the first dial to the first content"),
    ("gen_ai_server_time_per_output_token_seconds", "time per generated token after the first, streams"),
    ("gen_ai_server_request_duration_seconds", "whole requests"),
    ("sluice_overhead_seconds", "from the request's head to the first dial, without waiting for a lease"),
    ("sluice_admissions", "decisions by limit: denied and observed name it, granted is `all`"),
    ("sluice_attempt_failures", "attempts that failed before anything was sent to the client"),
    ("sluice_counts", "prompts by how they were counted"),
    ("sluice_requests_in_flight", "requests under way"),
    ("sluice_bytes_in_flight", "bytes of request bodies held"),
    ("sluice_leases_open", "reservations not settled yet"),
    ("sluice_config_generation", "the config that is live"),
    ("sluice_config_reloads", "reloads by result"),
    ("sluice_access_log_dropped", "access-log lines dropped because stdout was too slow"),
    ("sluice_runtime_workers", "threads of the async runtime"),
    ("sluice_runtime_alive_tasks", "tasks of the async runtime"),
    ("sluice_runtime_queue_depth", "tasks waiting for a thread"),
    ("sluice_runtime_busy_seconds", "time the runtime's threads were busy"),
    ("process_resident_memory_bytes", "resident memory"),
];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcomes {
    model: String,
    target: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Route {
    model: String,
    target: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Tokens {
    model: String,
    target: String,
    kind: &'static str,
}

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
struct How {
    method: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reload {
    result: &'static str,
}

/// Buckets from `first` seconds on, each `factor` wider.
#[derive(Clone)]
pub(super) struct Buckets {
    pub(super) first: f64,
    pub(super) factor: f64,
    pub(super) count: u16,
}

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(prometheus_client::metrics::histogram::exponential_buckets(self.first, self.factor, self.count))
    }
}

type Times = Family<Route, Histogram, Buckets>;

/// All metrics of the process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>, StoreMetrics, RouteMetrics, CacheMetrics);

struct Inner {
    registry: Registry,
    requests: Family<Outcomes, Counter>,
    tokens: Family<Tokens, Counter>,
    cost: Family<Route, Counter>,
    first_token: Times,
    per_token: Times,
    duration: Times,
    overhead: Histogram,
    admissions: Family<Decision, Counter>,
    attempt_failures: Family<Failure, Counter>,
    counts: Family<How, Counter>,
    in_flight: Gauge,
    bytes_in_flight: Gauge,
    leases_open: Gauge,
    generation: Gauge,
    reloads: Family<Reload, Counter>,
    log_dropped: Counter,
    workers: Gauge,
    alive_tasks: Gauge,
    queue_depth: Gauge,
    busy_seconds: Gauge<f64, AtomicU64>,
    resident: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A registry of its own: two gateways in one process do not share numbers.
    pub fn new() -> Self {
        let seconds = || Times::new_with_constructor(Buckets { first: 0.005, factor: 2.0, count: 17 });
        let short = Buckets { first: 0.000_02, factor: 2.0, count: 16 };
        let mut inner = Inner {
            registry: Registry::default(),
            requests: Family::default(),
            tokens: Family::default(),
            cost: Family::default(),
            first_token: seconds(),
            per_token: Times::new_with_constructor(Buckets { first: 0.000_5, factor: 2.0, count: 14 }),
            duration: seconds(),
            overhead: short.new_metric(),
            admissions: Family::default(),
            attempt_failures: Family::default(),
            counts: Family::default(),
            in_flight: Gauge::default(),
            bytes_in_flight: Gauge::default(),
            leases_open: Gauge::default(),
            generation: Gauge::default(),
            reloads: Family::default(),
            log_dropped: Counter::default(),
            workers: Gauge::default(),
            alive_tasks: Gauge::default(),
            queue_depth: Gauge::default(),
            busy_seconds: Gauge::default(),
            resident: Gauge::default(),
        };
        inner.register();
        let store = StoreMetrics::register(&mut inner.registry);
        let routes = RouteMetrics::register(&mut inner.registry);
        let cache = CacheMetrics::register(&mut inner.registry);
        Self(Arc::new(inner), store, routes, cache)
    }

    /// Those of queues and of the store.
    pub fn store(&self) -> &StoreMetrics {
        &self.1
    }

    /// Those of the cache.
    pub fn cache(&self) -> &CacheMetrics {
        &self.3
    }

    /// Those of targets and of failover.
    pub fn routes(&self) -> &RouteMetrics {
        &self.2
    }

    /// One request that has ended.
    pub fn observe(&self, record: &Record) {
        let inner = &self.0;
        let label = |value: &Option<Arc<str>>| value.as_deref().unwrap_or("none").to_owned();
        let (model, target) = (label(&record.model), label(&record.target));
        let outcome = record.outcome.as_str();
        inner.requests.get_or_create(&Outcomes { model: model.clone(), target: target.clone(), outcome }).inc();
        if record.model.is_none() {
            return;
        }
        for (kind, tokens) in TOKEN_KINDS.into_iter().zip(record.tokens) {
            if tokens > 0 {
                let labels = Tokens { model: model.clone(), target: target.clone(), kind };
                inner.tokens.get_or_create(&labels).inc_by(tokens);
            }
        }
        if let Some(method) = record.count_method {
            inner.counts.get_or_create(&How { method }).inc();
        }
        if let Some(overhead) = record.overhead {
            inner.overhead.observe(overhead.saturating_sub(record.admit).as_secs_f64());
        }
        let route = Route { model, target };
        if record.cost_micros > 0 {
            inner.cost.get_or_create(&route).inc_by(record.cost_micros);
        }
        inner.duration.get_or_create(&route).observe(record.duration.as_secs_f64());
        if let Some(time) = record.first_token {
            inner.first_token.get_or_create(&route).observe(time.as_secs_f64());
        }
        if let Some(time) = record.time_per_output_token() {
            inner.per_token.get_or_create(&route).observe(time.as_secs_f64());
        }
    }

    /// A decision of the store: `granted`, `denied` or `observed`, and the limit it hangs on.
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
        self.sample();
        let mut out = String::with_capacity(16 * 1024);
        // Writing to a string cannot fail.
        text::encode(&mut out, &self.0.registry).unwrap_or_default();
        out
    }

    fn sample(&self) {
        if let Ok(handle) = tokio::runtime::Handle::try_current() {
            let runtime = handle.metrics();
            let workers = runtime.num_workers();
            self.0.workers.set(gauge(workers));
            self.0.alive_tasks.set(gauge(runtime.num_alive_tasks()));
            self.0.queue_depth.set(gauge(runtime.global_queue_depth()));
            let busy = (0..workers).map(|worker| runtime.worker_total_busy_duration(worker).as_secs_f64()).sum();
            self.0.busy_seconds.set(busy);
        }
        if let Some(bytes) = resident() {
            self.0.resident.set(gauge(bytes));
        }
    }
}

impl Inner {
    fn register(&mut self) {
        let registry = &mut self.registry;
        let mut table = METRICS.into_iter();
        let mut add = |metric: Box<dyn Registrable>| {
            if let Some((name, help)) = table.next() {
                metric.register(registry, name, help);
            }
        };
        // In the order of the table.
        add(Box::new(self.requests.clone()));
        add(Box::new(self.tokens.clone()));
        add(Box::new(self.cost.clone()));
        add(Box::new(self.first_token.clone()));
        add(Box::new(self.per_token.clone()));
        add(Box::new(self.duration.clone()));
        add(Box::new(self.overhead.clone()));
        add(Box::new(self.admissions.clone()));
        add(Box::new(self.attempt_failures.clone()));
        add(Box::new(self.counts.clone()));
        add(Box::new(self.in_flight.clone()));
        add(Box::new(self.bytes_in_flight.clone()));
        add(Box::new(self.leases_open.clone()));
        add(Box::new(self.generation.clone()));
        add(Box::new(self.reloads.clone()));
        add(Box::new(self.log_dropped.clone()));
        add(Box::new(self.workers.clone()));
        add(Box::new(self.alive_tasks.clone()));
        add(Box::new(self.queue_depth.clone()));
        add(Box::new(self.busy_seconds.clone()));
        add(Box::new(self.resident.clone()));
    }
}

/// A metric of any type, to be named by the table.
trait Registrable {
    fn register(self: Box<Self>, registry: &mut Registry, name: &str, help: &str);
}

impl<M: prometheus_client::registry::Metric> Registrable for M {
    fn register(self: Box<Self>, registry: &mut Registry, name: &str, help: &str) {
        registry.register(name, help, *self);
    }
}

fn gauge(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Resident memory in bytes, where the system tells (Linux, 4 KiB pages).
fn resident() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    statm.split_whitespace().nth(1)?.parse::<usize>().ok()?.checked_mul(4096)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Outcome;

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
        for (name, help) in METRICS {
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
        for (name, _) in METRICS {
            assert!(docs.contains(&format!("`{name}")), "{name} is not in docs/telemetry.md");
        }
    }
}
