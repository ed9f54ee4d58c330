//! What would become of a request: the phases up to the plan, without a store and without a
//! provider.

use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;
use sluice_policies::{Key, Kind, Mode};
use sluice_providers::{Call, Usage};

use super::{count, identify, lookup, route};
use crate::config::{CacheRules, Config, TargetRoute};
use crate::error::Error;
use crate::telemetry::RouteMetrics;
use crate::tokens::Counter;
use crate::upstream::{Picked, Targets, bit};

/// What would become of a request.
#[derive(Debug)]
pub struct Explained {
    /// The public model that answers: an A/B test may have changed it.
    pub model: Arc<str>,
    /// The class it runs in, and how long it may wait there.
    pub class: Arc<str>,
    /// The end user it names.
    pub user: Option<String>,
    /// Requests at once and tokens per minute that the model's pool takes.
    pub pool: (Option<u32>, Option<u64>),
    /// Prompt tokens, and how they were counted.
    pub input: (u64, &'static str),
    /// The most answer tokens.
    pub output: u64,
    /// The most it can cost at the dearest target, micro-dollars.
    pub cost_micros: u64,
    /// What the cache would do.
    pub cache: Caching,
    /// Limits that apply.
    pub limits: Vec<Applies>,
    /// Targets in the order they would be tried if each failed.
    pub targets: Vec<Choice>,
}

/// What the cache makes of a request.
#[derive(Debug)]
pub enum Caching {
    /// There is none.
    Off,
    /// No rule keeps its answers.
    Uncovered,
    /// It passes by, because of this.
    Bypass(&'static str),
    /// It may be answered from the cache, and its answer is kept.
    Under(Arc<CacheRules>, Words),
}

/// Which requests an answer is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// The same.
    Same,
    /// Those that ask the same in other words too.
    Other,
}

/// A limit that applies.
#[derive(Debug)]
pub struct Applies {
    /// Its id.
    pub limit: Arc<str>,
    /// The bucket this request falls into.
    pub scope: String,
    /// What the request asks of it.
    pub asks: u64,
    /// The most it holds.
    pub holds: u64,
    /// It only watches.
    pub observes: bool,
}

/// A target, and why it comes where it does.
#[derive(Debug)]
pub struct Choice {
    /// The target.
    pub target: TargetRoute,
    /// Why.
    pub why: String,
    /// The most the request can cost there, micro-dollars; `None` without a known price.
    pub cost_micros: Option<u64>,
}

/// Runs the phases for a request of this key. Errors are those the client would get.
pub fn explain(config: &Config, key: Arc<Key>, call: &Call, counter: &Counter) -> Result<Explained, Error> {
    let who = identify::run(key, &HeaderMap::new(), call, config)?;
    let targets = Targets::new(RouteMetrics::default());
    let mut plan = route::to(&targets, config, &who, call, &HeaderMap::new())?;
    let first = plan.targets().first().ok_or_else(|| Error::unknown_model(&call.model))?;
    let counted = count::of(call, &plan, &who, counter.call(call, &first.model)?)?;
    route::learn(&mut plan, call, &counted, counter);
    let (subject, demand) = (who.subject(plan.model()), counted.demand());
    let pool_rate = plan.pool().rate.as_ref();
    let limits = config.policies.limits_for(&subject).chain(pool_rate).map(|limit| Applies {
        limit: Arc::clone(&limit.id),
        scope: limit.scope_key(&subject),
        asks: limit.amount_of(&demand),
        holds: match limit.kind {
            Kind::Rate { burst, .. } => burst,
            _ => limit.amount,
        },
        observes: limit.mode == Mode::Observe,
    });
    Ok(Explained {
        class: Arc::clone(&who.class.name),
        user: who.user.clone(),
        pool: (plan.pool().slots, pool_rate.map(|rate| rate.amount)),
        input: (counted.input, counted.method.as_str()),
        output: counted.output_bound,
        cost_micros: counted.cost_micros,
        cache: caching(config, &plan, &who, call),
        limits: limits.collect(),
        targets: order(&plan, Usage { input: counted.input, output: counted.output_bound, ..Usage::default() }),
        model: Arc::clone(plan.model()),
    })
}

fn caching(config: &Config, plan: &route::Plan, who: &identify::Identity, call: &Call) -> Caching {
    let Some(policy) = &config.cache else { return Caching::Off };
    let Some(rules) = policy.rules_for(&who.subject(plan.model())) else { return Caching::Uncovered };
    match lookup::asked(call, who.owner(), plan.route(), rules) {
        Ok(ask) => {
            let words = if ask.text.is_some() { Words::Other } else { Words::Same };
            Caching::Under(Arc::clone(rules), words)
        }
        Err(why) => Caching::Bypass(why),
    }
}

/// Asks for the next target until there is none.
fn order(plan: &route::Plan, usage: Usage) -> Vec<Choice> {
    let (mut all, mut tried) = (Vec::new(), 0);
    while let Picked::Go(serving, why) = plan.state().pick(plan.asked(), tried, Instant::now()) {
        tried |= bit(serving.index());
        let Some(target) = plan.targets().get(serving.index()).cloned() else { break };
        let cost_micros = target.model.prices.as_ref().map(|prices| prices.cost_micros(&usage));
        all.push(Choice { target, why: why.to_string(), cost_micros });
    }
    all
}
