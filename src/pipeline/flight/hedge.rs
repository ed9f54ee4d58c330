//! A second attempt beside one that is slow to speak, with a lease of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_providers::{UpstreamRequest, Usage};

use super::super::admit;
use super::super::attempt::Attempt;
use super::super::lease::Lease;
use super::super::open::Gateway;
use super::super::settle;
use super::{Flight, Next, Rest};
use crate::config::HedgeAfter;
use crate::upstream::{Picked, bit};

/// A second attempt. Dropped, it is settled with its prompt: the provider may have read it.
pub struct Hedge {
    lease: Option<Lease>,
    input: u64,
    cost: u64,
}

impl Flight {
    /// When a second attempt is due beside this one; `None` if the model wants none.
    pub fn hedge_after(&self, attempt: &Attempt) -> Option<Duration> {
        match self.plan.route().routing.hedge.filter(|_| self.streams && matches!(self.tail, Rest::None))? {
            HedgeAfter::Time(time) => Some(time),
            HedgeAfter::P95 => {
                let target = attempt.target()?;
                self.plan.state().targets().iter().find(|state| *state.label() == target.label)?.p95()
            }
        }
    }

    /// Picks a second target and takes a lease for it, which does not wait. `None` if there is no
    /// other target, no room, or no retry left in the budget.
    pub async fn hedge(&mut self, gateway: &Arc<Gateway>) -> Option<(Hedge, Box<Attempt>, UpstreamRequest)> {
        let model = Arc::clone(self.plan.model());
        let metrics = gateway.sinks.metrics().routes().clone();
        let admitted = self.admitted.as_ref()?;
        let now = Instant::now();
        if self.plan.asked().able & !self.tried == 0 || !self.plan.state().may_retry(now) {
            metrics.hedge(&model, "refused");
            return None;
        }
        let Some(lease) = admit::beside(gateway, &admitted.ask).await else {
            metrics.hedge(&model, "refused");
            return None;
        };
        let Picked::Go(serving, why) = self.plan.state().pick(self.plan.asked(), self.tried, now) else { return None };
        self.tried |= bit(serving.index());
        self.attempts += 1;
        let (route, call) = (Arc::clone(self.plan.route()), self.call.clone()?);
        let input = self.counted.input;
        let attempt = Attempt::new(route, call, serving, why, Arc::clone(&gateway.counter), input);
        let cost = settle::cost(attempt.target(), &Usage { input, ..Usage::default() });
        match self.start(attempt) {
            Next::Try(attempt, request) => Some((Hedge { lease: Some(lease), input, cost }, attempt, request)),
            _ => None,
        }
    }
}

impl Hedge {
    /// One of the two attempts failed and cost nothing.
    pub fn free(mut self) {
        (self.input, self.cost) = (0, 0);
    }
}

impl Drop for Hedge {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            let usage = Usage { input: self.input, ..Usage::default() };
            lease.settle(settle::demand(&usage, self.cost));
        }
    }
}
