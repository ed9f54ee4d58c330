//! What a prompt is about, piece by piece, so that two prompts can be compared.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::lexicon::{Classes, Lexicon};
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
    pub(crate) words: Vec<String>,
    /// The stem of each word.
    pub(crate) stems: Vec<String>,
    /// The closed classes of each word.
    pub(crate) classes: Vec<Classes>,
    /// The forms of each word that have opposites.
    pub(crate) poles: Vec<Vec<String>>,
    /// Places in `words` of those that carry meaning.
    pub(crate) content: Vec<usize>,
    pub(crate) numbers: BTreeSet<String>,
    pub(crate) names: HashSet<String>,
    pub(crate) mixed: Vec<String>,
    /// Names of hosts.
    pub(crate) addresses: Vec<String>,
    pub(crate) code: Vec<String>,
    pub(crate) calls: Vec<String>,
    pub(crate) quotations: Vec<String>,
    /// Operators and flags, sorted.
    pub(crate) signs: Vec<String>,
    pub(crate) negations: usize,
    /// Words that turn the request round: "undo", "avoid".
    pub(crate) turns: usize,
    pub(crate) asks: Asks,
    /// Bits of [`Lexicon::kinds`].
    pub(crate) answers: u8,
    /// Bits of [`Lexicon::acts`].
    pub(crate) acts: Classes,
    pub(crate) measures: BTreeSet<String>,
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
    pub(crate) fn new(text: &str, lexicon: &Lexicon) -> Self {
        let straight = text.replace('’', "'").replace(['“', '”'], "\"");
        let (code, straight) = quoted::code_spans(&straight);
        let plain = normal::plain(&straight, lexicon);
        let read = read::read(&plain, lexicon);
        let mut words = read.words;
        relations::relate(&mut words);
        let classes: Vec<Classes> = words.iter().map(|w| lexicon.classes(w)).collect();
        let Measured { stems: measured, measures } = measure::measure(&words, &classes, lexicon);
        let stem = |(at, word): (usize, &String)| measured.get(&at).cloned().unwrap_or_else(|| lexicon.stem(word));
        let stems: Vec<String> = words.iter().enumerate().map(stem).collect();
        let content =
            |(at, word): (usize, &String)| (!lexicon.is_stop(word) || measured.contains_key(&at)).then_some(at);
        let mut document = Self {
            content: words.iter().enumerate().filter_map(content).collect(),
            poles: words.iter().map(|w| lexicon.poles(w)).collect(),
            names: names::names(&straight, lexicon).into_iter().filter(|n| stems.contains(n)).collect(),
            mixed: quoted::mixed(&plain),
            addresses: quoted::addresses(&plain),
            calls: quoted::calls(&plain),
            quotations: quoted::quotations(&straight),
            squeezed: crate::text::scan::collapse(&straight),
            negations: read.negations + words.iter().filter(|w| lexicon.is_negation(w)).count(),
            turns: stems.iter().filter(|s| lexicon.turns(s)).count(),
            asks: asks(&words, &measured),
            answers: answers(&words, &stems, lexicon),
            acts: stems.iter().fold(0, |all, s| all | lexicon.acts(s)),
            bound: measure::bindings(&words, &classes, lexicon),
            symmetric: relations::symmetric(&stems),
            passive: relations::passive(&words),
            numbers: read.numbers,
            signs: read.signs,
            code,
            plain,
            words,
            stems,
            classes,
            measures,
            ..Self::default()
        };
        document.ends = relations::ends(&document);
        document.towards = relations::towards(&document);
        document
    }

    /// The stems of the words that carry meaning.
    pub(crate) fn content_stems(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.content.iter().filter_map(|at| self.stems.get(*at)).map(String::as_str)
    }

    /// The last stem of the content before a place, and the first one after it.
    pub(crate) fn around(&self, place: usize) -> (Option<&str>, Option<&str>) {
        let stem = |at: &usize| self.stems.get(*at).map(String::as_str);
        (
            self.content.iter().rev().find(|at| **at < place).and_then(stem),
            self.content.iter().find(|at| **at > place).and_then(stem),
        )
    }
}

const AUXILIARIES: &str = "is are was were do does did can could should would will has have had may might must am";

fn asks(words: &[String], measured: &HashMap<usize, String>) -> Asks {
    for (at, word) in words.iter().enumerate().take(12) {
        return match word.as_str() {
            "what" | "which" => Asks::What,
            "who" | "whom" | "whose" => Asks::Who,
            "when" => Asks::When,
            "where" => Asks::Where,
            "why" => Asks::Why,
            "how" => match words.get(at + 1).map(String::as_str) {
                Some("many" | "much") => Asks::Count,
                _ if measured.contains_key(&(at + 1)) => Asks::Measure,
                _ => Asks::How,
            },
            _ => continue,
        };
    }
    let auxiliary = |w: &String| AUXILIARIES.split_ascii_whitespace().any(|a| a == w);
    if words.first().is_some_and(auxiliary) { Asks::YesNo } else { Asks::Unknown }
}

/// The kinds of question for which the text has a noun; a word like "painter" is one for "who".
fn answers(words: &[String], stems: &[String], lexicon: &Lexicon) -> u8 {
    let agent = |w: &String| w.chars().count() > 4 && ["er", "or", "ist"].iter().any(|s| w.ends_with(s));
    let counted = |s: &String| s == "@count";
    let kinds = stems.iter().fold(0, |all, s| all | lexicon.kinds(s));
    kinds
        | if words.iter().any(agent) { kind_of(Asks::Who) } else { 0 }
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
