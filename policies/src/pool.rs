//! A pool: one model on one set of targets, the unit of capacity and of queueing.

use std::sync::Arc;

use crate::limit::{Kind, Limit, Matcher, Mode, OnStoreDown, Scope, Unit};

const MINUTE_MS: u64 = 60_000;

/// What a model's targets can take together. Without bounds nothing waits for the pool itself.
#[derive(Debug)]
pub struct Pool {
    /// The public name of the model.
    pub name: Arc<str>,
    /// Requests at once.
    pub slots: Option<u32>,
    /// Tokens over time. It is a limit like any other, but whoever is next in line waits for it in
    /// line: nobody overtakes.
    pub rate: Option<Arc<Limit>>,
    /// Slots that only one class may use, by class.
    pub reserved: Vec<(Arc<str>, u32)>,
}

impl Pool {
    /// A pool with `tokens_per_minute`, prompt and answer, if given; the minute's amount is also
    /// the most that can be saved up.
    pub fn new(name: &str, slots: Option<u32>, tokens_per_minute: Option<u64>, reserved: Vec<(Arc<str>, u32)>) -> Self {
        let rate = tokens_per_minute.map(|amount| {
            Arc::new(Limit {
                id: Arc::from(format!("model {name}")),
                tenant: Arc::from(""),
                unit: Unit::TotalTokens,
                amount,
                kind: Kind::Rate { period_ms: MINUTE_MS, burst: amount },
                scope: Scope::Global,
                mode: Mode::Enforce,
                matcher: Matcher::default(),
                on_store_down: OnStoreDown::Slice,
            })
        });
        Self { name: Arc::from(name), slots, rate, reserved }
    }

    /// Slots of `class` that are free, given those in use in all and by class.
    pub fn free(&self, class: &str, in_use: u32, used_by: impl Fn(&str) -> u32) -> u32 {
        let Some(slots) = self.slots else { return u32::MAX };
        let kept =
            |(name, count): &(Arc<str>, u32)| if **name == *class { 0 } else { count.saturating_sub(used_by(name)) };
        let kept: u32 = self.reserved.iter().map(kept).sum();
        slots.saturating_sub(in_use).saturating_sub(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_slots_are_kept_from_others() {
        let pool = Pool::new("m", Some(8), None, vec![(Arc::from("interactive"), 2)]);
        assert_eq!(pool.free("batch", 0, |_| 0), 6);
        assert_eq!(pool.free("interactive", 6, |_| 0), 2);
        assert_eq!(pool.free("batch", 6, |_| 0), 0);
        assert_eq!(pool.free("batch", 7, |class| u32::from(class == "interactive") * 2), 1);
    }
}
