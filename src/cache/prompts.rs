//! Prompts of the shared cache that this replica indexes for itself, where the server cannot search.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use parking_lot::Mutex;
use sluice_semantic::Semantic;

use super::ask::Digest;
use super::question::Question;
use super::shelf::Shelves;
use crate::state::Streamed;

#[derive(Default)]
struct Known {
    /// The partition and number of each answer's prompt, and when it ends.
    by_key: HashMap<Digest, (Digest, u64, Instant)>,
    /// The first to end comes first.
    ends: BTreeMap<(Instant, u64), Digest>,
}

/// Prompts whose answers are shared, by partition; when there are too many, the first to end go.
pub(super) struct Prompts {
    shelves: Shelves,
    known: Mutex<Known>,
    most: usize,
}

impl Prompts {
    pub(super) fn new(most: usize) -> Self {
        Self { shelves: Shelves::default(), known: Mutex::default(), most }
    }

    pub(super) fn insert(&self, streamed: &Streamed, semantic: &Semantic) {
        let prompt = &streamed.prompt;
        let Some(end) = Instant::now().checked_add(streamed.left).filter(|_| !streamed.left.is_zero()) else { return };
        self.remove(&prompt.key);
        let id = self.shelves.insert(streamed.partition, &prompt.text, prompt.key, &semantic.card(&prompt.text));
        let first = {
            let mut known = self.known.lock();
            known.by_key.insert(prompt.key, (streamed.partition, id, end));
            known.ends.insert((end, id), prompt.key);
            let over = known.by_key.len() > self.most;
            over.then(|| known.ends.first_key_value().map(|(_, key)| *key)).flatten()
        };
        if let Some(first) = first {
            self.remove(&first);
        }
    }

    pub(super) fn remove(&self, key: &Digest) {
        let gone = {
            let mut known = self.known.lock();
            let gone = known.by_key.remove(key);
            if let Some((_, id, end)) = &gone {
                known.ends.remove(&(*end, *id));
            }
            gone
        };
        if let Some((partition, id, _)) = gone {
            self.shelves.remove(&partition, id);
        }
    }

    /// Forgets those whose answers have ended.
    pub(super) fn expire(&self, now: Instant) {
        loop {
            let first = self.known.lock().ends.first_key_value().map(|((end, _), key)| (*end, *key));
            match first {
                Some((end, key)) if end <= now => self.remove(&key),
                _ => return,
            }
        }
    }

    pub(super) fn clear(&self) {
        let keys: Vec<Digest> = self.known.lock().by_key.keys().copied().collect();
        for key in &keys {
            self.remove(key);
        }
    }

    /// As [`Shelves::find`].
    pub(super) fn find(&self, partition: &Digest, question: &Question<'_>, false_hits: f64) -> Option<Digest> {
        self.shelves.find(partition, question, None, false_hits).map(|(key, _)| key)
    }

    pub(super) fn len(&self) -> usize {
        self.known.lock().by_key.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::state::SharedPrompt;

    fn streamed(key: u8, text: &str, left: u64) -> Streamed {
        let prompt = SharedPrompt { key: [key; 32], text: text.to_owned() };
        Streamed { partition: [0; 32], prompt, left: Duration::from_secs(left) }
    }

    #[test]
    fn prompts_are_found_until_they_end_and_the_first_to_end_make_room() {
        let semantic = Semantic::built_in().unwrap();
        let prompts = Prompts::new(2);
        let find = |text: &str| prompts.find(&[0; 32], &Question::new(text, &semantic), 0.01);
        prompts.insert(&streamed(1, "What is the capital of Kenya?", 100), &semantic);
        prompts.insert(&streamed(9, "long gone", 0), &semantic);
        assert_eq!(find("Tell me the capital of Kenya"), Some([1; 32]));
        prompts.insert(&streamed(1, "What is the capital of Kenya?", 300), &semantic);
        prompts.insert(&streamed(2, "How do I reverse a list in Python?", 200), &semantic);
        assert_eq!(prompts.len(), 2, "one answer has one prompt");
        prompts.insert(&streamed(3, "What is the boiling point of water?", 400), &semantic);
        assert_eq!(find("How can I reverse a Python list?"), None, "it would have been the first to end");
        prompts.expire(Instant::now() + Duration::from_secs(350));
        assert_eq!((find("Tell me the capital of Kenya"), prompts.len()), (None, 1));
        prompts.clear();
        assert_eq!((prompts.len(), prompts.shelves.len()), (0, 0));
    }
}
