//! The boosted trees that decide, after the vetoes, whether two prompts ask for the same answer.

use serde::Deserialize;

use crate::LoadError;
use crate::features::{CONFLICTS, Features, NAMES};

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
    Leaf([f64; 1]),
}

/// A split, or a leaf with its value as the threshold.
#[derive(Clone, Copy, Debug)]
struct Node {
    threshold: f64,
    /// [`LEAF`] if it is none.
    feature: u16,
    /// Where to go on with a value above the threshold, and with another one. A place in all nodes of all trees.
    next: [u32; 2],
}

const LEAF: u16 = u16::MAX;

/// The boosted trees in the binary.
#[derive(Debug)]
pub(crate) struct Verifier {
    baseline: f64,
    /// All trees, one after the other, so that a walk stays near to what it has read.
    nodes: Vec<Node>,
    roots: Vec<u32>,
    /// False-hit rates, rising, and the score from which hits keep to each.
    thresholds: Vec<(f64, f64)>,
}

impl Verifier {
    pub(crate) fn built_in() -> Result<Self, LoadError> {
        let bad = |what: String| LoadError::Verifier(what);
        let raw: Raw = serde_json::from_str(VERIFIER).map_err(|e| bad(e.to_string()))?;
        if raw.features != NAMES {
            return Err(bad("it was trained on other features".to_owned()));
        }
        let rising = raw.thresholds.windows(2).all(|w| matches!(w, [(r, s), (q, t)] if r < q && s >= t));
        if raw.thresholds.is_empty() || !rising {
            return Err(bad("its thresholds do not fall while the rates rise".to_owned()));
        }
        if raw.vetoes != CONFLICTS {
            return Err(bad("it was trained with other vetoes".to_owned()));
        }
        let (mut nodes, mut roots) = (Vec::new(), Vec::new());
        for tree in &raw.trees {
            let root = nodes.len();
            roots.push(u32::try_from(root).map_err(|e| bad(e.to_string()))?);
            for (at, node) in tree.iter().enumerate() {
                let node = checked(*node, at, tree.len(), root);
                nodes.push(node.ok_or_else(|| bad(format!("node {at} of a tree leads nowhere")))?);
            }
        }
        Ok(Self { baseline: raw.baseline, nodes, roots, thresholds: raw.thresholds })
    }

    /// The score from which no more than this part of hits is expected to be false: that of the strictest
    /// rate in the table when the budget is below it, and of the next lower one in between.
    pub(crate) fn threshold(&self, budget: f64) -> f64 {
        let kept = self.thresholds.iter().take_while(|(rate, _)| *rate <= budget).last();
        kept.or(self.thresholds.first()).map_or(f64::INFINITY, |(_, score)| *score)
    }

    /// Log-odds that the answer may be reused.
    pub(crate) fn score(&self, features: &Features) -> f64 {
        self.baseline + self.roots.iter().map(|root| self.leaf(*root, features)).sum::<f64>()
    }

    fn leaf(&self, root: u32, features: &Features) -> f64 {
        let mut at = root;
        while let Some(node) = self.nodes.get(at as usize) {
            let Some(x) = features.get(usize::from(node.feature)) else { return node.threshold };
            let [high, low] = node.next;
            at = if *x <= node.threshold { low } else { high };
        }
        0.0
    }
}

/// A node of a tree with its root at `root`; nothing when its children do not come after it, so that a walk ends.
fn checked(node: RawNode, at: usize, size: usize, root: usize) -> Option<Node> {
    match node {
        RawNode::Leaf([value]) => Some(Node { threshold: value, feature: LEAF, next: [0; 2] }),
        RawNode::Split(feature, threshold, low, high) if at < low.min(high) && low.max(high) < size => {
            let next = [u32::try_from(root + high).ok()?, u32::try_from(root + low).ok()?];
            Some(Node { threshold, feature: u16::try_from(feature).ok().filter(|f| *f < LEAF)?, next })
        }
        RawNode::Split(..) => None,
    }
}
