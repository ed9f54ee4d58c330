//! What must agree between two prompts: names, opposites, members of closed classes, directions.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::features::overlap::Overlap;
use crate::lexicon::Lexicon;
use crate::text::{Document, base};

#[derive(Debug, Default)]
pub(crate) struct Slots {
    /// Pairs of words with opposite meanings, one in each prompt.
    pub(crate) opposites: usize,
    /// Pairs of different members of one closed class: two weekdays, two currencies.
    pub(crate) other_member: usize,
    /// Names that the other prompt does not have.
    pub(crate) names_a: usize,
    pub(crate) names_b: usize,
    /// "from A to B" against "from B to A".
    pub(crate) swaps: usize,
    pub(crate) asks_differ: bool,
}

pub(crate) fn slots(a: &Document, b: &Document, overlap: &Overlap, lexicon: &Lexicon) -> Slots {
    let mut slots = Slots {
        names_a: names_alone(a, b),
        names_b: names_alone(b, a),
        swaps: swaps(a, b),
        // "What is" and "how to" often ask for the same.
        asks_differ: a.asks != b.asks
            && a.asks > 0
            && b.asks > 0
            && !(matches!(a.asks, 1 | 6) && matches!(b.asks, 1 | 6)),
        ..Slots::default()
    };
    for (word_a, stem_a) in alone(a, &overlap.alone_a) {
        for (word_b, stem_b) in alone(b, &overlap.alone_b) {
            let relative = word_a.ends_with('_') && word_b.ends_with('_');
            if relative || lexicon.same_class(&base(word_a), &base(word_b)) {
                slots.other_member += 1;
            }
            if lexicon.opposite(word_a, word_b) || lexicon.opposite(stem_a, stem_b) || prefixed(word_a, word_b) {
                slots.opposites += 1;
            }
        }
    }
    slots.opposites += opposite_function_words(a, b, lexicon);
    slots
}

fn alone<'a>(of: &'a Document, places: &'a [usize]) -> impl Iterator<Item = (&'a str, &'a str)> {
    places.iter().filter_map(|at| {
        let at = *of.content.get(*at)?;
        Some((of.words.get(at)?.as_str(), of.stems.get(at)?.as_str()))
    })
}

/// "with" and "without", "to" and "from": words that are no content.
fn opposite_function_words(a: &Document, b: &Document, lexicon: &Lexicon) -> usize {
    let set = |d: &Document| -> HashSet<String> { d.words.iter().cloned().collect() };
    let (x, y) = (set(a), set(b));
    let only_y: Vec<_> = y.difference(&x).collect();
    let function = |p: &str, q: &str| lexicon.is_stop(p) || lexicon.is_stop(q);
    x.difference(&y).map(|p| only_y.iter().filter(|q| function(p, q) && lexicon.opposite(p, q)).count()).sum()
}

fn prefixed(a: &str, b: &str) -> bool {
    const PREFIXES: [&str; 10] = ["un", "dis", "de", "in", "im", "ir", "il", "non", "anti", "mis"];
    let (short, long) = if a.len() > b.len() { (b, a) } else { (a, b) };
    short.len() > 2 && PREFIXES.iter().any(|p| long.strip_prefix(p) == Some(short))
}

fn names_alone(a: &Document, b: &Document) -> usize {
    let other = |name: &&String| !b.names.contains(*name) && !b.stems.contains(name);
    a.names.iter().filter(other).count()
}

/// How many elements have no partner in the other list.
pub(crate) fn multiset_difference(a: &[char], b: &[char]) -> usize {
    let mut counts: HashMap<char, isize> = HashMap::new();
    a.iter().for_each(|c| *counts.entry(*c).or_default() += 1);
    b.iter().for_each(|c| *counts.entry(*c).or_default() -= 1);
    counts.values().map(|n| n.unsigned_abs()).sum()
}

/// Places beside a direction word whose stems differ, but are in both prompts.
fn swaps(a: &Document, b: &Document) -> usize {
    let (x, y) = (ends(a), ends(b));
    let turned = |(place, p): &(&&str, &HashSet<&str>)| {
        y.get(*place).is_some_and(|q| {
            p.is_disjoint(q)
                && p.iter().any(|s| b.stems.iter().any(|t| t == s))
                && q.iter().any(|s| a.stems.iter().any(|t| t == s))
        })
    };
    x.iter().filter(turned).count()
}

/// The stem after each direction word, and for some of them the one before.
fn ends(of: &Document) -> BTreeMap<&'static str, HashSet<&str>> {
    let mut found: BTreeMap<&'static str, HashSet<&str>> = BTreeMap::new();
    let content: HashSet<usize> = of.content.iter().copied().collect();
    let stem = |at: usize| of.stems.get(at).map(String::as_str);
    for (at, word) in of.words.iter().enumerate() {
        let (after, before) = match word.as_str() {
            "from" => ("from", None),
            "to" | "into" => ("to", Some("before to")),
            "than" => ("than", Some("before than")),
            "beat" => ("beat", Some("before beat")),
            "over" => ("over", None),
            "by" => ("by", None),
            _ => continue,
        };
        let next = (at + 1..of.words.len()).find(|i| content.contains(i));
        found.entry(after).or_default().extend(next.and_then(stem));
        if let Some(before) = before {
            let previous = (0..at).rev().find(|i| content.contains(i));
            found.entry(before).or_default().extend(previous.and_then(stem));
        }
    }
    found.retain(|_, stems| !stems.is_empty());
    found
}
