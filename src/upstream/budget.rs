//! The retry budget: retries are a share of recent requests, so that an outage is not multiplied.

use std::time::Instant;

use parking_lot::Mutex;

use super::window::Window;
use crate::config::RetryRules;

/// Seconds that the budget looks back.
const LOOK_BACK: u32 = 10;

/// Counts a model's requests and retries of the last ten seconds.
pub(super) struct RetryBudget(Mutex<Window>);

impl RetryBudget {
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(Window::new(now)))
    }

    /// A request, which may be retried.
    pub(super) fn request(&self, now: Instant) {
        self.0.lock().add(now, false);
    }

    /// Takes one retry, if there is one left.
    pub(super) fn take(&self, now: Instant, rules: &RetryRules) -> bool {
        let mut window = self.0.lock();
        let counts = window.total(now);
        let share = u64::from(counts.all) * u64::from(rules.budget_percent) / 100;
        let allowed = share.max(u64::from(rules.budget_per_second) * u64::from(LOOK_BACK));
        let free = u64::from(counts.marked) < allowed;
        if free {
            window.mark(now);
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rules(percent: u32, per_second: u32) -> RetryRules {
        RetryRules { budget_percent: percent, budget_per_second: per_second, ..RetryRules::default() }
    }

    #[test]
    fn retries_are_a_share_of_requests_and_at_least_so_many() {
        let now = Instant::now();
        let budget = RetryBudget::new(now);
        (0..1000).for_each(|_| budget.request(now));
        let taken = (0..1000).filter(|_| budget.take(now, &rules(20, 1))).count();
        assert_eq!(taken, 200);
        assert!(budget.take(now, &rules(20, 50)), "500 in ten seconds are allowed whatever the share");
        let later = now + Duration::from_secs(30);
        assert_eq!((0..100).filter(|_| budget.take(later, &rules(20, 1))).count(), 10);
        assert!(!RetryBudget::new(now).take(now, &rules(100, 0)), "nothing was asked yet");
    }
}
