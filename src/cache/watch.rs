//! How often hits in other words were wrong, by model and rule, and which of these were too often.

use std::sync::Arc;

use parking_lot::RwLock;

use super::bounds;
use crate::config::CacheRules;

/// So many wrong answers turn a tier off at the earliest: a single one may be the comparison's own mistake.
const LEAST_WRONG: u64 = 2;

/// What was counted of one model under one rule.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The public model.
    pub model: Arc<str>,
    /// Its rule.
    pub rules: Arc<CacheRules>,
    /// Hits that were compared with a live answer.
    pub verified: u64,
    /// Those of them whose answers say something else.
    pub disagreed: u64,
    /// Questions in other words are not answered any more.
    pub off: bool,
}

impl Standing {
    /// The 95 % upper bound of the part of false hits, 0 to 1.
    pub fn upper_bound(&self) -> f64 {
        bounds::upper(self.disagreed, self.verified)
    }

    /// The 95 % lower bound.
    pub fn lower_bound(&self) -> f64 {
        bounds::lower(self.disagreed, self.verified)
    }

    fn new(model: &Arc<str>, rules: &Arc<CacheRules>) -> Self {
        Self { model: Arc::clone(model), rules: Arc::clone(rules), verified: 0, disagreed: 0, off: false }
    }

    fn is_of(&self, model: &str, rules: &CacheRules) -> bool {
        *self.model == *model && self.rules.name == rules.name
    }
}

/// All of them. A rule that a reload has changed begins anew.
#[derive(Debug, Default)]
pub struct Watch(RwLock<Vec<Standing>>);

impl Watch {
    /// Whether a model's answers were wrong too often under this rule.
    pub fn is_off(&self, model: &str, rules: &CacheRules) -> bool {
        let all = self.0.read();
        all.iter().any(|known| known.off && known.is_of(model, rules) && *known.rules == *rules)
    }

    /// Counts a hit that was compared. What it has come to, and whether it was this one that turned the tier off.
    pub fn note(&self, model: &Arc<str>, rules: &Arc<CacheRules>, agrees: bool) -> (Standing, bool) {
        let mut all = self.0.write();
        let at = all.iter().position(|known| known.is_of(model, rules)).unwrap_or(all.len());
        if at == all.len() {
            all.push(Standing::new(model, rules));
        }
        let Some(known) = all.get_mut(at) else { return (Standing::new(model, rules), false) };
        if *known.rules != **rules {
            *known = Standing::new(model, rules);
        }
        known.verified += 1;
        known.disagreed += u64::from(!agrees);
        let was = known.off;
        let over = known.disagreed >= LEAST_WRONG && known.lower_bound() > rules.max_false_hits;
        known.off = was || over;
        (known.clone(), over && !was)
    }

    /// Forgets what was counted of a model, or of all; returns of how many models and rules.
    pub fn reset(&self, model: Option<&str>) -> usize {
        let mut all = self.0.write();
        let before = all.len();
        all.retain(|known| model.is_some_and(|model| *known.model != *model));
        before - all.len()
    }

    /// Everything that was counted.
    pub fn all(&self) -> Vec<Standing> {
        self.0.read().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(max_false_hits: f64) -> Arc<CacheRules> {
        Arc::new(CacheRules { semantic: true, max_false_hits, ..CacheRules::default() })
    }

    #[test]
    fn what_is_wrong_too_often_goes_off_and_a_changed_rule_on_again() {
        let (watch, model, rule) = (Watch::default(), Arc::from("m"), rules(0.01));
        for _ in 0..40 {
            let (standing, tripped) = watch.note(&model, &rule, true);
            assert!(!standing.off && !tripped);
        }
        let (one, tripped) = watch.note(&model, &rule, false);
        assert!(!one.off && !tripped && !watch.is_off("m", &rule), "one may be a mistake");
        let mut until = 0;
        while !watch.note(&model, &rule, false).1 {
            until += 1;
        }
        // 2 of 42: 0.8 % at least; 3 of 43: 1.9 %.
        assert_eq!(until, 1, "{:?}", watch.all());
        assert!(watch.is_off("m", &rule) && !watch.is_off("n", &rule));
        let (after, tripped) = watch.note(&model, &rule, true);
        assert!(after.off && !tripped, "it is told once, and stays");
        let other = rules(0.05);
        assert!(!watch.is_off("m", &other), "a reload has changed the rule");
        assert_eq!(watch.note(&model, &other, true).0.verified, 1);
    }

    #[test]
    fn good_hits_keep_it_on_and_tighten_the_bound() {
        let (watch, model, rule) = (Watch::default(), Arc::from("m"), rules(0.05));
        for index in 0..1000 {
            let (standing, tripped) = watch.note(&model, &rule, index % 100 != 99);
            assert!(!tripped && !standing.off, "{standing:?}");
        }
        let standing = &watch.all()[0];
        assert_eq!((standing.verified, standing.disagreed), (1000, 10));
        assert!((0.016..0.018).contains(&standing.upper_bound()), "{}", standing.upper_bound());
        assert_eq!((watch.reset(Some("n")), watch.reset(Some("m")), watch.reset(None)), (0, 1, 0));
        assert!(watch.all().is_empty());
    }
}
