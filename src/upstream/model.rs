//! A model's targets with what is known of them, and the pick of the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use sluice_providers::Usage;

use super::balance::{self, Candidate, Need, Why, number};
use super::budget::RetryBudget;
use super::health::{Peers, Standing};
use super::prefix::PrefixIndex;
use super::target::{Mode, Serving, TargetState};
use crate::config::{Balance, HealthRules, ModelRoute, TargetRoute};

/// What of a request decides where it goes.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Prompt tokens.
    pub input: u64,
    /// The most answer tokens.
    pub output: u64,
    /// Whether the answer streams.
    pub stream: bool,
    /// Its session, user or cache key.
    pub session: Option<u64>,
    /// Chained hashes of its prompt's blocks.
    pub blocks: Arc<[u64]>,
    /// This gateway's zone.
    pub zone: Option<Arc<str>>,
    /// Targets that can serve it, a bit each.
    pub able: u64,
}

/// An answer is seldom as long as its bound: more than this is not counted as load ahead.
const LIKELY_OUTPUT: u64 = 1024;

/// What [`ModelState::pick`] found.
pub enum Picked {
    /// A target, which now counts the request.
    Go(Serving, Why),
    /// Every target that could be used is full; this one has the least to do.
    Full(Arc<TargetState>, u32),
    /// None is left.
    Nothing,
}

/// State that outlives a reload of the model.
pub(super) struct Kept {
    pub(super) budget: RetryBudget,
    pub(super) turn: AtomicU64,
    pub(super) prefix: PrefixIndex,
}

/// One model's targets.
pub struct ModelState {
    pub(super) route: Arc<ModelRoute>,
    pub(super) targets: Vec<Arc<TargetState>>,
    pub(super) kept: Arc<Kept>,
}

impl ModelState {
    /// Its targets, in the order of the route's.
    pub fn targets(&self) -> &[Arc<TargetState>] {
        &self.targets
    }

    /// Counts a request towards the retry budget.
    pub fn begin(&self, now: Instant) {
        self.kept.budget.request(now);
    }

    /// Takes a retry from the budget, if there is one left.
    pub fn may_retry(&self, now: Instant) -> bool {
        self.kept.budget.take(now, &self.route.routing.retry)
    }

    pub(super) fn rules(&self, index: usize) -> Option<&HealthRules> {
        self.route.targets.get(index).map(|target| &target.health)
    }

    /// The targets beside this one.
    pub(super) fn peers(&self, index: usize, now: Instant) -> Peers {
        let mut peers = Peers { targets: u32::try_from(self.targets.len()).unwrap_or(u32::MAX), ..Peers::default() };
        for (_, other) in self.targets.iter().enumerate().filter(|(at, _)| *at != index) {
            if matches!(other.health.standing(now), Standing::Ejected(_) | Standing::Probed | Standing::Probation) {
                peers.ejected += 1;
                continue;
            }
            let counts = other.health.counts(now);
            peers.counts.all += counts.all;
            peers.counts.marked += counts.marked;
        }
        peers
    }

    /// The next target for a request that has tried those of `tried` (a bit each): by priority and
    /// balance among those that can be used, then on probation, then the least bad.
    pub fn pick(self: &Arc<Self>, asked: &Asked, tried: u64, now: Instant) -> Picked {
        let turn = self.kept.turn.fetch_add(1, Ordering::Relaxed);
        let tokens = asked.input + asked.output.min(LIKELY_OUTPUT);
        let mut full: Option<usize> = None;
        let mut open = asked.able & !tried;
        let routes = &self.route.targets;
        let mut from = 0;
        while let Some(first) = routes.get(from) {
            let group = routes.iter().skip(from).take_while(|route| route.priority == first.priority).count();
            let to = from + group;
            if let Some(picked) = self.probe(from..to, open, asked, tokens, now) {
                return picked;
            }
            loop {
                let usable = self.usable(from..to, open, asked, now, &mut full);
                if usable.is_empty() {
                    break;
                }
                let need = Need {
                    tokens,
                    session: asked.session,
                    blocks: u32::try_from(asked.blocks.len()).unwrap_or(u32::MAX),
                    turn,
                };
                let (at, why) = balance::pick(self.route.routing.balance, &usable, &need);
                let Some(index) = usable.get(at).map(|one| one.index) else { break };
                if let Some(serving) = self.enter(index, asked, tokens, now) {
                    return Picked::Go(serving, why);
                }
                // Another request took its last place meanwhile.
                open &= !bit(index);
                full.get_or_insert(index);
            }
            from = to;
        }
        if let Some(index) = full
            && let (Some(state), Some(route)) = (self.targets.get(index), routes.get(index))
        {
            return Picked::Full(Arc::clone(state), route.circuit.pending);
        }
        self.last_resort(open, asked, tokens, now)
    }

    /// A target whose ejection is over gets one request.
    fn probe(
        self: &Arc<Self>,
        range: std::ops::Range<usize>,
        open: u64,
        asked: &Asked,
        tokens: u64,
        now: Instant,
    ) -> Option<Picked> {
        for index in range.filter(|index| open & bit(*index) != 0) {
            let state = self.targets.get(index)?;
            let due = state.standing(now) == Standing::Probation && state.rule().mode == Mode::On;
            if due && state.health.begin_probe(now) {
                let Some(mut serving) = self.enter(index, asked, tokens, now) else {
                    state.health.end_probe();
                    continue;
                };
                serving.probe = true;
                return Some(Picked::Go(serving, Why::Probe));
            }
        }
        None
    }

    /// The targets of a group that can be used now. Notes the least loaded of those that are full.
    fn usable(
        &self,
        range: std::ops::Range<usize>,
        open: u64,
        asked: &Asked,
        now: Instant,
        full: &mut Option<usize>,
    ) -> Vec<Candidate> {
        let balance = self.route.routing.balance;
        let seen = (balance == Balance::Prefix).then(|| self.kept.prefix.matches(&asked.blocks, open));
        let load = |index: usize| self.targets.get(index).map_or(u32::MAX, |state| state.in_flight());
        let mut usable = Vec::new();
        for index in range.filter(|index| open & bit(*index) != 0) {
            let (Some(state), Some(route)) = (self.targets.get(index), self.route.targets.get(index)) else { break };
            let rule = state.rule();
            if rule.mode != Mode::On || state.standing(now) != Standing::Up {
                continue;
            }
            if state.in_flight() >= places(route) {
                if full.is_none_or(|other| load(index) < load(other)) {
                    *full = Some(index);
                }
                continue;
            }
            usable.push(Candidate {
                index,
                weight: rule.weight.unwrap_or(route.weight).max(1),
                in_flight: state.in_flight(),
                tokens: state.load.tokens(),
                recent: if seen.is_some() { state.load.recent(now) } else { 0.0 },
                latency: state.load.latency(now, asked.stream),
                price: if balance == Balance::Cheapest { price(route, asked) } else { None },
                local: asked.zone.is_some() && route.zone == asked.zone,
                seen: seen.as_ref().and_then(|seen| seen.get(index)).copied().unwrap_or(0),
                salt: if balance == Balance::Affinity { number(&state.label) } else { 0 },
            });
        }
        usable
    }

    /// Nothing can be used: the least bad that is not switched off.
    fn last_resort(self: &Arc<Self>, mut open: u64, asked: &Asked, tokens: u64, now: Instant) -> Picked {
        loop {
            let left = (0..self.targets.len()).filter(|index| open & bit(*index) != 0);
            let left = left.filter_map(|index| self.targets.get(index).map(|state| (index, state)));
            let left = left.filter(|(_, state)| state.rule().mode != Mode::Disabled);
            let Some((index, _)) = left.min_by_key(|(_, state)| (state.standing(now), state.health.counts(now).marked))
            else {
                return Picked::Nothing;
            };
            if let Some(serving) = self.enter(index, asked, tokens, now) {
                return Picked::Go(serving, Why::LastResort);
            }
            open &= !bit(index);
        }
    }

    fn enter(self: &Arc<Self>, index: usize, asked: &Asked, tokens: u64, now: Instant) -> Option<Serving> {
        let (state, route) = (self.targets.get(index)?, self.route.targets.get(index)?);
        if !state.load.enter(now, places(route), tokens) {
            return None;
        }
        state.attempts.inc();
        if self.route.routing.balance == Balance::Prefix {
            self.kept.prefix.sent(&asked.blocks, index);
        }
        Some(Serving::new(Arc::clone(self), index, tokens, asked.stream, now))
    }
}

/// Requests that a target takes at once.
fn places(route: &TargetRoute) -> u32 {
    let Some(connections) = (!route.provider.http2).then_some(route.circuit.connections) else {
        return route.circuit.in_flight;
    };
    route.circuit.in_flight.min(connections)
}

/// What the request would cost there, micro-dollars.
fn price(route: &TargetRoute, asked: &Asked) -> Option<u64> {
    let usage = Usage { input: asked.input, output: asked.output, ..Usage::default() };
    route.model.prices.as_ref().map(|prices| prices.cost_micros(&usage))
}

/// The bit of a target.
pub fn bit(index: usize) -> u64 {
    1u64.checked_shl(u32::try_from(index).unwrap_or(u32::MAX)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
