//! The stored prompts of one partition, and the one whose answer may be given to another prompt.

use rustc_hash::FxHashMap as HashMap;

use crate::card::{Card, Glance};
use crate::index::Index;
use crate::vector::VectorError;
use crate::{Judgement, Prompt, Semantic};

/// How many of the nearest prompts are looked at, at a glance first.
const SHORTLIST: usize = 10;
/// How many of them are taken apart.
const TAKEN_APART: usize = 5;
/// How many that nothing vetoes are judged: of hits in all pairs there are, 95 % were the nearest of those, and all but
/// two the second.
const JUDGED: usize = 2;
/// Prompts farther away than this are not judged.
pub const LEAST_SIMILARITY: f32 = 0.5;

/// Prompts that share everything else that changes an answer. What the ids stand for is the owner's business.
///
/// A partition is searched by the built-in embedding or by vectors that its owner has from elsewhere
/// ([`Card::found_by`]), never by both. Vetoes and verifier are the same: they read the texts.
#[derive(Debug, Default)]
pub struct Partition {
    index: Index,
    prompts: HashMap<u64, (Box<str>, Glance)>,
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
    /// When the partition holds prompts with vectors of other dimensions; then nothing has changed.
    pub fn insert(&mut self, id: u64, text: &str, card: &Card) -> Result<(), VectorError> {
        self.index.insert(id, &card.vector)?;
        self.prompts.insert(id, (text.into(), card.glance.clone()));
        Ok(())
    }

    /// Forgets a prompt. False if the id is not there.
    pub fn remove(&mut self, id: u64) -> bool {
        self.prompts.remove(&id);
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
    /// keeps to the strictest budget there is. `card` is the prompt's; stored prompts farther from its vector than
    /// `at_least`, a cosine, are not judged.
    pub fn lookup(
        &self,
        prompt: &Prompt,
        (card, at_least): (&Card, f32),
        threshold: f64,
        semantic: &Semantic,
    ) -> Option<Hit> {
        let (mut best, mut least): (Option<Hit>, f64) = (None, threshold);
        // Of two that are sure beyond any budget, the nearer one is as good.
        let sure = threshold.max(semantic.threshold(0.0));
        let near = self.index.nearest(&card.vector, SHORTLIST, at_least);
        let known = near.iter().filter_map(|near| Some((near, self.prompts.get(&near.id)?)));
        let open = known.filter(|(_, (_, glance))| !card.glance.forbids(glance)).take(TAKEN_APART);
        let mut judged = 0;
        for (near, (text, _)) in open {
            let Some(judgement) = semantic.judge_text(prompt, text, least) else { continue };
            judged += 1;
            if judgement.score > least {
                least = judgement.score;
                best = Some(Hit { id: near.id, similarity: near.similarity, judgement });
            }
            if least > sure || judged == JUDGED {
                break;
            }
        }
        best
    }

    /// Bytes held: vectors, ids, texts and what is seen of them at a glance.
    pub fn memory(&self) -> usize {
        let heap: usize = self.prompts.values().map(|(text, glance)| text.len() + glance.memory()).sum();
        let slot = size_of::<(u64, (Box<str>, Glance))>() + 1;
        self.index.memory() + heap + self.prompts.capacity() * 8 / 7 * slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Quantised;

    #[test]
    fn a_paraphrase_hits_and_another_question_does_not() {
        let semantic = Semantic::built_in().unwrap();
        let mut partition = Partition::default();
        let stored = ["What is the capital of Germany?", "How do I reverse a list in Python?", "laptops under $500"];
        for (id, text) in (1..).zip(stored) {
            partition.insert(id, text, &semantic.card(text)).unwrap();
        }
        let threshold = semantic.threshold(crate::DEFAULT_FALSE_HITS);
        let hit = |p: &Partition, text: &str| {
            let prompt = semantic.prompt(text);
            p.lookup(&prompt, (&prompt.card(), LEAST_SIMILARITY), threshold, &semantic).map(|h| h.id)
        };
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
    fn a_paraphrase_is_found_behind_nearer_prompts_with_other_numbers() {
        let semantic = Semantic::built_in().unwrap();
        let mut partition = Partition::default();
        let mut insert = |id: u64, text: &str| partition.insert(id, text, &semantic.card(text)).unwrap();
        for id in 0..8 {
            insert(id, &format!("How do I renew my passport within {} days?", 11 + id));
        }
        insert(99, "How can I get my passport renewed within 10 days?");
        let prompt = semantic.prompt("How do I renew my passport within 10 days?");
        let near = partition.index.nearest(&prompt.card().vector, 10, LEAST_SIMILARITY);
        assert_eq!(near.last().map(|near| near.id), Some(99), "{near:?}");
        let threshold = semantic.threshold(crate::DEFAULT_FALSE_HITS);
        let hit = partition.lookup(&prompt, (&prompt.card(), LEAST_SIMILARITY), threshold, &semantic);
        assert_eq!(hit.map(|hit| hit.id), Some(99));
    }

    #[test]
    fn vectors_from_elsewhere_find_what_the_verifier_then_judges() {
        let semantic = Semantic::built_in().unwrap();
        let vector = |x: f32| Quantised::from_vector(&[1.0, x, 0.0]).unwrap();
        let card = |text: &str, x: f32| semantic.card(text).found_by(vector(x));
        let mut partition = Partition::default();
        for (id, country, x) in [(1, "Germany", 0.1), (2, "France", 0.0)] {
            let text = format!("What is the capital of {country}?");
            partition.insert(id, &text, &card(&text, x)).unwrap();
        }
        let other = "What is the capital of Spain?";
        let wrong = partition.insert(3, other, &semantic.card(other));
        assert_eq!(wrong, Err(VectorError::Dimensions { expected: 3, given: crate::DIMENSIONS }));
        let threshold = semantic.threshold(crate::DEFAULT_FALSE_HITS);
        let text = "Tell me the capital of Germany";
        let prompt = semantic.prompt(text);
        let look_up = |card: &Card, at_least: f32| partition.lookup(&prompt, (card, at_least), threshold, &semantic);
        // The nearest vector is the other country's; the verifier knows better.
        let hit = look_up(&card(text, 0.0), 0.9).unwrap();
        assert_eq!(hit.id, 1);
        assert!((hit.similarity - vector(0.0).similarity(&vector(0.1))).abs() < 1e-6);
        assert_eq!(look_up(&card(text, 20.0), 0.9), None);
        assert_eq!(look_up(&prompt.card(), LEAST_SIMILARITY), None);
    }
}
