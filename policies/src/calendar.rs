//! Calendar windows in UTC: which day or month a moment falls into, and when it ends.

use crate::UnixMillis;
use crate::limit::Window;

const DAY_MS: u64 = 86_400_000;

/// The number of the window that holds `now`, counted so that neighbours differ by one.
pub(crate) fn window_id(window: Window, now: UnixMillis) -> u64 {
    match window {
        Window::Day => now / DAY_MS,
        Window::Month => {
            let (year, month) = year_month(now / DAY_MS);
            year * 12 + month - 1
        }
    }
}

/// The first moment after the window with this number.
pub(crate) fn window_end(window: Window, id: u64) -> UnixMillis {
    match window {
        Window::Day => (id + 1).saturating_mul(DAY_MS),
        Window::Month => {
            let next = id + 1;
            days_until(next / 12, next % 12 + 1).saturating_mul(DAY_MS)
        }
    }
}

/// Civil year and month (1 to 12) of a day number; the algorithm of Howard Hinnant's
/// `chrono`-compatible date paper, for days from 1970 on.
fn year_month(days: u64) -> (u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month)
}

/// Days from 1970-01-01 to the first of a month; the inverse of [`year_month`].
fn days_until(year: u64, month: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year / 400;
    let year_of_era = year % 400;
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_end_where_the_calendar_says() {
        // 2024-02-29T12:00Z; the month ends at 2024-03-01T00:00Z.
        let leap_day = 1_709_208_000_000;
        let id = window_id(Window::Month, leap_day);
        assert_eq!(id, 2024 * 12 + 1);
        assert_eq!(window_end(Window::Month, id), 1_709_251_200_000);
        // December rolls into the next year: 2025-01-01T00:00Z.
        assert_eq!(window_end(Window::Month, 2024 * 12 + 11), 1_735_689_600_000);
        assert_eq!(window_id(Window::Month, 0), 1970 * 12);
    }

    #[test]
    fn every_day_falls_into_the_window_that_ends_after_it() {
        for day in (0..60_000u64).step_by(7) {
            let now = day * DAY_MS + 5;
            let id = window_id(Window::Month, now);
            assert!(window_end(Window::Month, id) > now);
            assert!(window_end(Window::Month, id - 1) <= now || id == 1970 * 12);
        }
    }
}
