//! How much of each prompt the other one covers, word by word.

use std::collections::HashSet;

use crate::features::{count, ratio};
use crate::model::dot;
use crate::prompt::Prompt;

/// What of two prompts is common and what is not.
#[derive(Debug)]
pub(crate) struct Overlap {
    /// Places in the content of words whose stem the other prompt does not have; each stem once.
    pub(crate) alone_a: Vec<usize>,
    pub(crate) alone_b: Vec<usize>,
    pub(crate) covered_least: f64,
    pub(crate) covered_most: f64,
    /// The two largest parts of a word that nothing in the other prompt is near to.
    pub(crate) residuals: [f64; 2],
    pub(crate) residual_sum: f64,
    pub(crate) jaccard: f64,
    pub(crate) weighted_jaccard: f64,
    /// Cosine of the nearest and the farthest pair of words that are alone; -1 and 2 without one.
    pub(crate) nearest_alone: f64,
    pub(crate) farthest_alone: f64,
    pub(crate) heaviest_alone: f64,
}

pub(crate) fn overlap(a: &Prompt, b: &Prompt) -> Overlap {
    let stems_a: Vec<&str> = a.document.content_stems().collect();
    let stems_b: Vec<&str> = b.document.content_stems().collect();
    let (set_a, set_b): (HashSet<&str>, HashSet<&str>) =
        (stems_a.iter().copied().collect(), stems_b.iter().copied().collect());
    let alone_a = first_of_each(&stems_a, &set_b);
    let alone_b = first_of_each(&stems_b, &set_a);
    let (total_a, total_b): (f64, f64) = (a.weights.iter().sum(), b.weights.iter().sum());
    let (rest_a, rest_b) = (residuals(a, &stems_a, b, &set_b), residuals(b, &stems_b, a, &set_a));
    let (sum_a, sum_b): (f64, f64) = (rest_a.iter().sum(), rest_b.iter().sum());
    let comparable = !stems_a.is_empty() && !stems_b.is_empty();
    let nothing = if stems_a.len() == stems_b.len() { 1.0 } else { 0.0 };
    let covered = |sum, total| if comparable { 1.0 - ratio(sum, total, 0.0) } else { nothing };
    let (covered_a, covered_b) = (covered(sum_a, total_a), covered(sum_b, total_b));
    let mut largest: Vec<f64> = if comparable { rest_a.into_iter().chain(rest_b).collect() } else { Vec::new() };
    largest.sort_unstable_by(|x, y| y.total_cmp(x));
    let at = |n: usize| largest.get(n).copied().unwrap_or(0.0);
    let common = set_a.intersection(&set_b).count();
    let shared = shared_weight(a, &stems_a, &set_b) + shared_weight(b, &stems_b, &set_a);
    let (nearest_alone, farthest_alone) = extremes(a, &alone_a, b, &alone_b);
    let weight = |p: &Prompt, of: &[usize]| of.iter().filter_map(|i| p.weights.get(*i)).copied().fold(0.0, f64::max);
    Overlap {
        covered_least: covered_a.min(covered_b),
        covered_most: covered_a.max(covered_b),
        residuals: [at(0), at(1)],
        residual_sum: if comparable { sum_a.max(sum_b) } else { 0.0 },
        jaccard: count(common) / count((set_a.len() + set_b.len() - common).max(1)),
        weighted_jaccard: ratio(shared, total_a + total_b, 1.0),
        nearest_alone,
        farthest_alone,
        heaviest_alone: weight(a, &alone_a).max(weight(b, &alone_b)),
        alone_a,
        alone_b,
    }
}

fn first_of_each(stems: &[&str], other: &HashSet<&str>) -> Vec<usize> {
    let mut seen = HashSet::new();
    (0..).zip(stems).filter(|(_, s)| !other.contains(*s) && seen.insert(**s)).map(|(at, _)| at).collect()
}

/// For each word that the other prompt does not have: its weight, less what the nearest word there covers.
fn residuals(of: &Prompt, stems: &[&str], other: &Prompt, known: &HashSet<&str>) -> Vec<f64> {
    let mut left = Vec::new();
    for ((stem, vector), weight) in stems.iter().zip(&of.vectors).zip(&of.weights) {
        if !known.contains(stem) {
            let nearest = other.vectors.iter().map(|v| dot(vector, v)).fold(-1.0, f32::max);
            left.push(weight * (1.0 - f64::from(nearest)));
        }
    }
    left
}

fn shared_weight(of: &Prompt, stems: &[&str], known: &HashSet<&str>) -> f64 {
    stems.iter().zip(&of.weights).filter(|(stem, _)| known.contains(*stem)).map(|(_, w)| w).sum()
}

fn extremes(a: &Prompt, alone_a: &[usize], b: &Prompt, alone_b: &[usize]) -> (f64, f64) {
    let (mut nearest, mut farthest) = (-1.0_f64, 2.0_f64);
    for x in alone_a.iter().filter_map(|i| a.vectors.get(*i)) {
        for y in alone_b.iter().filter_map(|i| b.vectors.get(*i)) {
            let cosine = f64::from(dot(x, y));
            nearest = nearest.max(cosine);
            farthest = farthest.min(cosine);
        }
    }
    (nearest, farthest)
}

/// Common part of two sorted lists without duplicates.
pub(crate) fn jaccard_sorted<T: Ord>(a: &[T], b: &[T]) -> f64 {
    let (mut i, mut j, mut common) = (0, 0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        match x.cmp(y) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => (i, j, common) = (i + 1, j + 1, common + 1),
        }
    }
    count(common) / count((a.len() + b.len() - common).max(1))
}
