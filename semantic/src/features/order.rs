//! Whether the words of two prompts come in the same order.

use std::collections::{HashMap, HashSet};

use crate::features::{count, ratio};
use crate::text::Document;

#[derive(Debug)]
pub(crate) struct Order {
    /// Longest common subsequence of the content, as a part of the shorter one.
    pub(crate) common_subsequence: f64,
    /// Part of the pairs of common words that stand the other way round.
    pub(crate) inversions: f64,
    /// Jaccard of the pairs of neighbouring words.
    pub(crate) bigrams: f64,
}

/// With more common words than this, inversions are not counted.
const MOST_COMMON: usize = 60;

pub(crate) fn order(a: &Document, b: &Document) -> Order {
    let x: Vec<&str> = a.content_stems().collect();
    let y: Vec<&str> = b.content_stems().collect();
    let pairs = |d: &Document| -> HashSet<(String, String)> {
        d.stems.iter().zip(d.stems.iter().skip(1)).map(|(p, q)| (p.clone(), q.clone())).collect()
    };
    let (p, q) = (pairs(a), pairs(b));
    let common = p.intersection(&q).count();
    Order {
        common_subsequence: count(subsequence(&x, &y)) / count(x.len().min(y.len()).max(1)),
        inversions: inversions(&x, &y),
        bigrams: count(common) / count((p.len() + q.len() - common).max(1)),
    }
}

fn subsequence(a: &[&str], b: &[&str]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        let mut left = 0;
        for (y, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let above = *cell;
            *cell = if x == y { diagonal + 1 } else { above.max(left) };
            (diagonal, left) = (above, *cell);
        }
    }
    row.last().copied().unwrap_or(0)
}

fn inversions(a: &[&str], b: &[&str]) -> f64 {
    let once = |of: &[&str]| {
        let mut places: HashMap<String, Option<usize>> = HashMap::new();
        for (at, word) in of.iter().enumerate() {
            places.entry((*word).to_owned()).and_modify(|p| *p = None).or_insert(Some(at));
        }
        places
    };
    let (in_a, in_b) = (once(a), once(b));
    let place = |w: &&str| in_a.get(*w).copied().flatten().and_then(|_| in_b.get(*w).copied().flatten());
    let places: Vec<usize> = a.iter().filter_map(place).collect();
    if places.len() >= MOST_COMMON {
        return 0.0;
    }
    let mut turned = 0;
    for (n, p) in places.iter().enumerate() {
        turned += places.iter().skip(n + 1).filter(|q| p > q).count();
    }
    let all = places.len() * places.len().saturating_sub(1) / 2;
    ratio(count(turned), count(all), 0.0)
}
