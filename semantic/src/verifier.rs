//! The boosted trees that decide, after the vetoes, whether two prompts ask for the same answer.

use serde::Deserialize;

use crate::LoadError;
use crate::features::{CONFLICTS, FEATURES, Features, NAMES};

static VERIFIER: &str = include_str!("../data/verifier.json");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    features: Vec<String>,
    vetoes: Vec<String>,
    baseline: f64,
    thresholds: Vec<(f64, f64)>,
    trees: Vec<Vec<RawNode>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum RawNode {
    Split(usize, f64, usize, usize),
    Leaf([f32; 1]),
}

/// Leaves that a tree may have: a bit for each.
const LEAVES: usize = 16;
/// Trees that are asked at once. The first ones say the most.
const BLOCK: usize = 100;
/// What rounding may take from the sum of the leaves that are left.
const SLACK: f64 = 1e-9;

/// A split of one tree, small, for half of all splits are read for each score. With a value above the threshold its low
/// side is out of reach.
#[derive(Clone, Copy, Debug)]
struct Split {
    /// Features and thresholds are on a grid of 1e-4, so an `f32` tells them apart as far as 512.
    threshold: f32,
    /// Its place in the block.
    tree: u16,
    /// A bit for each leaf of the tree that stays in reach.
    keeps: u16,
}

/// The boosted trees in the binary, by feature instead of by tree: of a tree's leaves, all but those on the low side of
/// splits that a value is above are struck out, and the first that is left is where a walk would have ended. That reads
/// memory in its order and guesses no branches, where walks of hundreds of trees wait for each node. Lucchese et al.,
/// "`QuickScorer`: A Fast Algorithm to Rank Documents with Additive Ensembles of Regression Trees", SIGIR 2015.
///
/// The trees are in blocks, so that a pair that no later block could save is not asked about there (the blockwise variant
/// of the same authors, for another reason: theirs is the size of caches).
#[derive(Debug)]
pub(crate) struct Verifier {
    baseline: f64,
    blocks: Vec<Block>,
    /// False-hit rates, rising, and the score from which hits keep to each.
    thresholds: Vec<(f64, f64)>,
}

/// Some trees in the order of their training.
#[derive(Debug)]
struct Block {
    /// Those of one feature behind those of another, so that memory is read in its order; of each the thresholds rise.
    splits: Vec<Split>,
    /// Where those of each feature end.
    ends: [usize; FEATURES],
    /// What the leaves of each tree say, from the lowest side to the highest.
    trees: Vec<[f32; LEAVES]>,
    /// What all later blocks can add at most.
    later: f64,
}

impl Verifier {
    pub(crate) fn built_in() -> Result<Self, LoadError> {
        let bad = |what: &str| LoadError::Verifier(what.to_owned());
        let raw: Raw = serde_json::from_str(VERIFIER).map_err(|e| bad(&e.to_string()))?;
        if raw.features != NAMES {
            return Err(bad("it was trained on other features"));
        }
        let rising = raw.thresholds.windows(2).all(|w| matches!(w, [(r, s), (q, t)] if r < q && s >= t));
        if raw.thresholds.is_empty() || !rising {
            return Err(bad("its thresholds do not fall while the rates rise"));
        }
        if raw.vetoes != CONFLICTS {
            return Err(bad("it was trained with other vetoes"));
        }
        let mut blocks = Vec::new();
        for trees in raw.trees.chunks(BLOCK) {
            let block = Block::of(trees);
            blocks.push(block.ok_or_else(|| bad("a tree leads nowhere or has too many leaves"))?);
        }
        let mut later = 0.0;
        for block in blocks.iter_mut().rev() {
            block.later = later;
            later += block.most();
        }
        Ok(Self { baseline: raw.baseline, blocks, thresholds: raw.thresholds })
    }

    /// The score from which no more than this part of hits is expected to be false: that of the strictest
    /// rate in the table when the budget is below it, and of the next lower one in between.
    pub(crate) fn threshold(&self, budget: f64) -> f64 {
        let kept = self.thresholds.iter().take_while(|(rate, _)| *rate <= budget).last();
        kept.or(self.thresholds.first()).map_or(f64::INFINITY, |(_, score)| *score)
    }

    /// Log-odds that the answer may be reused.
    pub(crate) fn score(&self, features: &Features) -> f64 {
        self.score_above(features, f64::NEG_INFINITY).unwrap_or(f64::NEG_INFINITY)
    }

    /// The same, if it may be above a threshold: nothing as soon as it cannot.
    pub(crate) fn score_above(&self, features: &Features, threshold: f64) -> Option<f64> {
        let mut sum = 0.0;
        for block in &self.blocks {
            sum = block.add(sum, features);
            if self.baseline + sum + block.later + SLACK <= threshold {
                return None;
            }
        }
        Some(self.baseline + sum)
    }
}

impl Block {
    /// Nothing if a tree cannot be read.
    fn of(raw: &[Vec<RawNode>]) -> Option<Self> {
        let (mut splits, mut trees) = (vec![Vec::new(); NAMES.len()], Vec::with_capacity(raw.len()));
        for (number, nodes) in (0..).zip(raw) {
            let mut tree = Tree { number, nodes, splits: &mut splits, leaves: Vec::new() };
            tree.add(0)?;
            // Those that are not there say what the last one does.
            let mut leaves = [*tree.leaves.last()?; LEAVES];
            leaves.iter_mut().zip(tree.leaves).for_each(|(leaf, value)| *leaf = value);
            trees.push(leaves);
        }
        let mut ends = [0; FEATURES];
        let mut end = 0;
        for (of, to) in splits.iter_mut().zip(&mut ends) {
            of.sort_by(|a: &Split, b| a.threshold.total_cmp(&b.threshold));
            end += of.len();
            *to = end;
        }
        Some(Self { splits: splits.concat(), ends, trees, later: 0.0 })
    }

    /// The sum of the highest leaves.
    fn most(&self) -> f64 {
        self.trees.iter().map(|leaves| f64::from(leaves.iter().copied().fold(f32::NEG_INFINITY, f32::max))).sum()
    }

    /// Adds what its trees say, one after the other.
    fn add(&self, sum: f64, features: &Features) -> f64 {
        let mut left = [u16::MAX; BLOCK];
        let mut begin = 0;
        for (end, x) in self.ends.iter().zip(features) {
            let splits = self.splits.get(begin..*end).unwrap_or_default();
            begin = *end;
            #[expect(clippy::cast_possible_truncation, reason = "as the thresholds")]
            let x = *x as f32;
            for split in splits.iter().take_while(|split| split.threshold < x) {
                if let Some(left) = left.get_mut(usize::from(split.tree)) {
                    *left &= split.keeps;
                }
            }
        }
        let leaf = |(leaves, left): (&[f32; LEAVES], u16)| leaves.get(left.trailing_zeros() as usize).copied();
        self.trees.iter().zip(left).filter_map(leaf).fold(sum, |sum, leaf| sum + f64::from(leaf))
    }
}

/// One tree while it is taken apart.
struct Tree<'a> {
    number: u16,
    nodes: &'a [RawNode],
    splits: &'a mut [Vec<Split>],
    leaves: Vec<f32>,
}

impl Tree<'_> {
    /// Adds the node at a place and all below it; nothing if a child does not come after it, which would not end, or if
    /// there are more leaves than bits.
    fn add(&mut self, at: usize) -> Option<()> {
        match *self.nodes.get(at)? {
            RawNode::Leaf([value]) => self.leaves.push(value),
            RawNode::Split(feature, threshold, low, high) if at < low.min(high) => {
                let first = self.leaves.len();
                self.add(low)?;
                let beyond = self.leaves.len();
                self.add(high)?;
                let bits = |to: usize| u32::try_from(to).ok().and_then(|to| 1_u16.checked_shl(to)).map(|bit| bit - 1);
                let keeps = !(bits(beyond)? ^ bits(first)?);
                #[expect(clippy::cast_possible_truncation, reason = "it is on a grid")]
                let threshold = threshold as f32;
                self.splits.get_mut(feature)?.push(Split { threshold, tree: self.number, keeps });
            }
            RawNode::Split(..) => return None,
        }
        (self.leaves.len() <= LEAVES).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn walked(raw: &Raw, features: &Features) -> f64 {
        let leaf = |tree: &Vec<RawNode>| {
            let mut at = 0;
            loop {
                match tree[at] {
                    RawNode::Leaf([value]) => return f64::from(value),
                    RawNode::Split(feature, threshold, low, high) => {
                        at = if features[feature] <= threshold { low } else { high };
                    }
                }
            }
        };
        raw.baseline + raw.trees.iter().map(leaf).sum::<f64>()
    }

    #[test]
    fn the_score_is_what_a_walk_of_every_tree_comes_to() {
        let (raw, verifier) = (serde_json::from_str::<Raw>(VERIFIER).unwrap(), Verifier::built_in().unwrap());
        // On the thresholds themselves, a grid's width beside them, between them, and beyond them all.
        let threshold = |node: &RawNode| match node {
            RawNode::Split(_, threshold, ..) => Some(*threshold),
            RawNode::Leaf(_) => None,
        };
        let known: Vec<f64> = raw.trees.iter().flatten().filter_map(threshold).collect();
        let on_grid = |x: f64| (x * 1e4).round() / 1e4;
        let known = (proptest::sample::select(known), -2..=2_i32);
        let near = known.prop_map(move |(x, steps)| on_grid(x + f64::from(steps) * 1e-4));
        let value = prop_oneof![near, (-1.0..3.0_f64).prop_map(on_grid), (-500.0..500.0_f64).prop_map(on_grid)];
        proptest!(|(values in proptest::collection::vec(value, FEATURES))| {
            let features = Features::try_from(values).unwrap();
            let score = verifier.score(&features);
            prop_assert_eq!(score.to_bits(), walked(&raw, &features).to_bits());
            for threshold in [score - 1e-6, score + 1e-6, score - 5.0, score + 5.0] {
                let above = verifier.score_above(&features, threshold);
                // Whether a low score is told or not: no high one is kept back, and none is another.
                prop_assert!(above.map_or(threshold > score, |told| told.to_bits() == score.to_bits()));
            }
            prop_assert_eq!(verifier.score_above(&features, f64::INFINITY), None);
        });
    }

    #[test]
    fn a_tree_that_leads_nowhere_or_has_too_many_leaves_is_refused() {
        let add = |nodes: &[RawNode]| {
            let mut splits = vec![Vec::new(); 2];
            Tree { number: 0, nodes, splits: &mut splits, leaves: Vec::new() }.add(0)
        };
        let leaf = RawNode::Leaf([1.0]);
        assert!(add(&[RawNode::Split(1, 0.5, 1, 2), leaf, leaf]).is_some());
        assert!(add(&[RawNode::Split(1, 0.5, 0, 2), leaf, leaf]).is_none(), "it would never end");
        assert!(add(&[RawNode::Split(1, 0.5, 1, 3), leaf, leaf]).is_none());
        assert!(add(&[RawNode::Split(2, 0.5, 1, 2), leaf, leaf]).is_none(), "no such feature");
        let chain = |leaves: usize| {
            let split = |at: usize| [RawNode::Split(0, 0.5, 2 * at + 1, 2 * at + 2), leaf];
            let mut nodes: Vec<RawNode> = (0..leaves - 1).flat_map(split).collect();
            nodes.push(leaf);
            nodes
        };
        assert!(add(&chain(LEAVES)).is_some() && add(&chain(LEAVES + 1)).is_none());
    }
}
