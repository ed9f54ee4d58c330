//! A hit that is checked: the request it answered, once more, on its way to a provider behind the client's back.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use sluice_providers::{Call, Endpoint};

use super::admit::{self, Admitted};
use super::count;
use super::flight::{Flight, Opened};
use super::identify::Identity;
use super::lease::Lease;
use super::lookup::Keep;
use super::open::Gateway;
use super::record::{Recorder, Tally};
use super::route::{self, Plan};
use super::waiting::{Patience, Waiting};
use crate::budget::Held;
use crate::cache::{Answer, Found};
use crate::config::{CacheRules, Config};
use crate::error::Error;
use crate::state::{Ask, Entry};
use crate::telemetry::VerifyMetrics;

/// The name of such a request in metrics and the access log, in the place of an endpoint's.
const ENDPOINT: &str = "cache-verify";

/// A hit in other words that was drawn to be checked.
pub struct Check {
    pub(super) call: Arc<Call>,
    pub(super) who: Identity,
    pub(super) plan: Plan,
    pub(super) config: Arc<Config>,
    /// What the client was told.
    pub(super) found: Found,
    pub(super) rules: Arc<CacheRules>,
    /// Keeps the live answer as that of its own words.
    pub(super) keep: Option<Keep>,
    /// The bytes of the request.
    pub(super) held: Option<Held>,
}

/// What is left of a check while its call is under way.
pub struct Doubt {
    model: Arc<str>,
    found: Found,
    rules: Arc<CacheRules>,
    endpoint: Endpoint,
    streams: bool,
    waiting: Waiting,
}

impl Check {
    /// Counts a check that is not made.
    pub fn skip(&self, gateway: &Gateway) {
        metrics(gateway).verified(self.plan.model(), &self.rules.name, "skipped");
    }

    /// Lets the call in. It takes a slot of the model and its rate like any other, if there is room now, and nobody's
    /// quota; `None` if there is no room.
    ///
    /// # Errors
    /// What counting or the store says.
    pub async fn open(self, gateway: &Arc<Gateway>) -> Result<Option<(Box<Flight>, Doubt)>, Error> {
        let (model, rules) = (Arc::clone(self.plan.model()), Arc::clone(&self.rules));
        let opened = self.enter(gateway).await;
        if opened.is_err() {
            metrics(gateway).verified(&model, &rules.name, "failed");
        }
        opened
    }

    async fn enter(self, gateway: &Arc<Gateway>) -> Result<Option<(Box<Flight>, Doubt)>, Error> {
        let Self { call, who, mut plan, config, found, rules, keep, held } = self;
        let heavy = call.body.len() > config.limits.count_off_thread_above;
        let counted = count::run(gateway, &call, &plan, &who, heavy).await?;
        route::know(gateway, &mut plan, &call, &counted, heavy).await?;
        let ask = Ask { charges: Vec::new(), ..admit::ask(&config, &who, &plan, &counted) };
        let ask = Arc::new(ask);
        let lease = Lease::new(gateway, ask.lease);
        let entered = gateway.store.enter(&ask, Duration::ZERO).await;
        if !matches!(entered, Ok(Entry::Granted(_))) {
            metrics(gateway).verified(plan.model(), &rules.name, "skipped");
            return Ok(None);
        }
        let mut recorder = Recorder::start(gateway, ENDPOINT, &HeaderMap::new());
        recorder.routed(&plan, &call, &config);
        recorder.counted(&counted, None);
        let admitted = Admitted { lease, seen: Vec::new(), observed: Vec::new(), queued: None, ask };
        let (patience, waiting) = (Patience { queue: Duration::ZERO, deadline: None }, Waiting::default());
        let doubt = Doubt {
            model: Arc::clone(plan.model()),
            found,
            rules,
            endpoint: call.endpoint,
            streams: call.stream,
            waiting: waiting.clone(),
        };
        let opened = Opened { call, who, plan, counted, admitted, config, patience, waiting, tail: None };
        let held = held.unwrap_or_else(|| gateway.budget.hold());
        Ok(Some((Box::new(Flight::new(gateway, opened, keep, held, recorder)), doubt)))
    }
}

impl Doubt {
    /// Judges the hit by the whole of the live answer, or by nothing if that failed or is another model's.
    pub fn judge(self, gateway: &Gateway, live: Option<&[u8]>) {
        let Self { model, found, rules, endpoint, streams, waiting } = self;
        let metrics = metrics(gateway);
        if let Some(Tally { input, output, cost_micros, .. }) = waiting.bill() {
            metrics.took(&model, input.saturating_add(*output), *cost_micros);
        }
        let live = live.and_then(|bytes| Answer::of(endpoint, bytes, streams, None));
        let Some(live) = live else { return metrics.verified(&model, &rules.name, "failed") };
        let conflict = gateway.cache.conflict(&found.answer, &live);
        metrics.verified(&model, &rules.name, if conflict.is_none() { "agree" } else { "disagree" });
        if let Some(what) = conflict {
            gateway.cache.unshelve(&found.key);
            tracing::info!(%model, rule = &*rules.name, what, "an answer to other words was wrong");
        }
        let (standing, tripped) = gateway.cache.watch().note(&model, &rules, conflict.is_none());
        if tripped {
            tracing::warn!(
                %model,
                rule = &*rules.name,
                verified = standing.verified,
                disagreed = standing.disagreed,
                at_least = standing.lower_bound(),
                max_false_hits = rules.max_false_hits,
                "other words are not answered any more: they were wrong more often than the rule allows; \
                 POST /cache/verify/reset or a changed rule turns them on again"
            );
        }
    }
}

fn metrics(gateway: &Gateway) -> &VerifyMetrics {
    gateway.sinks.metrics().cache().verify()
}
