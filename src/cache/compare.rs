//! Whether two answers say the same: a kept one, and one that the model gave to the other words just now.
//!
//! Two samplings of a model differ in words, length and examples, so that words prove nothing. What proves that one of
//! the two is wrong for the question is something that each says and the other does not, where answers begin: a name, a
//! number, a unit, yes against no, an opposite. One answer that says more than the other is no conflict.

mod read;

use read::{Text, opposite};
use sluice_semantic::Semantic;

/// Texts with less in common are about something else.
const NEAR: f32 = 0.3;
/// And so little of the words of the shorter one in the other.
const LEAST_SHARED: f64 = 0.25;
/// Beginnings with so many words in common say the same of the same, if one does not deny it.
const ALIKE: f64 = 0.4;
/// And with so many they differ in nothing but what differs.
const VERY_ALIKE: f64 = 0.6;
/// Up to here a number at the head of a long answer counts what it lists.
const FEW: f64 = 12.0;

/// What the two contradict each other in; nothing if they agree.
pub(super) fn conflict(kept: &str, live: &str, semantic: &Semantic) -> Option<&'static str> {
    if kept.trim() == live.trim() {
        return None;
    }
    let (a, b) = (Text::of(kept), Text::of(live));
    let alike = a.shared_with(&b);
    let short = !a.is_long && !b.is_long;
    if let (Some(yes), Some(other)) = (a.verdict, b.verdict)
        && yes != other
    {
        return Some("verdict");
    }
    if clash(missing_names(&a, &b), missing_names(&b, &a), alike) {
        return Some("name");
    }
    if clash(missing_numbers(&a, &b, short), missing_numbers(&b, &a, short), alike) {
        return Some("number");
    }
    if units_differ(&a, &b) {
        return Some("unit");
    }
    let flag = |x: &Text<'_>, y: &Text<'_>| x.flags.iter().any(|flag| !y.all_flags.contains(flag));
    if flag(&a, &b) && flag(&b, &a) {
        return Some("code");
    }
    if short && alike >= ALIKE && a.verdict.is_none() && b.verdict.is_none() {
        if a.negations % 2 != b.negations % 2 {
            return Some("negation");
        }
        if opposite(&a, &b) {
            return Some("opposite");
        }
    }
    // A bare yes has no subject.
    let judged = a.verdict.is_some() && b.verdict.is_some();
    let apart = !judged && a.words_in(&b).max(b.words_in(&a)) < LEAST_SHARED;
    let far = || semantic.vector(a.all).similarity(&semantic.vector(b.all)) < NEAR;
    (apart && far()).then_some("subject")
}

/// How many of one answer's slots the other has not, of how many.
type Missing = (usize, usize);

/// Each has some that the other has not: all of them, or some of two sentences that are nearly the same.
fn clash((a, of_a): Missing, (b, of_b): Missing, alike: f64) -> bool {
    a > 0 && b > 0 && (a == of_a && b == of_b || alike >= VERY_ALIKE)
}

fn missing_names(of: &Text<'_>, other: &Text<'_>) -> Missing {
    (of.names.iter().filter(|name| !other.has_name(name)).count(), of.names.len())
}

fn missing_numbers(of: &Text<'_>, other: &Text<'_>, short: bool) -> Missing {
    let counts = |(number, _): &&(f64, _)| short || *number > FEW;
    let all = of.numbers.iter().filter(counts);
    (all.clone().filter(|(number, _)| !other.has_number(*number)).count(), all.count())
}

/// One number that counts one unit here and another one there.
fn units_differ(a: &Text<'_>, b: &Text<'_>) -> bool {
    a.numbers.iter().any(|(number, unit)| {
        let mut theirs = b.numbers.iter().filter(|(n, unit)| same(*n, *number) && unit.is_some()).peekable();
        unit.is_some() && theirs.peek().is_some() && theirs.all(|(_, other)| other != unit)
    })
}

fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= f64::EPSILON * a.abs().max(b.abs())
}

#[cfg(test)]
mod tests;
