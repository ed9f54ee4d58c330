//! What goes where: from and to, more than and less than, who does and to whom it is done.

use std::borrow::Cow;

use crate::lexicon::{Entry, Text};
use crate::text::Document;

/// Stems of where something comes from or what acts, and of where it goes or what is acted on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ends {
    pub(crate) source: Vec<Text>,
    pub(crate) target: Vec<Text>,
}

/// "next week" is not the adjective of "the next step"; "about 5" is not "about dogs"; "over 5" is "more than 5".
pub(crate) fn relate(words: &mut Vec<Cow<'_, str>>) {
    let mut read = std::mem::take(words).into_iter().peekable();
    while let Some(word) = read.next() {
        let next = read.peek().map(AsRef::as_ref).unwrap_or_default();
        let number = next == "one" || next.starts_with(|c: char| c.is_ascii_digit());
        let amount = number || matches!(next, "dollar" | "euro");
        match word.as_ref() {
            "last" | "this" | "next" | "past" | "previous" | "coming" | "current" if is_period(next) => {
                words.push(format!("{word}_").into());
                words.extend(read.next());
            }
            "about" | "around" | "approximately" | "roughly" if number => words.push("approx".into()),
            "under" | "below" if amount => words.push("lessthan".into()),
            "over" | "above" if amount => words.push("morethan".into()),
            _ => words.push(word),
        }
    }
}

fn is_period(word: &str) -> bool {
    const PERIODS: &str = "week month year weekend quarter day night morning evening season decade century \
        monday tuesday wednesday thursday friday saturday sunday semester";
    PERIODS.split_ascii_whitespace().any(|p| p == word)
}

pub(crate) fn symmetric(stems: &[Text]) -> bool {
    let is = |stem: &Text| {
        matches!(
            stem.as_ref(),
            "versus"
                | "difference"
                | "differenc"
                | "compar"
                | "between"
                | "distanc"
                | "@distance"
                | "and"
                | "or"
                | "same"
        )
    };
    stems.iter().any(is)
}

/// "beaten by": what comes first is acted on.
pub(crate) fn passive(words: &[Entry]) -> bool {
    let be = |w: &Entry| matches!(w.word(), "is" | "was" | "were" | "are" | "been" | "be" | "being");
    words.iter().position(be).is_some_and(|at| words.iter().skip(at + 1).any(|w| w.word() == "by"))
}

pub(crate) fn ends(of: &Document) -> Ends {
    let mut ends = Ends::default();
    let has = |word: &str| of.words.iter().any(|w| w.word() == word);
    let (from, leaving, effect) = (has("from"), has("leaving"), of.stems.iter().any(|s| s == "effect"));
    for (at, (word, stem)) in of.words.iter().zip(&of.stems).enumerate() {
        let (before, after) = of.around(at);
        let (source, target) = match (word.word(), stem.as_ref()) {
            ("from" | "leaving", _) => (after, None),
            ("to" | "into", _) if from || joined(of, before, after) => (before, after),
            ("to" | "into", _) => (None, None),
            ("than" | "over", _) | (_, "beat" | "affect" | "influence") => (before, after),
            ("for", _) if leaving => (None, after),
            (_, "effect") => (before, None),
            ("of", _) if effect => (after, None),
            ("on", _) if effect => (None, after),
            _ => (None, None),
        };
        ends.source.extend(source.cloned());
        ends.target.extend(target.cloned());
    }
    ends
}

pub(crate) fn towards(of: &Document) -> Ends {
    const BEFORE: usize = 3;
    let mut ends = Ends::default();
    let stem = |at: &usize| of.stems.get(*at).cloned();
    for (at, _) in of.words.iter().enumerate().filter(|(_, w)| matches!(w.word(), "to" | "into")) {
        ends.target.extend(of.content.iter().find(|i| **i > at).and_then(stem));
        ends.source.extend(of.content.iter().rev().filter(|i| **i < at).take(BEFORE).filter_map(stem));
    }
    ends
}

/// Two names or two members of one class: "to" between them is no infinitive.
fn joined(of: &Document, before: Option<&Text>, after: Option<&Text>) -> bool {
    let (Some(before), Some(after)) = (before, after) else { return false };
    let class = |stem: &Text| of.stems.iter().position(|s| s == stem).map_or(0, |at| of.classes(at));
    of.names.contains(before) && of.names.contains(after) || class(before) & class(after) != 0
}
