//! The nearest stored prompts of one partition: int8 vectors, every one looked at, so the answer is exact.

use std::collections::HashMap;

use crate::model::{DIMENSIONS, Embedding};

/// An embedding in int8: `unit ≈ values × scale`.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantised {
    values: [i8; DIMENSIONS],
    scale: f32,
}

impl Quantised {
    #[expect(clippy::cast_possible_truncation, reason = "within -127..=127 by the division")]
    pub(crate) fn new(embedding: &Embedding) -> Self {
        let largest = embedding.unit.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
        let scale = if largest > 0.0 { largest / 127.0 } else { 1.0 };
        let mut values = [0; DIMENSIONS];
        for (value, x) in values.iter_mut().zip(&embedding.unit) {
            *value = (x / scale).round() as i8;
        }
        Self { values, scale }
    }

    /// Cosine of two vectors.
    pub fn similarity(&self, other: &Self) -> f32 {
        let sum: i32 = self.values.iter().zip(&other.values).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
        as_similarity(sum, self.scale * other.scale)
    }
}

/// A stored prompt and how near it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// As given to [`Index::insert`].
    pub id: u64,
    /// Cosine of the two int8 vectors.
    pub similarity: f32,
}

/// The vectors of one partition, in rows that lie one after the other.
#[derive(Debug, Default)]
pub struct Index {
    rows: Vec<[i8; DIMENSIONS]>,
    scales: Vec<f32>,
    ids: Vec<u64>,
    slots: HashMap<u64, usize>,
}

impl Index {
    /// Adds a vector, or replaces the one with this id.
    pub fn insert(&mut self, id: u64, vector: &Quantised) {
        self.remove(id);
        self.slots.insert(id, self.ids.len());
        self.rows.push(vector.values);
        self.scales.push(vector.scale);
        self.ids.push(id);
    }

    /// Takes a vector out; the last one moves into its place. False if the id is not there.
    pub fn remove(&mut self, id: u64) -> bool {
        let Some(slot) = self.slots.remove(&id) else { return false };
        self.rows.swap_remove(slot);
        self.scales.swap_remove(slot);
        self.ids.swap_remove(slot);
        if let Some(moved) = self.ids.get(slot) {
            self.slots.insert(*moved, slot);
        }
        true
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Bytes held, with what the vectors have reserved.
    pub fn memory(&self) -> usize {
        self.rows.capacity() * DIMENSIONS
            + self.scales.capacity() * size_of::<f32>()
            + self.ids.capacity() * size_of::<u64>()
            // A bucket and its control byte; hashbrown keeps at least an eighth free.
            + self.slots.capacity() * 8 / 7 * (size_of::<(u64, usize)>() + 1)
    }

    /// The `count` nearest with at least this similarity, nearest first; equals in the order of their ids.
    pub fn nearest(&self, query: &Quantised, count: usize, at_least: f32) -> Vec<Neighbour> {
        if count == 0 {
            return Vec::new();
        }
        pulp::Arch::new().dispatch(Scan { index: self, query, count, at_least })
    }
}

/// One search, compiled for each instruction set and chosen at run time.
struct Scan<'a> {
    index: &'a Index,
    query: &'a Quantised,
    count: usize,
    at_least: f32,
}

impl pulp::NullaryFnOnce for Scan<'_> {
    type Output = Vec<Neighbour>;

    #[expect(clippy::inline_always, reason = "only what is inlined is compiled for the instruction set")]
    #[inline(always)]
    fn call(self) -> Vec<Neighbour> {
        let mut query = [0_i16; DIMENSIONS];
        for (wide, narrow) in query.iter_mut().zip(&self.query.values) {
            *wide = i16::from(*narrow);
        }
        let mut best: Vec<Neighbour> = Vec::with_capacity(self.count + 1);
        let mut least = self.at_least;
        for (slot, (row, scale)) in self.index.rows.iter().zip(&self.index.scales).enumerate() {
            let similarity = as_similarity(products(&query, row), scale * self.query.scale);
            if similarity < least {
                continue;
            }
            let Some(&id) = self.index.ids.get(slot) else { break };
            let at = best.partition_point(|n| similarity.total_cmp(&n.similarity).then(n.id.cmp(&id)).is_lt());
            best.insert(at, Neighbour { id, similarity });
            best.truncate(self.count);
            if let (true, Some(last)) = (best.len() == self.count, best.last()) {
                least = last.similarity;
            }
        }
        best
    }
}

#[expect(clippy::inline_always, reason = "as above")]
#[inline(always)]
fn products(query: &[i16; DIMENSIONS], row: &[i8; DIMENSIONS]) -> i32 {
    let mut sum = 0_i32;
    for (a, b) in query.iter().zip(row) {
        sum += i32::from(*a) * i32::from(i16::from(*b));
    }
    sum
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "as above")]
#[expect(clippy::cast_precision_loss, reason = "at most 256 × 127², which an f32 holds exactly")]
fn as_similarity(sum: i32, scale: f32) -> f32 {
    sum as f32 * scale
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vector(seed: u64) -> Quantised {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut unit = [0.0; DIMENSIONS];
        for x in &mut unit {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *x = f32::from(i8::try_from(state % 201).map_or(0, |v| v) - 100) / 1000.0;
        }
        Quantised::new(&Embedding { unit, length: 1.0 })
    }

    proptest! {
        #[test]
        fn the_nearest_are_those_of_a_full_sort(
            operations in prop::collection::vec((0_u64..40, any::<bool>()), 1..120), count in 1_usize..8
        ) {
            let (mut index, mut model) = (Index::default(), std::collections::BTreeMap::new());
            for (id, insert) in operations {
                if insert {
                    // The vector of an id changes when it is inserted again.
                    let v = vector(id + 1000 * model.len() as u64);
                    index.insert(id, &v);
                    model.insert(id, v);
                } else {
                    prop_assert_eq!(index.remove(id), model.remove(&id).is_some());
                }
                prop_assert_eq!(index.len(), model.len());
            }
            let query = vector(77);
            let mut expected: Vec<_> = model.iter()
                .map(|(id, v)| Neighbour { id: *id, similarity: query.similarity(v) })
                .filter(|n| n.similarity >= -0.05)
                .collect();
            expected.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.id.cmp(&b.id)));
            expected.truncate(count);
            prop_assert_eq!(index.nearest(&query, count, -0.05), expected);
        }
    }
}
