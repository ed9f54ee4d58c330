//! Words that matter to whether two questions are the same: opposites, closed classes, other names.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use serde::Deserialize;

use crate::LoadError;
use crate::text::{base, suffixless};

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
    irregular: HashMap<String, String>,
    degree: HashMap<String, String>,
    same: HashMap<String, String>,
    generic: Vec<String>,
    turning: Vec<String>,
    negated: HashMap<String, String>,
    kinds: BTreeMap<String, Vec<String>>,
    acts: BTreeMap<String, String>,
    measures: HashMap<String, Vec<String>>,
}

/// A bit for each class that a word is in.
pub(crate) type Classes = u128;

/// The kinds of answer that a question word asks for, in the order of their bits.
const KINDS: [&str; 5] = ["who", "when", "where", "why", "count"];

/// The lexicon in the binary, in the form look-ups need.
#[derive(Debug, Default)]
pub(crate) struct Lexicon {
    opposites: HashMap<String, HashSet<String>>,
    classes: HashMap<String, Classes>,
    units: Classes,
    alias: HashMap<String, String>,
    phrases: Vec<(String, String)>,
    stop: HashSet<String>,
    negations: HashSet<String>,
    number_words: HashMap<String, String>,
    irregular: HashMap<String, String>,
    degree: HashMap<String, String>,
    same: HashMap<String, String>,
    same_stems: HashMap<String, String>,
    generic: HashSet<String>,
    turning: HashSet<String>,
    negated: HashMap<String, String>,
    kinds: HashMap<String, u8>,
    acts: HashMap<String, Classes>,
    measures: HashMap<String, Vec<String>>,
}

impl Lexicon {
    pub(crate) fn built_in() -> Result<Self, LoadError> {
        let raw: Raw = serde_json::from_str(LEXICON).map_err(|e| LoadError::Lexicon(e.to_string()))?;
        let class_names = numbered(raw.closed.values().flatten())?;
        let act_names = numbered(raw.acts.values())?;
        let bits = |of: &[String]| of.iter().filter_map(|c| class_names.get(c)).fold(0, |all, bit| all | bit);
        let is_unit = |name: &str| ["unit", "curr", "temp"].iter().any(|p| name.starts_with(p));
        let mut same_stems: Vec<(&String, &String)> = raw.same.iter().collect();
        same_stems.sort_unstable();
        let mut lexicon = Self {
            classes: raw.closed.iter().map(|(word, of)| (word.clone(), bits(of))).collect(),
            units: class_names.iter().filter(|(name, _)| is_unit(name)).fold(0, |all, (_, bit)| all | bit),
            same_stems: same_stems.into_iter().map(|(word, other)| (suffixless(word), other.clone())).collect(),
            alias: raw.alias,
            phrases: raw.phrases,
            stop: raw.stop,
            negations: raw.neg,
            number_words: raw.numwords,
            irregular: raw.irregular,
            degree: raw.degree,
            same: raw.same,
            negated: raw.negated,
            measures: raw.measures,
            ..Self::default()
        };
        lexicon.generic = raw.generic.iter().map(|w| lexicon.stem(w)).collect();
        lexicon.turning = raw.turning.iter().map(|w| lexicon.stem(w)).collect();
        for (at, kind) in KINDS.iter().enumerate() {
            for word in raw.kinds.get(*kind).into_iter().flatten() {
                *lexicon.kinds.entry(lexicon.stem(word)).or_default() |= 1 << at;
            }
        }
        for (word, act) in &raw.acts {
            let bit = act_names.get(act).copied().unwrap_or(0);
            lexicon.acts.insert(lexicon.stem(word), bit);
        }
        for (a, b) in raw.antonyms {
            let (x, y) = (lexicon.stem(&a), lexicon.stem(&b));
            lexicon.oppose(a, b);
            if x != y {
                lexicon.oppose(x, y);
            }
        }
        Ok(lexicon)
    }

    fn oppose(&mut self, a: String, b: String) {
        self.opposites.entry(b.clone()).or_default().insert(a.clone());
        self.opposites.entry(a).or_default().insert(b);
    }

    /// One form for all words that mean the same here: "deleting" and "removal", "French" and "France".
    pub(crate) fn stem(&self, word: &str) -> String {
        let word = self.irregular.get(word).map_or(word, String::as_str);
        if let Some(root) = self.degree.get(word) {
            return self.same.get(word).cloned().unwrap_or_else(|| {
                let root = self.same.get(root).unwrap_or(root);
                format!("{root}{}", if word.ends_with("st") { "~est" } else { "~er" })
            });
        }
        for known in [word, base(word).as_str()] {
            if self.classes.contains_key(known) {
                return self.root(self.same.get(known).map_or(known, String::as_str));
            }
        }
        self.root(self.same.get(word).map_or(word, String::as_str))
    }

    fn root(&self, word: &str) -> String {
        if self.classes.contains_key(word) {
            return word.to_owned();
        }
        let stem = suffixless(word);
        match self.same_stems.get(&stem) {
            None => stem,
            Some(other) if self.classes.contains_key(other) => other.clone(),
            Some(other) => suffixless(other),
        }
    }

    /// The forms of a word that have an opposite.
    pub(crate) fn poles(&self, word: &str) -> Vec<String> {
        let regular = self.irregular.get(word).map_or(word, String::as_str);
        let degree = self.degree.get(regular).map_or(regular, String::as_str);
        let mut forms = vec![word.to_owned(), regular.to_owned(), base(regular), degree.to_owned(), self.stem(word)];
        forms.retain(|form| self.opposites.contains_key(form));
        forms.sort_unstable();
        forms.dedup();
        forms
    }

    /// Whether any of these forms, from [`Self::poles`], are opposites.
    pub(crate) fn opposite(&self, a: &[String], b: &[String]) -> bool {
        !b.is_empty() && a.iter().filter_map(|x| self.opposites.get(x)).any(|of| b.iter().any(|y| of.contains(y)))
    }

    pub(crate) fn classes(&self, word: &str) -> Classes {
        let singular = base(word);
        let of = |w: &str| self.classes.get(w).copied();
        of(word)
            .or_else(|| of(&singular))
            .or_else(|| self.alias.get(&singular).and_then(|w| of(w)))
            .or_else(|| of(&self.stem(word)))
            .unwrap_or(0)
    }

    /// The classes whose members are units: lengths, currencies, temperatures.
    pub(crate) fn units(&self) -> Classes {
        self.units
    }

    pub(crate) fn alias<'a>(&'a self, word: &'a str) -> &'a str {
        self.alias.get(word).map_or(word, String::as_str)
    }

    /// Phrases and the words for each, the longer ones first.
    pub(crate) fn phrases(&self) -> &[(String, String)] {
        &self.phrases
    }

    pub(crate) fn is_stop(&self, word: &str) -> bool {
        self.stop.contains(word)
    }

    pub(crate) fn is_negation(&self, word: &str) -> bool {
        self.negations.contains(word)
    }

    /// "unsafe" is "not safe".
    pub(crate) fn negated(&self, word: &str) -> Option<&str> {
        self.negated.get(word).map(String::as_str)
    }

    /// Says how the answer is wanted, not what it is about. Takes a stem.
    pub(crate) fn is_generic(&self, stem: &str) -> bool {
        self.generic.contains(stem)
    }

    /// Turns a request round without being a negation: "undo", "avoid". Takes a stem.
    pub(crate) fn turns(&self, stem: &str) -> bool {
        self.turning.contains(stem)
    }

    /// The kinds of question that a noun answers, a bit for each; takes a stem.
    pub(crate) fn kinds(&self, stem: &str) -> u8 {
        self.kinds.get(stem).copied().unwrap_or(0)
    }

    /// What is to be done, a bit for each kind of deed; takes a stem.
    pub(crate) fn acts(&self, stem: &str) -> Classes {
        self.acts.get(stem).copied().unwrap_or(0)
    }

    /// What a word measures, the likeliest first.
    pub(crate) fn measures(&self, word: &str) -> &[String] {
        self.measures.get(word).map_or(&[], Vec::as_slice)
    }

    /// The digits of a number word that says how many; "one" and "half" mostly say something else.
    pub(crate) fn number(&self, word: &str) -> Option<&str> {
        if matches!(word, "one" | "single" | "double" | "half" | "once" | "twice") {
            return None;
        }
        self.number_words.get(word).map(String::as_str)
    }
}

/// A bit for each name, in alphabetical order.
fn numbered<'a>(names: impl Iterator<Item = &'a String>) -> Result<BTreeMap<&'a String, Classes>, LoadError> {
    let mut all: BTreeMap<&String, Classes> = names.map(|name| (name, 0)).collect();
    if all.len() > Classes::BITS as usize {
        return Err(LoadError::Lexicon(format!("{} classes are too many", all.len())));
    }
    for (at, bit) in all.values_mut().enumerate() {
        *bit = 1 << at;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_the_same_have_one_stem_and_opposites_are_found_in_any_form() {
        let lexicon = Lexicon::built_in().unwrap();
        for (a, b) in [("deleting", "removal"), ("French", "France"), ("biggest", "largest"), ("cost", "price")] {
            assert_eq!(lexicon.stem(&a.to_lowercase()), lexicon.stem(&b.to_lowercase()), "{a} {b}");
        }
        for (a, b) in
            [("allow", "forbidden"), ("longest", "shorter"), ("installed", "uninstalls"), ("bought", "selling")]
        {
            assert!(lexicon.opposite(&lexicon.poles(a), &lexicon.poles(b)), "{a} {b}");
        }
        // The protocol's name is no plural.
        assert_ne!(lexicon.stem("https"), lexicon.stem("http"));
        assert!(lexicon.classes("miles") & lexicon.units() != 0);
    }
}
