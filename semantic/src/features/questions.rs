//! Whether two prompts ask for the same kind of answer.

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

/// A question word in one prompt that the other, which has none, answers with no word of its kind.
pub(crate) fn unmet(a: &Document, b: &Document) -> bool {
    let unmet = |x: &Document, y: &Document| {
        let kind = kind_of(x.asks);
        kind != 0 && matches!(y.asks, Asks::Unknown | Asks::What) && y.answers & kind == 0
    };
    unmet(a, b) || unmet(b, a)
}
