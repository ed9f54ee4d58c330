//! What goes where: from and to, more than and less than, who does and to whom it is done.

use std::collections::HashSet;

use crate::text::Document;

/// Stems of where something comes from or what acts, and of where it goes or what is acted on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ends {
    pub(crate) source: HashSet<String>,
    pub(crate) target: HashSet<String>,
}

/// "next week" is not the adjective of "the next step"; "about 5" is not "about dogs"; "over 5" is "more than 5".
pub(crate) fn relate(words: &mut Vec<String>) {
    let mut read = std::mem::take(words).into_iter().peekable();
    while let Some(word) = read.next() {
        let next = read.peek().map(String::as_str).unwrap_or_default();
        let number = next == "one" || next.starts_with(|c: char| c.is_ascii_digit());
        let amount = number || matches!(next, "dollar" | "euro");
        match word.as_str() {
            "last" | "this" | "next" | "past" | "previous" | "coming" | "current" if is_period(next) => {
                words.push(format!("{word}_"));
                words.extend(read.next());
            }
            "about" | "around" | "approximately" | "roughly" if number => words.push("approx".to_owned()),
            "under" | "below" if amount => words.push("lessthan".to_owned()),
            "over" | "above" if amount => words.push("morethan".to_owned()),
            _ => words.push(word),
        }
    }
}

fn is_period(word: &str) -> bool {
    const PERIODS: &str = "week month year weekend quarter day night morning evening season decade century \
        monday tuesday wednesday thursday friday saturday sunday semester";
    PERIODS.split_ascii_whitespace().any(|p| p == word)
}

pub(crate) fn symmetric(stems: &[String]) -> bool {
    const SYMMETRIC: &str = "versus difference differenc compar between distanc @distance and or same";
    stems.iter().any(|s| SYMMETRIC.split_ascii_whitespace().any(|w| w == s))
}

/// "beaten by": what comes first is acted on.
pub(crate) fn passive(words: &[String]) -> bool {
    let be = |w: &String| matches!(w.as_str(), "is" | "was" | "were" | "are" | "been" | "be" | "being");
    words.iter().position(be).is_some_and(|at| words.iter().skip(at + 1).any(|w| w == "by"))
}

pub(crate) fn ends(of: &Document) -> Ends {
    let mut ends = Ends::default();
    let has = |word: &str| of.words.iter().any(|w| w == word);
    let (from, leaving, effect) = (has("from"), has("leaving"), of.stems.iter().any(|s| s == "effect"));
    for (at, (word, stem)) in of.words.iter().zip(&of.stems).enumerate() {
        let (before, after) = of.around(at);
        let (source, target) = match (word.as_str(), stem.as_str()) {
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
        ends.source.extend(source.map(str::to_owned));
        ends.target.extend(target.map(str::to_owned));
    }
    ends
}

pub(crate) fn towards(of: &Document) -> Ends {
    const BEFORE: usize = 3;
    let mut ends = Ends::default();
    let stem = |at: &usize| of.stems.get(*at).cloned();
    for (at, _) in of.words.iter().enumerate().filter(|(_, w)| matches!(w.as_str(), "to" | "into")) {
        ends.target.extend(of.content.iter().find(|i| **i > at).and_then(stem));
        ends.source.extend(of.content.iter().rev().filter(|i| **i < at).take(BEFORE).filter_map(stem));
    }
    ends
}

/// Two names or two members of one class: "to" between them is no infinitive.
fn joined(of: &Document, before: Option<&str>, after: Option<&str>) -> bool {
    let (Some(before), Some(after)) = (before, after) else { return false };
    let class = |stem: &str| of.stems.iter().position(|s| s == stem).and_then(|at| of.classes.get(at)).copied();
    of.names.contains(before) && of.names.contains(after) || class(before).unwrap_or(0) & class(after).unwrap_or(0) != 0
}
