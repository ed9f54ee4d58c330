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

#[derive(Clone, Copy, Debug)]
enum Node {
    Split { feature: usize, threshold: f64, low: usize, high: usize },
    Leaf(f64),
}

/// The boosted trees in the binary.
#[derive(Debug)]
pub(crate) struct Verifier {
    baseline: f64,
    trees: Vec<Vec<Node>>,
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
        Ok(Self {
            baseline: raw.baseline,
            trees: raw.trees.iter().map(|tree| checked(tree)).collect::<Result<_, _>>()?,
            thresholds: raw.thresholds,
        })
    }

    /// The score from which no more than this part of hits is expected to be false: that of the strictest
    /// rate in the table when the budget is below it, and of the next lower one in between.
    pub(crate) fn threshold(&self, budget: f64) -> f64 {
        let kept = self.thresholds.iter().take_while(|(rate, _)| *rate <= budget).last();
        kept.or(self.thresholds.first()).map_or(f64::INFINITY, |(_, score)| *score)
    }

    /// Log-odds that the answer may be reused.
    pub(crate) fn score(&self, features: &Features) -> f64 {
        self.baseline + self.trees.iter().map(|tree| leaf(tree, features)).sum::<f64>()
    }
}

fn checked(tree: &[RawNode]) -> Result<Vec<Node>, LoadError> {
    let size = tree.len();
    let node = |(at, node): (usize, &RawNode)| match *node {
        RawNode::Leaf([value]) => Ok(Node::Leaf(value)),
        // Children come after their parent, so that a walk ends.
        RawNode::Split(feature, threshold, low, high) if at < low.min(high) && low.max(high) < size => {
            Ok(Node::Split { feature, threshold, low, high })
        }
        RawNode::Split(..) => Err(LoadError::Verifier(format!("node {at} of a tree leads nowhere"))),
    };
    tree.iter().enumerate().map(node).collect()
}

fn leaf(tree: &[Node], features: &Features) -> f64 {
    let mut at = 0;
    loop {
        match tree.get(at) {
            Some(Node::Split { feature, threshold, low, high }) => {
                let x = features.get(*feature).copied().unwrap_or(0.0);
                at = if x <= *threshold { *low } else { *high };
            }
            Some(Node::Leaf(value)) => return *value,
            None => return 0.0,
        }
    }
}
