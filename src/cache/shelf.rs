//! The prompts of every partition, for questions in other words.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use sluice_semantic::{Card, LEAST_SIMILARITY, Partition, Quantised};

use super::ask::Digest;
use super::question::Question;

/// Prompts of one partition, and the keys of their answers.
#[derive(Default)]
struct Shelf {
    prompts: Partition,
    keys: HashMap<u64, Digest>,
    /// It was emptied and is off the list: nothing is put on it any more.
    gone: bool,
}

/// All partitions. A partition is locked while it is searched, the list only to find it; no lock is waited for with the
/// list locked.
#[derive(Default)]
pub(super) struct Shelves {
    all: Mutex<HashMap<Digest, Arc<RwLock<Shelf>>>>,
    next: AtomicU64,
}

impl Shelves {
    /// Adds a prompt; the number takes it out again.
    pub(super) fn insert(&self, partition: Digest, text: &str, key: Digest, card: &Card) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        loop {
            let found = Arc::clone(self.all.lock().entry(partition).or_default());
            let mut shelf = found.write();
            if shelf.gone {
                drop(shelf);
                self.unlist(&partition, &found);
                continue;
            }
            if shelf.prompts.insert(id, text, card).is_ok() {
                shelf.keys.insert(id, key);
            }
            return id;
        }
    }

    pub(super) fn remove(&self, partition: &Digest, id: u64) {
        let Some(found) = self.all.lock().get(partition).map(Arc::clone) else { return };
        let mut shelf = found.write();
        shelf.prompts.remove(id);
        shelf.keys.remove(&id);
        shelf.gone = shelf.prompts.is_empty();
        if shelf.gone {
            drop(shelf);
            self.unlist(partition, &found);
        }
    }

    fn unlist(&self, partition: &Digest, shelf: &Arc<RwLock<Shelf>>) {
        let mut all = self.all.lock();
        if all.get(partition).is_some_and(|found| Arc::ptr_eq(found, shelf)) {
            all.remove(partition);
        }
    }

    /// The key of an answer to the same question, and how similar the two are. `vector` is the prompt's, where it is
    /// not the built-in model that made those of the partition.
    pub(super) fn find(
        &self,
        partition: &Digest,
        question: &Question<'_>,
        vector: Option<Quantised>,
        false_hits: f64,
    ) -> Option<(Digest, f32)> {
        let found = self.all.lock().get(partition).map(Arc::clone)?;
        let (prompt, semantic) = (question.prompt(), question.semantic);
        // What is near differs from model to model: the nearest are judged, however far they are.
        let outside = vector.map(|vector| question.card().found_by(vector));
        let by = outside.as_ref().map_or((question.card(), LEAST_SIMILARITY), |card| (card, -1.0));
        let shelf = found.read();
        let hit = shelf.prompts.lookup(prompt, by, semantic.threshold(false_hits), semantic)?;
        // The threshold keeps to its budget among pairs that the built-in model finds near.
        let near = hit.judgement.similarity >= LEAST_SIMILARITY;
        Some((*shelf.keys.get(&hit.id).filter(|_| near)?, hit.judgement.similarity))
    }

    /// Partitions that hold prompts.
    pub(super) fn len(&self) -> usize {
        self.all.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use sluice_semantic::Semantic;

    use super::*;

    #[test]
    fn a_shelf_that_is_emptied_while_another_is_filling_it_loses_nothing() {
        let (shelves, card) = (Shelves::default(), Semantic::built_in().unwrap().card("text"));
        std::thread::scope(|scope| {
            for thread in 0..4_u8 {
                let (shelves, card) = (&shelves, &card);
                scope.spawn(move || {
                    for _ in 0..2000 {
                        let id = shelves.insert([7; 32], "text", [thread; 32], card);
                        let listed = shelves.all.lock().get(&[7; 32]).map(Arc::clone).unwrap();
                        assert_eq!(listed.read().keys.get(&id), Some(&[thread; 32]));
                        shelves.remove(&[7; 32], id);
                    }
                });
            }
        });
        assert_eq!(shelves.len(), 0);
    }
}
