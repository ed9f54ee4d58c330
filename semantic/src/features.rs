//! The features of a pair of prompts, in the order in which the verifier was trained on them.

mod conflict;
mod order;
mod overlap;
mod questions;
mod roles;
mod slots;

pub(crate) use conflict::{Conflicts, NAMES as CONFLICTS};

use crate::lexicon::Lexicon;
use crate::model::dot;
use crate::prompt::Prompt;
use crate::text::Asks;

/// Number of features.
pub const FEATURES: usize = 63;

/// One value for each name.
pub type Features = [f64; FEATURES];

/// What each feature is called.
#[rustfmt::skip]
pub const NAMES: [&str; FEATURES] = [
    "cos", "cov_min", "cov_max", "resid1", "resid2", "resid_min", "resid_max", "jac", "wjac", "alone_min", "alone_max",
    "hard_min", "hard_max", "hard_weight_min", "hard_weight_max", "num_diff", "num_any", "neg_diff", "turn_diff", "ant",
    "cap_min", "cap_max", "mixed_diff", "code_diff", "sign_diff", "quote_diff", "wh_diff", "measure_diff", "yesno_diff",
    "lcs", "inv", "big", "len_ratio", "len_min", "len_max", "tri_jac", "sub_cos_max", "sub_cos_min", "worst_cover",
    "rest_cos", "first_same", "last_same", "swap", "direction", "bound_diff", "unmet", "measure_one", "call_diff",
    "act_other", "act_diff", "wmax_alone", "closed", "one_side", "extra", "modifier", "object", "one_modifier",
    "one_object", "first_alone", "last_alone", "how_unmet", "yesno_unmet", "should_diff",
];

/// The features of a pair; they do not depend on which prompt is the first.
#[rustfmt::skip]
pub(crate) fn features(a: &Prompt, b: &Prompt, conflicts: &Conflicts, lexicon: &Lexicon) -> Features {
    let (x, y) = (&a.document, &b.document);
    let over = overlap::overlap(a, b, lexicon);
    let order = order::order(x, y);
    let (na, nb) = (over.a.alone, over.b.alone);
    let (ha, hb) = (over.a.hard.len(), over.b.hard.len());
    let (role_a, role_b) = (roles::roles(a, &over.a, b, lexicon), roles::roles(b, &over.b, a, lexicon));
    let most_hard = over.a.hard_weight.max(over.b.hard_weight);
    let (wa, wb) = (x.words.len(), y.words.len());
    let [numbers, negation, opposites, names, mixed, code, signs, quotes, measures, members, swap, direction, units,
        calls, asks, yes_no] = conflicts.values;
    let values = [
        f64::from(dot(&a.embedding.unit, &b.embedding.unit)),
        over.a.covered.min(over.b.covered), over.a.covered.max(over.b.covered),
        over.residuals[0], over.residuals[1],
        over.a.residual.min(over.b.residual), over.a.residual.max(over.b.residual),
        over.jaccard, over.weighted_jaccard,
        count(na.min(nb)), count(na.max(nb)),
        count(ha.min(hb)), count(ha.max(hb)),
        over.a.hard_weight.min(over.b.hard_weight), most_hard,
        numbers, flag(!x.numbers.is_empty() || !y.numbers.is_empty()),
        negation, count(x.turns.abs_diff(y.turns)),
        opposites, names, count(conflicts.most_names), mixed, code, signs, quotes, asks, measures,
        flag((x.asks == Asks::YesNo) != (y.asks == Asks::YesNo)),
        order.common_subsequence, order.inversions, order.bigrams,
        count(wa.min(wb)) / count(wa.max(wb).max(1)), count(wa.min(wb)), count(wa.max(wb)),
        overlap::jaccard_sorted(&a.trigrams, &b.trigrams),
        over.nearest_alone, over.farthest_alone, over.worst_cover, over.rest,
        flag(x.stems.first() == y.stems.first()), flag(x.stems.last() == y.stems.last()),
        swap, direction, units,
        flag(questions::unmet(x, y, &[Asks::Unknown, Asks::What])), flag((x.measures == 0) != (y.measures == 0)),
        calls,
        flag(x.acts != 0 && y.acts != 0 && x.acts & y.acts == 0), f64::from((x.acts ^ y.acts).count_ones()),
        over.a.heaviest.max(over.b.heaviest), members, flag((na == 0) != (nb == 0)),
        if ha == 0 || hb == 0 { most_hard } else { 0.0 },
        count(role_a.modifiers.max(role_b.modifiers)), count(role_a.objects.max(role_b.objects)),
        count(if hb == 0 { role_a.modifiers } else { 0 } + if ha == 0 { role_b.modifiers } else { 0 }),
        count(if hb == 0 { role_a.objects } else { 0 } + if ha == 0 { role_b.objects } else { 0 }),
        flag(role_a.first) + flag(role_b.first), flag(role_a.last) + flag(role_b.last),
        flag(questions::how_unmet(x, y)), yes_no,
        flag(questions::should(x) != questions::should(y)),
    ];
    // On a grid, so that the last bit of a sum decides nothing.
    values.map(|x| (x * 1e4).round() / 1e4)
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
