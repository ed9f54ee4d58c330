//! Whether two prompts ask for the same kind of answer.

use crate::lexicon::Entry;
use crate::text::{Asks, Document, kind_of};

/// Two question words that want different kinds of answer.
pub(crate) fn asks_differ(a: &Document, b: &Document) -> bool {
    let specific = |asks: Asks| !matches!(asks, Asks::Unknown | Asks::What | Asks::YesNo);
    let (x, y) = (a.asks, b.asks);
    let alike = |p: Asks, q: Asks| (x, y) == (p, q) || (x, y) == (q, p);
    // "Where can I" and "how can I" often want the same, as do "how many" and "how long".
    let compatible = x == y || alike(Asks::How, Asks::Where) || alike(Asks::Count, Asks::Measure);
    let measured = [x, y].iter().any(|asks| matches!(asks, Asks::Count | Asks::Measure));
    let same_measure = measured && a.measures & b.measures != 0;
    specific(x) && specific(y) && !compatible && !same_measure
}

/// A question word in one prompt that the other, a question of one of these kinds, answers with no word of its kind.
pub(crate) fn unmet(a: &Document, b: &Document, kinds: &[Asks]) -> bool {
    let unmet = |x: &Document, y: &Document| {
        let kind = kind_of(x.asks);
        kind != 0 && kinds.contains(&y.asks) && y.answers & kind == 0
    };
    unmet(a, b) || unmet(b, a)
}

/// One prompt asks how; the other one asks something else, and for no way to do it.
pub(crate) fn how_unmet(a: &Document, b: &Document) -> bool {
    let way = |stem: &str| {
        matches!(
            stem,
            "way"
                | "method"
                | "step"
                | "procedur"
                | "process"
                | "instruction"
                | "guid"
                | "tip"
                | "approach"
                | "remedy"
                | "treatment"
                | "option"
                | "idea"
                | "do"
                | "help"
                | "best"
        )
    };
    let unmet = |x: &Document, y: &Document| {
        x.asks == Asks::How && matches!(y.asks, Asks::What | Asks::YesNo) && !y.stems.iter().any(|stem| way(stem))
    };
    unmet(a, b) || unmet(b, a)
}

/// "Should I do it", not "how do I do it".
pub(crate) fn should(of: &Document) -> bool {
    let word = |at: usize| of.words.get(at).map(Entry::word);
    word(0) == Some("should") || [word(0), word(1), word(2)] == [Some("is"), Some("it"), Some("worth")]
}
