//! The total of request and reply bytes the gateway holds at once, so that load becomes a 503 and
//! never an out-of-memory kill.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A counter with a ceiling, shared by every request. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    used: Arc<AtomicUsize>,
}

impl Budget {
    /// Bytes held now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// A holder of nothing yet.
    pub fn hold(&self) -> Held {
        Held { budget: self.clone(), bytes: 0 }
    }
}

/// Bytes held by one request; given back when dropped.
#[derive(Debug)]
pub struct Held {
    budget: Budget,
    bytes: usize,
}

impl Held {
    /// Grows to `bytes` in total. False if the sum of all holders would exceed `ceiling`; the
    /// holder is then unchanged.
    #[must_use]
    pub fn grow_to(&mut self, bytes: usize, ceiling: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        if more == 0 {
            return true;
        }
        let before = self.budget.used.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) > ceiling {
            self.budget.used.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_over_the_ceiling_and_gives_back_on_drop() {
        let budget = Budget::default();
        let mut first = budget.hold();
        assert!(first.grow_to(60, 100));
        let mut second = budget.hold();
        assert!(!second.grow_to(41, 100));
        assert!(second.grow_to(40, 100));
        assert_eq!(budget.used(), 100);
        drop(first);
        assert_eq!(budget.used(), 40);
        drop(second);
        assert_eq!(budget.used(), 0);
    }
}
