//! What must agree between two prompts: numbers, names, opposites, members of closed classes, directions.

use std::cmp::Ordering;

use crate::lexicon::{Classes, Entry, Lexicon, Text};
use crate::text::Document;

#[derive(Debug, Default)]
pub(crate) struct Slots {
    /// Pairs of words with opposite meanings, one in each prompt.
    pub(crate) opposites: usize,
    /// Pairs of different members of one closed class: two weekdays, two currencies.
    pub(crate) other_member: usize,
    /// Names that the other prompt does not have.
    pub(crate) names_a: usize,
    pub(crate) names_b: usize,
}

pub(crate) fn slots(a: &Document, b: &Document, of_a: &[Alone<'_>], of_b: &[Alone<'_>], lexicon: &Lexicon) -> Slots {
    let mut slots = Slots { names_a: names_alone(a, b), names_b: names_alone(b, a), ..Slots::default() };
    for x in of_a {
        for y in of_b {
            slots.other_member += usize::from(times_differ(x.word, y.word) || x.classes & y.classes != 0);
            let opposite = lexicon.opposite(x.poles, y.poles) || prefixed(x.word, y.word);
            slots.opposites += usize::from(opposite);
        }
    }
    slots.opposites += opposite_function_words(a, b, lexicon);
    slots
}

/// A word of the content whose stem the other prompt does not have.
#[derive(Debug)]
pub(crate) struct Alone<'a> {
    word: &'a str,
    classes: Classes,
    poles: &'a [String],
}

/// Each stem once.
pub(crate) fn alone<'a>(of: &'a Document, known: &[&str]) -> Vec<Alone<'a>> {
    let mut seen: Vec<&str> = Vec::new();
    let alone = |at: &usize| {
        let stem = of.stems.get(*at)?.as_ref();
        if known.contains(&stem) || seen.contains(&stem) {
            return None;
        }
        seen.push(stem);
        let entry = of.words.get(*at)?;
        Some(Alone { word: entry.word(), classes: entry.known().classes, poles: &entry.known().poles })
    };
    of.content.iter().filter_map(alone).collect()
}

/// "with sugar" and "without sugar": opposite words that are no content, beside the same word.
fn opposite_function_words(a: &Document, b: &Document, lexicon: &Lexicon) -> usize {
    let own = |d: &Document, other: &Document| -> Vec<usize> {
        let of_other = |word: &str| other.words.iter().any(|w| w.word() == word);
        let own = |(at, w): (usize, &Entry)| (!w.known().poles.is_empty() && !of_other(w.word())).then_some(at);
        d.words.iter().enumerate().filter_map(own).collect()
    };
    let (in_a, in_b) = (own(a, b), own(b, a));
    let mut found = 0;
    for at in in_a {
        for other in &in_b {
            let (Some(word), Some(against)) = (a.words.get(at), b.words.get(*other)) else { continue };
            let (word, against) = (word.known(), against.known());
            if (word.stop || against.stop) && lexicon.opposite(&word.poles, &against.poles) {
                let (here, there) = (a.around(at), b.around(*other));
                found += usize::from(here.1 == there.1 || here.0.is_some() && here.0 == there.0);
            }
        }
    }
    found
}

fn prefixed(a: &str, b: &str) -> bool {
    const PREFIXES: [&str; 10] = ["un", "dis", "de", "in", "im", "ir", "il", "non", "anti", "mis"];
    let (short, long) = if a.len() > b.len() { (b, a) } else { (a, b) };
    short.chars().count() > 2 && PREFIXES.iter().any(|p| long.strip_prefix(p) == Some(short))
}

fn names_alone(a: &Document, b: &Document) -> usize {
    a.names.iter().filter(|name| !b.names.contains(*name) && !b.stems.contains(name)).count()
}

/// Numbers in only one prompt; "1 mile" and "a mile" are the same.
pub(crate) fn numbers_differ(a: &Document, b: &Document) -> usize {
    let differ = a.numbers.symmetric_difference(&b.numbers).count();
    let one = |d: &Document| d.words.iter().any(|w| matches!(w.word(), "one" | "a" | "an" | "single"));
    let spelled = match (a.numbers.contains("1"), b.numbers.contains("1")) {
        (true, false) => one(b),
        (false, true) => one(a),
        _ => false,
    };
    differ - usize::from(spelled)
}

/// How many elements have no partner in the other list; both are sorted.
pub(crate) fn only_in_one<T: Ord>(a: &[T], b: &[T]) -> usize {
    let (mut i, mut j, mut found) = (0, 0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        match x.cmp(y) {
            Ordering::Less => (i, found) = (i + 1, found + 1),
            Ordering::Greater => (j, found) = (j + 1, found + 1),
            Ordering::Equal => (i, j) = (i + 1, j + 1),
        }
    }
    found + (a.len() - i) + (b.len() - j)
}

/// Names with digits in only one prompt, hosts when both have some, and keys with other values.
pub(crate) fn names_differ(a: &Document, b: &Document) -> usize {
    let hosts = !a.addresses.is_empty() && !b.addresses.is_empty();
    let hosts = if hosts { only_in_one(&a.addresses, &b.addresses) } else { 0 };
    only_in_one(&a.mixed, &b.mixed) + hosts + labels_differ(a, b)
}

/// Keys that both prompts have with different values: "sort:new" and "sort:top".
fn labels_differ(a: &Document, b: &Document) -> usize {
    let values = |d: &'_ Document, key: &str| -> Vec<String> {
        d.labels.iter().filter(|(k, _)| k == key).map(|(_, value)| value.clone()).collect()
    };
    let mut keys: Vec<&str> = a.labels.iter().map(|(key, _)| key.as_str()).collect();
    keys.dedup();
    let differs = |key: &&str| {
        let other = values(b, key);
        !other.is_empty() && values(a, key) != other
    };
    keys.into_iter().filter(differs).count()
}

/// "today" and "last week", "now" and "yesterday"; "now" is in this week.
fn times_differ(x: &str, y: &str) -> bool {
    let day = |w: &str| matches!(w, "today" | "yesterday" | "tomorrow" | "tonight" | "now");
    let period = |w: &str| w.ends_with('_');
    let other_day = |w: &str| matches!(w, "yesterday" | "tomorrow");
    let apart = |d: &str, p: &str| !(p == "this_" && matches!(d, "now" | "tonight"));
    match (day(x), day(y)) {
        (true, true) => x != y && (other_day(x) || other_day(y)),
        (true, false) if period(y) => apart(x, y),
        (false, true) if period(x) => apart(y, x),
        _ => period(x) && period(y),
    }
}

/// Code spans that the other text has neither as a span nor in its words.
pub(crate) fn code_differs(a: &Document, b: &Document) -> usize {
    let missing = |x: &Document, y: &Document| {
        x.code.iter().filter(|span| !y.code.contains(span) && !y.squeezed.contains(span.as_str())).count()
    };
    missing(a, b) + missing(b, a)
}

/// A place that one prompt comes from and the other goes to.
pub(crate) fn direction_differs(a: &Document, b: &Document) -> bool {
    let turned = |x: &Document, y: &Document| {
        let back = |s: &Text| y.ends.target.contains(s) && !x.ends.target.contains(s) && !y.ends.source.contains(s);
        x.ends.source.iter().any(back)
    };
    let round = |x: &Document, y: &Document| -> Vec<Text> {
        x.towards.target.iter().filter(|s| y.towards.source.contains(*s)).cloned().collect()
    };
    let (there, back) = (round(a, b), round(b, a));
    let crossed = there.iter().any(|p| back.iter().any(|q| p != q));
    a.passive == b.passive && (crossed || turned(a, b) || turned(b, a))
}

/// Numbers that count one unit here and another one there.
pub(crate) fn units_differ(a: &Document, b: &Document) -> usize {
    let differs = |(number, units): &(&String, &std::collections::BTreeSet<String>)| {
        b.bound.get(*number).is_some_and(|other| units.is_disjoint(other))
    };
    a.bound.iter().filter(differs).count()
}
