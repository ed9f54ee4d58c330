//! Phase `admit`: one atomic reservation over every limit that applies, or the reason why not.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::StatusCode;
use sluice_policies::{Demand, Kind, Limit, Unit};
use tokio_util::task::TaskTracker;

use super::count::Counted;
use super::headers;
use super::identify::Identity;
use super::open::Gateway;
use super::route::Plan;
use crate::config::Config;
use crate::error::{Error, Retry};
use crate::state::{Ask, Charge, Entry, LeaseId, Refusal, Seen, Store};
use crate::telemetry::Outcome;

/// A request that may spend, and what the limits looked like when it was let in.
pub(super) struct Admitted {
    /// Must be settled; dropping it settles nothing used.
    pub(super) lease: Lease,
    /// Levels after the reservation.
    pub(super) seen: Vec<Seen>,
    /// Limits in `observe` mode that would have refused.
    pub(super) observed: Vec<Arc<str>>,
}

/// A reservation that is settled exactly once: by [`Lease::settle`], or on drop with nothing used.
#[must_use = "a lease holds quota until it is settled"]
pub(super) struct Lease {
    id: LeaseId,
    store: Arc<dyn Store>,
    tasks: TaskTracker,
    settled: bool,
}

impl Lease {
    /// Ends the reservation with what was used. Does not wait: an engine that answers at once is
    /// done when this returns, a remote one is awaited by a task that shutdown waits for.
    pub(super) fn settle(mut self, used: Demand) {
        self.end(used);
    }

    fn end(&mut self, used: Demand) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let (store, id) = (Arc::clone(&self.store), self.id);
        let mut work: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
            if let Err(error) = store.settle(id, used).await {
                tracing::error!(lease = %id, %error, "a lease could not be settled");
            }
        });
        let polled = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if polled == Poll::Pending {
            self.tasks.spawn(work);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.end(Demand { input: 0, output: 0, cost_micros: 0 });
    }
}

pub(super) async fn run(
    gateway: &Gateway,
    config: &Config,
    who: &Identity,
    plan: &Plan,
    counted: &Counted,
) -> Result<Admitted, Error> {
    let subject = who.subject(plan.model());
    let demand = counted.demand();
    let charge = |limit: &Arc<Limit>| Charge {
        scope: limit.scope_key(&subject),
        amount: limit.amount_of(&demand),
        limit: Arc::clone(limit),
    };
    let charges = config.policies.limits_for(&subject).map(charge).collect();
    let ask = Ask { lease: LeaseId::new(), charges };
    // The lease exists before the store is asked: if this future is dropped in the middle of the
    // question, the drop settles whatever was granted.
    let lease =
        Lease { id: ask.lease, store: Arc::clone(&gateway.store), tasks: gateway.tasks.clone(), settled: false };
    match gateway.store.enter(ask).await {
        Ok(Entry::Granted(grant)) => Ok(Admitted { lease, seen: grant.seen, observed: grant.observed }),
        Ok(Entry::Denied(refusal)) => Err(denied(&refusal)),
        Err(error) => {
            Err(Error::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "store_unavailable", error.to_string()))
        }
    }
}

/// 429 in the shape that clients understand: which limit, how far off, and when to come back.
fn denied(refusal: &Refusal) -> Error {
    let limit = &refusal.limit;
    let budget = matches!(limit.kind, Kind::Budget(_));
    let (kind, code) = match (budget, limit.unit) {
        (true, _) => ("insufficient_quota", "insufficient_quota"),
        (false, Unit::Requests | Unit::Concurrent) => ("requests", "rate_limit_exceeded"),
        (false, _) => ("tokens", "rate_limit_exceeded"),
    };
    let view = refusal.seen.iter().find(|seen| Arc::ptr_eq(&seen.limit, limit)).map(|seen| &seen.view);
    let remaining = view.map_or(0, |view| view.remaining);
    let when = match refusal.retry_after {
        Some(wait) => format!("try again in {:.3} s", wait.as_secs_f64()),
        None => "it can never pass as it is: ask for fewer output tokens or a smaller prompt".to_owned(),
    };
    let message = format!(
        "limit `{}` refused this request: it asks for {}, {} left of {}; {when}",
        limit.id,
        refusal.asked,
        remaining.max(0),
        limit.amount
    );
    let mut error = Error::new(StatusCode::TOO_MANY_REQUESTS, kind, code, message);
    // A budget refills hours from now: an SDK that waits and retries only makes it worse.
    error.retry = match refusal.retry_after {
        Some(wait) if !budget => Retry::After(wait),
        Some(_) | None => Retry::Never,
    };
    error.limit = Some(Arc::clone(&limit.id));
    error.outcome = Outcome::Denied;
    error.headers = headers::rate_limits(&refusal.seen);
    error
}
