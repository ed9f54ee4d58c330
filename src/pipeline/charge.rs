//! What a hit costs: a part of what its answer cost when it was made, from every limit that applies.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http::HeaderMap;
use sluice_policies::{Demand, HitCost, Kind, Limit, Pool};
use sluice_providers::Endpoint;

use super::headers;
use super::identify::Identity;
use super::lease::Lease;
use super::open::Gateway;
use super::refuse;
use crate::config::Config;
use crate::error::Error;
use crate::state::{Ask, Charge, Entry, LeaseId};
use crate::telemetry::CacheMetrics;

/// No model's: a hit takes no slot and waits in no queue. No configured name holds a line break.
static POOL: LazyLock<Arc<Pool>> = LazyLock::new(|| Arc::new(Pool::new("hits\n", None, None, Vec::new())));

/// Charges a request that is answered with what another one was answered, which took `made`: all
/// limits or none, at once. Returns the headers of rate limits, none if hits are free.
///
/// # Errors
/// 429 when a limit has no room, with what that limit says to any request; 503 without the store.
pub(super) async fn hit(
    gateway: &Gateway,
    config: &Config,
    who: &Identity,
    model: &str,
    made: &Demand,
    endpoint: Endpoint,
) -> Result<HeaderMap, Error> {
    let (toll, headers) = begin(gateway, config, who, model, made, endpoint).await?;
    if let Some(toll) = toll {
        toll.end(made);
    }
    Ok(headers)
}

/// A hit that is charged once its cost is known; dropped before, it is free.
pub(super) struct Toll {
    lease: Lease,
    hit_cost: HitCost,
    metrics: CacheMetrics,
    model: Arc<str>,
}

impl Toll {
    /// Charges the part of what the answer took.
    pub(super) fn end(self, made: &Demand) {
        let part = self.hit_cost.of(made);
        self.lease.settle(part);
        self.metrics.charged(&self.model, part.input.saturating_add(part.output), part.cost_micros);
    }
}

/// The same for an answer under way, of which `made` is known so far: what it takes beyond becomes debt.
pub(super) async fn begin(
    gateway: &Gateway,
    config: &Config,
    who: &Identity,
    model: &str,
    made: &Demand,
    endpoint: Endpoint,
) -> Result<(Option<Toll>, HeaderMap), Error> {
    let hit_cost = who.key.hit_cost;
    if hit_cost.is_nothing() {
        return Ok((None, HeaderMap::new()));
    }
    let ask = Arc::new(ask(config, who, model, &hit_cost.of(made)));
    let metrics = gateway.sinks.metrics();
    // It exists before the store is asked, so that a future that is dropped gives everything back.
    let lease = Lease::new(gateway, ask.lease);
    match gateway.store.enter(&ask, Duration::ZERO).await {
        Ok(Entry::Granted(grant)) => {
            metrics.granted(&grant.observed);
            let toll = Toll { lease, hit_cost, metrics: metrics.cache().clone(), model: Arc::from(model) };
            Ok((Some(toll), headers::rate_limits(&grant.seen, endpoint)))
        }
        Ok(Entry::Denied(refusal)) => {
            lease.forget();
            let error = refuse::denied(&refusal, &ask, None, endpoint);
            error.limit.iter().for_each(|limit| metrics.admission(limit, "denied"));
            Err(error)
        }
        Ok(Entry::Queued(_)) => Err(refuse::store_down("the store made a hit wait")),
        Err(error) => Err(refuse::store_down(&error.to_string())),
    }
}

fn ask(config: &Config, who: &Identity, model: &str, part: &Demand) -> Ask {
    let subject = who.subject(model);
    let charge = |limit: &Arc<Limit>| {
        let amount = limit.amount_of(part);
        Charge { scope: limit.scope_key(&subject).into(), amount, sunk: amount, limit: Arc::clone(limit) }
    };
    let limits = config.policies.limits_for(&subject).filter(|limit| limit.kind != Kind::Concurrent);
    Ask {
        lease: LeaseId::new(),
        pool: Arc::clone(&POOL),
        pool_rate: None,
        class: Arc::clone(&who.class),
        key: Arc::clone(&who.key.id),
        cost: part.input.saturating_add(part.output),
        charges: limits.map(charge).collect(),
    }
}
