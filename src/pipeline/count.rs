//! Phase `count`: the prompt in tokens, and the bound of what the answer may cost.

use std::borrow::Cow;
use std::sync::Arc;

use sluice_policies::Demand;
use sluice_providers::{Call, Endpoint, Field, Usage, catalog::Model};

use super::identify::Identity;
use super::open::Gateway;
use super::route::Plan;
use crate::error::Error;
use crate::tokens::{Counted as Input, Method};

/// What a request will cost at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    /// Tokens of the prompt.
    pub(super) input: u64,
    /// The most tokens the answer may have, over all choices.
    pub(super) output_bound: u64,
    /// How the prompt was counted.
    pub(super) method: Method,
    /// Price of both at the dearest target, micro-dollars.
    pub(super) cost_micros: u64,
    /// Of that, the prompt's.
    pub(super) input_cost_micros: u64,
    /// What is not tokens: pictures to make, characters to speak.
    units: u64,
    /// The client asked for nothing but the count, and this is it: no token is spent.
    pub(super) asked: Option<u64>,
}

impl Counted {
    /// The reservation.
    pub(super) fn demand(&self) -> Demand {
        Demand { input: self.input, output: self.output_bound, cost_micros: self.cost_micros }
    }

    /// Usage with the units that the provider did not report.
    pub(super) fn with_units(&self, usage: Usage) -> Usage {
        let units = if usage.units == 0 { self.units } else { usage.units };
        Usage { units, ..usage }
    }
}

pub(super) async fn run(
    gateway: &Gateway,
    call: &Arc<Call>,
    plan: &Plan,
    who: &Identity,
    heavy: bool,
) -> Result<Counted, Error> {
    let first = plan.targets().first().ok_or_else(|| Error::unknown_model(&call.model))?;
    let model = Arc::clone(&first.model);
    let Input { input, prompts, method } = if heavy {
        let (counter, call, model) = (Arc::clone(&gateway.counter), Arc::clone(call), Arc::clone(&model));
        gateway.offload.run(move || counter.call(&call, &model)).await??
    } else {
        gateway.counter.call(call, &model)?
    };
    of(call, plan, who, Input { input, prompts, method })
}

/// What a counted prompt may cost.
pub(super) fn of(call: &Call, plan: &Plan, who: &Identity, counted: Input) -> Result<Counted, Error> {
    let Input { input, prompts, method } = counted;
    let model = &plan.targets().first().ok_or_else(|| Error::unknown_model(&call.model))?.model;
    if call.endpoint == Endpoint::CountTokens {
        let none = Counted {
            input: 0,
            output_bound: 0,
            method,
            cost_micros: 0,
            input_cost_micros: 0,
            units: 0,
            asked: Some(input),
        };
        return Ok(none);
    }
    fits(plan, input, method)?;
    let units = units(call);
    let output_bound = output_bound(call, model, who.key.default_output).saturating_mul(prompts);
    let cost_micros = dearest(plan, &Usage { input, output: output_bound, units, ..Usage::default() });
    let input_cost_micros = dearest(plan, &Usage { input, units, ..Usage::default() });
    Ok(Counted { input, output_bound, method, cost_micros, input_cost_micros, units, asked: None })
}

/// The price at the dearest target, micro-dollars.
fn dearest(plan: &Plan, usage: &Usage) -> u64 {
    let prices = plan.targets().iter().filter_map(|target| target.model.prices.as_ref());
    prices.map(|prices| prices.cost_micros(usage)).max().unwrap_or(0)
}

/// The smaller of what the client asked for (or the policy's default) and what the model can do.
fn output_bound(call: &Call, model: &Model, default_output: u64) -> u64 {
    if !call.endpoint.generates() {
        return 0;
    }
    let each = call.max_output.unwrap_or(default_output).min(model.max_output);
    each.saturating_mul(call.n)
}

/// What of a request is billed by number: pictures, characters spoken, searches. Seconds of sound are known when they
/// have been heard.
fn units(call: &Call) -> u64 {
    match call.endpoint {
        Endpoint::Images => call.n,
        Endpoint::Speech => {
            let text = call.raw(Field::Input).and_then(|raw| serde_json::from_str::<Cow<'_, str>>(raw).ok());
            text.map_or(0, |text| text.chars().count() as u64)
        }
        Endpoint::Rerank => searches(call),
        _ => 0,
    }
}

/// A query with up to 100 documents is a search (Cohere's pricing).
fn searches(call: &Call) -> u64 {
    #[derive(serde::Deserialize)]
    struct Documents {
        documents: Vec<serde::de::IgnoredAny>,
    }
    let read = serde_json::from_slice::<Documents>(&call.body);
    read.map_or(1, |read| (read.documents.len() as u64).div_ceil(100).max(1))
}

/// Refuses what no target can read, before anything is reserved. Only for exact counts of known
/// models: a guess must not refuse.
fn fits(plan: &Plan, input: u64, method: Method) -> Result<(), Error> {
    let window = |model: &Arc<Model>| if model.known { model.context_window } else { u64::MAX };
    let widest = plan.targets().iter().map(|target| window(&target.model)).max().unwrap_or(u64::MAX);
    if method != Method::Exact || input <= widest {
        return Ok(());
    }
    let message = format!("this model's maximum context length is {widest} tokens, but the request has {input}");
    let mut error = Error::invalid("context_length_exceeded", message);
    error.param = Some("messages".to_owned());
    Err(error)
}
