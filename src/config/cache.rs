//! The section `cache`: which answers are kept, and who shares them.

use std::time::Duration;

use serde_saphyr::Spanned;
use sluice_policies::Glob;

use super::compile::Compiler;
use super::embedders::{Embedder, Opinion};
use super::raw_cache::RawCache;
use super::values;

/// Rules of the cache.
#[derive(Clone, Debug)]
pub struct CacheRules {
    /// Questions in other words are answered too.
    pub semantic: bool,
    /// Public models; empty is all.
    pub models: Vec<Glob>,
    /// Who shares answers.
    pub scope: CacheScope,
    /// How long an answer is kept.
    pub ttl: Duration,
    /// All answers together, bytes.
    pub max_bytes: u64,
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
            semantic: false,
            models: Vec::new(),
            scope: CacheScope::default(),
            ttl: Duration::from_hours(1),
            max_bytes: 256 << 20,
            max_entry: 1 << 20,
            max_temperature: 1.0,
            max_false_hits: 0.01,
            history: false,
            embeddings: None,
            second_opinion: None,
        }
    }
}

impl CacheRules {
    /// Whether a model's answers are kept.
    pub fn covers(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|glob| glob.matches(model))
    }
}

impl Compiler {
    pub(super) fn cache(&mut self, raw: &RawCache) -> CacheRules {
        let default = CacheRules::default();
        let bytes = |text: &str| {
            values::size(text).and_then(|n| if n == 0 { Err("it must be more than 0".to_owned()) } else { Ok(n) })
        };
        let max_bytes = self.field(raw.max_bytes.as_ref(), "cache.max_bytes", 256 << 20, bytes);
        let mut rules = CacheRules {
            semantic: self.field(raw.mode.as_ref(), "cache.mode", false, |text| match text {
                "exact" => Ok(false),
                "semantic" => Ok(true),
                _ => Err(format!("unknown mode `{text}`; it is one of exact, semantic")),
            }),
            models: raw.models.iter().flatten().map(Glob::new).collect(),
            scope: self.field(raw.scope.as_ref(), "cache.scope", default.scope, |text| {
                let all = [CacheScope::Tenant, CacheScope::Key, CacheScope::User];
                let found = all.into_iter().find(|scope| scope.name() == text);
                found.ok_or_else(|| format!("unknown scope `{text}`; it is one of tenant, key, user"))
            }),
            ttl: self.field(raw.ttl.as_ref(), "cache.ttl", default.ttl, values::duration),
            max_bytes: max_bytes as u64,
            max_entry: self.field(raw.max_entry.as_ref(), "cache.max_entry", default.max_entry, bytes),
            max_false_hits: self.field(
                raw.max_false_hits.as_ref(),
                "cache.max_false_hits",
                default.max_false_hits,
                budget,
            ),
            history: raw.history,
            ..default
        };
        if let Some(raw) = &raw.max_temperature {
            rules.max_temperature = self.temperature(raw);
        }
        rules
    }

    fn temperature(&mut self, raw: &Spanned<f64>) -> f64 {
        if !(0.0..=2.0).contains(&raw.value) {
            self.error(Some(&raw.referenced), "cache.max_temperature", "it must be from 0 to 2".to_owned());
        }
        raw.value
    }
}

/// `0.5%` as 0.005.
fn budget(text: &str) -> Result<f64, String> {
    let percent = text.trim().strip_suffix('%').and_then(|digits| digits.trim().parse::<f64>().ok());
    percent
        .filter(|percent| (0.1..=5.0).contains(percent))
        .map(|percent| percent / 100.0)
        .ok_or_else(|| format!("`{text}` is no budget of false hits; write a percentage from 0.1% to 5%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_and_models() {
        assert!((budget("0.5%").unwrap() - 0.005).abs() < 1e-12);
        for bad in ["", "1", "0%", "50%", "x%"] {
            assert!(budget(bad).unwrap_err().contains("0.1%"), "{bad}");
        }
        let rules = CacheRules { models: vec![Glob::new("gpt-4o*")], ..CacheRules::default() };
        assert!(rules.covers("gpt-4o-mini") && !rules.covers("o3") && CacheRules::default().covers("o3"));
    }
}
