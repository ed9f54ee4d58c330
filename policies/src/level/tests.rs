//! Worked numbers of docs/quotas.md, and properties over random operations.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::limit::{Matcher, Mode, OnStoreDown, Scope, Unit, Window};

fn limit(amount: u64, kind: Kind) -> Limit {
    Limit {
        id: Arc::from("t/l"),
        tenant: Arc::from("t"),
        unit: Unit::TotalTokens,
        amount,
        kind,
        scope: Scope::Key,
        mode: Mode::Enforce,
        matcher: Matcher::default(),
        on_store_down: OnStoreDown::Slice,
    }
}

fn rate(amount: u64, burst: u64) -> Limit {
    limit(amount, Kind::Rate { period_ms: 60_000, burst })
}

const NOON: u64 = 1_709_208_000_000;

#[test]
fn docs_reserve_settle_refund() {
    let limit = rate(10_000, 10_000);
    let mut level = limit.new_level(NOON);
    let held = level.reserve(&limit, 1_200, NOON);
    assert_eq!(level.view(&limit, NOON).remaining, 8_800);
    level.settle(&limit, &held, 500, NOON);
    assert_eq!(level.view(&limit, NOON).remaining, 9_500);
    // 500 missing at 10,000 a minute: full again in 3 s.
    assert_eq!(level.view(&limit, NOON).reset, Duration::from_secs(3));
}

#[test]
fn docs_debt_delays_the_next() {
    let limit = rate(1_000, 1_000);
    let mut level = limit.new_level(NOON);
    let held = level.reserve(&limit, 110, NOON);
    level.settle(&limit, &held, 1_510, NOON);
    let view = level.view(&limit, NOON);
    assert_eq!((view.remaining, view.debt), (-510, 510));
    // 510 of debt and 109 asked: 619 tokens at 1,000 a minute.
    let short = level.check(&limit, 109, NOON).unwrap_err();
    assert_eq!(short.retry_after, Some(Duration::from_millis(37_140)));
}

#[test]
fn docs_burst_and_too_large() {
    let limit = rate(1_000, 5_000);
    let level = limit.new_level(NOON);
    assert!(level.check(&limit, 5_000, NOON).is_ok());
    assert_eq!(level.check(&limit, 5_001, NOON), Err(Short { retry_after: None }));
}

#[test]
fn docs_budget_rolls_at_midnight_and_carries_overdraft() {
    let limit = limit(1_000, Kind::Budget(Window::Day));
    let mut level = limit.new_level(NOON);
    let held = level.reserve(&limit, 900, NOON);
    let half_day = 43_200_000;
    let short = level.check(&limit, 200, NOON).unwrap_err();
    assert_eq!(short.retry_after, Some(Duration::from_millis(half_day)));
    level.settle(&limit, &held, 1_300, NOON);
    let midnight = NOON + half_day;
    assert_eq!(level.view(&limit, midnight).remaining, 700, "300 were overspent the day before");
}

#[test]
fn docs_a_reservation_of_yesterday_gives_nothing_back() {
    let limit = limit(1_000, Kind::Budget(Window::Day));
    let mut level = limit.new_level(NOON);
    let less = level.reserve(&limit, 400, NOON);
    let more = level.reserve(&limit, 400, NOON);
    let tomorrow = NOON + 86_400_000;
    level.settle(&limit, &less, 100, tomorrow);
    assert_eq!(level.view(&limit, tomorrow).remaining, 1_000);
    level.settle(&limit, &more, 450, tomorrow);
    assert_eq!(level.view(&limit, tomorrow).remaining, 950, "only the excess is charged today");
}

#[test]
fn docs_concurrency() {
    let limit = limit(2, Kind::Concurrent);
    let mut level = limit.new_level(NOON);
    let first = level.reserve(&limit, 1, NOON);
    level.reserve(&limit, 1, NOON);
    assert!(level.check(&limit, 1, NOON).is_err());
    level.settle(&limit, &first, 1, NOON);
    assert!(level.check(&limit, 1, NOON).is_ok());
}

#[test]
fn a_clock_that_goes_back_mints_nothing() {
    let limit = rate(60_000, 60_000);
    let mut level = limit.new_level(NOON);
    level.reserve(&limit, 60_000, NOON);
    for step in 0..100u64 {
        let now = if step % 2 == 0 { NOON - 30_000 } else { NOON };
        let held = level.reserve(&limit, 1, now);
        level.settle(&limit, &held, 1, now);
    }
    assert_eq!(level.view(&limit, NOON).remaining, -100);
}

#[test]
fn a_clock_that_was_set_back_an_hour_does_not_stop_the_refill_for_an_hour() {
    let limit = rate(60_000, 60_000);
    let mut level = limit.new_level(NOON);
    level.reserve(&limit, 60_000, NOON);
    let before = NOON - 3_600_000;
    assert_eq!(level.check(&limit, 1_000, before).unwrap_err().retry_after, Some(Duration::from_secs(1)));
    level.reserve(&limit, 0, before);
    assert_eq!(level.view(&limit, before).remaining, 0, "the step itself refills nothing");
    assert_eq!(level.view(&limit, before + 1_000).remaining, 1_000);
}

#[derive(Clone, Debug)]
enum Op {
    Enter { ask: u64, used: u64 },
    Settle(usize),
    Wait(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        (0..3_000u64, 0..3_000u64).prop_map(|(ask, used)| Op::Enter { ask, used }),
        any::<usize>().prop_map(Op::Settle),
        (0..20_000u64).prop_map(Op::Wait),
    ];
    proptest::collection::vec(op, 1..120)
}

proptest! {
    /// What is granted never exceeds the brim and the refill; what is settled never differs from
    /// exact rational arithmetic.
    #[test]
    fn a_rate_conserves(amount in 1..5_000u64, burst in 1..8_000u64, ops in ops()) {
        let limit = rate(amount, burst);
        let (mut now, mut level) = (NOON, limit.new_level(NOON));
        let mut open: Vec<(Reservation, u64)> = Vec::new();
        // The model: fine units, refilled by hand.
        let full = i128::from(burst) * 60_000;
        let mut model = full;
        let mut granted = 0u128;
        let mut excess = 0u128;
        let mut refunded = 0u128;
        for op in ops {
            match op {
                Op::Wait(ms) => {
                    now += ms;
                    model = (model + i128::from(ms) * i128::from(amount)).min(full);
                }
                Op::Enter { ask, used } => if level.check(&limit, ask, now).is_ok() {
                    open.push((level.reserve(&limit, ask, now), used));
                    model -= i128::from(ask) * 60_000;
                    granted += u128::from(ask);
                    prop_assert!(model >= 0, "a grant never makes debt");
                },
                Op::Settle(at) => if !open.is_empty() {
                    let (held, used) = open.swap_remove(at % open.len());
                    level.settle(&limit, &held, used, now);
                    model = (model + (i128::from(held.amount) - i128::from(used)) * 60_000).min(full);
                    excess += u128::from(used.saturating_sub(held.amount));
                    refunded += u128::from(held.amount.saturating_sub(used));
                },
            }
            prop_assert_eq!(i128::from(level.view(&limit, now).remaining), model.div_euclid(60_000));
        }
        let refill = u128::from(now - NOON) * u128::from(amount) / 60_000 + 1;
        prop_assert!(granted + excess <= u128::from(burst) + refill + refunded + excess);
    }

    /// The promised moment is exact: it passes then, and not a millisecond before.
    #[test]
    fn retry_after_is_exact(amount in 1..5_000u64, spent in 0..9_000u64, ask in 1..5_000u64, day in any::<bool>()) {
        let limit = if day { limit(amount, Kind::Budget(Window::Day)) } else { rate(amount, amount) };
        let mut level = limit.new_level(NOON);
        level.reserve(&limit, spent, NOON);
        if let Err(Short { retry_after: Some(wait) }) = level.check(&limit, ask, NOON) {
            let wait = u64::try_from(wait.as_millis()).unwrap();
            prop_assert!(level.check(&limit, ask, NOON + wait).is_ok());
            prop_assert!(level.check(&limit, ask, NOON + wait - 1).is_err());
        }
    }
}
