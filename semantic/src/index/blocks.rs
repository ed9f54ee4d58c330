//! The first parts of the rows, sixteen side by side, so that one instruction multiplies four values of each of them.
#![expect(clippy::inline_always, reason = "only what is inlined is compiled for the instruction set")]

/// Rows of a block.
pub(super) const LANES: usize = 16;
/// Values that lie side by side.
pub(super) const GROUP: usize = 4;

/// Four values of each row of a block, plus 128, so that no sign is in the way of the instruction.
pub(super) type Line = [[u8; GROUP]; LANES];

/// The first parts of all rows.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// Those of a block behind each other.
    lines: Vec<Line>,
    rows: usize,
    width: usize,
}

impl Blocks {
    /// Adds a row; all that are there have as many values.
    pub(super) fn push(&mut self, values: &[i8]) {
        if self.rows == 0 {
            self.width = values.len();
        }
        if self.rows.is_multiple_of(LANES) {
            self.lines.resize(self.lines.len() + self.depth(), [[128; GROUP]; LANES]);
        }
        self.rows += 1;
        self.put(self.rows - 1, values);
    }

    /// The last row moves into the place of this one.
    pub(super) fn swap_remove(&mut self, slot: usize) {
        let Some(last) = self.rows.checked_sub(1) else { return };
        let depth = self.depth();
        let (from, to) = (last / LANES * depth, slot / LANES * depth);
        for line in 0..depth {
            let values = self.lines.get(from + line).and_then(|line| line.get(last % LANES)).copied();
            let place = self.lines.get_mut(to + line).and_then(|line| line.get_mut(slot % LANES));
            if let (Some(values), Some(place)) = (values, place) {
                *place = values;
            }
        }
        self.rows = last;
        self.lines.truncate(self.rows.div_ceil(LANES) * self.depth());
    }

    /// Lines of each block.
    pub(super) fn depth(&self) -> usize {
        self.width.div_ceil(GROUP)
    }

    fn put(&mut self, slot: usize, values: &[i8]) {
        let begin = slot / LANES * self.depth();
        let lines = self.lines.iter_mut().skip(begin);
        for (line, group) in lines.zip(values.chunks(GROUP)) {
            for (to, from) in line.iter_mut().skip(slot % LANES).take(1).flatten().zip(group) {
                *to = from.cast_unsigned() ^ 0x80;
            }
        }
    }

    /// Copies a row, plus 128 each.
    #[inline(always)]
    pub(super) fn copy(&self, slot: usize, to: &mut [[u8; GROUP]]) {
        let lines = self.lines.get(slot / LANES * self.depth()..).unwrap_or_default();
        for (to, line) in to.iter_mut().zip(lines) {
            if let Some(from) = line.get(slot % LANES) {
                *to = *from;
            }
        }
    }

    /// The lines of each block.
    pub(super) fn blocks(&self) -> impl Iterator<Item = &[Line]> {
        self.lines.chunks(self.depth().max(1))
    }

    /// Bytes reserved.
    pub(super) fn memory(&self) -> usize {
        self.lines.capacity() * size_of::<Line>()
    }
}

/// The first part of a query with 7 bits a value: the products of two such values with a byte fit 16 bits.
pub(super) struct Halves {
    groups: Vec<[i8; GROUP]>,
    /// What the 128 of all rows come to.
    offset: i32,
    /// Length of what was rounded off, in the query's own units.
    pub(super) lost: f32,
}

impl Halves {
    pub(super) fn of(values: &[i8]) -> Self {
        let halves: Vec<i8> = values.iter().map(|x| x / 2).collect();
        let sum: i32 = halves.iter().map(|h| i32::from(*h)).sum();
        let odd = values.iter().zip(&halves).filter(|(x, h)| **x != **h * 2).count();
        #[expect(clippy::cast_precision_loss, reason = "a count of values")]
        let lost = (odd as f32).sqrt();
        let group = |values: &[i8]| {
            let mut group = [0; GROUP];
            group.iter_mut().zip(values).for_each(|(to, from)| *to = *from);
            group
        };
        Self { groups: halves.chunks(GROUP).map(group).collect(), offset: sum * 128, lost }
    }
}

/// An instruction set that multiplies a query with all rows of a block.
pub(super) trait Multiply: Copy {
    /// Adds the products of four values of each row.
    fn add(self, sums: [i32; LANES], line: &Line, group: [i8; GROUP]) -> [i32; LANES];

    /// A bit for each that is not below a value.
    fn above(self, of: &[f32; LANES], least: f32) -> u16;

    /// Twice the products with the halves: what the products are about.
    #[inline(always)]
    fn products(self, block: &[Line], query: &Halves) -> [i32; LANES] {
        let mut sums = [-query.offset; LANES];
        for (line, group) in block.iter().zip(&query.groups) {
            sums = self.add(sums, line, *group);
        }
        sums.map(|sum| sum * 2)
    }
}

/// Any other: as the compiler sees fit.
#[derive(Clone, Copy)]
pub(super) struct Plain;

impl Multiply for Plain {
    #[inline(always)]
    fn add(self, mut sums: [i32; LANES], line: &Line, group: [i8; GROUP]) -> [i32; LANES] {
        for (sum, values) in sums.iter_mut().zip(line) {
            for (x, h) in values.iter().zip(group) {
                *sum += i32::from(*x) * i32::from(h);
            }
        }
        sums
    }

    #[inline(always)]
    fn above(self, of: &[f32; LANES], least: f32) -> u16 {
        let bit = |(lane, x): (usize, &f32)| u16::from(*x >= least) << lane;
        of.iter().enumerate().map(bit).fold(0, |all, bit| all | bit)
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! One instruction multiplies bytes and adds neighbours, a second one adds those again.
    use std::arch::x86_64::_CMP_GE_OQ;

    use pulp::bytemuck::cast;
    use pulp::x86::V3;

    use super::{GROUP, LANES, Line, Multiply};

    impl Multiply for V3 {
        #[inline(always)]
        fn add(self, sums: [i32; LANES], line: &Line, group: [i8; GROUP]) -> [i32; LANES] {
            let query = self.avx._mm256_set1_epi32(cast(group));
            let lines: [[[u8; GROUP]; LANES / 2]; 2] = cast(*line);
            let mut halves: [[i32; LANES / 2]; 2] = cast(sums);
            for (sums, line) in halves.iter_mut().zip(lines) {
                let pairs = self.avx2._mm256_maddubs_epi16(cast(line), query);
                let fours = self.avx2._mm256_madd_epi16(pairs, self.avx._mm256_set1_epi16(1));
                *sums = cast(self.avx2._mm256_add_epi32(cast(*sums), fours));
            }
            cast(halves)
        }

        #[inline(always)]
        fn above(self, of: &[f32; LANES], least: f32) -> u16 {
            let halves: [[f32; LANES / 2]; 2] = cast(*of);
            let bits = halves.map(|half| {
                let is = self.avx._mm256_cmp_ps::<_CMP_GE_OQ>(cast(half), self.avx._mm256_set1_ps(least));
                self.avx._mm256_movemask_ps(is).to_le_bytes()[0]
            });
            u16::from_le_bytes(bits)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vector::as_similarity;

    fn row(width: usize) -> impl Strategy<Value = Vec<i8>> {
        prop::collection::vec(prop_oneof![Just(-127_i8), Just(127), -127..=127_i8], width)
    }

    proptest! {
        #[test]
        fn every_instruction_set_comes_to_the_products(
            (query, rows) in (1..70_usize).prop_flat_map(|width| (row(width), prop::collection::vec(row(width), 1..40)))
        ) {
            let mut blocks = Blocks::default();
            for row in &rows {
                blocks.push(row);
            }
            let halves = Halves::of(&query);
            let mut copied = vec![[0; GROUP]; blocks.depth()];
            for (begin, block) in (0..).step_by(LANES).zip(blocks.blocks()) {
                let sums = Plain.products(block, &halves);
                #[cfg(target_arch = "x86_64")]
                if let Some(set) = pulp::x86::V3::try_new() {
                    prop_assert_eq!(sums, set.products(block, &halves));
                    let bounds = sums.map(|sum| as_similarity(sum, 1.0));
                    prop_assert_eq!(Plain.above(&bounds, 0.0), set.above(&bounds, 0.0));
                }
                for ((slot, row), sum) in (begin..).zip(rows.iter().skip(begin)).zip(sums) {
                    let half = |(q, x): (&i8, &i8)| i32::from(q / 2) * 2 * i32::from(*x);
                    prop_assert_eq!(sum, query.iter().zip(row).map(half).sum::<i32>());
                    blocks.copy(slot, &mut copied);
                    let values = copied.as_flattened().iter().take(row.len());
                    prop_assert_eq!(values.map(|byte| (byte ^ 0x80).cast_signed()).collect::<Vec<i8>>(), row.clone());
                }
            }
        }
    }
}
