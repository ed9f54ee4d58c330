//! Phase `route`: the model that answers (an A/B test may say another), and what of the request
//! decides which of its targets is next.

use std::sync::Arc;

use http::HeaderMap;
use sluice_policies::Pool;
use sluice_providers::{Call, ErrorKind, Field};

use super::count::Counted;
use super::identify::Identity;
use super::open::Gateway;
use crate::config::{Balance, Config, Fallback, ModelRoute, TargetRoute};
use crate::error::Error;
use crate::telemetry::Outcome;
use crate::tokens::Counter;
use crate::upstream::{Asked, ModelState, Targets, bit, chain, local_number};

/// Longer beginnings of prompts are not looked at, in bytes.
const LONGEST_PREFIX: usize = 256 * 1024;

/// The model a request goes to, and how its targets are picked. It has at least one that can serve
/// the call.
pub(super) struct Plan {
    route: Arc<ModelRoute>,
    state: Arc<ModelState>,
    asked: Asked,
    /// It stands in for another model: there is no further fallback.
    stands_in: bool,
}

impl Plan {
    /// The public name of the model.
    pub(super) fn model(&self) -> &Arc<str> {
        &self.route.name
    }

    /// Where it queues.
    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.route.pool
    }

    /// All targets, by priority.
    pub(super) fn targets(&self) -> &[TargetRoute] {
        &self.route.targets
    }

    pub(super) fn route(&self) -> &Arc<ModelRoute> {
        &self.route
    }

    pub(super) fn state(&self) -> &Arc<ModelState> {
        &self.state
    }

    pub(super) fn asked(&self) -> &Asked {
        &self.asked
    }
}

pub(super) fn run(
    gateway: &Gateway,
    config: &Config,
    who: &Identity,
    call: &Call,
    headers: &HeaderMap,
) -> Result<Plan, Error> {
    let plan = to(&gateway.targets, config, who, call, headers)?;
    plan.state.begin(std::time::Instant::now());
    Ok(plan)
}

/// The plan for a call, which is not counted as a request.
pub(super) fn to(
    targets: &Targets,
    config: &Config,
    who: &Identity,
    call: &Call,
    headers: &HeaderMap,
) -> Result<Plan, Error> {
    let route = model(config, who, &call.model)?;
    let session = session(&route, who, call, headers);
    let route = split(config, who, route, session);
    plan(targets, config, route, call, session)
}

/// The model of this name, if it is there for this key.
fn model(config: &Config, who: &Identity, name: &str) -> Result<Arc<ModelRoute>, Error> {
    // One answer for "not configured" and "not yours": a key must not learn what others use.
    let route = config.models.get(name).filter(|_| who.key.may_use(name));
    route.map(Arc::clone).ok_or_else(|| Error::unknown_model(name))
}

fn plan(
    targets: &Targets,
    config: &Config,
    route: Arc<ModelRoute>,
    call: &Call,
    session: Option<u64>,
) -> Result<Plan, Error> {
    let (mut able, mut refused) = (0, None);
    for (index, target) in route.targets.iter().enumerate() {
        match target.provider.adapter.supports(call, &target.target) {
            Ok(()) => able |= bit(index),
            Err(unsupported) => {
                refused.get_or_insert(unsupported);
            }
        }
    }
    if able == 0 {
        return Err(match refused {
            Some(unsupported) => unsupported.into(),
            None => Error::unknown_model(&call.model),
        });
    }
    let asked = Asked { stream: call.stream, session, able, zone: config.zone.clone(), ..Asked::default() };
    let state = targets.model(&route);
    Ok(Plan { route, state, asked, stands_in: false })
}

/// Fills in what counting has found.
pub(super) async fn know(
    gateway: &Gateway,
    plan: &mut Plan,
    call: &Arc<Call>,
    counted: &Counted,
    heavy: bool,
) -> Result<(), Error> {
    if !heavy || plan.route.routing.balance != Balance::Prefix {
        learn(plan, call, counted, &gateway.counter);
        return Ok(());
    }
    (plan.asked.input, plan.asked.output) = (counted.input, counted.output_bound);
    let Some(tokenizer) = plan.targets().first().map(|target| target.model.tokenizer) else { return Ok(()) };
    let (counter, call) = (Arc::clone(&gateway.counter), Arc::clone(call));
    let work = move || chain(&counter.tokens(tokenizer, &beginning(&call)));
    plan.asked.blocks = gateway.offload.run(work).await?.into();
    Ok(())
}

/// The same, in place.
pub(super) fn learn(plan: &mut Plan, call: &Call, counted: &Counted, counter: &Counter) {
    (plan.asked.input, plan.asked.output) = (counted.input, counted.output_bound);
    let tokenizer = plan.targets().first().map(|target| target.model.tokenizer);
    if let Some(tokenizer) = tokenizer.filter(|_| plan.route.routing.balance == Balance::Prefix) {
        plan.asked.blocks = chain(&counter.tokens(tokenizer, &beginning(call))).into();
    }
}

/// The prompt as engines see it: tools first, then the messages in their order.
fn beginning(call: &Call) -> String {
    let mut text = String::new();
    for field in [Field::Tools, Field::Messages, Field::Prompt] {
        let raw = call.raw(field).unwrap_or_default();
        // Without its end the list is the beginning of the next turn's.
        let list = raw.strip_suffix(']').unwrap_or(raw).trim_end();
        let end = list.floor_char_boundary(LONGEST_PREFIX.saturating_sub(text.len()));
        text.push_str(list.get(..end).unwrap_or_default());
    }
    text
}

/// What makes requests belong together: a header, the end user, or `prompt_cache_key`.
fn session(route: &ModelRoute, who: &Identity, call: &Call, headers: &HeaderMap) -> Option<u64> {
    if route.routing.balance != Balance::Affinity {
        return None;
    }
    let tenant = &who.key.tenant;
    if let Some(value) = headers.get(&route.routing.affinity_header) {
        return Some(stable("header", tenant, value.as_bytes()));
    }
    if let Some(user) = &who.user {
        return Some(stable("user", tenant, user.as_bytes()));
    }
    let key = call.raw(Field::PromptCacheKey).filter(|raw| *raw != "null")?;
    Some(stable("cache", tenant, key.as_bytes()))
}

/// The same on every replica and after a restart (FNV-1a).
fn stable(kind: &str, tenant: &str, value: &[u8]) -> u64 {
    let parts = [kind.as_bytes(), b"\0", tenant.as_bytes(), b"\0", value].concat();
    parts.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// The arm of an A/B test: the same for a user each time, else for a key.
fn split(config: &Config, who: &Identity, route: Arc<ModelRoute>, session: Option<u64>) -> Arc<ModelRoute> {
    if route.routing.split.is_empty() {
        return route;
    }
    let of = match (&who.user, session) {
        (Some(user), _) => stable(&route.name, &who.key.tenant, user.as_bytes()),
        (None, Some(session)) => session,
        (None, None) => stable(&route.name, &who.key.tenant, who.key.name.as_bytes()),
    };
    // The low bits of FNV-1a are not even enough for a share of one percent.
    let mut ticket = (of ^ (of >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    ticket = (ticket * 100) >> 32;
    for (name, percent) in &route.routing.split {
        if ticket < u64::from(*percent) {
            return model(config, who, name).unwrap_or(route);
        }
        ticket -= u64::from(*percent);
    }
    route
}

/// What a plan's model does when it cannot answer.
pub(super) struct Cause {
    fallback: Fallback,
    stands_in: bool,
}

impl Cause {
    pub(super) fn of(plan: &Plan) -> Self {
        Self { fallback: plan.route.routing.fallback.clone(), stands_in: plan.stands_in }
    }

    /// The plan of the model that steps in for an error before any provider was asked.
    pub(super) fn fallback(
        &self,
        gateway: &Gateway,
        config: &Config,
        who: &Identity,
        call: &Call,
        error: &Error,
    ) -> Option<(Plan, &'static str)> {
        let code = error.code.as_deref();
        let (name, cause) = match code {
            Some("context_length_exceeded") => (self.fallback.on_context_length.as_ref(), "context_length"),
            Some("insufficient_quota") if error.outcome == Outcome::Denied => {
                (self.fallback.on_budget.as_ref(), "budget")
            }
            _ => (None, ""),
        };
        self.plan(gateway, config, who, call, (name?, cause))
    }

    fn plan(
        &self,
        gateway: &Gateway,
        config: &Config,
        who: &Identity,
        call: &Call,
        (name, cause): (&Arc<str>, &'static str),
    ) -> Option<(Plan, &'static str)> {
        if self.stands_in {
            return None;
        }
        let route = model(config, who, name).ok()?;
        let session = (route.routing.balance == Balance::Affinity).then(|| local_number(&call.user));
        let mut plan = plan(&gateway.targets, config, route, call, session).ok()?;
        plan.stands_in = true;
        plan.state.begin(std::time::Instant::now());
        gateway.sinks.metrics().routes().fallback(&call.model, cause);
        Some((plan, cause))
    }
}

/// The plan of the model that steps in when a provider refused for this cause.
pub(super) fn fallback(
    gateway: &Gateway,
    config: &Config,
    who: &Identity,
    call: &Call,
    plan: &Plan,
    kind: ErrorKind,
) -> Option<(Plan, &'static str)> {
    let cause = Cause::of(plan);
    let (name, why) = match kind {
        ErrorKind::ContextLength => (cause.fallback.on_context_length.as_ref(), "context_length"),
        ErrorKind::ContentPolicy => (cause.fallback.on_content_policy.as_ref(), "content_policy"),
        _ => (None, ""),
    };
    cause.plan(gateway, config, who, call, (name?, why))
}
