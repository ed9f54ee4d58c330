//! One search of an index, compiled for each instruction set and chosen at run time.
//!
//! Only what is inlined into [`Scan::call`] is compiled for the instruction set, hence the loops where there could be
//! closures: whether one of those is inlined is anybody's guess.
#![expect(clippy::inline_always, reason = "only what is inlined is compiled for the instruction set")]

use crate::index::{Index, Neighbour, Row, beyond, parts};
use crate::model::DIMENSIONS;
use crate::vector::{Quantised, as_similarity};

/// What rounding may take from a bound.
const SLACK: f32 = 1e-4;
/// So many bounds are compared at once.
const BLOCK: usize = 64;
const QUARTER: usize = DIMENSIONS / 4;
const REST: usize = DIMENSIONS - 2 * QUARTER;

/// The `count` nearest with at least a similarity.
pub(super) struct Scan<'a> {
    pub(super) index: &'a Index,
    pub(super) query: &'a Quantised,
    pub(super) count: usize,
    pub(super) at_least: f32,
}

impl pulp::NullaryFnOnce for Scan<'_> {
    type Output = Vec<Neighbour>;

    #[inline(always)]
    fn call(self) -> Vec<Neighbour> {
        let query = parts(self.query).map(|part| -> Vec<i16> { part.iter().map(|x| i16::from(*x)).collect() });
        let [p, q, r] = query.each_ref().map(Vec::as_slice);
        let [one, two, three] = self.index.parts.each_ref().map(Vec::as_slice);
        // With a length that the compiler knows, the products of a row are a few instructions.
        if let (Some(p), Some(q), Some(r)) = (p.as_array(), q.as_array(), r.as_array()) {
            let (one, two, three) = (one.as_chunks().0, two.as_chunks().0, three.as_chunks().0);
            return self.among(&BuiltIn { p, q, r, one, two, three });
        }
        self.among(&Outside { query: [p, q, r], rows: [one, two, three] })
    }
}

/// The products of a row's parts with those of the query; nothing if there is no such row.
trait Products {
    fn first(&self, slot: usize) -> Option<i32>;
    fn second(&self, slot: usize) -> Option<i32>;
    fn third(&self, slot: usize) -> Option<i32>;
}

/// Vectors of the built-in model.
struct BuiltIn<'a> {
    p: &'a [i16; QUARTER],
    q: &'a [i16; QUARTER],
    r: &'a [i16; REST],
    one: &'a [[i8; QUARTER]],
    two: &'a [[i8; QUARTER]],
    three: &'a [[i8; REST]],
}

impl Products for BuiltIn<'_> {
    #[inline(always)]
    fn first(&self, slot: usize) -> Option<i32> {
        Some(products(self.p, self.one.get(slot)?))
    }

    #[inline(always)]
    fn second(&self, slot: usize) -> Option<i32> {
        Some(products(self.q, self.two.get(slot)?))
    }

    #[inline(always)]
    fn third(&self, slot: usize) -> Option<i32> {
        Some(products(self.r, self.three.get(slot)?))
    }
}

/// Vectors of any dimensions.
struct Outside<'a> {
    query: [&'a [i16]; 3],
    rows: [&'a [i8]; 3],
}

impl Products for Outside<'_> {
    #[inline(always)]
    fn first(&self, slot: usize) -> Option<i32> {
        Some(products(self.query[0], row(self.rows[0], slot, self.query[0].len())?))
    }

    #[inline(always)]
    fn second(&self, slot: usize) -> Option<i32> {
        Some(products(self.query[1], row(self.rows[1], slot, self.query[1].len())?))
    }

    #[inline(always)]
    fn third(&self, slot: usize) -> Option<i32> {
        Some(products(self.query[2], row(self.rows[2], slot, self.query[2].len())?))
    }
}

#[inline(always)]
fn row(rows: &[i8], slot: usize, width: usize) -> Option<&[i8]> {
    rows.get(slot * width..(slot + 1) * width)
}

#[inline(always)]
fn products(query: &[i16], row: &[i8]) -> i32 {
    let mut sum = 0;
    for (a, b) in query.iter().zip(row) {
        sum += i32::from(*a) * i32::from(i16::from(*b));
    }
    sum
}

impl Scan<'_> {
    #[inline(always)]
    fn among(&self, products: &impl Products) -> Vec<Neighbour> {
        let query = beyond(self.query);
        let mut bounds = vec![f32::NEG_INFINITY; self.index.len()];
        for (slot, (bound, row)) in bounds.iter_mut().zip(&self.index.rows).enumerate() {
            let Some(sum) = products.first(slot) else { break };
            *bound = as_similarity(sum, row.scale * self.query.scale) + row.beyond[0] * query[0] + SLACK;
        }
        let mut best = Best { rows: Vec::with_capacity(self.count + 1), count: self.count, least: self.at_least };
        // Those that look best make the bar high for all others.
        let promising = promising(&bounds, self.count);
        for slot in &promising {
            self.look(*slot, query, products, &mut best);
        }
        for (begin, block) in (0..).step_by(BLOCK).zip(bounds.chunks(BLOCK)) {
            if !any_above(block, best.least) {
                continue;
            }
            for (slot, bound) in (begin..).zip(block) {
                if *bound >= best.least && !promising.contains(&slot) {
                    self.look(slot, query, products, &mut best);
                }
            }
        }
        best.rows
    }

    /// Looks at all of a row that may be near.
    #[inline(always)]
    fn look(&self, slot: usize, query: [f32; 2], products: &impl Products, best: &mut Best) {
        let (Some(Row { scale, beyond }), Some(id)) = (self.index.rows.get(slot), self.index.ids.get(slot)) else {
            return;
        };
        let (Some(first), Some(second)) = (products.first(slot), products.second(slot)) else { return };
        let (sum, scale) = (first + second, scale * self.query.scale);
        if as_similarity(sum, scale) + beyond[1] * query[1] + SLACK < best.least {
            return;
        }
        let Some(third) = products.third(slot) else { return };
        best.offer(Neighbour { id: *id, similarity: as_similarity(sum + third, scale) });
    }
}

/// Where the `count` highest bounds are.
#[inline(always)]
fn promising(bounds: &[f32], count: usize) -> Vec<usize> {
    let mut found: Vec<(f32, usize)> = Vec::with_capacity(count + 1);
    let mut least = f32::NEG_INFINITY;
    for (begin, block) in (0..).step_by(BLOCK).zip(bounds.chunks(BLOCK)) {
        if !any_above(block, least) {
            continue;
        }
        for (slot, bound) in (begin..).zip(block) {
            if *bound < least {
                continue;
            }
            found.insert(found.partition_point(|(known, _)| known >= bound), (*bound, slot));
            found.truncate(count);
            if let (true, Some((last, _))) = (found.len() == count, found.last()) {
                least = *last;
            }
        }
    }
    found.into_iter().map(|(_, slot)| slot).collect()
}

/// Counts instead of stopping early, so that many are compared at once.
#[inline(always)]
fn any_above(block: &[f32], least: f32) -> bool {
    let mut above = 0_u32;
    for bound in block {
        above += u32::from(*bound >= least);
    }
    above > 0
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
