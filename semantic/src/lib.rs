//! May the answer to one prompt be given to another? Embedding, shortlist, vetoes and verifier; pure.
//!
//! A cosine alone is no proof: "capital of Germany" and "capital of France" are near. So the embedding
//! only makes a shortlist; what must agree (numbers, units, names, negation, code) vetoes; and a verifier,
//! boosted trees over features of the pair, decides. Everything is in the binary; nothing reads a clock
//! or does I/O.

mod card;
mod eligible;
mod features;
mod index;
mod lexicon;
mod model;
mod partition;
mod prompt;
mod text;
mod vector;
mod verifier;
mod wordpiece;

pub use card::Card;
pub use eligible::{Ineligible, eligible};
pub use features::{FEATURES, Features, NAMES as FEATURE_NAMES};
pub use index::{Index, Neighbour};
pub use model::DIMENSIONS;
pub use partition::{Hit, LEAST_SIMILARITY, Partition};
pub use prompt::Prompt;
pub use vector::{Quantised, VectorError};

use card::Glance;
use features::Conflicts;
use lexicon::Lexicon;
use model::Model;
use text::Document;
use verifier::Verifier;

/// Data in the binary that does not fit the code: a build with files from different versions.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LoadError {
    /// The embedding table.
    #[error("the built-in embedding model cannot be read: {0}")]
    Model(String),
    /// The lists of words.
    #[error("the built-in lexicon cannot be read: {0}")]
    Lexicon(String),
    /// The boosted trees.
    #[error("the built-in verifier cannot be read: {0}")]
    Verifier(String),
}

/// The models and word lists, loaded once.
#[derive(Debug)]
pub struct Semantic {
    model: Model,
    lexicon: &'static Lexicon,
    verifier: Verifier,
}

/// Part of false hits that the threshold allows when nothing is configured.
pub const DEFAULT_FALSE_HITS: f64 = 0.01;

/// What the verifier says of a pair.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// Cosine of the two embeddings.
    pub similarity: f32,
    /// The feature that forbids a hit whatever the score is.
    pub veto: Option<&'static str>,
    /// Log-odds that the answer may be reused.
    pub score: f64,
}

impl Semantic {
    /// What is in the binary.
    ///
    /// # Errors
    /// When the data in the binary does not fit the code.
    pub fn built_in() -> Result<Self, LoadError> {
        Ok(Self { model: Model::built_in()?, lexicon: Lexicon::built_in()?, verifier: Verifier::built_in()? })
    }

    /// Takes a prompt apart.
    pub fn prompt(&self, text: &str) -> Prompt {
        Prompt::new(text, &self.model, self.lexicon)
    }

    /// What a partition keeps of a prompt.
    pub fn card(&self, text: &str) -> Card {
        Card { vector: self.vector(text), glance: Glance::of(&Document::new(text, self.lexicon)) }
    }

    /// Only the embedding of a prompt, as an index keeps it.
    pub fn vector(&self, text: &str) -> Quantised {
        Quantised::new(&self.model.embed(text))
    }

    /// The embedding of a prompt, of length 1, for an index elsewhere.
    pub fn embedding(&self, text: &str) -> Vec<f32> {
        self.model.embed(text).unit.to_vec()
    }

    /// The score above which at most this part of the pairs that ask for something else are expected to be:
    /// `0.005` is half a percent. Measured on pairs made to be confused; see docs/cache.md.
    pub fn threshold(&self, most_false_hits: f64) -> f64 {
        self.verifier.threshold(most_false_hits)
    }

    /// The features of a pair.
    pub fn features(&self, a: &Prompt, b: &Prompt) -> Features {
        let conflicts = Conflicts::of(&a.document, &b.document, self.lexicon);
        features::features(a, b, &conflicts, self.lexicon)
    }

    /// Vetoes and score of a pair.
    pub fn judge(&self, a: &Prompt, b: &Prompt) -> Judgement {
        let conflicts = Conflicts::of(&a.document, &b.document, self.lexicon);
        let features = features::features(a, b, &conflicts, self.lexicon);
        let (similarity, score) = (similarity(&features), self.verifier.score(&features));
        Judgement { similarity, veto: conflicts.first(), score }
    }

    /// As [`Self::judge`] with a stored text; nothing when something forbids a hit. A score that is not above `threshold`
    /// may come out as minus infinity: it is not worked out to its end.
    pub fn judge_text(&self, prompt: &Prompt, text: &str, threshold: f64) -> Option<Judgement> {
        let document = Document::new(text, self.lexicon);
        let conflicts = Conflicts::of(&prompt.document, &document, self.lexicon);
        if conflicts.first().is_some() {
            return None;
        }
        let features = features::features(prompt, &Prompt::of(document, text, &self.model), &conflicts, self.lexicon);
        let score = self.verifier.score_above(&features, threshold).unwrap_or(f64::NEG_INFINITY);
        Some(Judgement { similarity: similarity(&features), veto: None, score })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "it came from an f32")]
fn similarity(features: &Features) -> f32 {
    features[0] as f32
}

#[cfg(test)]
mod golden;
