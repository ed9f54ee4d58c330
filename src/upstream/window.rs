//! Two counts over the last ten seconds, in slots of one second.

use std::time::{Duration, Instant};

const SLOTS: usize = 10;
const SLOT: Duration = Duration::from_secs(1);

/// What is counted: `all`, and of these some that are `marked`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) all: u32,
    pub(super) marked: u32,
}

/// Counts that are forgotten after ten seconds.
#[derive(Clone, Debug)]
pub(super) struct Window {
    slots: [Counts; SLOTS],
    /// When the newest slot began.
    begun: Instant,
    newest: usize,
}

impl Window {
    pub(super) fn new(now: Instant) -> Self {
        Self { slots: [Counts::default(); SLOTS], begun: now, newest: 0 }
    }

    /// The newest slot at `now`; those that were passed by are empty.
    fn slot(&mut self, now: Instant) -> &mut Counts {
        let mut passed = 0;
        while now.saturating_duration_since(self.begun) >= SLOT {
            if passed == SLOTS {
                self.begun = now;
                break;
            }
            self.newest = (self.newest + 1) % SLOTS;
            if let Some(slot) = self.slots.get_mut(self.newest) {
                *slot = Counts::default();
            }
            self.begun += SLOT;
            passed += 1;
        }
        let newest = self.newest.min(SLOTS - 1);
        &mut self.slots[newest]
    }

    pub(super) fn add(&mut self, now: Instant, marked: bool) {
        let slot = self.slot(now);
        slot.all += 1;
        slot.marked += u32::from(marked);
    }

    pub(super) fn mark(&mut self, now: Instant) {
        self.slot(now).marked += 1;
    }

    pub(super) fn total(&mut self, now: Instant) -> Counts {
        self.slot(now);
        self.slots.iter().fold(Counts::default(), |sum, slot| Counts {
            all: sum.all.saturating_add(slot.all),
            marked: sum.marked.saturating_add(slot.marked),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_forgotten_after_ten_seconds() {
        let begin = Instant::now();
        let mut window = Window::new(begin);
        for second in 0..10 {
            window.add(begin + SLOT * second, second % 2 == 0);
        }
        assert_eq!(window.total(begin + SLOT * 9), Counts { all: 10, marked: 5 });
        assert_eq!(window.total(begin + SLOT * 12), Counts { all: 7, marked: 3 });
        assert_eq!(window.total(begin + SLOT * 1000), Counts::default());
        window.mark(begin + SLOT * 1000);
        assert_eq!(window.total(begin + SLOT * 1001), Counts { all: 0, marked: 1 });
    }
}
