//! A request's wait in the queue: how long it may take, and what doors and metrics see of it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName};
use sluice_policies::Class;
use tokio::sync::Notify;

use super::record::Tally;
use crate::error::Error;
use crate::telemetry::{StoreMetrics, WaitEnd};

const DEADLINE: HeaderName = HeaderName::from_static("x-sluice-deadline-ms");
/// Seconds after which OpenAI's and Anthropic's SDKs give up; Python and JavaScript spell it so.
const SDK_TIMEOUTS: [HeaderName; 2] =
    [HeaderName::from_static("x-stainless-read-timeout"), HeaderName::from_static("x-stainless-timeout")];
/// Left of an SDK's timeout for the refusal to arrive before it gives up.
const MARGIN: Duration = Duration::from_secs(1);

/// Shared with the door, which keeps the client's connection alive meanwhile. Clones are the same wait.
#[derive(Clone, Debug, Default)]
pub struct Waiting(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    ahead: AtomicU32,
    /// It is no longer in the queue, but on its way to a provider.
    dialled: AtomicBool,
    long: Notify,
    admitted: Notify,
    bill: OnceLock<Tally>,
    /// What has happened so far, a bit each.
    stage: AtomicU8,
    /// The error that ended the call.
    failure: OnceLock<Error>,
    /// The client has left; with the error it was told, if it was cut off.
    left: OnceLock<Option<Error>>,
}

impl Waiting {
    const LONG: u8 = 1;
    const LET_IN: u8 = 2;
    /// What comes of the call is the affair of the request that began it.
    pub(super) const PARTED: u8 = 4;

    /// What is to be told of it, in a comment.
    pub fn comment(&self) -> String {
        if self.0.dialled.load(Ordering::Relaxed) {
            return ": waiting for the model\n\n".to_owned();
        }
        format!(": queued, {} ahead\n\n", self.0.ahead.load(Ordering::Relaxed))
    }

    /// Resolves when a stream has waited so long that the client should hear of it.
    pub async fn long(&self) {
        self.0.long.notified().await;
    }

    /// Resolves when the request has been let in.
    pub async fn admitted(&self) {
        self.0.admitted.notified().await;
    }

    /// Says that it has been.
    pub fn let_in(&self) {
        self.0.stage.fetch_or(Self::LET_IN, Ordering::Relaxed);
        self.0.admitted.notify_one();
    }

    /// What the request has cost, once its lease is settled.
    pub fn bill(&self) -> Option<&Tally> {
        self.0.bill.get()
    }

    pub(super) fn settled(&self, bill: Tally) {
        // A request is settled once.
        drop(self.0.bill.set(bill));
    }

    /// Says of this wait what can be said of the call it waits for.
    pub fn follow(&self, call: &Self) {
        if Arc::ptr_eq(&self.0, &call.0) {
            return;
        }
        self.at(call.0.ahead.load(Ordering::Relaxed));
        self.0.dialled.store(call.0.dialled.load(Ordering::Relaxed), Ordering::Relaxed);
        let news = call.stage() & !self.stage();
        if news & Self::LONG != 0 {
            self.takes_long();
        }
        if news & Self::LET_IN != 0 {
            self.let_in();
        }
    }

    /// Whether the request is in.
    pub fn is_let_in(&self) -> bool {
        self.stage() & Self::LET_IN != 0
    }

    /// Bits of what has happened so far; each is set once and for all.
    pub(super) fn stage(&self) -> u8 {
        self.0.stage.load(Ordering::Relaxed)
    }

    pub(super) fn part(&self) {
        self.0.stage.fetch_or(Self::PARTED, Ordering::Relaxed);
    }

    /// The client is gone while its call goes on for others; with the error it was told, if it was cut off.
    pub(super) fn leave(&self, told: Option<Error>) {
        drop(self.0.left.set(told));
    }

    pub(super) fn left(&self) -> Option<&Option<Error>> {
        self.0.left.get()
    }

    pub(super) fn failed(&self, error: &Error) {
        drop(self.0.failure.set(error.clone()));
    }

    /// The error that ended the call, if one did.
    pub fn failure(&self) -> Option<&Error> {
        self.0.failure.get()
    }

    pub(super) fn at(&self, ahead: u32) {
        self.0.ahead.store(ahead, Ordering::Relaxed);
    }

    /// The provider is long in answering: the client should hear of it.
    pub fn is_dialled(&self) {
        self.0.dialled.store(true, Ordering::Relaxed);
        self.takes_long();
    }

    pub(super) fn takes_long(&self) {
        self.0.stage.fetch_or(Self::LONG, Ordering::Relaxed);
        self.0.long.notify_one();
    }
}

/// How long a client is ready to wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// In the queue.
    pub(super) queue: Duration,
    /// For all of its answer, if it said so.
    pub(super) deadline: Option<tokio::time::Instant>,
}

/// The longest a request may wait: its class's `max_wait`, or less if the client says so or would
/// give up before.
pub(super) fn patience(headers: &HeaderMap, class: &Class, started: Instant) -> Result<Patience, Error> {
    let own = deadline(headers)?;
    let mut queue = own.map_or(class.max_wait, |deadline| class.max_wait.min(deadline));
    for value in SDK_TIMEOUTS.iter().filter_map(|name| headers.get(name)) {
        let seconds = value.to_str().ok().and_then(|text| text.trim().parse::<f64>().ok());
        // An SDK without a timeout may send anything, and it is not the user's doing.
        if let Some(timeout) = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
            queue = queue.min(timeout.saturating_sub(MARGIN));
        }
    }
    let deadline = own.and_then(|time| tokio::time::Instant::from_std(started).checked_add(time));
    Ok(Patience { queue, deadline })
}

/// The client's own deadline.
fn deadline(headers: &HeaderMap) -> Result<Option<Duration>, Error> {
    let Some(value) = headers.get(&DEADLINE) else { return Ok(None) };
    let millis = value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok());
    millis.map(|millis| Some(Duration::from_millis(millis))).ok_or_else(|| {
        let message = "header x-sluice-deadline-ms: it must be a whole number of milliseconds";
        let mut error = Error::invalid("invalid_deadline", message);
        error.param = Some("x-sluice-deadline-ms".to_owned());
        error
    })
}

/// Counts a wait from its begin to its end, however it ends.
pub(super) struct Wait {
    metrics: StoreMetrics,
    model: Arc<str>,
    class: Arc<str>,
    begun: Instant,
    how: WaitEnd,
}

impl Wait {
    pub(super) fn begin(metrics: &StoreMetrics, model: &Arc<str>, class: &Arc<str>) -> Self {
        metrics.wait_began(model, class);
        Self {
            metrics: metrics.clone(),
            model: Arc::clone(model),
            class: Arc::clone(class),
            begun: Instant::now(),
            how: WaitEnd::Left,
        }
    }

    pub(super) fn end(mut self, how: WaitEnd) -> Duration {
        self.how = how;
        self.begun.elapsed()
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.metrics.wait_ended(&self.model, &self.class, self.how, self.begun.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn patience_of(pairs: &[(&'static str, &'static str)]) -> Result<Duration, Error> {
        let class = Class {
            name: Arc::from("standard"),
            rank: 1,
            weight: 1,
            max_wait: Duration::from_secs(30),
            max_depth: 1,
            age_after: Duration::ZERO,
            reserved: 0,
        };
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        patience(&pairs.iter().map(header).collect(), &class, Instant::now()).map(|patience| patience.queue)
    }

    #[test]
    fn the_shortest_patience_counts() {
        let seconds = |pairs: &[(&'static str, &'static str)]| patience_of(pairs).unwrap().as_secs_f64();
        assert!((seconds(&[]) - 30.0).abs() < 1e-9);
        assert!((seconds(&[("x-sluice-deadline-ms", "1500")]) - 1.5).abs() < 1e-9);
        assert!((seconds(&[("x-sluice-deadline-ms", "99999999")]) - 30.0).abs() < 1e-9);
        assert!((seconds(&[("x-stainless-read-timeout", "5.0")]) - 4.0).abs() < 1e-9);
        assert!((seconds(&[("x-stainless-read-timeout", "NaN"), ("x-stainless-timeout", "600")]) - 30.0).abs() < 1e-9);
        assert!(seconds(&[("x-stainless-timeout", "0.5")]) < 1e-9);
        assert!(patience_of(&[("x-sluice-deadline-ms", "soon")]).is_err());
    }
}
