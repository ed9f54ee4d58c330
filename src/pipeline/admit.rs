//! Phase `admit`: one atomic reservation over every limit and a slot of the pool, or a place in
//! the queue until there is room, or the reason why not.

use std::sync::Arc;
use std::time::Duration;

use sluice_policies::{Demand, Limit};
use sluice_providers::Endpoint;
use tokio::time::{Instant, sleep, sleep_until};

use super::count::Counted;
use super::identify::Identity;
use super::lease::Lease;
use super::open::Gateway;
use super::refuse;
use super::route::Plan;
use super::waiting::{Patience, Wait, Waiting};
use crate::config::Config;
use crate::error::Error;
use crate::state::{Ask, Charge, Entry, LeaseId, Place, Seen};
use crate::telemetry::WaitEnd;

/// A request that may spend, and what the limits looked like when it was let in.
pub(super) struct Admitted {
    /// Must be settled; dropping it settles nothing used.
    pub(super) lease: Lease,
    /// Levels after the reservation.
    pub(super) seen: Vec<Seen>,
    /// Limits in `observe` mode that would have refused.
    pub(super) observed: Vec<Arc<str>>,
    /// How long it waited in the queue, if it did.
    pub(super) queued: Option<Duration>,
    /// What was asked for.
    pub(super) ask: Arc<Ask>,
}

/// What the phase needs beside the request itself.
pub(super) struct Terms<'a> {
    pub(super) config: &'a Config,
    pub(super) patience: &'a Patience,
    pub(super) waiting: &'a Waiting,
    /// Whether the client can be told that it waits.
    pub(super) streams: bool,
    /// What the client called.
    pub(super) endpoint: Endpoint,
}

pub(super) async fn run(
    gateway: &Gateway,
    terms: &Terms<'_>,
    who: &Identity,
    plan: &Plan,
    counted: &Counted,
) -> Result<Admitted, Error> {
    let ask = Arc::new(ask(terms.config, who, plan, counted));
    let lease = Lease::new(gateway, ask.lease);
    let metrics = gateway.sinks.metrics().store();
    let due = Instant::now() + terms.patience.queue;
    let mut wait: Option<Wait> = None;
    loop {
        match gateway.store.enter(&ask, due.saturating_duration_since(Instant::now())).await {
            Ok(Entry::Granted(grant)) => {
                let queued = wait.map(|wait| wait.end(WaitEnd::Granted));
                return Ok(Admitted { lease, seen: grant.seen, observed: grant.observed, queued, ask });
            }
            Ok(Entry::Queued(place)) => {
                wait.get_or_insert_with(|| Wait::begin(metrics, plan.model(), &who.class.name));
                terms.waiting.at(place.ahead);
                rest(terms, place, due).await;
            }
            Ok(Entry::Denied(refusal)) => {
                lease.forget();
                let queued = wait.map(|wait| wait.end(WaitEnd::Refused));
                return Err(refuse::denied(&refusal, &ask, queued, terms.endpoint));
            }
            Err(error) => return Err(refuse::store_down(&error.to_string())),
        }
    }
}

/// A second lease for the same, which does not wait; `None` if there is no room for it.
pub(super) async fn beside(gateway: &Gateway, ask: &Ask) -> Option<Lease> {
    let ask = Ask { lease: LeaseId::new(), ..ask.clone() };
    let lease = Lease::new(gateway, ask.lease);
    match gateway.store.enter(&Arc::new(ask), Duration::ZERO).await {
        Ok(Entry::Granted(_)) => Some(lease),
        _ => None,
    }
}

/// Waits until the place wakes or the patience is over, and says so when it takes long.
async fn rest(terms: &Terms<'_>, mut place: Place, due: Instant) {
    let comments = terms.config.limits.queue_comments;
    if terms.streams && !comments.is_zero() {
        tokio::select! {
            // An error is a wake-up too: the engine wants to be asked again.
            _ = &mut place.woken => return,
            () = sleep_until(due) => return,
            () = sleep(comments) => terms.waiting.takes_long(),
        }
    }
    tokio::select! {
        _ = place.woken => {}
        () = sleep_until(due) => {}
    }
}

/// What a request asks for.
pub(super) fn ask(config: &Config, who: &Identity, plan: &Plan, counted: &Counted) -> Ask {
    let subject = who.subject(plan.model());
    let demand = counted.demand();
    // If the replica dies, the prompt has been sent or was about to be.
    let sunk = Demand { input: counted.input, output: 0, cost_micros: counted.input_cost_micros };
    let charge = |limit: &Arc<Limit>, scope: Arc<str>| Charge {
        scope,
        amount: limit.amount_of(&demand),
        sunk: limit.amount_of(&sunk),
        limit: Arc::clone(limit),
    };
    let pool = plan.pool();
    Ask {
        lease: LeaseId::new(),
        pool_rate: pool.rate.as_ref().map(|rate| charge(rate, Arc::clone(&rate.id))),
        class: Arc::clone(&who.class),
        key: Arc::clone(&who.key.id),
        cost: demand.input.saturating_add(demand.output),
        charges: config
            .policies
            .limits_for(&subject)
            .map(|limit| charge(limit, limit.scope_key(&subject).into()))
            .collect(),
        pool: Arc::clone(pool),
    }
}
