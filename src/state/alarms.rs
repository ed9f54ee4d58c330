//! The moments at which a pool's queue should be looked at again, because time makes room.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// The earliest such moment of each pool.
#[derive(Default)]
pub(super) struct Alarms {
    due: Mutex<BTreeMap<Arc<str>, Instant>>,
    sooner: Notify,
}

impl Alarms {
    /// Asks for `pool` to be looked at in `after`; a sooner alarm stands.
    pub(super) fn set(&self, pool: &Arc<str>, after: Duration) {
        let at = Instant::now() + after;
        let mut due = self.due.lock();
        let first = due.values().min().copied();
        let mine = due.entry(Arc::clone(pool)).or_insert(at);
        *mine = (*mine).min(at);
        if first.is_none_or(|first| at < first) {
            self.sooner.notify_one();
        }
    }

    /// Waits for the next alarm, and takes every one that has gone off. Safe to drop.
    pub(super) async fn next(&self) -> Vec<Arc<str>> {
        loop {
            let first = self.due.lock().values().min().copied();
            match first {
                None => self.sooner.notified().await,
                Some(at) => tokio::select! {
                    () = sleep_until(at) => return self.take(),
                    () = self.sooner.notified() => {}
                },
            }
        }
    }

    fn take(&self) -> Vec<Arc<str>> {
        let now = Instant::now();
        let mut due = self.due.lock();
        let gone: Vec<Arc<str>> = due.iter().filter(|(_, at)| **at <= now).map(|(pool, _)| Arc::clone(pool)).collect();
        due.retain(|_, at| *at > now);
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_sooner_alarm_goes_first_and_once() {
        let alarms = Alarms::default();
        let (a, b): (Arc<str>, Arc<str>) = (Arc::from("a"), Arc::from("b"));
        alarms.set(&a, Duration::from_secs(5));
        alarms.set(&b, Duration::from_secs(2));
        alarms.set(&b, Duration::from_secs(9));
        let begun = Instant::now();
        assert_eq!(alarms.next().await, [b]);
        assert_eq!(alarms.next().await, [a]);
        assert_eq!(begun.elapsed().as_secs(), 5);
    }
}
