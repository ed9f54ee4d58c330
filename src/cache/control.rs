//! What a client may say about the cache, in `x-sluice-cache` and `Cache-Control` (RFC 9111 section 5.2.1).

use std::time::Duration;

use http::{HeaderMap, HeaderName, header};

use crate::config::percent;

const OURS: HeaderName = HeaderName::from_static("x-sluice-cache");
const WORDS: &str = "no-store, refresh, only, exact, max-false-hits=<percentage>";

/// The strictest budget of false hits that has a threshold.
const STRICTEST: f64 = 0.001;

/// What a request allows.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "directives are independent of one another")]
pub struct Control {
    /// An answer may come from the cache.
    pub read: bool,
    /// The answer may be kept.
    pub write: bool,
    /// No provider is to be asked.
    pub only: bool,
    /// Answers to other words are refused.
    pub exact: bool,
    /// Older answers are refused.
    pub max_age: Option<Duration>,
    /// The part of false hits the client accepts, 0 to 1.
    pub max_false_hits: Option<f64>,
}

impl Control {
    /// Reads the headers. `x-sluice-cache` is `no-store`, `refresh`, `only`, `exact` or
    /// `max-false-hits=0.5%`, or several of them.
    ///
    /// # Errors
    /// What is wrong with `x-sluice-cache`; unknown directives of `Cache-Control` are ignored.
    pub fn of(headers: &HeaderMap) -> Result<Self, String> {
        let mut control =
            Self { read: true, write: true, only: false, exact: false, max_age: None, max_false_hits: None };
        for value in headers.get_all(header::CACHE_CONTROL) {
            for directive in value.to_str().unwrap_or_default().split(',') {
                control.directive(&directive.trim().to_ascii_lowercase());
            }
        }
        for value in headers.get_all(&OURS) {
            for word in value.to_str().unwrap_or_default().split(',').map(str::trim) {
                match word {
                    "no-store" | "only" | "exact" => control.ours(word),
                    "refresh" => control.read = false,
                    _ => match word.split_once('=') {
                        Some(("max-false-hits", budget)) => control.accepts(budget)?,
                        _ => return Err(format!("`{word}` is none of {WORDS}")),
                    },
                }
            }
        }
        Ok(control)
    }

    /// The lower of several budgets counts. What no threshold can keep to is an exact answer.
    fn accepts(&mut self, budget: &str) -> Result<(), String> {
        let Some(budget) = percent(budget) else {
            return Err(format!("`max-false-hits={budget}` is no percentage; write for example max-false-hits=0.5%"));
        };
        self.exact |= budget < STRICTEST;
        self.max_false_hits = Some(self.max_false_hits.map_or(budget, |known| known.min(budget)));
        Ok(())
    }

    /// The budget of false hits that counts: a client may ask for less than its rules, not for more.
    pub fn budget(&self, rules: f64) -> f64 {
        self.max_false_hits.map_or(rules, |own| own.min(rules))
    }

    fn ours(&mut self, word: &str) {
        match word {
            "no-store" => (self.read, self.write) = (false, false),
            "only" => self.only = true,
            _ => self.exact = true,
        }
    }

    fn directive(&mut self, directive: &str) {
        match directive.split_once('=') {
            None if directive == "no-store" => (self.read, self.write) = (false, false),
            None if directive == "no-cache" => self.read = false,
            None if directive == "only-if-cached" => self.only = true,
            Some(("max-age", seconds)) => {
                self.max_age = seconds.trim_matches('"').parse().ok().map(Duration::from_secs).or(self.max_age);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &'static str, value: &'static str) -> Result<Control, String> {
        Control::of(&HeaderMap::from_iter([(HeaderName::from_static(name), value.parse().unwrap())]))
    }

    #[test]
    fn directives() {
        let plain = Control::of(&HeaderMap::new()).unwrap();
        assert!(plain.read && plain.write && !plain.only && !plain.exact);
        let none = of("cache-control", "private, No-Store").unwrap();
        assert!(!none.read && !none.write);
        let fresh = of("cache-control", "no-cache").unwrap();
        assert!(!fresh.read && fresh.write);
        assert_eq!(of("cache-control", "max-age=60").unwrap().max_age, Some(Duration::from_mins(1)));
        assert!(of("cache-control", "only-if-cached").unwrap().only);
        assert!(!of("x-sluice-cache", "refresh").unwrap().read);
        assert!(of("x-sluice-cache", "exact, only").unwrap().exact);
        assert!(of("x-sluice-cache", "please").unwrap_err().contains("please"));
    }

    #[test]
    fn a_client_may_be_stricter_and_never_laxer() {
        let budget = |value, rules| of("x-sluice-cache", value).unwrap().budget(rules);
        assert!((budget("max-false-hits=0.2%", 0.01) - 0.002).abs() < 1e-12);
        assert!((budget("max-false-hits=100%", 0.01) - 0.01).abs() < 1e-12);
        assert!((budget("max-false-hits=5%, only, max-false-hits=0.3%", 0.05) - 0.003).abs() < 1e-12);
        assert!((budget("only", 0.01) - 0.01).abs() < 1e-12);
        assert!(!of("x-sluice-cache", "max-false-hits=0.1%").unwrap().exact);
        assert!(of("x-sluice-cache", "max-false-hits=0.05%").unwrap().exact, "no threshold keeps to that");
        for bad in
            ["max-false-hits", "max-false-hits=", "max-false-hits=1", "max-false-hits=-1%", "max-false-hits=NaN%"]
        {
            let error = of("x-sluice-cache", bad).unwrap_err();
            assert!(error.contains("max-false-hits"), "{bad}: {error}");
        }
    }
}
