//! What forbids a hit whatever the rest looks like. Needs no vectors, so it comes before them.

use crate::features::{count, flag, order, questions, slots};
use crate::lexicon::Lexicon;
use crate::text::{Asks, Document};

/// What each conflict is called, in the order of [`Conflicts::first`].
#[rustfmt::skip]
pub(crate) const NAMES: [&str; 16] = [
    "num_diff", "neg_diff", "ant", "cap_min", "mixed_diff", "code_diff", "sign_diff", "quote_diff", "measure_diff",
    "closed", "swap", "direction", "bound_diff", "call_diff", "wh_diff", "yesno_unmet",
];

/// How much of each conflict there is, in the order of [`NAMES`].
#[derive(Debug)]
pub(crate) struct Conflicts {
    pub(crate) values: [f64; NAMES.len()],
    pub(crate) most_names: usize,
}

impl Conflicts {
    #[rustfmt::skip]
    pub(crate) fn of(x: &Document, y: &Document, lexicon: &Lexicon) -> Self {
        let stems_x: Vec<&str> = x.content_stems().collect();
        let stems_y: Vec<&str> = y.content_stems().collect();
        let alone = (slots::alone(x, &stems_y), slots::alone(y, &stems_x));
        let slots = slots::slots(x, y, &alone.0, &alone.1, lexicon);
        let both = |a: bool, b: bool| !a && !b;
        let values = [
            count(slots::numbers_differ(x, y)),
            count(x.negations.abs_diff(y.negations) % 2),
            count(slots.opposites),
            count(slots.names_a.min(slots.names_b)),
            count(slots::names_differ(x, y)),
            count(slots::code_differs(x, y)),
            count(slots::only_in_one(&x.signs, &y.signs)),
            flag(both(x.quotations.is_empty(), y.quotations.is_empty()) && x.quotations != y.quotations),
            flag(both(x.measures == 0, y.measures == 0) && x.measures & y.measures == 0),
            count(slots.other_member),
            count(order::swapped(x, y, lexicon)),
            flag(slots::direction_differs(x, y)),
            count(slots::units_differ(x, y)),
            flag(both(x.calls.is_empty(), y.calls.is_empty()) && x.calls != y.calls),
            flag(questions::asks_differ(x, y)),
            flag(questions::unmet(x, y, &[Asks::YesNo])),
        ];
        Self { values, most_names: slots.names_a.max(slots.names_b) }
    }

    /// The first conflict that there is.
    pub(crate) fn first(&self) -> Option<&'static str> {
        NAMES.iter().zip(self.values).find(|(_, value)| *value > 0.0).map(|(name, _)| *name)
    }
}
