//! The stored prompts of one partition, and the one whose answer may be given to another prompt.

use std::collections::HashMap;

use crate::index::Index;
use crate::{Judgement, Prompt, Semantic};

/// How many of the nearest prompts are judged.
const SHORTLIST: usize = 5;
/// Prompts farther away than this are not judged.
pub const LEAST_SIMILARITY: f32 = 0.5;

/// Prompts that share everything else that changes an answer. What the ids stand for is the owner's business.
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
    /// What the verifier said.
    pub judgement: Judgement,
}

impl Partition {
    /// Stores a prompt, or replaces the one with this id.
    pub fn insert(&mut self, id: u64, text: &str, semantic: &Semantic) {
        self.index.insert(id, &semantic.vector(text));
        self.texts.insert(id, text.into());
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

    /// The stored prompt with the best score above `threshold` that nothing vetoes.
    pub fn lookup(&self, prompt: &Prompt, threshold: f64, semantic: &Semantic) -> Option<Hit> {
        let mut best: Option<Hit> = None;
        for near in self.index.nearest(&prompt.vector(), SHORTLIST, LEAST_SIMILARITY) {
            let Some(text) = self.texts.get(&near.id) else { continue };
            let Some(judgement) = semantic.judge_text(prompt, text) else { continue };
            let better = best.as_ref().is_none_or(|b| judgement.score > b.judgement.score);
            if judgement.score > threshold && better {
                best = Some(Hit { id: near.id, judgement });
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
            partition.insert(id, text, &semantic);
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
}
