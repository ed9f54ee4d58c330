//! Targets as operators see them, and what operators say of them: drain, disable, re-weight,
//! without a reload and until the next one.

use std::time::Instant;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::pipeline::Gateway;
use crate::upstream::{Mode, Override, Standing, TargetState};

/// More would drown the others.
const MOST_WEIGHT: u32 = 1_000_000;

/// The answer of `/targets`.
pub(super) fn json(gateway: &Gateway) -> Value {
    let config = gateway.live.snapshot();
    let now = Instant::now();
    let all: Vec<Value> = gateway.targets.of(&config).iter().map(|state| shown(state, now)).collect();
    json!({ "targets": all })
}

fn shown(state: &TargetState, now: Instant) -> Value {
    let (requests, faults) = state.counts(now);
    let rule = state.rule();
    let (standing, until) = match state.standing(now) {
        Standing::Up => ("up", None),
        Standing::Probation | Standing::Probed => ("probation", None),
        Standing::Resting(until) => ("resting", Some(until)),
        Standing::Ejected(until) => ("ejected", Some(until)),
    };
    let millis = |until: Instant| u64::try_from(until.saturating_duration_since(now).as_millis()).unwrap_or(u64::MAX);
    json!({
        "target": &**state.label(),
        "standing": standing,
        "for_ms": until.map(millis),
        "mode": rule.mode.as_str(),
        "weight": rule.weight,
        "in_flight": state.in_flight(),
        "requests": requests,
        "faults": faults,
        "first_token_ms": state.first_token(now).map(|seconds| (seconds * 1000.0).round()),
    })
}

/// What operators have said, for `/config`.
pub(super) fn overrides(gateway: &Gateway) -> Vec<Value> {
    let config = gateway.live.snapshot();
    let all = gateway.targets.of(&config);
    let said = all.iter().map(|state| (state, state.rule())).filter(|(_, rule)| *rule != Override::default());
    said.map(|(state, rule)| json!({"target": &**state.label(), "mode": rule.mode.as_str(), "weight": rule.weight}))
        .collect()
}

/// `POST /targets/{provider}/{model}?mode=on|drained|disabled&weight=N`. The error says what is
/// possible.
pub(super) fn change(gateway: &Gateway, label: &str, query: &str) -> Result<Value, String> {
    let config = gateway.live.snapshot();
    let label = percent_decode_str(label).decode_utf8_lossy();
    let Some(state) = gateway.targets.find(&config, &label) else {
        let known: Vec<String> = gateway.targets.of(&config).iter().map(|state| state.label().to_string()).collect();
        return Err(format!("there is no target `{label}`; there is {}", known.join(", ")));
    };
    let mut rule = state.rule();
    if query.is_empty() {
        return Err("say ?mode=on, ?mode=drained, ?mode=disabled or ?weight=N".to_owned());
    }
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("mode", "on")) => rule.mode = Mode::On,
            Some(("mode", "drained")) => rule.mode = Mode::Drained,
            Some(("mode", "disabled")) => rule.mode = Mode::Disabled,
            Some(("weight", number)) => {
                let weight = number.parse::<u32>().ok().filter(|weight| (1..=MOST_WEIGHT).contains(weight));
                rule.weight = Some(weight.ok_or_else(|| format!("`{number}` is no weight; it is 1 to {MOST_WEIGHT}"))?);
            }
            _ => return Err(format!("`{pair}` is unknown; say mode=on, mode=drained, mode=disabled or weight=N")),
        }
    }
    state.set_rule(rule);
    tracing::info!(target_name = %label, mode = rule.mode.as_str(), weight = rule.weight, "an operator changed a target");
    Ok(shown(&state, Instant::now()))
}
