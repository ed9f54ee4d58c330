//! One search of an index, compiled for each instruction set and chosen at run time.
//!
//! Only what is inlined into [`Scan::call`] is compiled for the instruction set, hence the loops where there could be
//! closures: whether one of those is inlined is anybody's guess.
#![expect(clippy::inline_always, reason = "only what is inlined is compiled for the instruction set")]

use crate::index::blocks::{GROUP, Halves, LANES, Multiply, Plain};
use crate::index::{Index, Neighbour, Rows, beyond, parts};
use crate::vector::{Quantised, as_similarity};

/// What rounding may take from a bound.
const SLACK: f32 = 1e-4;

/// Of the rows of a block.
type Bounds = [f32; LANES];

/// The `count` nearest with at least a similarity.
pub(super) fn scan(index: &Index, query: &Quantised, count: usize, at_least: f32) -> Vec<Neighbour> {
    let scan = Scan { index, query, count, at_least };
    #[cfg(target_arch = "x86_64")]
    if let Some(set) = pulp::x86::V3::try_new() {
        return set.vectorize(On { scan, set });
    }
    pulp::Arch::new().dispatch(On { scan, set: Plain })
}

#[derive(Clone, Copy)]
struct Scan<'a> {
    index: &'a Index,
    query: &'a Quantised,
    count: usize,
    at_least: f32,
}

/// A search with the instructions of a set.
struct On<'a, M> {
    scan: Scan<'a>,
    set: M,
}

impl<M: Multiply> pulp::NullaryFnOnce for On<'_, M> {
    type Output = Vec<Neighbour>;

    #[inline(always)]
    fn call(self) -> Vec<Neighbour> {
        let Scan { index, query, count, at_least } = self.scan;
        let bounds = self.scan.bounds(self.set);
        let first = vec![[0; GROUP]; index.first.depth()];
        let mut look = Look { index, query, beyond: beyond(query), parts: parts(query), first };
        let mut best = Best { rows: Vec::with_capacity(count + 1), count, least: at_least };
        // Those that look best make the bar high for all others.
        let promising = promising(&bounds, count, self.set);
        for (bound, slot) in &promising {
            look.at(*slot, *bound, &mut best);
        }
        for (begin, bounds) in (0..).step_by(LANES).zip(&bounds) {
            for (slot, bound) in above(bounds, begin, best.least, self.set) {
                if bound >= best.least && !promising.contains(&(bound, slot)) {
                    look.at(slot, bound, &mut best);
                }
            }
        }
        best.rows
    }
}

impl Scan<'_> {
    /// The highest similarity that each row may have, by its first part.
    #[inline(always)]
    fn bounds(&self, set: impl Multiply) -> Vec<Bounds> {
        let Index { first, rows, .. } = self.index;
        let ([values, ..], [rest, _]) = (parts(self.query), beyond(self.query));
        let halves = Halves::of(values);
        let slack = halves.lost * self.query.scale * self.index.longest + SLACK;
        let mut bounds = Vec::with_capacity(rows.scales.len().div_ceil(LANES));
        let told = rows.scales.chunks(LANES).zip(rows.beyond[0].chunks(LANES));
        for (block, (scales, beyond)) in first.blocks().zip(told) {
            let terms = Terms { sums: set.products(block, &halves), scale: self.query.scale, rest, slack };
            // With a length that the compiler knows, all rows of a block are worked out at once.
            bounds.push(match (scales.as_array(), beyond.as_array()) {
                (Some(scales), Some(beyond)) => terms.full(scales, beyond),
                _ => terms.some(scales, beyond),
            });
        }
        bounds
    }
}

/// What the bounds of a block are made of.
struct Terms {
    sums: [i32; LANES],
    scale: f32,
    rest: f32,
    slack: f32,
}

impl Terms {
    #[inline(always)]
    fn full(&self, scales: &[f32; LANES], beyond: &[f32; LANES]) -> Bounds {
        self.some(scales, beyond)
    }

    /// Rows that are not there are below all others.
    #[inline(always)]
    fn some(&self, scales: &[f32], beyond: &[f32]) -> Bounds {
        let mut bounds = [f32::NEG_INFINITY; LANES];
        for (((bound, sum), scale), beyond) in bounds.iter_mut().zip(self.sums).zip(scales).zip(beyond) {
            *bound = as_similarity(sum, scale * self.scale) + beyond * self.rest + self.slack;
        }
        bounds
    }
}

/// Looks at all of a row.
struct Look<'a> {
    index: &'a Index,
    query: &'a Quantised,
    beyond: [f32; 2],
    parts: [&'a [i8]; 3],
    /// Room for the first part of a row.
    first: Vec<[u8; GROUP]>,
}

impl Look<'_> {
    /// Offers a row, of which a bound is known, if it may be near.
    #[inline(always)]
    fn at(&mut self, slot: usize, bound: f32, best: &mut Best) {
        let Index { first, later: [seconds, thirds], rows: Rows { scales, beyond: [one, two] }, ids, .. } = self.index;
        let (Some(scale), Some(one), Some(two)) = (scales.get(slot), one.get(slot), two.get(slot)) else { return };
        let ([p, q, r], [rest, after]) = (self.parts, self.beyond);
        let (scale, second) = (scale * self.query.scale, products(q, row(seconds, slot, q.len())));
        // The values of a first part are far apart: what is known of them does until it must be exact.
        if bound - one * rest + as_similarity(second, scale) + two * after < best.least {
            return;
        }
        first.copy(slot, &mut self.first);
        let mut sum = second + products(r, row(thirds, slot, r.len()));
        for (a, b) in p.iter().zip(self.first.as_flattened()) {
            sum += i32::from(*a) * (i32::from(*b) - 128);
        }
        if let Some(id) = ids.get(slot) {
            best.offer(Neighbour { id: *id, similarity: as_similarity(sum, scale) });
        }
    }
}

#[inline(always)]
fn row(rows: &[i8], slot: usize, width: usize) -> &[i8] {
    rows.get(slot * width..(slot + 1) * width).unwrap_or_default()
}

#[inline(always)]
fn products(query: &[i8], row: &[i8]) -> i32 {
    let mut sum = 0;
    for (a, b) in query.iter().zip(row) {
        sum += i32::from(*a) * i32::from(*b);
    }
    sum
}

/// The `count` highest bounds, and where they are.
#[inline(always)]
fn promising(bounds: &[Bounds], count: usize, set: impl Multiply) -> Vec<(f32, usize)> {
    let mut found: Vec<(f32, usize)> = Vec::with_capacity(count + 1);
    let mut least = f32::MIN;
    for (begin, bounds) in (0..).step_by(LANES).zip(bounds) {
        for (slot, bound) in above(bounds, begin, least, set) {
            if bound < least {
                continue;
            }
            found.insert(found.partition_point(|(known, _)| *known >= bound), (bound, slot));
            found.truncate(count);
            if let (true, Some((last, _))) = (found.len() == count, found.last()) {
                least = *last;
            }
        }
    }
    found
}

/// The rows of a block, of which the first is `begin`, whose bounds are not below a similarity.
#[inline(always)]
fn above(bounds: &Bounds, begin: usize, least: f32, set: impl Multiply) -> impl Iterator<Item = (usize, f32)> {
    let mut bits = set.above(bounds, least);
    std::iter::from_fn(move || {
        let lane = bits.trailing_zeros() as usize;
        bits &= bits.wrapping_sub(1);
        bounds.get(lane).map(|bound| (begin + lane, *bound))
    })
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
