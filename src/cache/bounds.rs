//! How sure a counted rate is: the exact bounds of Clopper and Pearson (Biometrika 26, 1934, pages 404 to 413).

/// One-sided: a true rate above the upper bound, or below the lower one, would show what was counted in less than one
/// of twenty samples.
const DOUBT: f64 = 0.05;
/// Halvings of the interval; more than an `f64` can tell apart.
const STEPS: usize = 60;

/// The 95 % upper bound of a rate of which `of` trials showed `count`; 1 when nothing was tried.
pub(super) fn upper(count: u64, of: u64) -> f64 {
    if count >= of {
        return 1.0;
    }
    solve(|rate| at_most(count, of, rate) > DOUBT)
}

/// The 95 % lower bound; 0 when nothing was tried.
pub(super) fn lower(count: u64, of: u64) -> f64 {
    let Some(fewer) = count.min(of).checked_sub(1) else { return 0.0 };
    solve(|rate| at_most(fewer, of, rate) > 1.0 - DOUBT)
}

/// Where `holds`, which holds at 0, ends to hold.
fn solve(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..STEPS {
        let middle = f64::midpoint(low, high);
        if holds(middle) { low = middle } else { high = middle }
    }
    low
}

/// The chance of at most `count` in `of` trials at this rate. By logarithms: the first term alone may be too small for
/// an `f64`.
fn at_most(count: u64, of: u64, rate: f64) -> f64 {
    if rate <= 0.0 {
        return 1.0;
    }
    if rate >= 1.0 {
        return if count >= of { 1.0 } else { 0.0 };
    }
    let (all, odds) = (float(of), (rate / (1.0 - rate)).ln());
    let mut term = all * (-rate).ln_1p();
    let mut sum = term.exp();
    for index in 0..count.min(of) {
        term += ((all - float(index)) / (float(index) + 1.0)).ln() + odds;
        sum += term.exp();
    }
    sum.min(1.0)
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_bounds() {
        // With nothing found there is a closed form: 1 - 0.05^(1/n).
        for of in [1, 10, 59, 300, 100_000] {
            let closed = 1.0 - DOUBT.powf(1.0 / float(of));
            assert!((upper(0, of) - closed).abs() < 1e-9, "{of}");
            assert!((lower(of, of) - (1.0 - closed)).abs() < 1e-9, "{of}");
        }
        // Of one in ten: the 95 % quantile of a beta distribution of 2 and 9, and 1 - 0.95^(1/10).
        assert!((upper(1, 10) - 0.394_163).abs() < 1e-6);
        assert!((lower(1, 10) - 0.005_116).abs() < 1e-6);
        assert_eq!((upper(0, 0), lower(0, 0), upper(5, 5), lower(0, 9)), (1.0, 0.0, 1.0, 0.0));
    }

    #[test]
    fn a_million_trials_do_not_underflow() {
        assert!((0.001..0.001_1).contains(&upper(1000, 1_000_000)));
        assert!((0.000_9..0.001).contains(&lower(1000, 1_000_000)));
    }

    proptest! {
        #[test]
        fn bounds_enclose_the_rate_and_narrow(of in 1_u64..2000, part in 0.0_f64..=1.0) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of `of`")]
            let count = (float(of) * part) as u64;
            let (low, high, rate) = (lower(count, of), upper(count, of), float(count) / float(of));
            prop_assert!(0.0 <= low && low <= rate + 1e-12 && rate <= high + 1e-12 && high <= 1.0);
            prop_assert!(upper(count + 1, of + 1) >= high - 1e-9, "another one found");
            prop_assert!(upper(count, of + 1) <= high + 1e-9, "another one not found");
            prop_assert!(lower(count, of + 1) <= low + 1e-9 && lower(count + 1, of + 1) >= low - 1e-9);
            prop_assert!((low - (1.0 - upper(of - count, of))).abs() < 1e-9, "the same from the other side");
        }

        #[test]
        fn no_rate_is_missed_more_often_than_promised(of in 1_u64..300, rate in 0.001_f64..0.999) {
            let chance = |count: u64| at_most(count, of, rate) - count.checked_sub(1).map_or(0.0, |c| at_most(c, of, rate));
            let missed = |wrong: &dyn Fn(u64) -> bool| (0..=of).filter(|count| wrong(*count)).map(chance).sum::<f64>();
            prop_assert!(missed(&|count| upper(count, of) < rate) <= DOUBT + 1e-6);
            prop_assert!(missed(&|count| lower(count, of) > rate) <= DOUBT + 1e-6);
        }
    }
}
