//! The section `cache`: which answers are kept, and who shares them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use serde_saphyr::Spanned;
use sluice_policies::{Glob, Matcher, Subject};

use super::compile::Compiler;
use super::embedders::{Embedder, Opinion};
use super::raw_cache::{RawCache, RawCacheMatch, RawCacheRule};
use super::values;

/// What the cache may do for a request.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheRules {
    /// Its name in metrics and at `/cache`.
    pub name: Arc<str>,
    /// Questions in other words are answered too.
    pub semantic: bool,
    /// Who shares answers.
    pub scope: CacheScope,
    /// How long an answer is kept.
    pub ttl: Duration,
    /// One answer, bytes.
    pub max_entry: usize,
    /// Requests above it are answered only exactly.
    pub max_temperature: f64,
    /// The part of false hits accepted, 0 to 1.
    pub max_false_hits: f64,
    /// Conversations may be answered in other words too.
    pub history: bool,
    /// Who makes the shortlist; `None` is the built-in model.
    pub embeddings: Option<Embedder>,
    /// Who must agree to an answer to other words.
    pub second_opinion: Option<Opinion>,
    /// The part of hits in other words that are answered live too, 0 to 1.
    pub verify_sample: f64,
    /// Requests that ask the same at once share one call.
    pub coalesce: bool,
}

/// Who shares answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheScope {
    /// All keys of a tenant.
    Tenant,
    /// One key.
    #[default]
    Key,
    /// One end user of a key.
    User,
}

impl CacheScope {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Key => "key",
            Self::User => "user",
        }
    }
}

impl Default for CacheRules {
    fn default() -> Self {
        Self {
            name: Arc::from("default"),
            semantic: false,
            scope: CacheScope::default(),
            ttl: Duration::from_hours(1),
            max_entry: 1 << 20,
            max_temperature: 1.0,
            max_false_hits: 0.01,
            history: false,
            embeddings: None,
            second_opinion: None,
            verify_sample: 0.0,
            coalesce: true,
        }
    }
}

/// The whole section: which rules a request is under.
#[derive(Clone, Debug)]
pub struct CachePolicy {
    /// All answers together, bytes.
    pub max_bytes: u64,
    /// In their order; `None` keeps nothing.
    rules: Vec<(Match, Option<Arc<CacheRules>>)>,
    /// Models of the section itself; empty is all.
    models: Vec<Glob>,
    /// The section itself, for what no rule matches.
    base: Option<Arc<CacheRules>>,
}

#[derive(Clone, Debug)]
struct Match {
    tenant: Option<Glob>,
    rest: Matcher,
}

impl CachePolicy {
    /// The rules of a request; `None` if the cache has no part in it.
    pub fn rules_for(&self, who: &Subject<'_>) -> Option<&Arc<CacheRules>> {
        let matches =
            |rule: &Match| rule.tenant.as_ref().is_none_or(|glob| glob.matches(who.tenant)) && rule.rest.matches(who);
        if let Some((_, rules)) = self.rules.iter().find(|(rule, _)| matches(rule)) {
            return rules.as_ref();
        }
        let covered = self.models.is_empty() || self.models.iter().any(|glob| glob.matches(who.model));
        self.base.as_ref().filter(|_| covered)
    }

    /// Every rule that keeps answers.
    pub fn all(&self) -> impl Iterator<Item = &Arc<CacheRules>> {
        self.rules.iter().filter_map(|(_, rules)| rules.as_ref()).chain(&self.base)
    }

    /// For `/config`.
    pub(super) fn shown(&self) -> Value {
        let rule = |rules: &Arc<CacheRules>| {
            json!({
                "name": &*rules.name, "semantic": rules.semantic, "scope": rules.scope.name(),
                "ttl_s": rules.ttl.as_secs(), "max_false_hits": rules.max_false_hits,
                "embeddings": rules.embeddings.as_ref().map(|embedder| &*embedder.label),
                "second_opinion": rules.second_opinion.as_ref().map(|opinion| &*opinion.embedder.label),
                "verify_sample": rules.verify_sample,
            })
        };
        json!({ "max_bytes": self.max_bytes, "rules": self.all().map(rule).collect::<Vec<_>>() })
    }
}

/// What the section and its rules say alike.
struct Terms<'a> {
    mode: Option<&'a Spanned<String>>,
    scope: Option<&'a Spanned<String>>,
    ttl: Option<&'a Spanned<String>>,
    max_entry: Option<&'a Spanned<String>>,
    max_temperature: Option<&'a Spanned<f64>>,
    max_false_hits: Option<&'a Spanned<String>>,
    verify_sample: Option<&'a Spanned<String>>,
    history: Option<bool>,
    coalesce: Option<bool>,
}

macro_rules! terms {
    ($raw:expr) => {
        Terms {
            mode: $raw.mode.as_ref(),
            scope: $raw.scope.as_ref(),
            ttl: $raw.ttl.as_ref(),
            max_entry: $raw.max_entry.as_ref(),
            max_temperature: $raw.max_temperature.as_ref(),
            max_false_hits: $raw.max_false_hits.as_ref(),
            verify_sample: $raw.verify_sample.as_ref(),
            history: $raw.history,
            coalesce: $raw.coalesce,
        }
    };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Off,
    Exact,
    Semantic,
}

impl Compiler {
    /// `base` is what is not of this file.
    pub(super) fn cache(&mut self, raw: &RawCache, base: CacheRules) -> CachePolicy {
        let max_bytes = self.field(raw.max_bytes.as_ref(), "cache.max_bytes", 256 << 20, bytes);
        let (mode, base) = self.terms(&terms!(raw), "cache", Mode::Exact, base);
        let mut names = HashSet::from([base.name.to_string()]);
        let rules = raw.rules.iter().enumerate().map(|(index, rule)| {
            let path = format!("rules[{index}]");
            let name = rule.value.name.clone().unwrap_or_else(|| path.clone());
            let at = format!("cache.{path}");
            if !names.insert(name.clone()) {
                let message = format!("`{name}` is the name of another rule already");
                self.error(Some(&rule.referenced), &format!("{at}.name"), message);
            }
            self.rule(&rule.value, &at, mode, CacheRules { name: Arc::from(name), ..base.clone() })
        });
        CachePolicy {
            max_bytes: max_bytes as u64,
            rules: rules.collect(),
            models: raw.models.iter().flatten().map(Glob::new).collect(),
            base: (mode != Mode::Off).then(|| Arc::new(base)),
        }
    }

    fn rule(&mut self, raw: &RawCacheRule, at: &str, mode: Mode, base: CacheRules) -> (Match, Option<Arc<CacheRules>>) {
        let (mode, rules) = self.terms(&terms!(raw), at, mode, base);
        let RawCacheMatch { model, tenant, key, class, user } = &raw.r#match;
        let glob = |text: &Option<String>| text.clone().map(Glob::new);
        let rest = Matcher { model: glob(model), key: glob(key), class: glob(class), user: glob(user) };
        (Match { tenant: glob(tenant), rest }, (mode != Mode::Off).then(|| Arc::new(rules)))
    }

    fn terms(&mut self, raw: &Terms<'_>, at: &str, mode: Mode, base: CacheRules) -> (Mode, CacheRules) {
        let path = |name: &str| format!("{at}.{name}");
        let mode = self.field(raw.mode, &path("mode"), mode, |text| match text {
            "off" => Ok(Mode::Off),
            "exact" => Ok(Mode::Exact),
            "semantic" => Ok(Mode::Semantic),
            _ => Err(format!("unknown mode `{text}`; it is one of off, exact, semantic")),
        });
        let mut rules = CacheRules {
            semantic: mode == Mode::Semantic,
            scope: self.field(raw.scope, &path("scope"), base.scope, |text| {
                let all = [CacheScope::Tenant, CacheScope::Key, CacheScope::User];
                let found = all.into_iter().find(|scope| scope.name() == text);
                found.ok_or_else(|| format!("unknown scope `{text}`; it is one of tenant, key, user"))
            }),
            ttl: self.field(raw.ttl, &path("ttl"), base.ttl, values::duration),
            max_entry: self.field(raw.max_entry, &path("max_entry"), base.max_entry, bytes),
            max_false_hits: self.field(raw.max_false_hits, &path("max_false_hits"), base.max_false_hits, budget),
            history: raw.history.unwrap_or(base.history),
            verify_sample: self.field(raw.verify_sample, &path("verify_sample"), base.verify_sample, |text| {
                values::percent(text).ok_or_else(|| format!("`{text}` is no percentage; write 0% to 100%"))
            }),
            coalesce: raw.coalesce.unwrap_or(base.coalesce),
            ..base
        };
        if let Some(raw) = raw.max_temperature {
            rules.max_temperature = raw.value;
            if !(0.0..=2.0).contains(&raw.value) {
                self.error(Some(&raw.referenced), &path("max_temperature"), "it must be from 0 to 2".to_owned());
            }
        }
        (mode, rules)
    }
}

fn bytes(text: &str) -> Result<usize, String> {
    values::size(text).and_then(|n| if n == 0 { Err("it must be more than 0".to_owned()) } else { Ok(n) })
}

/// `0.5%` as 0.005.
fn budget(text: &str) -> Result<f64, String> {
    values::percent(text)
        .filter(|part| (0.001..=0.05).contains(part))
        .ok_or_else(|| format!("`{text}` is no budget of false hits; write a percentage from 0.1% to 5%"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::from_str;
    use sluice_policies::PolicyFile;

    fn compile(cache: &str) -> Result<CachePolicy, String> {
        let policy = format!("tenant: t\nkeys: [{{ name: web, key: \"sha256:{}\" }}]\n", "1".repeat(64));
        let policy = PolicyFile { name: "p.yaml".to_owned(), text: policy };
        let text = format!("providers: {{ p: {{ kind: openai, api_key: x }} }}\nmodels: {{ m: [p/gpt-4o] }}\n{cache}");
        let config = from_str("s.yaml", &text, std::path::Path::new("."), &[policy], 1);
        config.map(|config| config.cache.unwrap()).map_err(|errors| errors.to_string())
    }

    #[test]
    fn budgets_are_percentages() {
        assert!((budget("0.5%").unwrap() - 0.005).abs() < 1e-12);
        for good in ["0.1%", "5%", " 1 % "] {
            assert!(budget(good).is_ok(), "{good}");
        }
        for bad in ["", "1", "0%", "50%", "x%", "NaN%"] {
            assert!(budget(bad).unwrap_err().contains("0.1%"), "{bad}");
        }
    }

    #[test]
    fn the_first_rule_that_matches_counts() {
        let policy = compile(
            "cache:\n  mode: off\n  ttl: 5m\n  scope: tenant\n  rules:\n    \
             - { match: { key: secret }, mode: off }\n    \
             - { name: chat, match: { model: \"gpt-4o*\", tenant: a* }, mode: semantic, max_false_hits: 0.2% }\n    \
             - { match: { class: batch }, mode: exact, scope: user, ttl: 1m }\n",
        )
        .unwrap();
        let who = |tenant, key, class, model| {
            let who = Subject { tenant, key, user: None, class, model };
            policy.rules_for(&who).map(|rules| (&*rules.name, rules.semantic, rules.scope, rules.ttl.as_secs()))
        };
        let chat = Some(("chat", true, CacheScope::Tenant, 300));
        assert_eq!(who("acme", "web", "standard", "gpt-4o-mini"), chat);
        assert_eq!(who("acme", "web", "batch", "gpt-4o"), chat, "the first, not the best");
        assert_eq!(who("acme", "secret", "standard", "gpt-4o"), None);
        assert_eq!(who("other", "web", "batch", "gpt-4o"), Some(("rules[2]", false, CacheScope::User, 60)));
        assert_eq!(who("other", "web", "standard", "gpt-4o"), None, "the section itself is off");
        let all = compile("cache: { models: [\"gpt-4o*\"] }\n").unwrap();
        let model = |model| all.rules_for(&Subject { tenant: "t", key: "k", user: None, class: "c", model }).is_some();
        assert!(model("gpt-4o-mini") && !model("o3"));
    }

    #[test]
    fn every_mistake_in_a_rule_has_its_place() {
        let errors = compile(
            "cache:\n  rules:\n    - { name: a, mode: sometimes }\n    - { name: a, ttl: soon }\n    \
             - { max_false_hits: 50%, max_temperature: 3, verify_sample: some }\n",
        )
        .unwrap_err();
        for (place, what) in [
            ("s.yaml:5:24: cache.rules[0].mode", "off, exact, semantic"),
            ("s.yaml:6:7: cache.rules[1].name", "another rule"),
            ("s.yaml:6:23: cache.rules[1].ttl", "soon"),
            ("s.yaml:7:25: cache.rules[2].max_false_hits", "0.1%"),
            ("cache.rules[2].max_temperature", "0 to 2"),
            ("cache.rules[2].verify_sample", "0% to 100%"),
        ] {
            assert!(errors.lines().any(|line| line.contains(place)), "{place}: {errors}");
            assert!(errors.contains(what), "{what}: {errors}");
        }
        let unknown = compile("cache:\n  rules:\n    - { match: { modell: x } }\n").unwrap_err();
        assert!(unknown.contains("s.yaml:5:") && unknown.contains("modell"), "{unknown}");
    }
}
