//! The stored prompts of one partition, and the one whose answer may be given to another prompt.

use std::collections::HashMap;

use crate::index::Index;
use crate::vector::{Quantised, VectorError};
use crate::{Judgement, Prompt, Semantic};

/// How many of the nearest prompts are judged.
const SHORTLIST: usize = 5;
/// Prompts farther away than this are not judged.
pub const LEAST_SIMILARITY: f32 = 0.5;

/// Prompts that share everything else that changes an answer. What the ids stand for is the owner's business.
///
/// A partition is searched by the built-in embedding ([`Self::insert`], [`Self::lookup`]) or by vectors that
/// its owner has from elsewhere ([`Self::insert_vector`], [`Self::lookup_vector`]), never by both. Vetoes and
/// verifier are the same: they read the texts.
#[derive(Debug, Default)]
pub struct Partition {
    index: Index,
    texts: HashMap<u64, Box<str>>,
}

/// A stored prompt that asks for the same answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// As given to [`Partition::insert`].
    pub id: u64,
    /// Cosine of the vectors by which it was found.
    pub similarity: f32,
    /// What the verifier said.
    pub judgement: Judgement,
}

impl Partition {
    /// Stores a prompt, or replaces the one with this id.
    ///
    /// # Errors
    /// When the partition holds prompts with vectors of other dimensions.
    pub fn insert(&mut self, id: u64, text: &str, semantic: &Semantic) -> Result<(), VectorError> {
        self.insert_vector(id, text, &semantic.vector(text))
    }

    /// Stores a prompt with a vector from elsewhere, or replaces the one with this id.
    ///
    /// # Errors
    /// When the partition holds prompts with vectors of other dimensions; then nothing has changed.
    pub fn insert_vector(&mut self, id: u64, text: &str, vector: &Quantised) -> Result<(), VectorError> {
        self.index.insert(id, vector)?;
        self.texts.insert(id, text.into());
        Ok(())
    }

    /// Forgets a prompt. False if the id is not there.
    pub fn remove(&mut self, id: u64) -> bool {
        self.texts.remove(&id);
        self.index.remove(id)
    }

    /// Number of prompts.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The stored prompt with the best score above `threshold` that nothing vetoes; the nearest of those whose score
    /// keeps to the strictest budget there is.
    pub fn lookup(&self, prompt: &Prompt, threshold: f64, semantic: &Semantic) -> Option<Hit> {
        self.lookup_vector(prompt, (&prompt.vector(), LEAST_SIMILARITY), threshold, semantic)
    }

    /// As [`Self::lookup`], by a vector from elsewhere. Prompts farther from it than the number beside it, a
    /// cosine, are not judged: what is far differs from model to model.
    pub fn lookup_vector(
        &self,
        prompt: &Prompt,
        (vector, at_least): (&Quantised, f32),
        threshold: f64,
        semantic: &Semantic,
    ) -> Option<Hit> {
        let mut best: Option<Hit> = None;
        for near in self.index.nearest(vector, SHORTLIST, at_least) {
            let Some(text) = self.texts.get(&near.id) else { continue };
            let Some(judgement) = semantic.judge_text(prompt, text) else { continue };
            // Of two that are sure beyond any budget, the nearer one is as good.
            let sure = judgement.score > threshold.max(semantic.threshold(0.0));
            let better = best.as_ref().is_none_or(|b| judgement.score > b.judgement.score);
            if judgement.score > threshold && better {
                best = Some(Hit { id: near.id, similarity: near.similarity, judgement });
            }
            if sure {
                break;
            }
        }
        best
    }

    /// Bytes held: vectors, ids and texts.
    pub fn memory(&self) -> usize {
        let texts: usize = self.texts.values().map(|t| t.len()).sum();
        let slot = size_of::<(u64, Box<str>)>() + 1;
        self.index.memory() + texts + self.texts.capacity() * 8 / 7 * slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paraphrase_hits_and_another_question_does_not() {
        let semantic = Semantic::built_in().unwrap();
        let mut partition = Partition::default();
        let stored = ["What is the capital of Germany?", "How do I reverse a list in Python?", "laptops under $500"];
        for (id, text) in (1..).zip(stored) {
            partition.insert(id, text, &semantic).unwrap();
        }
        let threshold = semantic.threshold(crate::DEFAULT_FALSE_HITS);
        let hit = |p: &Partition, text: &str| p.lookup(&semantic.prompt(text), threshold, &semantic).map(|h| h.id);
        assert_eq!(hit(&partition, "Tell me the capital of Germany"), Some(1));
        assert_eq!(hit(&partition, "How can I reverse a Python list?"), Some(2));
        for other in ["What is the capital of France?", "How do I sort a list in Python?", "laptops over $500", ""] {
            assert_eq!(hit(&partition, other), None, "{other}");
        }
        assert!(partition.remove(1) && !partition.remove(1));
        assert_eq!(hit(&partition, "Tell me the capital of Germany"), None);
        assert_eq!(partition.len(), 2);
    }
    #[test]
    fn vectors_from_elsewhere_find_what_the_verifier_then_judges() {
        let semantic = Semantic::built_in().unwrap();
        let vector = |x: f32| Quantised::from_vector(&[1.0, x, 0.0]).unwrap();
        let mut partition = Partition::default();
        partition.insert_vector(1, "What is the capital of Germany?", &vector(0.1)).unwrap();
        partition.insert_vector(2, "What is the capital of France?", &vector(0.0)).unwrap();
        let wrong = partition.insert(3, "What is the capital of Spain?", &semantic);
        assert_eq!(wrong, Err(VectorError::Dimensions { expected: 3, given: crate::DIMENSIONS }));
        let threshold = semantic.threshold(crate::DEFAULT_FALSE_HITS);
        let prompt = semantic.prompt("Tell me the capital of Germany");
        // The nearest vector is the other country's; the verifier knows better.
        let hit = partition.lookup_vector(&prompt, (&vector(0.0), 0.9), threshold, &semantic).unwrap();
        assert_eq!(hit.id, 1);
        assert!((hit.similarity - vector(0.0).similarity(&vector(0.1))).abs() < 1e-6);
        assert_eq!(partition.lookup_vector(&prompt, (&vector(20.0), 0.9), threshold, &semantic), None);
        assert_eq!(partition.lookup(&prompt, threshold, &semantic), None);
    }
}
