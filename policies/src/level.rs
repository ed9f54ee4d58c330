//! The state of one bucket, and the four things that happen to it: check, reserve, settle, view.
//!
//! A rate level is kept as `units * period_ms`, so that refilling for any number of milliseconds
//! is exact and nothing is lost to rounding however often it is looked at.

use std::time::Duration;

use crate::UnixMillis;
use crate::calendar::{window_end, window_id};
use crate::limit::{Kind, Limit};

/// Bound of every intermediate value: integers are exact in a double below it.
pub const EXACT: u64 = 1 << 53;
/// A clock that goes back further than this was set, and is followed: else a bucket would stand still
/// until it is back where it was. Milliseconds.
const FOLLOW_BACK_MS: u64 = 60_000;
/// A waiter for a slot cannot know when one frees: this is a hint.
const CONCURRENT_HINT: Duration = Duration::from_secs(1);

/// One bucket. Which fields mean what depends on the limit's [`Kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Rate: what is left, times the period; negative is debt. Else: what is used.
    value: i64,
    /// Rate: when `value` was brought up to date, milliseconds. Budget: the window's number.
    at: u64,
}

/// What was taken from a bucket, to be settled later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Units reserved.
    pub amount: u64,
    /// The window it was taken from; 0 for rates and concurrency.
    pub window: u64,
}

/// Why a bucket has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    /// When the same ask would fit if nothing else came. `None`: it never fits.
    pub retry_after: Option<Duration>,
}

/// A bucket as people are shown it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The limit's amount (for rates its burst), units.
    pub amount: u64,
    /// Units left now; negative while in debt.
    pub remaining: i64,
    /// Until a rate is full again, or the window ends.
    pub reset: Duration,
    /// Units overspent.
    pub debt: u64,
}

impl Level {
    /// The bucket as stores keep it: for a rate what is left times the period (negative is debt),
    /// else what is used; and the moment or window it stands for.
    pub fn parts(&self) -> (i64, u64) {
        (self.value, self.at)
    }

    /// The inverse of [`parts`](Self::parts).
    pub fn from_parts(value: i64, at: u64) -> Self {
        Self { value, at }
    }

    pub(crate) fn fresh(limit: &Limit, now: UnixMillis) -> Self {
        match limit.kind {
            Kind::Rate { period_ms, burst } => Self { value: signed(burst.saturating_mul(period_ms)), at: now },
            Kind::Budget(window) => Self { value: 0, at: window_id(window, now) },
            Kind::Concurrent => Self { value: 0, at: 0 },
        }
    }

    /// Brings the bucket up to `now`. A clock that went back a little changes nothing; one that was
    /// set back by more is followed, and nothing refills for the step itself.
    fn advance(&mut self, limit: &Limit, now: UnixMillis) {
        match limit.kind {
            Kind::Rate { period_ms, burst } => {
                let elapsed = now.saturating_sub(self.at);
                let full = signed(burst.saturating_mul(period_ms));
                // Longer than it takes to fill from any debt: no need for an exact product.
                let gained = signed(elapsed.saturating_mul(limit.amount).min(2 * EXACT));
                self.value = self.value.saturating_add(gained).min(full);
                let set_back = self.at.saturating_sub(now) > FOLLOW_BACK_MS;
                self.at = if set_back { now } else { self.at.max(now) };
            }
            Kind::Budget(window) => {
                let id = window_id(window, now);
                let passed = id.saturating_sub(self.at);
                if passed > 0 {
                    // What was overspent is owed by the windows that follow.
                    let paid = signed(limit.amount.saturating_mul(passed));
                    self.value = self.value.saturating_sub(paid).max(0);
                    self.at = id;
                }
            }
            Kind::Concurrent => {}
        }
    }

    /// Whether `ask` units fit now.
    pub fn check(&self, limit: &Limit, ask: u64, now: UnixMillis) -> Result<(), Short> {
        let mut level = *self;
        level.advance(limit, now);
        match limit.kind {
            Kind::Rate { period_ms, burst } => {
                if ask > burst {
                    return Err(Short { retry_after: None });
                }
                let missing = signed(ask.saturating_mul(period_ms)).saturating_sub(level.value);
                if missing <= 0 {
                    return Ok(());
                }
                let wait = missing.unsigned_abs().div_ceil(limit.amount.max(1));
                // Refilling goes on from where the clock had been, should it have gone back.
                let behind = level.at.saturating_sub(now);
                Err(Short { retry_after: Some(Duration::from_millis(wait.saturating_add(behind))) })
            }
            Kind::Budget(window) => {
                if ask > limit.amount {
                    return Err(Short { retry_after: None });
                }
                let over = level.value.saturating_add(signed(ask)).saturating_sub(signed(limit.amount));
                if over <= 0 {
                    return Ok(());
                }
                let windows = over.unsigned_abs().div_ceil(limit.amount.max(1));
                let at = window_end(window, level.at + windows - 1);
                Err(Short { retry_after: Some(Duration::from_millis(at.saturating_sub(now))) })
            }
            Kind::Concurrent if level.value < signed(limit.amount) => Ok(()),
            Kind::Concurrent => Err(Short { retry_after: Some(CONCURRENT_HINT) }),
        }
    }

    /// Takes `ask` units, whether they fit or not: the caller has checked, or only observes.
    pub fn reserve(&mut self, limit: &Limit, ask: u64, now: UnixMillis) -> Reservation {
        self.advance(limit, now);
        self.take(limit, signed(ask));
        let window = if matches!(limit.kind, Kind::Budget(_)) { self.at } else { 0 };
        Reservation { amount: ask, window }
    }

    /// Replaces a reservation by what was used. A reservation of a window that has ended gives
    /// nothing back; what it was short of is charged to the window of today.
    pub fn settle(&mut self, limit: &Limit, reserved: &Reservation, used: u64, now: UnixMillis) {
        self.advance(limit, now);
        let excess = signed(used).saturating_sub(signed(reserved.amount));
        match limit.kind {
            Kind::Concurrent => self.value = (self.value - 1).max(0),
            Kind::Budget(_) if reserved.window != self.at => self.take(limit, excess.max(0)),
            Kind::Budget(_) | Kind::Rate { .. } => self.take(limit, excess),
        }
        // A refund must not lift a bucket over its brim.
        self.advance(limit, now);
    }

    /// Takes units; a negative number gives back.
    fn take(&mut self, limit: &Limit, units: i64) {
        match limit.kind {
            Kind::Rate { period_ms, .. } => {
                let scaled = units.saturating_mul(signed(period_ms));
                self.value = self.value.saturating_sub(scaled).max(-signed(EXACT));
            }
            Kind::Budget(_) => self.value = self.value.saturating_add(units).clamp(0, signed(EXACT)),
            Kind::Concurrent => self.value = self.value.saturating_add(1),
        }
    }

    /// The bucket for people and headers.
    pub fn view(&self, limit: &Limit, now: UnixMillis) -> View {
        let mut level = *self;
        level.advance(limit, now);
        match limit.kind {
            Kind::Rate { period_ms, burst } => {
                let remaining = level.value.div_euclid(signed(period_ms.max(1)));
                let missing = signed(burst.saturating_mul(period_ms)).saturating_sub(level.value).max(0);
                let reset = Duration::from_millis(missing.unsigned_abs().div_ceil(limit.amount.max(1)));
                View { amount: burst, remaining, reset, debt: debt(remaining) }
            }
            Kind::Budget(window) => {
                let remaining = signed(limit.amount).saturating_sub(level.value);
                let reset = Duration::from_millis(window_end(window, level.at).saturating_sub(now));
                View { amount: limit.amount, remaining, reset, debt: debt(remaining) }
            }
            Kind::Concurrent => {
                let remaining = signed(limit.amount).saturating_sub(level.value);
                View { amount: limit.amount, remaining, reset: Duration::ZERO, debt: debt(remaining) }
            }
        }
    }

    /// Whether the bucket equals a fresh one, so that it may be forgotten.
    pub fn is_idle(&self, limit: &Limit, now: UnixMillis) -> bool {
        let mut level = *self;
        level.advance(limit, now);
        level.value == Self::fresh(limit, now).value
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn debt(remaining: i64) -> u64 {
    remaining.min(0).unsigned_abs()
}

#[cfg(test)]
mod tests;
