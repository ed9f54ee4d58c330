//! Which targets have seen the beginning of a prompt: hashes of its blocks, each chained to the one
//! before, so that the same block after another beginning is another block.

use std::collections::HashMap;

use parking_lot::Mutex;

/// Tokens of a block. Engines keep blocks of 16 to 64.
pub(super) const BLOCK: usize = 32;
/// Blocks remembered before the oldest half is forgotten: at 24 bytes each, some megabytes.
const GENERATION: usize = 100_000;
/// Blocks of one prompt that are looked at: 64k tokens.
const LONGEST: usize = 2048;

/// Chained hashes of the whole blocks of a prompt.
pub fn chain(tokens: &[u32]) -> Vec<u64> {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let blocks = tokens.chunks_exact(BLOCK).take(LONGEST);
    blocks
        .map(|block| {
            for token in block {
                hash = mix(hash ^ u64::from(*token));
            }
            hash
        })
        .collect()
}

/// A bijection that spreads every bit (the finaliser of `SplitMix64`).
pub(super) fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Remembers who was sent which blocks, in two generations: what is used moves to the young one,
/// the old one is dropped when the young one is full.
#[derive(Default)]
pub(super) struct PrefixIndex(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<u64, u64>,
    old: HashMap<u64, u64>,
}

impl PrefixIndex {
    /// For each target (a bit of `mask`), how many of the first blocks it has seen.
    pub(super) fn matches(&self, blocks: &[u64], mut mask: u64) -> [u32; 64] {
        let mut lengths = [0; 64];
        let index = self.0.lock();
        for block in blocks {
            mask &= index.seen(*block);
            if mask == 0 {
                break;
            }
            let mut left = mask;
            while left != 0 {
                if let Some(length) = lengths.get_mut(left.trailing_zeros() as usize) {
                    *length += 1;
                }
                left &= left - 1;
            }
        }
        lengths
    }

    /// Notes that a target is sent these blocks.
    pub(super) fn sent(&self, blocks: &[u64], target: usize) {
        let bit = 1u64.checked_shl(u32::try_from(target).unwrap_or(u32::MAX)).unwrap_or(0);
        let mut index = self.0.lock();
        for block in blocks {
            let seen = index.seen(*block);
            index.young.insert(*block, seen | bit);
        }
        if index.young.len() > GENERATION {
            index.old = std::mem::take(&mut index.young);
        }
    }
}

impl Generations {
    fn seen(&self, block: u64) -> u64 {
        self.young.get(&block).or_else(|| self.old.get(&block)).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(parts: &[u32]) -> Vec<u64> {
        let tokens: Vec<u32> = parts.iter().flat_map(|part| vec![*part; BLOCK]).collect();
        chain(&tokens)
    }

    #[test]
    fn blocks_count_only_behind_the_same_beginning() {
        let index = PrefixIndex::default();
        index.sent(&prompt(&[1, 2, 3]), 0);
        index.sent(&prompt(&[1, 2]), 5);
        let matched = |parts: &[u32]| {
            let lengths = index.matches(&prompt(parts), u64::MAX);
            (lengths[0], lengths[5], lengths[1])
        };
        assert_eq!(matched(&[1, 2, 3, 4]), (3, 2, 0));
        assert_eq!(matched(&[2, 1]), (0, 0, 0), "the order matters");
        assert_eq!(matched(&[1, 3]), (1, 1, 0));
        assert_eq!(index.matches(&prompt(&[1, 2]), 1 << 5)[0], 0, "only those that are asked about");
        assert!(chain(&[1; BLOCK - 1]).is_empty(), "half a block is none");
    }

    #[test]
    fn old_blocks_are_forgotten() {
        let index = PrefixIndex::default();
        index.sent(&prompt(&[7]), 1);
        for round in 0..3 {
            let many: Vec<u64> = (0..=GENERATION as u64).map(|n| mix(n ^ (round << 32))).collect();
            index.sent(&many, 0);
        }
        assert_eq!(index.matches(&prompt(&[7]), u64::MAX)[1], 0);
    }
}
