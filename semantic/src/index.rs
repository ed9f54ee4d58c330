//! The nearest stored prompts of one partition: int8 vectors, every one looked at, so the answer is exact.

use std::collections::HashMap;

use crate::model::DIMENSIONS;
use crate::vector::{Quantised, VectorError, as_similarity};

/// A stored prompt and how near it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// As given to [`Index::insert`].
    pub id: u64,
    /// Cosine of the two int8 vectors.
    pub similarity: f32,
}

/// The vectors of one partition, in rows that lie one after the other. All have the dimensions of the first;
/// an index that has become empty takes others.
#[derive(Debug, Default)]
pub struct Index {
    dimensions: usize,
    rows: Vec<i8>,
    scales: Vec<f32>,
    ids: Vec<u64>,
    slots: HashMap<u64, usize>,
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
        self.rows.extend_from_slice(&vector.values);
        self.scales.push(vector.scale);
        self.ids.push(id);
        Ok(())
    }

    /// Takes a vector out; the last one moves into its place. False if the id is not there.
    pub fn remove(&mut self, id: u64) -> bool {
        let Some(slot) = self.slots.remove(&id) else { return false };
        let last = self.rows.len().saturating_sub(self.dimensions);
        self.rows.copy_within(last.., slot * self.dimensions);
        self.rows.truncate(last);
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
        self.rows.capacity()
            + self.scales.capacity() * size_of::<f32>()
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
        let wide: Vec<i16> = self.query.values.iter().map(|x| i16::from(*x)).collect();
        // With a length that the compiler knows, the products of a row are a few instructions.
        match wide.as_array::<DIMENSIONS>() {
            Some(query) => {
                let (rows, _) = self.index.rows.as_chunks::<DIMENSIONS>();
                self.among(rows.iter().map(|row| products(query, row)))
            }
            None => self.among(self.index.rows.chunks_exact(wide.len()).map(|row| products(&wide, row))),
        }
    }
}

impl Scan<'_> {
    #[expect(clippy::inline_always, reason = "as above")]
    #[inline(always)]
    fn among(&self, products: impl Iterator<Item = i32>) -> Vec<Neighbour> {
        let mut best: Vec<Neighbour> = Vec::with_capacity(self.count + 1);
        let mut least = self.at_least;
        for (slot, (sum, scale)) in products.zip(&self.index.scales).enumerate() {
            let similarity = as_similarity(sum, scale * self.query.scale);
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
fn products(query: &[i16], row: &[i8]) -> i32 {
    query.iter().zip(row).map(|(a, b)| i32::from(*a) * i32::from(i16::from(*b))).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
            dimensions in prop::sample::select(vec![3, 100, DIMENSIONS, 384, 1536])
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
