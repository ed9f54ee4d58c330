//! The sections `health`, `circuit` and `check` of providers and targets.

use std::time::Duration;

use serde_saphyr::Spanned;

use super::compile::{Compiler, positive_duration};
use super::raw_health::{RawCheck, RawCircuit, RawHealth};
use super::routing::{Check, Circuit, HealthRules};
use super::values;

/// More often is load, not news.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(200);

impl Compiler {
    /// The rules of ejection, with those of `base` where nothing is said.
    pub(super) fn health(&mut self, raw: &RawHealth, path: &str, base: &HealthRules) -> HealthRules {
        let path = format!("{path}.health");
        let percent = |this: &mut Self, raw: &Option<Spanned<u32>>, name: &str, default| {
            this.number(raw.as_ref(), &format!("{path}.{name}"), default, 0..=100)
        };
        let faults_above_peers = percent(self, &raw.faults_above_peers, "faults_above_peers", base.faults_above_peers);
        let max_ejected_percent =
            percent(self, &raw.max_ejected_percent, "max_ejected_percent", base.max_ejected_percent);
        let mut time = |raw: &Option<Spanned<String>>, name: &str, default| {
            self.field(raw.as_ref(), &format!("{path}.{name}"), default, positive_duration)
        };
        let eject_for = time(&raw.eject_for, "eject_for", base.eject_for);
        let eject_at_most = time(&raw.eject_at_most, "eject_at_most", base.eject_at_most).max(eject_for);
        HealthRules {
            consecutive_faults: raw.consecutive_faults.unwrap_or(base.consecutive_faults),
            faults_above_peers,
            eject_for,
            eject_at_most,
            max_ejected_percent,
        }
    }

    /// The limits of a circuit, with those of `base` where nothing is said.
    pub(super) fn circuit(&mut self, raw: &RawCircuit, path: &str, base: &Circuit) -> Circuit {
        let mut least_one = |raw: &Option<Spanned<u32>>, name: &str, default| {
            self.number(raw.as_ref(), &format!("{path}.circuit.{name}"), default, 1..=u32::MAX)
        };
        Circuit {
            connections: least_one(&raw.connections, "connections", base.connections),
            in_flight: least_one(&raw.in_flight, "in_flight", base.in_flight),
            pending: raw.pending.unwrap_or(base.pending),
        }
    }

    pub(super) fn check(&mut self, raw: &RawCheck, path: &str) -> Check {
        let path = format!("{path}.check");
        if !raw.path.value.starts_with('/') {
            let message = format!("`{}` is not a path; write /health", raw.path.value);
            self.error(Some(&raw.path.referenced), &format!("{path}.path"), message);
        }
        let interval = self.field(raw.interval.as_ref(), &format!("{path}.interval"), Duration::from_secs(2), |text| {
            let interval = values::duration(text)?;
            if interval < SHORTEST_INTERVAL { Err("it must be at least 200ms".to_owned()) } else { Ok(interval) }
        });
        let timeout = Duration::from_secs(1);
        Check {
            path: raw.path.value.clone(),
            interval,
            timeout: self.field(raw.timeout.as_ref(), &format!("{path}.timeout"), timeout, positive_duration),
            fall: raw.fall.unwrap_or(3).max(1),
            rise: raw.rise.unwrap_or(2).max(1),
        }
    }

    /// A number within bounds, or the error where it stands and the default.
    pub(super) fn number(
        &mut self,
        raw: Option<&Spanned<u32>>,
        path: &str,
        default: u32,
        bounds: std::ops::RangeInclusive<u32>,
    ) -> u32 {
        let Some(raw) = raw else { return default };
        if bounds.contains(&raw.value) {
            return raw.value;
        }
        let (least, most) = bounds.into_inner();
        let message =
            if most == u32::MAX { format!("it must be at least {least}") } else { format!("it is {least} to {most}") };
        self.error(Some(&raw.referenced), path, message);
        default
    }
}
