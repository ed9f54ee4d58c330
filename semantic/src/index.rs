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

/// The vectors of one partition. All have the dimensions of the first; an index that has become empty takes others.
///
/// A row is in two parts. What the second can add to a product is at most the product of the two lengths (Cauchy and
/// Schwarz), so that most rows are out after the first part, which is all that a search has to read of them: in the
/// built-in embedding, whose dimensions fall in weight, a quarter of the bytes has 59 % of the squared length.
#[derive(Debug, Default)]
pub struct Index {
    dimensions: usize,
    first: Vec<i8>,
    second: Vec<i8>,
    rows: Vec<Row>,
    ids: Vec<u64>,
    slots: HashMap<u64, usize>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    scale: f32,
    /// Length of the second part.
    second: f32,
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
        let (first, second) = parts(vector);
        self.first.extend_from_slice(first);
        self.second.extend_from_slice(second);
        self.rows.push(Row { scale: vector.scale, second: length(second, vector.scale) });
        self.ids.push(id);
        Ok(())
    }

    /// Takes a vector out; the last one moves into its place. False if the id is not there.
    pub fn remove(&mut self, id: u64) -> bool {
        let Some(slot) = self.slots.remove(&id) else { return false };
        let width = first_of(self.dimensions);
        swap_remove(&mut self.first, slot, width);
        swap_remove(&mut self.second, slot, self.dimensions - width);
        self.rows.swap_remove(slot);
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
        self.first.capacity()
            + self.second.capacity()
            + self.rows.capacity() * size_of::<Row>()
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

/// Dimensions in the first part.
fn first_of(dimensions: usize) -> usize {
    dimensions / 4
}

fn parts(vector: &Quantised) -> (&[i8], &[i8]) {
    vector.values.split_at(first_of(vector.values.len()))
}

fn length(values: &[i8], scale: f32) -> f32 {
    as_similarity(values.iter().map(|x| i32::from(*x).pow(2)).sum(), 1.0).sqrt() * scale
}

fn swap_remove(rows: &mut Vec<i8>, slot: usize, width: usize) {
    let last = rows.len().saturating_sub(width);
    rows.copy_within(last.., slot * width);
    rows.truncate(last);
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

    #[inline(always)]
    fn call(self) -> Vec<Neighbour> {
        const FIRST: usize = DIMENSIONS / 4;
        const SECOND: usize = DIMENSIONS - FIRST;
        let wide = |part: &[i8]| -> Vec<i16> { part.iter().map(|x| i16::from(*x)).collect() };
        let (first, second) = parts(self.query);
        let (first, second) = (wide(first), wide(second));
        // With a length that the compiler knows, the products of a row are a few instructions.
        if let (Some(p), Some(q)) = (first.as_array::<FIRST>(), second.as_array::<SECOND>()) {
            let (rows, _) = self.index.first.as_chunks::<FIRST>();
            let (rest, _) = self.index.second.as_chunks::<SECOND>();
            return self.among(rows.iter().map(|row| products(p, row)), |slot| {
                Some(products(p, rows.get(slot)?) + products(q, rest.get(slot)?))
            });
        }
        let row = |rows: &[i8], query: &[i16], slot: usize| {
            let at = slot * query.len();
            rows.get(at..at + query.len()).map(|row| products(query, row))
        };
        let all = (0..self.index.len()).filter_map(|slot| row(&self.index.first, &first, slot));
        self.among(all, |slot| Some(row(&self.index.first, &first, slot)? + row(&self.index.second, &second, slot)?))
    }
}

impl Scan<'_> {
    /// `first`: the products of the first parts; `whole`: that of one row.
    #[inline(always)]
    fn among(&self, first: impl Iterator<Item = i32>, whole: impl Fn(usize) -> Option<i32>) -> Vec<Neighbour> {
        /// What rounding may take from a bound.
        const SLACK: f32 = 1e-4;
        let after = length(parts(self.query).1, self.query.scale);
        let bound =
            |(sum, row): (i32, &Row)| as_similarity(sum, row.scale * self.query.scale) + row.second * after + SLACK;
        let bounds: Vec<f32> = first.zip(&self.index.rows).map(bound).collect();
        // Those that look best make the bar high for all others.
        let mut promising: Vec<(f32, usize)> = Vec::with_capacity(self.count + 1);
        for (slot, bound) in bounds.iter().enumerate() {
            if promising.len() < self.count || promising.last().is_some_and(|(last, _)| bound > last) {
                promising.insert(promising.partition_point(|(known, _)| known >= bound), (*bound, slot));
                promising.truncate(self.count);
            }
        }
        let mut best = Best { rows: Vec::with_capacity(self.count + 1), count: self.count, least: self.at_least };
        let mut look = |slot: usize| {
            if let (Some(sum), Some(row), Some(id)) = (whole(slot), self.index.rows.get(slot), self.index.ids.get(slot))
            {
                best.offer(Neighbour { id: *id, similarity: as_similarity(sum, row.scale * self.query.scale) });
            }
            best.least
        };
        let mut least = self.at_least;
        for (_, slot) in &promising {
            least = look(*slot);
        }
        for (slot, bound) in bounds.iter().enumerate() {
            if *bound >= least && !promising.iter().any(|(_, known)| *known == slot) {
                least = look(slot);
            }
        }
        best.rows
    }
}

/// The nearest so far, nearest first.
struct Best {
    rows: Vec<Neighbour>,
    count: usize,
    /// Less similar ones are not wanted.
    least: f32,
}

impl Best {
    fn offer(&mut self, new: Neighbour) {
        if new.similarity < self.least {
            return;
        }
        let nearer = |n: &Neighbour| new.similarity.total_cmp(&n.similarity).then(n.id.cmp(&new.id)).is_lt();
        self.rows.insert(self.rows.partition_point(nearer), new);
        self.rows.truncate(self.count);
        if let (true, Some(last)) = (self.rows.len() == self.count, self.rows.last()) {
            self.least = last.similarity;
        }
    }
}

#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the instruction set")]
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
