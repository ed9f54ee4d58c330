//! What a prompt is about, piece by piece, so that two prompts can be compared.

use std::collections::{BTreeMap, BTreeSet};

use crate::lexicon::{Classes, Entry, Lexicon, Measures, Text};
use crate::text::measure::Measured;
use crate::text::relations::{self, Ends};
use crate::text::{measure, names, normal, quoted, read};

/// A prompt taken apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Document {
    /// Lower case, contractions and phrases replaced.
    pub(crate) plain: String,
    /// As written, in single spaces and without backticks.
    pub(crate) squeezed: String,
    pub(crate) words: Vec<Entry>,
    /// The stem of each word.
    pub(crate) stems: Vec<Text>,
    /// Places in `words` of those that carry meaning.
    pub(crate) content: Vec<usize>,
    pub(crate) numbers: BTreeSet<String>,
    pub(crate) names: Vec<Text>,
    pub(crate) mixed: Vec<String>,
    /// Names of hosts.
    pub(crate) addresses: Vec<String>,
    /// Keys with values: "sort:new".
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) code: Vec<String>,
    pub(crate) calls: Vec<String>,
    pub(crate) quotations: Vec<String>,
    /// Operators and flags, sorted.
    pub(crate) signs: Vec<String>,
    pub(crate) negations: usize,
    /// Words that turn the request round: "undo", "avoid".
    pub(crate) turns: usize,
    pub(crate) asks: Asks,
    /// Bits of [`crate::lexicon::Known::kinds`].
    pub(crate) answers: u8,
    /// Bits of [`crate::lexicon::Known::acts`].
    pub(crate) acts: Classes,
    /// Bits of [`crate::lexicon::Measure`].
    pub(crate) measures: Measures,
    /// The units that each number counts.
    pub(crate) bound: BTreeMap<String, BTreeSet<String>>,
    pub(crate) ends: Ends,
    /// What stands after each "to", as target, and the few words before it, as source.
    pub(crate) towards: Ends,
    /// Nothing changes when its parts change places: "compare A and B".
    pub(crate) symmetric: bool,
    pub(crate) passive: bool,
}

/// The kind of question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asks {
    #[default]
    Unknown,
    What,
    Who,
    When,
    Where,
    Why,
    How,
    Count,
    Measure,
    YesNo,
}

impl Document {
    pub(crate) fn new(text: &str, lexicon: &'static Lexicon) -> Self {
        let (code, straight) = quoted::code_spans(&normal::straight(text));
        let plain = normal::plain(&straight, lexicon);
        let read = read::read(&plain, lexicon);
        let (mut words, numbers, signs) = (read.words, read.numbers, read.signs);
        relations::relate(&mut words);
        let words: Vec<Entry> = words.into_iter().map(|word| Entry::new(word, lexicon)).collect();
        let measured = measure::measure(&words, lexicon);
        let stem = |(at, word): (usize, &Entry)| measured.stem(at).cloned().unwrap_or_else(|| word.stem());
        let stems: Vec<Text> = words.iter().enumerate().map(stem).collect();
        let content = |(at, word): (usize, &Entry)| (!word.known().stop || measured.stem(at).is_some()).then_some(at);
        // A word that measures stands for what it measures.
        let by_stem =
            || words.iter().enumerate().filter(|(at, _)| measured.stem(*at).is_none()).map(|(_, word)| word.known());
        let mut document = Self {
            content: words.iter().enumerate().filter_map(content).collect(),
            names: names::names(&straight, lexicon).into_iter().filter(|n| stems.contains(n)).collect(),
            mixed: quoted::mixed(&plain),
            addresses: quoted::addresses(&plain),
            labels: quoted::labels(&plain),
            calls: quoted::calls(&plain),
            quotations: quoted::quotations(&straight),
            squeezed: crate::text::scan::collapse(&straight),
            negations: read.negations + words.iter().filter(|w| w.known().negation).count(),
            turns: by_stem().filter(|known| known.turns).count(),
            asks: asks(&words, &measured),
            answers: by_stem().fold(answers(&words, &stems), |all, known| all | known.kinds),
            acts: by_stem().fold(0, |all, known| all | known.acts),
            bound: measure::bindings(&words, lexicon),
            symmetric: relations::symmetric(&stems),
            passive: relations::passive(&words),
            measures: measured.measures,
            numbers,
            signs,
            code,
            words,
            stems,
            ..Self::default()
        };
        document.ends = relations::ends(&document);
        document.towards = relations::towards(&document);
        document.plain = plain;
        document
    }

    /// The stems of the words that carry meaning.
    pub(crate) fn content_stems(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.content.iter().filter_map(|at| self.stems.get(*at)).map(AsRef::as_ref)
    }

    /// The closed classes of a word.
    pub(crate) fn classes(&self, place: usize) -> Classes {
        self.words.get(place).map_or(0, |word| word.known().classes)
    }

    /// The last stem of the content before a place, and the first one after it.
    pub(crate) fn around(&self, place: usize) -> (Option<&Text>, Option<&Text>) {
        let stem = |at: &usize| self.stems.get(*at);
        (
            self.content.iter().rev().find(|at| **at < place).and_then(stem),
            self.content.iter().find(|at| **at > place).and_then(stem),
        )
    }
}

fn is_auxiliary(word: &Entry) -> bool {
    matches!(
        word.word(),
        "is" | "are"
            | "was"
            | "were"
            | "do"
            | "does"
            | "did"
            | "can"
            | "could"
            | "should"
            | "would"
            | "will"
            | "has"
            | "have"
            | "had"
            | "may"
            | "might"
            | "must"
            | "am"
    )
}

fn asks(words: &[Entry], measured: &Measured) -> Asks {
    for (at, word) in words.iter().enumerate().take(12) {
        return match word.word() {
            "what" | "which" => Asks::What,
            "who" | "whom" | "whose" => Asks::Who,
            "when" => Asks::When,
            "where" => Asks::Where,
            "why" => Asks::Why,
            "how" => match words.get(at + 1).map(Entry::word) {
                Some("many" | "much") => Asks::Count,
                _ if measured.stem(at + 1).is_some() => Asks::Measure,
                _ => Asks::How,
            },
            _ => continue,
        };
    }
    if words.first().is_some_and(is_auxiliary) { Asks::YesNo } else { Asks::Unknown }
}

/// The kinds of question that words answer by their form: "painter" is one for "who".
fn answers(words: &[Entry], stems: &[Text]) -> u8 {
    let agent = |w: &Entry| w.word().chars().count() > 4 && ["er", "or", "ist"].iter().any(|s| w.word().ends_with(s));
    let counted = |s: &Text| s == "@count";
    (if words.iter().any(agent) { kind_of(Asks::Who) } else { 0 })
        | if stems.iter().any(counted) { kind_of(Asks::Count) } else { 0 }
}

/// The bit of [`Lexicon::kinds`] that answers a question; 0 if any noun may.
pub(crate) fn kind_of(asks: Asks) -> u8 {
    match asks {
        Asks::Who => 1,
        Asks::When => 2,
        Asks::Where => 4,
        Asks::Why => 8,
        Asks::Count => 16,
        _ => 0,
    }
}
