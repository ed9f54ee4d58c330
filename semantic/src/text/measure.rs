//! What a question measures, and which unit each number counts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::lexicon::{Classes, Lexicon};

/// Words that measure.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// The stem for each place: "how tall" and "height" are both "@height".
    pub(crate) stems: HashMap<usize, String>,
    pub(crate) measures: BTreeSet<String>,
}

pub(crate) fn measure(words: &[String], classes: &[Classes], lexicon: &Lexicon) -> Measured {
    let mut found = Measured::default();
    let word = |at: usize| words.get(at).map(String::as_str).unwrap_or_default();
    for (at, this) in words.iter().enumerate() {
        let kinds = lexicon.measures(this);
        let Some(likeliest) = kinds.first() else { continue };
        let next = word(at + 1);
        let after_how = at.checked_sub(1).is_some_and(|i| word(i) == "how");
        let counts_unit = classes.get(at + 1).is_some_and(|c| c & lexicon.units() != 0);
        match this.as_str() {
            // "How many miles" measures what a mile does.
            "many" if counts_unit => {}
            "long" if after_how => {
                let extent = matches!(next, "is" | "are" | "was" | "were");
                found.stems.insert(at, if extent { "@length" } else { "@duration" }.to_owned());
                found.measures.extend(extent.then(|| "length".to_owned()));
                found.measures.insert("duration".to_owned());
            }
            _ if after_how || is_noun(this) || this == "number" && next == "of" => {
                found.stems.insert(at, format!("@{likeliest}"));
                found.measures.extend(kinds.iter().cloned());
            }
            _ => {}
        }
    }
    found
}

fn is_noun(word: &str) -> bool {
    const NOUNS: &str = "length duration height elevation age distance depth width weight weigh speed size frequency \
        temperature cost price";
    NOUNS.split_ascii_whitespace().any(|n| n == word)
}

/// The units by number; "a gallon" and "per gallon" count one.
pub(crate) fn bindings(words: &[String], classes: &[Classes], lexicon: &Lexicon) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (at, word) in words.iter().enumerate() {
        let number = word.starts_with(|c: char| c.is_ascii_digit());
        let one = matches!(word.as_str(), "a" | "an" | "one" | "per" | "each" | "single");
        if !number && !one {
            continue;
        }
        let before = at.checked_sub(1).filter(|_| number);
        let unit = [Some(at + 1), before, Some(at + 2)]
            .into_iter()
            .flatten()
            .find(|i| classes.get(*i).is_some_and(|c| c & lexicon.units() != 0));
        if let Some(unit) = unit.and_then(|i| words.get(i)) {
            let value = if one { "1" } else { word.as_str() };
            found.entry(value.to_owned()).or_default().insert(lexicon.stem(unit));
        }
    }
    found
}
