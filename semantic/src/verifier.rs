//! Decides whether two prompts ask for the same answer: vetoes first, then boosted trees.

use serde::Deserialize;

use crate::LoadError;
use crate::features::{Features, NAMES};

static VERIFIER: &str = include_str!("../data/verifier.json");

#[derive(Deserialize)]
struct Raw {
    features: Vec<String>,
    baseline: f64,
    trees: Vec<Vec<(usize, f64, usize, usize, Option<f64>, bool)>>,
    veto: std::collections::BTreeMap<String, f64>,
}

#[derive(Clone, Copy, Debug)]
enum Node {
    Split { feature: usize, threshold: f64, low: usize, high: usize },
    Leaf(f64),
}

/// The boosted trees and vetoes in the binary.
#[derive(Debug)]
pub(crate) struct Verifier {
    baseline: f64,
    trees: Vec<Vec<Node>>,
    /// A feature above its limit says that something that must agree does not.
    vetoes: Vec<(usize, f64)>,
}

impl Verifier {
    pub(crate) fn built_in() -> Result<Self, LoadError> {
        let bad = |what: String| LoadError::Verifier(what);
        let raw: Raw = serde_json::from_str(VERIFIER).map_err(|e| bad(e.to_string()))?;
        if raw.features != NAMES {
            return Err(bad("it was trained on other features".to_owned()));
        }
        let mut vetoes = Vec::with_capacity(raw.veto.len());
        for (name, limit) in raw.veto {
            let at = NAMES.iter().position(|n| *n == name).ok_or_else(|| bad(format!("no feature is called {name}")))?;
            vetoes.push((at, limit));
        }
        let mut trees = Vec::with_capacity(raw.trees.len());
        for tree in raw.trees {
            let size = tree.len();
            let mut nodes = Vec::with_capacity(size);
            for (at, (feature, threshold, low, high, leaf, _)) in tree.into_iter().enumerate() {
                nodes.push(match leaf {
                    Some(value) => Node::Leaf(value),
                    // Children come after their parent, so that a walk ends.
                    None if at < low && at < high && low < size && high < size && feature < NAMES.len() => {
                        Node::Split { feature, threshold, low, high }
                    }
                    None => return Err(bad(format!("node {at} of a tree leads nowhere"))),
                });
            }
            trees.push(nodes);
        }
        Ok(Self { baseline: raw.baseline, trees, vetoes })
    }

    /// The first feature that forbids a hit.
    pub(crate) fn veto(&self, features: &Features) -> Option<&'static str> {
        let over = |(at, limit): &&(usize, f64)| features.get(*at).is_some_and(|x| x > limit);
        self.vetoes.iter().find(over).and_then(|(at, _)| NAMES.get(*at).copied())
    }

    /// Log-odds that the answer may be reused.
    pub(crate) fn score(&self, features: &Features) -> f64 {
        self.baseline + self.trees.iter().map(|tree| leaf(tree, features)).sum::<f64>()
    }
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
