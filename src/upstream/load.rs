//! What a target is doing now: requests and tokens under way, and how soon it speaks.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Weight of a new sample, one in so many.
const SMOOTH: f64 = 8.0;
/// A time that was not measured again is half as certain after this: the target is tried again.
const HALF_LIFE: Duration = Duration::from_secs(30);
/// Tokens sent are forgotten at this pace.
const RECENT: Duration = Duration::from_secs(30);
/// Times that percentiles are made of, and how many they need.
const REMEMBERED: usize = 128;
const ENOUGH: usize = 20;

/// Load of one target. Reading it takes a few atomic loads and an uncontended lock.
pub(super) struct Load {
    in_flight: AtomicU32,
    tokens: AtomicU64,
    streamed: Mutex<Latency>,
    whole: Mutex<Latency>,
    recent: Mutex<Recent>,
}

/// A smoothed time and the last ones it was made of.
struct Latency {
    /// Seconds; `None` before the first sample.
    smooth: Option<f64>,
    at: Instant,
    last: Vec<Duration>,
    next: usize,
}

/// Tokens sent to the target, fading.
struct Recent {
    tokens: f64,
    at: Instant,
}

impl Load {
    pub(super) fn new(now: Instant) -> Self {
        let latency = || Mutex::new(Latency { smooth: None, at: now, last: Vec::new(), next: 0 });
        Self {
            in_flight: AtomicU32::new(0),
            tokens: AtomicU64::new(0),
            streamed: latency(),
            whole: latency(),
            recent: Mutex::new(Recent { tokens: 0.0, at: now }),
        }
    }

    /// Takes a place among `limit`, if one is free.
    pub(super) fn enter(&self, now: Instant, limit: u32, tokens: u64) -> bool {
        let free = |count: u32| (count < limit).then_some(count + 1);
        let entered = self.in_flight.try_update(Ordering::AcqRel, Ordering::Acquire, free).is_ok();
        if entered {
            self.tokens.fetch_add(tokens, Ordering::Relaxed);
            let mut recent = self.recent.lock();
            recent.tokens = recent.now(now) + float(tokens);
            recent.at = now;
        }
        entered
    }

    /// Gives the place back.
    pub(super) fn leave(&self, tokens: u64) {
        self.tokens.fetch_sub(tokens, Ordering::Relaxed);
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Prompt and answer tokens of the requests under way.
    pub(super) fn tokens(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed)
    }

    /// Tokens sent to it lately.
    pub(super) fn recent(&self, now: Instant) -> f64 {
        self.recent.lock().now(now)
    }

    /// The target has spoken after this long: the first content of a stream, or a whole answer.
    pub(super) fn spoke(&self, now: Instant, stream: bool, after: Duration) {
        let mut latency = if stream { self.streamed.lock() } else { self.whole.lock() };
        let sample = after.as_secs_f64();
        latency.smooth = Some(latency.smooth.map_or(sample, |old| old + (sample - old) / SMOOTH));
        latency.at = now;
        if latency.last.len() < REMEMBERED {
            latency.last.push(after);
        } else {
            let next = latency.next;
            if let Some(slot) = latency.last.get_mut(next) {
                *slot = after;
            }
            latency.next = (next + 1) % REMEMBERED;
        }
    }

    /// How soon it speaks, seconds; `None` if that is not known. Fades while the target has nothing
    /// to do: then one request finds out.
    pub(super) fn latency(&self, now: Instant, stream: bool) -> Option<f64> {
        let idle = self.in_flight() == 0;
        let latency = if stream { self.streamed.lock() } else { self.whole.lock() };
        let age = now.saturating_duration_since(latency.at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        latency.smooth.map(|smooth| if idle { smooth * (-age).exp2() } else { smooth })
    }

    /// The 95th percentile of its last first-token times, once enough are known.
    pub(super) fn p95(&self) -> Option<Duration> {
        let mut last = self.streamed.lock().last.clone();
        if last.len() < ENOUGH {
            return None;
        }
        last.sort_unstable();
        last.get(last.len() * 95 / 100).copied()
    }
}

impl Recent {
    fn now(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.at).as_secs_f64() / RECENT.as_secs_f64();
        self.tokens * (-age).exp()
    }
}

#[expect(clippy::cast_precision_loss, reason = "tokens far below 2^52")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        let now = Instant::now();
        let load = Load::new(now);
        assert!(load.enter(now, 2, 10) && load.enter(now, 2, 5) && !load.enter(now, 2, 1));
        assert_eq!((load.in_flight(), load.tokens()), (2, 15));
        load.leave(10);
        assert!(load.enter(now, 2, 1));
        assert_eq!(load.tokens(), 6);
    }

    #[test]
    fn times_are_smoothed_fade_and_have_percentiles() {
        let now = Instant::now();
        let load = Load::new(now);
        assert!(load.latency(now, true).is_none() && load.p95().is_none());
        (1..=100).for_each(|_| load.spoke(now, true, Duration::from_millis(100)));
        load.spoke(now, true, Duration::from_millis(900));
        let known = load.latency(now, true).unwrap();
        assert!((0.19..0.21).contains(&known), "{known}");
        assert!((load.latency(now + HALF_LIFE, true).unwrap() - known / 2.0).abs() < 1e-9);
        assert_eq!(load.p95(), Some(Duration::from_millis(100)));
        assert!(load.enter(now, 1, 1));
        assert!((load.latency(now + HALF_LIFE, true).unwrap() - known).abs() < 1e-9, "one is finding out");
        assert!(load.latency(now, false).is_none(), "whole answers have a time of their own");
    }
}
