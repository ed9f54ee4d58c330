//! The features of a pair of prompts, in the order in which the verifier was trained on them.

mod order;
mod overlap;
mod slots;

use crate::lexicon::Lexicon;
use crate::model::dot;
use crate::prompt::Prompt;

/// Number of features.
pub const FEATURES: usize = 46;

/// One value for each name.
pub type Features = [f64; FEATURES];

/// What each feature is called.
pub const NAMES: [&str; FEATURES] = [
    "cos", "cov_min", "cov_max", "resid1", "resid2", "resid_sum", "jac", "wjac", "n_unm_a", "n_unm_b", "n_unm_min",
    "n_unm_max", "num_diff", "num_any", "neg_diff", "ant", "syn_pairs", "sib_pairs", "cap_a", "cap_b", "cap_min",
    "cap_max", "alnum_diff", "code_diff", "ops_diff", "quote_diff", "wh_diff", "yesno_diff", "lcs_content", "inv",
    "big", "len_ratio", "len_min", "len_max", "tri_jac", "sub_cos_max", "sub_cos_min", "first_same", "last_same",
    "swap", "wmax_unm", "sym_diff", "closed", "one_side", "len_big", "cos2",
];

/// The features of a pair: symmetric, except where a name ends in `_a` or `_b`.
pub(crate) fn features(a: &Prompt, b: &Prompt, lexicon: &Lexicon) -> Features {
    let (x, y) = (&a.document, &b.document);
    let overlap = overlap::overlap(a, b);
    let slots = slots::slots(x, y, &overlap, lexicon);
    let order = order::order(x, y);
    let (na, nb) = (overlap.alone_a.len(), overlap.alone_b.len());
    let (wa, wb) = (x.words.len(), y.words.len());
    [
        f64::from(dot(&a.embedding.unit, &b.embedding.unit)),
        overlap.covered_least,
        overlap.covered_most,
        overlap.residuals[0],
        overlap.residuals[1],
        overlap.residual_sum,
        overlap.jaccard,
        overlap.weighted_jaccard,
        count(na),
        count(nb),
        count(na.min(nb)),
        count(na.max(nb)),
        count(x.numbers.symmetric_difference(&y.numbers).count()),
        flag(!x.numbers.is_empty() || !y.numbers.is_empty()),
        count(x.negations.abs_diff(y.negations) % 2),
        count(slots.opposites),
        0.0,
        0.0,
        count(slots.names_a),
        count(slots.names_b),
        count(slots.names_a.min(slots.names_b)),
        count(slots.names_a.max(slots.names_b)),
        count(x.mixed.symmetric_difference(&y.mixed).count()),
        flag(x.code != y.code),
        count(slots::multiset_difference(&x.operators, &y.operators)),
        flag(!x.quotations.is_empty() && !y.quotations.is_empty() && x.quotations != y.quotations),
        flag(slots.asks_differ),
        flag((x.asks == 9) != (y.asks == 9)),
        order.common_subsequence,
        order.inversions,
        order.bigrams,
        count(wa.min(wb)) / count(wa.max(wb).max(1)),
        count(wa.min(wb)),
        count(wa.max(wb)),
        overlap::jaccard_sorted(&a.trigrams, &b.trigrams),
        overlap.nearest_alone,
        overlap.farthest_alone,
        flag(x.stems.first() == y.stems.first()),
        flag(x.stems.last() == y.stems.last()),
        count(slots.swaps),
        overlap.heaviest_alone,
        flag(x.symbols != y.symbols),
        count(slots.other_member),
        flag((na == 0) != (nb == 0)),
        flag(wa.max(wb) > 60),
        0.0,
    ]
}

#[expect(clippy::cast_precision_loss, reason = "counts of words")]
pub(crate) fn count(n: usize) -> f64 {
    n as f64
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// `a / b`, and `otherwise` when there is nothing to divide by.
pub(crate) fn ratio(a: f64, b: f64, otherwise: f64) -> f64 {
    if b > 0.0 { a / b } else { otherwise }
}
