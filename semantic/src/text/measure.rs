//! What a question measures, and which unit each number counts.

use std::collections::{BTreeMap, BTreeSet};

use crate::lexicon::{Entry, Lexicon, Measures, Text};

/// Words that measure.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// The stem for each place: "how tall" and "height" are both "@height".
    stems: Vec<(usize, Text)>,
    /// A bit for each kind.
    pub(crate) measures: Measures,
}

impl Measured {
    pub(crate) fn stem(&self, place: usize) -> Option<&Text> {
        self.stems.iter().find(|(at, _)| *at == place).map(|(_, stem)| stem)
    }
}

pub(crate) fn measure(words: &[Entry], lexicon: &'static Lexicon) -> Measured {
    let mut found = Measured::default();
    let word = |at: usize| words.get(at).map(Entry::word).unwrap_or_default();
    for (at, this) in words.iter().map(Entry::word).enumerate() {
        let Some(measure) = lexicon.measures(this) else { continue };
        let next = word(at + 1);
        let after_how = at.checked_sub(1).is_some_and(|i| word(i) == "how");
        let counts_unit = words.get(at + 1).is_some_and(|w| w.known().classes & lexicon.units() != 0);
        match this {
            // "How many miles" measures what a mile does.
            "many" if counts_unit => {}
            "long" if after_how => {
                let extent = matches!(next, "is" | "are" | "was" | "were");
                found.stems.push((at, if extent { "@length" } else { "@duration" }.into()));
                let duration = lexicon.measures("duration").map_or(0, |m| m.kinds);
                found.measures |= if extent { measure.kinds } else { duration };
            }
            _ if after_how || is_noun(this) || this == "number" && next == "of" => {
                found.stems.push((at, measure.stem.as_str().into()));
                found.measures |= measure.kinds;
            }
            _ => {}
        }
    }
    found
}

fn is_noun(word: &str) -> bool {
    matches!(
        word,
        "length"
            | "duration"
            | "height"
            | "elevation"
            | "age"
            | "distance"
            | "depth"
            | "width"
            | "weight"
            | "weigh"
            | "speed"
            | "size"
            | "frequency"
            | "temperature"
            | "cost"
            | "price"
    )
}

/// The units by number; "a gallon" and "per gallon" count one.
pub(crate) fn bindings(words: &[Entry], lexicon: &Lexicon) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (at, word) in words.iter().map(Entry::word).enumerate() {
        let number = word.starts_with(|c: char| c.is_ascii_digit());
        let one = matches!(word, "a" | "an" | "one" | "per" | "each" | "single");
        if !number && !one {
            continue;
        }
        let before = at.checked_sub(1).filter(|_| number);
        let unit = [Some(at + 1), before, Some(at + 2)]
            .into_iter()
            .flatten()
            .find(|i| words.get(*i).is_some_and(|w| w.known().classes & lexicon.units() != 0));
        if let Some(unit) = unit.and_then(|i| words.get(i)) {
            let value = if one { "1" } else { word };
            found.entry(value.to_owned()).or_default().insert(unit.known().stem.clone().into());
        }
    }
    found
}
