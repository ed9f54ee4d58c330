//! The nearest stored prompts of one partition: int8 vectors, every one looked at, so the answer is exact.

mod blocks;
mod scan;

use rustc_hash::FxHashMap as HashMap;

use crate::vector::{Quantised, VectorError, as_similarity};
use blocks::Blocks;

/// A stored prompt and how near it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// As given to [`Index::insert`].
    pub id: u64,
    /// Cosine of the two int8 vectors.
    pub similarity: f32,
}

/// The vectors of one partition. All have the dimensions of the first; an index that has become empty takes others.
///
/// A row is in three parts. What the later ones can add to a product is at most the product of their lengths (Cauchy and
/// Schwarz), so that a search reads the first part of every row, the second one of those that may still be near, and the
/// third one of few: of the squared length of the built-in embedding, a quarter of the bytes has 59 %, and half of them 82 %.
#[derive(Debug, Default)]
pub struct Index {
    dimensions: usize,
    first: Blocks,
    /// Length of the longest first part that there has been.
    longest: f32,
    /// The other two parts; each has the values of all rows in their order.
    later: [Vec<i8>; 2],
    rows: Rows,
    ids: Vec<u64>,
    slots: HashMap<u64, usize>,
}

/// What is told of each row beside its values.
#[derive(Debug, Default)]
struct Rows {
    scales: Vec<f32>,
    /// Lengths of what comes after the first part, and after the second.
    beyond: [Vec<f32>; 2],
}

impl Index {
    /// Adds a vector, or replaces the one with this id.
    ///
    /// # Errors
    /// When it has other dimensions than those that are there; then nothing has changed.
    pub fn insert(&mut self, id: u64, vector: &Quantised) -> Result<(), VectorError> {
        let (expected, given) = (self.dimensions, vector.dimensions());
        if given == 0 {
            return Err(VectorError::Zero);
        }
        if given != expected && !self.is_empty() {
            return Err(VectorError::Dimensions { expected, given });
        }
        self.remove(id);
        self.dimensions = given;
        self.slots.insert(id, self.ids.len());
        let [first, second, third] = parts(vector);
        self.first.push(first);
        self.longest = self.longest.max(length(first, vector.scale));
        for (part, values) in self.later.iter_mut().zip([second, third]) {
            part.extend_from_slice(values);
        }
        self.rows.scales.push(vector.scale);
        self.rows.beyond.iter_mut().zip(beyond(vector)).for_each(|(of, length)| of.push(length));
        self.ids.push(id);
        Ok(())
    }

    /// Takes a vector out; the last one moves into its place. False if the id is not there.
    pub fn remove(&mut self, id: u64) -> bool {
        let Some(slot) = self.slots.remove(&id) else { return false };
        let [_, second, third] = widths(self.dimensions);
        self.first.swap_remove(slot);
        for (part, width) in self.later.iter_mut().zip([second, third]) {
            swap_remove(part, slot, width);
        }
        self.rows.scales.swap_remove(slot);
        for of in &mut self.rows.beyond {
            of.swap_remove(slot);
        }
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
        self.first.memory()
            + self.later.iter().map(Vec::capacity).sum::<usize>()
            + self.rows.scales.capacity() * 3 * size_of::<f32>()
            + self.ids.capacity() * size_of::<u64>()
            // A bucket and its control byte; hashbrown keeps at least an eighth free.
            + self.slots.capacity() * 8 / 7 * (size_of::<(u64, usize)>() + 1)
    }

    /// The `count` nearest with at least this similarity, nearest first; equals in the order of their ids.
    /// Nothing is near a vector of other dimensions.
    pub fn nearest(&self, query: &Quantised, count: usize, at_least: f32) -> Vec<Neighbour> {
        if count == 0 || self.is_empty() || query.dimensions() != self.dimensions {
            return Vec::new();
        }
        scan::scan(self, query, count, at_least)
    }
}

/// A quarter, a quarter, and the rest.
fn widths(dimensions: usize) -> [usize; 3] {
    let quarter = dimensions.div_ceil(4);
    let second = quarter.min(dimensions - quarter);
    [quarter, second, dimensions - quarter - second]
}

fn parts(vector: &Quantised) -> [&[i8]; 3] {
    let [first, second, _] = widths(vector.values.len());
    let (first, rest) = vector.values.split_at(first);
    let (second, third) = rest.split_at(second);
    [first, second, third]
}

fn beyond(vector: &Quantised) -> [f32; 2] {
    let [_, second, third] = parts(vector).map(|part| length(part, vector.scale));
    [second.hypot(third), third]
}

fn length(values: &[i8], scale: f32) -> f32 {
    let squares = values.iter().map(|x| i32::from(*x).pow(2)).sum();
    as_similarity(squares, 1.0).sqrt() * scale
}

fn swap_remove(rows: &mut Vec<i8>, slot: usize, width: usize) {
    let last = rows.len().saturating_sub(width);
    rows.copy_within(last.., slot * width);
    rows.truncate(last);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::DIMENSIONS;

    fn vector(seed: u64, dimensions: usize) -> Quantised {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            f32::from(i8::try_from(state % 201).map_or(0, |v| v) - 100)
        };
        let values: Vec<f32> = (0..dimensions).map(|_| random()).collect();
        Quantised::from_vector(&values).unwrap()
    }

    proptest! {
        #[test]
        fn the_nearest_are_those_of_a_full_sort(
            operations in prop::collection::vec((0_u64..40, any::<bool>()), 1..120), count in 1_usize..8,
            dimensions in prop::sample::select(vec![2, 3, 100, DIMENSIONS, 384, 1536])
        ) {
            let (mut index, mut model) = (Index::default(), std::collections::BTreeMap::new());
            for (id, insert) in operations {
                if insert {
                    // The vector of an id changes when it is inserted again.
                    let v = vector(id + 1000 * model.len() as u64, dimensions);
                    index.insert(id, &v).unwrap();
                    model.insert(id, v);
                } else {
                    prop_assert_eq!(index.remove(id), model.remove(&id).is_some());
                }
                prop_assert_eq!(index.len(), model.len());
            }
            let query = vector(77, dimensions);
            let mut expected: Vec<_> = model.iter()
                .map(|(id, v)| Neighbour { id: *id, similarity: query.similarity(v) })
                .filter(|n| n.similarity >= -0.05)
                .collect();
            expected.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.id.cmp(&b.id)));
            expected.truncate(count);
            prop_assert_eq!(index.nearest(&query, count, -0.05), expected);
        }
    }

    #[test]
    fn an_index_holds_vectors_of_one_model_until_it_is_empty() {
        let mut index = Index::default();
        index.insert(1, &vector(1, 8)).unwrap();
        let refused = index.insert(1, &vector(2, 9));
        assert_eq!(refused, Err(VectorError::Dimensions { expected: 8, given: 9 }));
        assert_eq!(index.nearest(&vector(1, 8), 5, 0.9).len(), 1);
        assert_eq!(index.nearest(&vector(1, 9), 5, -1.0), []);
        assert!(index.remove(1));
        index.insert(1, &vector(2, 9)).unwrap();
        assert_eq!(index.nearest(&vector(2, 9), 5, 0.9).len(), 1);
    }
}
