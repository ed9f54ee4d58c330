//! How much of each prompt the other one covers, word by word.

use crate::features::{count, ratio};
use crate::lexicon::Lexicon;
use crate::model::{DIMENSIONS, dot};
use crate::prompt::Prompt;

/// What one prompt has and the other has not. Places are those in the content.
#[derive(Debug, Default)]
pub(crate) struct Side {
    /// How many stems the other prompt does not have.
    pub(crate) alone: usize,
    /// The places of those that say what the prompt is about.
    pub(crate) hard: Vec<usize>,
    places: Vec<usize>,
    pub(crate) hard_weight: f64,
    pub(crate) heaviest: f64,
    /// The part of the weight that the other prompt has something near to.
    pub(crate) covered: f64,
    /// The rest, as weight.
    pub(crate) residual: f64,
    residuals: Vec<f64>,
    worst_cover: f64,
}

/// What of two prompts is common and what is not.
#[derive(Debug)]
pub(crate) struct Overlap {
    pub(crate) a: Side,
    pub(crate) b: Side,
    /// The two largest parts of a word that nothing in the other prompt is near to.
    pub(crate) residuals: [f64; 2],
    pub(crate) jaccard: f64,
    pub(crate) weighted_jaccard: f64,
    /// Cosine of the nearest and the farthest pair of words that are alone; -1 and 2 without one.
    pub(crate) nearest_alone: f64,
    pub(crate) farthest_alone: f64,
    /// The least cosine of a hard word with its nearest in the other prompt.
    pub(crate) worst_cover: f64,
    /// Cosine of what is alone on both sides; 1 when nothing is, 0 when one side has nothing.
    pub(crate) rest: f64,
}

pub(crate) fn overlap(a: &Prompt, b: &Prompt, lexicon: &Lexicon) -> Overlap {
    let stems_a: Vec<&str> = a.document.content_stems().collect();
    let stems_b: Vec<&str> = b.document.content_stems().collect();
    let mut side_a = side(a, &stems_a, b, &stems_b, lexicon);
    let mut side_b = side(b, &stems_b, a, &stems_a, lexicon);
    if stems_a.is_empty() || stems_b.is_empty() {
        let covered = if stems_a.len() == stems_b.len() { 1.0 } else { 0.0 };
        for side in [&mut side_a, &mut side_b] {
            (side.covered, side.residual) = (covered, 0.0);
            side.residuals.clear();
        }
    }
    let mut largest: Vec<f64> = side_a.residuals.iter().chain(&side_b.residuals).copied().collect();
    largest.sort_unstable_by(|x, y| y.total_cmp(x));
    let at = |n: usize| largest.get(n).copied().unwrap_or(0.0);
    let shared = shared_weight(a, &stems_a, &stems_b) + shared_weight(b, &stems_b, &stems_a);
    let total: f64 = a.weights.iter().chain(&b.weights).sum();
    let (nearest_alone, farthest_alone) = extremes(a, &side_a.places, b, &side_b.places);
    Overlap {
        residuals: [at(0), at(1)],
        jaccard: jaccard_sorted(&each_once(stems_a), &each_once(stems_b)),
        weighted_jaccard: ratio(shared, total, 1.0),
        nearest_alone,
        farthest_alone,
        worst_cover: side_a.worst_cover.min(side_b.worst_cover),
        rest: rest(a, &side_a.places, b, &side_b.places),
        a: side_a,
        b: side_b,
    }
}

fn each_once(mut stems: Vec<&str>) -> Vec<&str> {
    stems.sort_unstable();
    stems.dedup();
    stems
}

fn side(of: &Prompt, stems: &[&str], other: &Prompt, known: &[&str], lexicon: &Lexicon) -> Side {
    let mut side = Side { worst_cover: 1.0, ..Side::default() };
    let mut seen: Vec<&str> = Vec::new();
    for (at, ((stem, vector), weight)) in stems.iter().zip(&of.vectors).zip(&of.weights).enumerate() {
        if known.contains(stem) {
            continue;
        }
        let nearest = f64::from(other.vectors.iter().map(|v| dot(vector, v)).fold(-1.0, f32::max));
        side.residuals.push(weight * (1.0 - nearest));
        if seen.contains(stem) {
            continue;
        }
        seen.push(stem);
        side.alone += 1;
        side.places.push(at);
        side.heaviest = side.heaviest.max(*weight);
        if !lexicon.is_generic(stem) {
            side.hard.push(at);
            side.hard_weight += weight;
            side.worst_cover = side.worst_cover.min(nearest);
        }
    }
    side.residual = side.residuals.iter().sum();
    side.covered = 1.0 - ratio(side.residual, of.weights.iter().sum(), 0.0);
    side
}

fn shared_weight(of: &Prompt, stems: &[&str], known: &[&str]) -> f64 {
    stems.iter().zip(&of.weights).filter(|(stem, _)| known.contains(stem)).map(|(_, w)| w).sum()
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

fn rest(a: &Prompt, alone_a: &[usize], b: &Prompt, alone_b: &[usize]) -> f64 {
    if alone_a.is_empty() || alone_b.is_empty() {
        return if alone_a.is_empty() && alone_b.is_empty() { 1.0 } else { 0.0 };
    }
    let (x, y) = (sum(a, alone_a), sum(b, alone_b));
    ratio(f64::from(dot(&x, &y)), f64::from(dot(&x, &x).sqrt()) * f64::from(dot(&y, &y).sqrt()), 0.0)
}

fn sum(of: &Prompt, places: &[usize]) -> [f32; DIMENSIONS] {
    let mut total = [0.0; DIMENSIONS];
    for at in places {
        let (Some(vector), Some(weight)) = (of.vectors.get(*at), of.weights.get(*at)) else { continue };
        #[expect(clippy::cast_possible_truncation, reason = "it came from an f32")]
        let weight = *weight as f32;
        total.iter_mut().zip(vector).for_each(|(t, x)| *t += weight * x);
    }
    total
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
