//! Metrics of requests: what came of them, what they used and how long they took.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use parking_lot::RwLock;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::record::{Outcome, Record, TOKEN_KINDS};

/// Every metric: name (counters get `_total` behind it), and what it means.
pub(super) const REQUEST_METRICS: [(&str, &str); 8] = [
    ("sluice_requests", "requests by public model, target and outcome"),
    ("sluice_tokens", "tokens by kind, settled"),
    ("sluice_cost_micros", "cost settled, micro-dollars"),
    ("gen_ai_server_time_to_first_token_seconds", "from the first dial to the first content"),
    ("gen_ai_server_time_per_output_token_seconds", "time per generated token after the first, streams"),
    ("gen_ai_server_request_duration_seconds", "whole requests"),
    ("sluice_overhead_seconds", "from the request's head to the first dial, without waiting for a lease"),
    ("sluice_counts", "prompts by how they were counted"),
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
struct How {
    method: &'static str,
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
        Histogram::new(exponential_buckets(self.first, self.factor, self.count))
    }
}

type Times = Family<Route, Histogram, Buckets>;

/// Model and target; both are names of the config.
type Pair = (Arc<str>, Arc<str>);

/// Metrics of requests.
pub(super) struct RequestMetrics {
    requests: Family<Outcomes, Counter>,
    tokens: Family<Tokens, Counter>,
    cost: Family<Route, Counter>,
    first_token: Times,
    per_token: Times,
    duration: Times,
    overhead: Histogram,
    counts: Family<How, Counter>,
    /// Found once for each pair: a family looks its labels up by copies of their text.
    routes: RwLock<HashMap<Pair, Arc<RouteCounts>, RandomState>>,
}

/// What is counted for one model at one target.
struct RouteCounts {
    ok: Counter,
    tokens: [Counter; TOKEN_KINDS.len()],
    cost: Counter,
    first_token: Histogram,
    per_token: Histogram,
    duration: Histogram,
}

impl RequestMetrics {
    /// Registers every metric.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let seconds = || Times::new_with_constructor(Buckets { first: 0.005, factor: 2.0, count: 17 });
        let all = Self {
            requests: Family::default(),
            tokens: Family::default(),
            cost: Family::default(),
            first_token: seconds(),
            per_token: Times::new_with_constructor(Buckets { first: 0.000_5, factor: 2.0, count: 14 }),
            duration: seconds(),
            overhead: Buckets { first: 0.000_02, factor: 2.0, count: 16 }.new_metric(),
            counts: Family::default(),
            routes: RwLock::default(),
        };
        let [requests, tokens, cost, first_token, per_token, duration, overhead, counts] = REQUEST_METRICS;
        registry.register(requests.0, requests.1, all.requests.clone());
        registry.register(tokens.0, tokens.1, all.tokens.clone());
        registry.register(cost.0, cost.1, all.cost.clone());
        registry.register(first_token.0, first_token.1, all.first_token.clone());
        registry.register(per_token.0, per_token.1, all.per_token.clone());
        registry.register(duration.0, duration.1, all.duration.clone());
        registry.register(overhead.0, overhead.1, all.overhead.clone());
        registry.register(counts.0, counts.1, all.counts.clone());
        all
    }

    /// One request that has ended.
    pub(super) fn observe(&self, record: &Record) {
        let Some(model) = &record.model else {
            self.outcome(record);
            return;
        };
        let route = self.route(model, record.target.as_ref());
        if record.outcome == Outcome::Ok {
            route.ok.inc();
        } else {
            self.outcome(record);
        }
        for (counter, tokens) in route.tokens.iter().zip(record.tokens) {
            if tokens > 0 {
                counter.inc_by(tokens);
            }
        }
        if let Some(method) = record.count_method {
            self.counts.get_or_create(&How { method }).inc();
        }
        if let Some(overhead) = record.overhead {
            self.overhead.observe(overhead.saturating_sub(record.admit).as_secs_f64());
        }
        if record.cost_micros > 0 {
            route.cost.inc_by(record.cost_micros);
        }
        route.duration.observe(record.duration.as_secs_f64());
        if let Some(time) = record.first_token {
            route.first_token.observe(time.as_secs_f64());
        }
        if let Some(time) = record.time_per_output_token() {
            route.per_token.observe(time.as_secs_f64());
        }
    }

    fn outcome(&self, record: &Record) {
        let label = |value: &Option<Arc<str>>| value.as_deref().unwrap_or(NONE).to_owned();
        let (model, target, outcome) = (label(&record.model), label(&record.target), record.outcome.as_str());
        self.requests.get_or_create(&Outcomes { model, target, outcome }).inc();
    }

    fn route(&self, model: &Arc<str>, target: Option<&Arc<str>>) -> Arc<RouteCounts> {
        let pair = (Arc::clone(model), target.map_or_else(|| Arc::from(NONE), Arc::clone));
        if let Some(known) = self.routes.read().get(&pair) {
            return Arc::clone(known);
        }
        let made = Arc::new(self.make(&pair));
        Arc::clone(self.routes.write().entry(pair).or_insert(made))
    }

    fn make(&self, (model, target): &Pair) -> RouteCounts {
        let (model, target) = (model.to_string(), target.to_string());
        let route = Route { model: model.clone(), target: target.clone() };
        let tokens = TOKEN_KINDS.map(|kind| {
            let labels = Tokens { model: model.clone(), target: target.clone(), kind };
            self.tokens.get_or_create_owned(&labels)
        });
        RouteCounts {
            ok: self.requests.get_or_create_owned(&Outcomes { model, target, outcome: Outcome::Ok.as_str() }),
            tokens,
            cost: self.cost.get_or_create_owned(&route),
            first_token: self.first_token.get_or_create_owned(&route),
            per_token: self.per_token.get_or_create_owned(&route),
            duration: self.duration.get_or_create_owned(&route),
        }
    }
}

/// The label of what is not known.
const NONE: &str = "none";
