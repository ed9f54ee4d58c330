//! What a partition keeps of a prompt beside its text: where it is found, and what forbids a hit at a glance.

use std::hash::BuildHasher;

use rustc_hash::FxBuildHasher;

use crate::text::Document;
use crate::vector::Quantised;

/// A prompt's vector, with the numbers and names in it.
#[derive(Clone, Debug)]
pub struct Card {
    pub(crate) vector: Quantised,
    pub(crate) glance: Glance,
}

impl Card {
    /// The same prompt by a vector from elsewhere.
    #[must_use]
    pub fn found_by(&self, vector: Quantised) -> Self {
        Self { vector, glance: self.glance.clone() }
    }

    /// Dimensions of the vector.
    pub fn dimensions(&self) -> usize {
        self.vector.dimensions()
    }
}

/// Hashes of what two prompts must have in common, so that most of those that differ in it need not be taken apart.
/// It forbids nothing that the vetoes would let pass: that two hashes are equal may be chance, that they differ is not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Glance {
    /// Of numbers but "1", which "a" may stand for, sorted; of names; and of the words that may stand for a name, if
    /// there are names: without, no name forbids anything.
    hashes: Box<[u32]>,
    numbers: u16,
    names: u16,
    negated: bool,
}

impl Glance {
    pub(crate) fn of(document: &Document) -> Self {
        let numbers = hashes(document.numbers.iter().filter(|number| *number != "1").map(String::as_str));
        let names = hashes(document.names.iter().map(AsRef::as_ref));
        let stems = if names.is_empty() { Vec::new() } else { hashes(document.stems.iter().map(AsRef::as_ref)) };
        let count = |of: &[u32]| u16::try_from(of.len()).unwrap_or(u16::MAX);
        Self {
            numbers: count(&numbers),
            names: count(&names),
            negated: document.negations % 2 == 1,
            hashes: [numbers, names, stems].concat().into(),
        }
    }

    fn numbers(&self) -> &[u32] {
        self.hashes.get(..usize::from(self.numbers)).unwrap_or_default()
    }

    /// The names, and behind them the other words.
    fn words(&self) -> &[u32] {
        self.hashes.get(usize::from(self.numbers)..).unwrap_or_default()
    }

    /// The vetoes of numbers, negation or names forbid a hit.
    pub(crate) fn forbids(&self, other: &Self) -> bool {
        let names = || self.alone(other) && other.alone(self);
        self.negated != other.negated || self.numbers() != other.numbers() || names()
    }

    /// It has a name that the other has not.
    fn alone(&self, other: &Self) -> bool {
        self.words().iter().take(usize::from(self.names)).any(|name| !other.words().contains(name))
    }

    /// Bytes on the heap.
    pub(crate) fn memory(&self) -> usize {
        size_of_val(&*self.hashes)
    }
}

fn hashes<'a>(of: impl Iterator<Item = &'a str>) -> Vec<u32> {
    let mut found: Vec<u32> = of.map(hash).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn hash(text: &str) -> u32 {
    let [.., a, b, c, d] = FxBuildHasher.hash_one(text).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use crate::Semantic;
    use crate::features::Conflicts;

    #[test]
    fn what_is_forbidden_at_a_glance_is_what_the_vetoes_forbid() {
        let semantic = Semantic::built_in().unwrap();
        let (mut forbidden, mut vetoed) = (0, 0);
        for line in include_str!("../testdata/hard_big.dev.tsv").lines().skip(1) {
            let [.., a, b] = *line.split('\t').collect::<Vec<_>>() else { panic!("{line}") };
            let (a, b) = (semantic.prompt(a), semantic.prompt(b));
            let veto = Conflicts::of(&a.document, &b.document, semantic.lexicon).first();
            vetoed += usize::from(veto.is_some());
            if a.card().glance.forbids(&b.card().glance) {
                assert!(matches!(veto, Some("num_diff" | "neg_diff" | "ant" | "cap_min")), "{veto:?}");
                forbidden += 1;
            }
        }
        assert!(forbidden * 4 > vetoed, "{forbidden} of {vetoed}");
    }
    #[test]
    fn numbers_negation_and_names_on_both_sides_are_seen_at_a_glance() {
        let semantic = Semantic::built_in().unwrap();
        let forbids = |a: &str, b: &str| semantic.card(a).glance.forbids(&semantic.card(b).glance);
        for (a, b) in [
            ("how far is 10 miles", "how far is 12 miles"),
            ("is it safe to eat", "is it not safe to eat"),
            ("the capital of Kenya", "the capital of Peru"),
        ] {
            assert!(forbids(a, b) && forbids(b, a), "{a} | {b}");
        }
        for (a, b) in [
            ("how far is 1 mile", "how far is a mile"),
            ("the capital of Kenya", "the capital of that country"),
            ("the capital of Kenya", "tell me the capital of kenya"),
        ] {
            assert!(!forbids(a, b) && !forbids(b, a), "{a} | {b}");
        }
    }
}
