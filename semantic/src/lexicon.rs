//! Words that matter to whether two questions are the same: opposites, closed classes, other names.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use crate::LoadError;

static LEXICON: &str = include_str!("../data/lexicon.json");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    antonyms: Vec<(String, String)>,
    closed: HashMap<String, Vec<String>>,
    alias: HashMap<String, String>,
    phrases: Vec<(String, String)>,
    stop: HashSet<String>,
    neg: HashSet<String>,
    numwords: HashMap<String, String>,
}

/// The lexicon in the binary, in the form look-ups need.
#[derive(Debug)]
pub(crate) struct Lexicon {
    opposites: HashMap<String, HashSet<String>>,
    /// A bit for each closed class that the word is in.
    classes: HashMap<String, u64>,
    alias: HashMap<String, String>,
    phrases: Vec<(String, String)>,
    stop: HashSet<String>,
    negations: HashSet<String>,
    number_words: HashMap<String, String>,
}

impl Lexicon {
    pub(crate) fn built_in() -> Result<Self, LoadError> {
        let raw: Raw = serde_json::from_str(LEXICON).map_err(|e| LoadError::Lexicon(e.to_string()))?;
        let mut opposites: HashMap<String, HashSet<String>> = HashMap::new();
        for (a, b) in raw.antonyms {
            opposites.entry(b.clone()).or_default().insert(a.clone());
            opposites.entry(a).or_default().insert(b);
        }
        let mut names: Vec<String> = raw.closed.values().flatten().cloned().collect();
        names.sort_unstable();
        names.dedup();
        if names.len() > 64 {
            return Err(LoadError::Lexicon("more than 64 closed classes".to_owned()));
        }
        let bits = |of: Vec<String>| names.iter().enumerate().filter(|(_, n)| of.contains(n)).map(|(i, _)| 1 << i).sum();
        let classes = raw.closed.into_iter().map(|(word, of)| (word, bits(of))).collect();
        Ok(Self {
            opposites,
            classes,
            alias: raw.alias,
            phrases: raw.phrases,
            stop: raw.stop,
            negations: raw.neg,
            number_words: raw.numwords,
        })
    }

    pub(crate) fn opposite(&self, a: &str, b: &str) -> bool {
        self.opposites.get(a).is_some_and(|of| of.contains(b))
    }

    pub(crate) fn same_class(&self, a: &str, b: &str) -> bool {
        let class = |w| self.classes.get(w).copied().unwrap_or(0);
        class(a) & class(b) != 0
    }

    pub(crate) fn alias<'a>(&'a self, word: &'a str) -> &'a str {
        self.alias.get(word).map_or(word, String::as_str)
    }

    pub(crate) fn has_alias(&self, word: &str) -> bool {
        self.alias.contains_key(word)
    }

    /// Phrases and the one word for each, the longer ones first where one contains another.
    pub(crate) fn phrases(&self) -> &[(String, String)] {
        &self.phrases
    }

    pub(crate) fn is_stop(&self, word: &str) -> bool {
        self.stop.contains(word)
    }

    pub(crate) fn is_negation(&self, word: &str) -> bool {
        self.negations.contains(word)
    }

    /// The digits of a number word that says how many; "one" and "half" mostly say something else.
    pub(crate) fn number(&self, word: &str) -> Option<&str> {
        if matches!(word, "one" | "single" | "double" | "half" | "once" | "twice") {
            return None;
        }
        self.number_words.get(word).map(String::as_str)
    }
}
