//! One target as this process knows it, across models and reloads; and a request it serves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::health::{Health, Standing};
use super::load::Load;
use super::model::ModelState;
use crate::telemetry::{Attempts, RouteMetrics};

/// What an operator said of a target; forgotten at the next reload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Override {
    /// Whether it takes requests.
    pub mode: Mode,
    /// Its weight, instead of the config's.
    pub weight: Option<u32>,
}

/// Whether a target takes requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It does.
    #[default]
    On,
    /// Only if nothing else is left. Requests under way go on.
    Drained,
    /// It does not. Requests under way go on.
    Disabled,
}

impl Mode {
    /// For `/config` and `/targets`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Drained => "drained",
            Self::Disabled => "disabled",
        }
    }
}

/// What all targets of a provider share.
#[derive(Default)]
pub(super) struct ProviderState {
    /// Its active checks fail.
    pub(super) down: AtomicBool,
    /// Its credentials were refused: not before then.
    resting: Mutex<Option<Instant>>,
}

impl ProviderState {
    fn resting(&self, now: Instant) -> Option<Instant> {
        self.resting.lock().filter(|until| *until > now)
    }
}

/// One target.
pub struct TargetState {
    pub(super) label: Arc<str>,
    pub(super) base_url: String,
    pub(super) load: Load,
    pub(super) health: Health,
    pub(super) provider: Arc<ProviderState>,
    rule: Mutex<Override>,
    pub(super) metrics: RouteMetrics,
    pub(super) attempts: Attempts,
    room: Notify,
    pending: AtomicU32,
}

impl TargetState {
    pub(super) fn new(
        label: Arc<str>,
        base_url: String,
        provider: Arc<ProviderState>,
        metrics: RouteMetrics,
        now: Instant,
    ) -> Self {
        let attempts = metrics.attempts(&label);
        Self {
            label,
            base_url,
            load: Load::new(now),
            health: Health::new(now),
            provider,
            rule: Mutex::default(),
            attempts,
            metrics,
            room: Notify::new(),
            pending: AtomicU32::new(0),
        }
    }

    /// `provider/model`.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// How it stands, its provider's checks and credentials included.
    pub fn standing(&self, now: Instant) -> Standing {
        match self.provider.resting(now) {
            Some(until) => Standing::Resting(until),
            None if self.provider.down.load(Ordering::Acquire) => Standing::Ejected(now),
            None => self.health.standing(now),
        }
    }

    /// What the operator said of it.
    pub fn rule(&self) -> Override {
        *self.rule.lock()
    }

    /// Changes what the operator said of it.
    pub fn set_rule(&self, rule: Override) {
        *self.rule.lock() = rule;
    }

    /// Requests under way.
    pub fn in_flight(&self) -> u32 {
        self.load.in_flight()
    }

    /// Requests and faults of the last ten seconds.
    pub fn counts(&self, now: Instant) -> (u32, u32) {
        let counts = self.health.counts(now);
        (counts.all, counts.marked)
    }

    /// How soon it speaks on a stream, seconds.
    pub fn first_token(&self, now: Instant) -> Option<f64> {
        self.load.latency(now, true)
    }

    /// The 95th percentile of its last first-token times, once enough are known.
    pub fn p95(&self) -> Option<Duration> {
        self.load.p95()
    }

    /// Waits for room, among at most `pending` others and for at most `patience`. False if there
    /// are too many or it takes too long. Dropping the future gives the place up.
    pub async fn room(&self, pending: u32, patience: Duration) -> bool {
        let free = |count: u32| (count < pending).then_some(count + 1);
        if self.pending.try_update(Ordering::AcqRel, Ordering::Acquire, free).is_err() {
            return false;
        }
        let _place = Pending(&self.pending);
        timeout(patience, self.room.notified()).await.is_ok()
    }
}

struct Pending<'a>(&'a AtomicU32);

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A request that a target serves. Dropped without a word it counts as neither good nor bad: the
/// client left, or the request was at fault.
#[must_use = "a target counts a request until this is dropped"]
pub struct Serving {
    pub(super) model: Arc<ModelState>,
    pub(super) index: usize,
    pub(super) tokens: u64,
    pub(super) probe: bool,
    pub(super) stream: bool,
    pub(super) begun: Instant,
    heard: Heard,
}

/// What was heard of a target for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    /// It has begun to answer.
    Content,
    /// How it ended is known.
    All,
}

impl Serving {
    pub(super) fn new(model: Arc<ModelState>, index: usize, tokens: u64, stream: bool, begun: Instant) -> Self {
        Self { model, index, tokens, probe: false, stream, begun, heard: Heard::Nothing }
    }

    /// The target's place in the model's list.
    pub fn index(&self) -> usize {
        self.index
    }

    fn state(&self) -> Option<&Arc<TargetState>> {
        self.model.targets.get(self.index)
    }

    /// Counts the time to the first word from now on.
    pub fn departed(&mut self, now: Instant) {
        self.begun = now;
    }

    /// The first content of a stream, or the whole answer, has come. Later calls do nothing.
    pub fn spoke(&mut self, now: Instant) {
        if self.heard != Heard::Nothing {
            return;
        }
        self.heard = Heard::Content;
        self.probe = false;
        let Some(state) = self.state() else { return };
        state.load.spoke(now, self.stream, now.saturating_duration_since(self.begun));
        if state.health.spoke(now) {
            tracing::info!(target_name = %state.label, "target is back");
            state.metrics.ejected(&state.label, false);
        }
    }

    /// The answer came to its end.
    pub fn success(mut self, now: Instant) {
        self.heard = Heard::All;
        if let Some(state) = self.state() {
            state.health.success(now);
        }
    }

    /// A fault of the target's own.
    pub fn fault(mut self, now: Instant, kind: &str) {
        self.heard = Heard::All;
        self.probe = false;
        let (Some(state), Some(rules)) = (self.state(), self.model.rules(self.index)) else { return };
        let peers = self.model.peers(self.index, now);
        if let Some((cause, time)) = state.health.fault(now, rules, peers) {
            let (cause, seconds) = (cause.as_str(), time.as_secs_f64());
            tracing::warn!(target_name = %state.label, cause, seconds, last_fault = kind, "target ejected");
            state.metrics.ejection(&state.label, cause);
            state.metrics.ejected(&state.label, true);
        }
    }

    /// The target asked to be left alone for so long.
    pub fn rest(self, now: Instant, time: Duration) {
        if let Some(state) = self.state() {
            state.health.rest(now + time);
        }
    }

    /// The provider refused the credentials: none of its targets for so long.
    pub fn rest_credential(self, now: Instant, time: Duration) {
        if let Some(state) = self.state() {
            *state.provider.resting.lock() = Some(now + time);
            tracing::warn!(target_name = %state.label, seconds = time.as_secs_f64(), "credentials refused: the provider rests");
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let Some(state) = self.model.targets.get(self.index) else { return };
        if self.probe {
            state.health.end_probe();
        }
        if self.heard == Heard::Content {
            // A client that left in the middle of a good answer.
            state.health.success(Instant::now());
        }
        state.load.leave(self.tokens);
        state.room.notify_one();
    }
}
