//! How many requests are being answered, now and at most, and their sum over time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};

/// Counts requests from when their body is read to the last byte of their answer.
#[derive(Debug)]
pub(crate) struct InFlight(Mutex<State>);

#[derive(Debug)]
struct State {
    began: Instant,
    now: u32,
    max: u32,
    /// The integral of `now` over the time up to `since`.
    busy: Duration,
    since: Instant,
}

/// One request; it counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Flight(Arc<InFlight>);

impl Default for InFlight {
    fn default() -> Self {
        let began = Instant::now();
        Self(Mutex::new(State { began, now: 0, max: 0, busy: Duration::ZERO, since: began }))
    }
}

impl State {
    fn advance(&mut self) {
        let now = Instant::now();
        self.busy += now.duration_since(self.since) * self.now;
        self.since = now;
    }
}

impl InFlight {
    pub(crate) fn enter(self: &Arc<Self>) -> Flight {
        let mut state = self.0.lock();
        state.advance();
        state.now += 1;
        state.max = state.max.max(state.now);
        Flight(Arc::clone(self))
    }

    /// The counts with the mock's own clock: a reader's would add the way of the answer.
    pub(crate) fn read(&self) -> Value {
        let mut state = self.0.lock();
        state.advance();
        let at = state.since.duration_since(state.began);
        json!({"now": state.now, "max": state.max, "busy_ms": millis(state.busy), "at_ms": millis(at)})
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.advance();
        state.now -= 1;
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_count_until_they_are_dropped() {
        let counts = Arc::new(InFlight::default());
        let flights = [counts.enter(), counts.enter()];
        drop(flights);
        let _flight = counts.enter();
        let read = counts.read();
        assert_eq!((&read["now"], &read["max"]), (&json!(1), &json!(2)));
        assert!(read["busy_ms"].as_f64() <= read["at_ms"].as_f64().map(|at| 2.0 * at));
    }
}
