//! May the answer to one prompt be given to another? Embedding, shortlist, vetoes and verifier; pure.
//!
//! A cosine alone is no proof: "capital of Germany" and "capital of France" are near. So the embedding
//! only makes a shortlist; what must agree (numbers, units, names, negation, code) vetoes; and a verifier,
//! boosted trees over features of the pair, decides. Everything is in the binary; nothing reads a clock
//! or does I/O.

mod features;
mod index;
mod lexicon;
mod model;
mod prompt;
mod text;
mod verifier;
mod wordpiece;

pub use features::{FEATURES, Features, NAMES as FEATURE_NAMES};
pub use index::{Index, Neighbour, Quantised};
pub use model::DIMENSIONS;
pub use prompt::Prompt;

use lexicon::Lexicon;
use model::Model;
use verifier::Verifier;

/// Data in the binary that does not fit the code: a build with files from different versions.
#[derive(Debug, thiserror::Error)]
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
    lexicon: Lexicon,
    verifier: Verifier,
}

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
        Prompt::new(text, &self.model, &self.lexicon)
    }

    /// Only the embedding of a prompt, as an index keeps it.
    pub fn vector(&self, text: &str) -> Quantised {
        Quantised::new(&self.model.embed(text))
    }

    /// The features of a pair.
    pub fn features(&self, a: &Prompt, b: &Prompt) -> Features {
        features::features(a, b, &self.lexicon)
    }

    /// Vetoes and score of a pair.
    pub fn judge(&self, a: &Prompt, b: &Prompt) -> Judgement {
        let features = self.features(a, b);
        #[expect(clippy::cast_possible_truncation, reason = "it came from an f32")]
        let similarity = features[0] as f32;
        Judgement { similarity, veto: self.verifier.veto(&features), score: self.verifier.score(&features) }
    }
}

#[cfg(test)]
mod golden;
