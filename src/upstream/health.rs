//! Whether a target may be used: ejected for its own faults, resting because it asked to, or back
//! on probation.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::window::{Counts, Window};
use crate::config::HealthRules;

/// Shares of faults are compared from this many requests on.
const ENOUGH: u32 = 20;
/// A target that was good for so many times its first ejection begins anew.
const FORGIVEN: u32 = 10;
/// A probe that tells nothing for this long makes room for another.
const LONGEST_PROBE: Duration = Duration::from_mins(2);

/// How a target stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// To be used.
    Up,
    /// Its ejection is over: one request may try it.
    Probation,
    /// One request tries it.
    Probed,
    /// It asked to be left alone until then.
    Resting(Instant),
    /// It is ejected until then.
    Ejected(Instant),
}

/// Why a target was ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Faults in a row.
    Consecutive,
    /// More faults than its peers have.
    Outlier,
    /// The probe after an ejection failed.
    Probe,
}

impl Cause {
    /// For logs and metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Consecutive => "consecutive",
            Self::Outlier => "outlier",
            Self::Probe => "probe",
        }
    }
}

/// What the rest of the model's targets look like, for the decision to eject one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peers {
    /// Requests and faults of the others.
    pub(super) counts: Counts,
    /// Targets of the model, this one too.
    pub(super) targets: u32,
    /// How many of the others are ejected.
    pub(super) ejected: u32,
}

/// Health of one target.
pub(super) struct Health(Mutex<State>);

struct State {
    window: Window,
    consecutive: u32,
    /// Ejections in a row.
    ejections: u32,
    until: Option<Instant>,
    probe: Option<Instant>,
    resting: Option<Instant>,
    back: Option<Instant>,
}

impl Health {
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(State {
            window: Window::new(now),
            consecutive: 0,
            ejections: 0,
            until: None,
            probe: None,
            resting: None,
            back: None,
        }))
    }

    pub(super) fn standing(&self, now: Instant) -> Standing {
        self.0.lock().standing(now)
    }

    /// Requests and faults of the last ten seconds.
    pub(super) fn counts(&self, now: Instant) -> Counts {
        self.0.lock().window.total(now)
    }

    /// Takes the one place of a probe, if the target is on probation.
    pub(super) fn begin_probe(&self, now: Instant) -> bool {
        let mut state = self.0.lock();
        let free = state.standing(now) == Standing::Probation;
        if free {
            state.probe = Some(now);
        }
        free
    }

    /// A probe that told nothing.
    pub(super) fn end_probe(&self) {
        self.0.lock().probe = None;
    }

    /// It has begun to answer: a probe is passed. Whether that is the end of an ejection.
    pub(super) fn spoke(&self, now: Instant) -> bool {
        let mut state = self.0.lock();
        state.probe = None;
        let back = state.until.is_some_and(|until| until <= now);
        if back {
            state.until = None;
            state.consecutive = 0;
            state.window = Window::new(now);
            state.back = Some(now);
        }
        back
    }

    /// A request was answered to its end.
    pub(super) fn success(&self, now: Instant) {
        let mut state = self.0.lock();
        state.consecutive = 0;
        state.window.add(now, false);
    }

    /// A fault of the target's own. The time of the ejection it brings, if it does.
    pub(super) fn fault(&self, now: Instant, rules: &HealthRules, peers: Peers) -> Option<(Cause, Duration)> {
        let mut state = self.0.lock();
        state.window.add(now, true);
        state.consecutive = state.consecutive.saturating_add(1);
        let cause = match state.standing(now) {
            // Requests that were under way when it was ejected.
            Standing::Ejected(_) => return None,
            Standing::Probation | Standing::Probed => Cause::Probe,
            Standing::Up | Standing::Resting(_) => state.cause(now, rules, peers)?,
        };
        let room = (peers.ejected + 1) * 100 <= peers.targets * rules.max_ejected_percent;
        if !room && cause != Cause::Probe {
            return None;
        }
        let time = state.eject(now, rules);
        Some((cause, time))
    }

    /// It asked to be left alone.
    pub(super) fn rest(&self, until: Instant) {
        let mut state = self.0.lock();
        state.resting = state.resting.max(Some(until));
    }
}

impl State {
    fn standing(&mut self, now: Instant) -> Standing {
        if self.probe.is_some_and(|since| now.saturating_duration_since(since) > LONGEST_PROBE) {
            self.probe = None;
        }
        match (self.until, self.resting) {
            (Some(until), _) if until > now => Standing::Ejected(until),
            (_, Some(until)) if until > now => Standing::Resting(until),
            (Some(_), _) if self.probe.is_some() => Standing::Probed,
            (Some(_), _) => Standing::Probation,
            (None, _) => Standing::Up,
        }
    }

    fn cause(&mut self, now: Instant, rules: &HealthRules, peers: Peers) -> Option<Cause> {
        if rules.consecutive_faults > 0 && self.consecutive >= rules.consecutive_faults {
            return Some(Cause::Consecutive);
        }
        let own = self.window.total(now);
        if own.all < ENOUGH || peers.counts.all < ENOUGH || rules.faults_above_peers >= 100 {
            return None;
        }
        let share = |counts: Counts| u64::from(counts.marked) * 100 / u64::from(counts.all.max(1));
        (share(own) >= share(peers.counts) + u64::from(rules.faults_above_peers)).then_some(Cause::Outlier)
    }

    fn eject(&mut self, now: Instant, rules: &HealthRules) -> Duration {
        let good_for = self.back.take().map(|back| now.saturating_duration_since(back));
        if good_for.is_some_and(|good| good > rules.eject_for * FORGIVEN) {
            self.ejections = 0;
        }
        let time = rules.eject_for.saturating_mul(1 << self.ejections.min(20)).min(rules.eject_at_most);
        self.ejections += 1;
        self.until = Some(now + time);
        self.probe = None;
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn peers(all: u32, marked: u32) -> Peers {
        Peers { counts: Counts { all, marked }, targets: 3, ejected: 0 }
    }

    #[test]
    fn faults_in_a_row_eject_for_longer_each_time() {
        let (begin, rules) = (Instant::now(), HealthRules::default());
        let health = Health::new(begin);
        (0..4).for_each(|_| assert_eq!(health.fault(begin, &rules, peers(0, 0)), None));
        health.success(begin);
        (0..4).for_each(|_| assert_eq!(health.fault(begin, &rules, peers(0, 0)), None));
        assert_eq!(health.fault(begin, &rules, peers(0, 0)), Some((Cause::Consecutive, 5 * SECOND)));
        assert_eq!(health.standing(begin), Standing::Ejected(begin + 5 * SECOND));
        assert_eq!(health.fault(begin, &rules, peers(0, 0)), None, "late faults do not prolong it");
        let then = begin + 5 * SECOND;
        assert!(health.begin_probe(then) && !health.begin_probe(then), "one at a time");
        assert_eq!(health.fault(then, &rules, peers(0, 0)), Some((Cause::Probe, 10 * SECOND)));
        let then = then + 10 * SECOND;
        assert!(health.begin_probe(then));
        assert!(health.spoke(then));
        assert_eq!(health.standing(then), Standing::Up);
        (0..4).for_each(|_| assert_eq!(health.fault(then, &rules, peers(0, 0)), None));
        assert_eq!(
            health.fault(then, &rules, peers(0, 0)),
            Some((Cause::Consecutive, 20 * SECOND)),
            "not forgiven yet"
        );
        let then = then + 20 * SECOND;
        assert!(health.begin_probe(then) && health.spoke(then));
        let good = then + 51 * SECOND;
        (0..4).for_each(|_| assert_eq!(health.fault(good, &rules, peers(0, 0)), None));
        assert_eq!(health.fault(good, &rules, peers(0, 0)), Some((Cause::Consecutive, 5 * SECOND)));
    }

    #[test]
    fn an_outlier_is_ejected_and_a_common_outage_is_not() {
        let (now, rules) = (Instant::now(), HealthRules::default());
        let health = Health::new(now);
        let mut ejected = None;
        for number in 0..40 {
            assert_eq!(ejected, None);
            health.success(now);
            ejected = health.fault(now, &rules, peers(100, 40));
            assert!(ejected.is_none(), "its peers are as bad: {number}");
        }
        assert_eq!(health.fault(now, &rules, peers(100, 1)).map(|(cause, _)| cause), Some(Cause::Outlier));
    }

    #[test]
    fn at_most_a_share_of_the_group_is_ejected() {
        let (now, rules) = (Instant::now(), HealthRules::default());
        let alone = Peers { targets: 1, ..Peers::default() };
        let half = Peers { targets: 2, ejected: 1, ..Peers::default() };
        for peers in [alone, half] {
            let health = Health::new(now);
            (0..20).for_each(|_| assert_eq!(health.fault(now, &rules, peers), None));
        }
    }

    #[test]
    fn a_rest_ends_by_itself() {
        let now = Instant::now();
        let health = Health::new(now);
        health.rest(now + SECOND);
        health.rest(now);
        assert_eq!(health.standing(now), Standing::Resting(now + SECOND));
        assert_eq!(health.standing(now + SECOND), Standing::Up);
    }
}
