//! Words that matter to whether two questions are the same: opposites, closed classes, other names.

mod known;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use serde::Deserialize;

use crate::LoadError;
use crate::text::{Phrases, base, suffixless};

pub(crate) use known::{Entry, Text};
use known::{Known, Words};

static LEXICON: &str = include_str!("../data/lexicon.json");
/// One for the process: prompts point into it.
static BUILT_IN: LazyLock<Result<Lexicon, LoadError>> = LazyLock::new(Lexicon::read);

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
    phrases: Phrases,
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
    measures: HashMap<String, Measure>,
    words: Words,
}

/// What a word measures.
#[derive(Debug, Default)]
pub(crate) struct Measure {
    /// The likeliest, as a stem: "@height".
    pub(crate) stem: String,
    /// A bit for each.
    pub(crate) kinds: Measures,
}

/// A bit for each thing that can be measured.
pub(crate) type Measures = u64;

impl Lexicon {
    pub(crate) fn built_in() -> Result<&'static Self, LoadError> {
        BUILT_IN.as_ref().map_err(Clone::clone)
    }

    fn read() -> Result<Self, LoadError> {
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
            phrases: Phrases::new(raw.phrases),
            stop: raw.stop,
            negations: raw.neg,
            number_words: raw.numwords,
            irregular: raw.irregular,
            degree: raw.degree,
            same: raw.same,
            negated: raw.negated,
            measures: measures(&raw.measures)?,
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
        lexicon.words = Words::of(&lexicon);
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

    /// Phrases that are one word.
    pub(crate) fn phrases(&self) -> &Phrases {
        &self.phrases
    }

    /// What is known of the words of the vocabulary.
    pub(crate) fn words(&self) -> &Words {
        &self.words
    }

    /// Words in any of the lists.
    fn listed(&self) -> impl Iterator<Item = &str> {
        let texts = self.same.keys().chain(self.opposites.keys()).chain(self.classes.keys());
        texts.chain(self.alias.values()).chain(&self.stop).map(String::as_str)
    }

    /// All that the lists say of a word.
    fn known(&self, word: &str) -> Known {
        // In no list, and without an ending.
        if word.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b',' | b':')) {
            return Known { stem: word.into(), ..Known::default() };
        }
        let stem = self.stem(word);
        Known {
            classes: self.classes(word),
            poles: self.poles(word).into(),
            acts: self.acts.get(&stem).copied().unwrap_or(0),
            kinds: self.kinds.get(&stem).copied().unwrap_or(0),
            stop: self.is_stop(word),
            negation: self.negations.contains(word),
            turns: self.turning.contains(&stem),
            stem: stem.into(),
        }
    }

    pub(crate) fn is_stop(&self, word: &str) -> bool {
        self.stop.contains(word)
    }

    /// "unsafe" is "not safe".
    pub(crate) fn negated(&self, word: &str) -> Option<&str> {
        self.negated.get(word).map(String::as_str)
    }

    /// Says how the answer is wanted, not what it is about. Takes a stem.
    pub(crate) fn is_generic(&self, stem: &str) -> bool {
        self.generic.contains(stem)
    }

    pub(crate) fn measures(&self, word: &str) -> Option<&Measure> {
        self.measures.get(word)
    }

    /// The digits of a number word that says how many; "one" and "half" mostly say something else.
    pub(crate) fn number(&self, word: &str) -> Option<&str> {
        if matches!(word, "one" | "single" | "double" | "half" | "once" | "twice") {
            return None;
        }
        self.number_words.get(word).map(String::as_str)
    }
}

fn measures(raw: &HashMap<String, Vec<String>>) -> Result<HashMap<String, Measure>, LoadError> {
    let names = numbered(raw.values().flatten())?;
    let bit = |name: &String| names.get(name).and_then(|bit| Measures::try_from(*bit).ok());
    let too_many = || LoadError::Lexicon(format!("{} kinds of measure are too many", names.len()));
    raw.iter()
        .map(|(word, kinds)| {
            let bits: Option<Vec<Measures>> = kinds.iter().map(bit).collect();
            let stem = format!("@{}", kinds.first().map_or("", String::as_str));
            let kinds = bits.ok_or_else(too_many)?.into_iter().fold(0, |all, bit| all | bit);
            Ok((word.clone(), Measure { stem, kinds }))
        })
        .collect()
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
