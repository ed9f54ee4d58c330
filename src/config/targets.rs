//! The targets of a model, and how its requests are spread over them.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, StatusCode};
use serde_saphyr::{Location, Spanned};
use sluice_providers::Target;

use super::compile::{Compiler, positive_duration};
use super::model::{TargetRoute, Timeouts};
use super::models::{Known, Place};
use super::raw_models::{RawFaults, RawLongModel, RawTarget};
use super::routing::{Balance, Fallback, Faults, HedgeAfter, Mirror, RetryRules, Routing};
use super::values;

/// More than this is a fleet: it belongs behind an address of its own.
const MOST_TARGETS: usize = 64;

impl Compiler {
    pub(super) fn targets(
        &mut self,
        known: &Known<'_>,
        place: Place<'_>,
        raw: &[RawTarget],
        long: Option<&RawLongModel>,
    ) -> Vec<TargetRoute> {
        if raw.len() > MOST_TARGETS {
            self.error(Some(place.at), place.path, format!("it has more than {MOST_TARGETS} targets"));
        }
        let grouped = long.is_some_and(|long| long.balance.is_some())
            || raw.iter().any(
                |target| matches!(target, RawTarget::Long(long) if long.weight.is_some() || long.priority.is_some()),
            );
        let mut routes = Vec::new();
        for (index, target) in raw.iter().enumerate() {
            let path = format!("{}[{index}]", place.path);
            let (label, at, own) = match target {
                RawTarget::Label(label) => (label, place.at, None),
                RawTarget::Long(own) => (&own.target.value, &own.target.referenced, Some(own)),
            };
            let mut route = match target_of(known, label) {
                Ok(Some(route)) => route,
                Ok(None) => continue,
                Err(message) => {
                    self.error(Some(at), &path, message);
                    continue;
                }
            };
            if !grouped {
                route.priority = u32::try_from(index).unwrap_or(u32::MAX);
            }
            if let Some(long) = long {
                route.timeouts = self.timeouts(&long.timeouts, place.path, &route.timeouts);
            }
            if let Some(own) = own {
                route.weight = self.number(own.weight.as_ref(), &format!("{path}.weight"), 1, 1..=1_000_000);
                route.priority = own.priority.unwrap_or(route.priority);
                route.zone = own.zone.as_deref().map(Arc::from);
                route.timeouts = self.timeouts(&own.timeouts, &path, &route.timeouts);
                route.health = self.health(&own.health, &path, &route.health);
                route.circuit = self.circuit(&own.circuit, &path, &route.circuit);
            }
            if routes.iter().any(|other: &TargetRoute| other.label == route.label) {
                self.error(Some(at), &path, format!("`{label}` is there twice"));
            }
            routes.push(route);
        }
        // Stable: those of one group keep their order.
        routes.sort_by_key(|route| route.priority);
        routes
    }

    pub(super) fn routing(&mut self, known: &Known<'_>, place: Place<'_>, raw: &RawLongModel) -> Routing {
        let (default, path) = (Routing::default(), place.path);
        let balance = self.field(raw.balance.as_ref(), &format!("{path}.balance"), default.balance, |text| {
            let found = Balance::NAMES.iter().find(|(name, _)| *name == text).map(|(_, balance)| *balance);
            found.ok_or_else(|| {
                format!("unknown `{text}`; it is one of {}", Balance::NAMES.map(|(name, _)| name).join(", "))
            })
        });
        let header = format!("{path}.affinity_header");
        let affinity_header = self.field(raw.affinity_header.as_ref(), &header, default.affinity_header, |text| {
            HeaderName::try_from(text).map_err(|_| format!("`{text}` is not a header name"))
        });
        let hedge = raw.hedge.as_ref().map(|hedge| {
            self.field(hedge.after.as_ref(), &format!("{path}.hedge.after"), HedgeAfter::P95, |text| match text {
                "p95" => Ok(HedgeAfter::P95),
                time => positive_duration(time).map(HedgeAfter::Time),
            })
        });
        let mut model = |raw: &Option<Spanned<String>>, name: &str| {
            let raw = raw.as_ref()?;
            self.model_named(known, place, &raw.value, &raw.referenced, &format!("{path}.fallback.{name}"))
        };
        let fallback = Fallback {
            on_context_length: model(&raw.fallback.on_context_length, "on_context_length"),
            on_content_policy: model(&raw.fallback.on_content_policy, "on_content_policy"),
            on_budget: model(&raw.fallback.on_budget, "on_budget"),
        };
        Routing {
            balance,
            affinity_header,
            hold: raw.hold_ms.map_or(default.hold, Duration::from_millis),
            retry: self.retry(place, raw),
            hedge,
            fallback,
            continuation: raw.continuation,
            mirror: self.mirror(known, path, raw),
            split: self.split(known, place, raw),
            faults: raw.faults.as_ref().and_then(|faults| self.faults(known, path, faults)),
        }
    }

    fn retry(&mut self, place: Place<'_>, raw: &RawLongModel) -> RetryRules {
        let (raw, default, path) = (&raw.retry, RetryRules::default(), format!("{}.retry", place.path));
        let pause = format!("{path}.longest_pause");
        RetryRules {
            attempts: self.number(raw.attempts.as_ref(), &format!("{path}.attempts"), default.attempts, 1..=100),
            budget_percent: self.number(
                raw.budget_percent.as_ref(),
                &format!("{path}.budget_percent"),
                default.budget_percent,
                0..=1000,
            ),
            budget_per_second: raw.budget_per_second.unwrap_or(default.budget_per_second),
            same_target: raw.same_target,
            longest_pause: self.field(raw.longest_pause.as_ref(), &pause, default.longest_pause, values::duration),
        }
    }

    fn mirror(&mut self, known: &Known<'_>, path: &str, raw: &RawLongModel) -> Option<Mirror> {
        let raw = raw.mirror.as_ref()?;
        let (path, at) = (format!("{path}.mirror"), &raw.target.referenced);
        let target =
            target_of(known, &raw.target.value).map_err(|message| self.error(Some(at), &path, message)).ok()??;
        let percent = self.percent(raw.percent.as_ref(), &format!("{path}.percent"));
        Some(Mirror { target, percent })
    }

    fn split(&mut self, known: &Known<'_>, place: Place<'_>, raw: &RawLongModel) -> Vec<(Arc<str>, u8)> {
        let path = format!("{}.split", place.path);
        let mut arms = Vec::new();
        for (name, percent) in &raw.split {
            let arm = self.model_named(known, place, name, &percent.referenced, &path);
            arms.extend(arm.map(|arm| (arm, self.percent(Some(percent), &format!("{path}.{name}")))));
        }
        if arms.iter().map(|(_, percent)| u32::from(*percent)).sum::<u32>() > 100 {
            self.error(Some(place.at), &path, "the shares add up to more than 100".to_owned());
        }
        arms
    }

    fn faults(&mut self, known: &Known<'_>, path: &str, raw: &Spanned<RawFaults>) -> Option<Faults> {
        let (path, at, raw) = (format!("{path}.faults"), &raw.referenced, &raw.value);
        if !known.raw.allow_faults {
            let message = "faults made on purpose need `allow_faults: true` at the top of the config";
            self.error(Some(at), &path, message.to_owned());
            return None;
        }
        for percent in [raw.delay_percent, raw.abort_percent, raw.cut_percent].into_iter().flatten() {
            if percent > 100 {
                self.error(Some(at), &path, format!("{percent} percent; it is 0 to 100"));
            }
        }
        let delay = self.field(raw.delay.as_ref(), &format!("{path}.delay"), Duration::ZERO, values::duration);
        let abort = raw.abort.as_ref().and_then(|status| {
            let error = StatusCode::from_u16(status.value).ok().filter(|status| status.as_u16() >= 400);
            if error.is_none() {
                self.error(
                    Some(&status.referenced),
                    &format!("{path}.abort"),
                    "it is a status of 400 or more".to_owned(),
                );
            }
            error
        });
        Some(Faults {
            delay: (!delay.is_zero()).then(|| (delay, raw.delay_percent.unwrap_or(100))),
            abort: abort.map(|status| (status, raw.abort_percent.unwrap_or(100))),
            cut: raw.cut_after.map(|chunks| (chunks, raw.cut_percent.unwrap_or(100))),
        })
    }

    fn percent(&mut self, raw: Option<&Spanned<u8>>, path: &str) -> u8 {
        let Some(raw) = raw else { return 100 };
        if raw.value > 100 {
            self.error(Some(&raw.referenced), path, "it is 0 to 100".to_owned());
        }
        raw.value.min(100)
    }

    /// Another model of the config.
    fn model_named(
        &mut self,
        known: &Known<'_>,
        place: Place<'_>,
        name: &str,
        at: &Location,
        path: &str,
    ) -> Option<Arc<str>> {
        let itself = place.path.strip_prefix("models.") == Some(name);
        if known.raw.models.contains_key(name) && !itself {
            return Some(Arc::from(name));
        }
        let message = if itself { "it is the model itself".to_owned() } else { format!("unknown model `{name}`") };
        self.error(Some(at), path, message);
        None
    }
}

/// The target a label names, with its provider's settings. `Ok(None)`: the provider is written but
/// broken, which is reported where it stands.
pub(super) fn target_of(known: &Known<'_>, label: &str) -> Result<Option<TargetRoute>, String> {
    let named = label.split_once('/').filter(|(provider, model)| !provider.is_empty() && !model.is_empty());
    let Some((name, model)) = named else {
        return Err(format!("`{label}` is not a target; write provider/model"));
    };
    let Some(provider) = known.providers.get(name) else {
        if known.raw.providers.contains_key(name) {
            return Ok(None);
        }
        let all = known.raw.providers.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(format!("unknown provider `{name}`; there is {all}"));
    };
    let timeouts: Timeouts = provider.timeouts.clone();
    let found = known.catalog.target(name, &provider.kind, model);
    let max_output = if found.known { found.max_output } else { 0 };
    Ok(Some(TargetRoute {
        provider: Arc::clone(provider),
        target: Target { model: model.to_owned(), max_output, api_version: provider.api_version.clone() },
        model: found,
        label: Arc::from(label),
        weight: 1,
        priority: 0,
        zone: None,
        timeouts,
        health: provider.health.clone(),
        circuit: provider.circuit.clone(),
    }))
}
