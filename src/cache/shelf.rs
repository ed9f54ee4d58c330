//! The prompts of every partition, for questions in other words.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use sluice_semantic::{LEAST_SIMILARITY, Partition, Quantised, Semantic};

use super::ask::Digest;

/// Prompts of one partition, and the keys of their answers.
#[derive(Default)]
struct Shelf {
    prompts: Partition,
    keys: HashMap<u64, Digest>,
}

/// All partitions. A partition is locked while it is searched, the list only to find it.
#[derive(Default)]
pub(super) struct Shelves {
    all: Mutex<HashMap<Digest, Arc<Mutex<Shelf>>>>,
    next: AtomicU64,
}

impl Shelves {
    /// Adds a prompt; the number takes it out again.
    pub(super) fn insert(&self, partition: Digest, text: &str, key: Digest, vector: &Quantised) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        // The list stays locked: a shelf that was just emptied must not be filled after it is gone.
        let mut all = self.all.lock();
        let mut shelf = all.entry(partition).or_default().lock();
        if shelf.prompts.insert_vector(id, text, vector).is_ok() {
            shelf.keys.insert(id, key);
        }
        id
    }

    pub(super) fn remove(&self, partition: &Digest, id: u64) {
        let mut all = self.all.lock();
        let Some(shelf) = all.get(partition) else { return };
        let empty = {
            let mut shelf = shelf.lock();
            shelf.prompts.remove(id);
            shelf.keys.remove(&id);
            shelf.prompts.is_empty()
        };
        if empty {
            all.remove(partition);
        }
    }

    /// The key of an answer to the same question, and how similar the two are. `vector` is the prompt's, where it is
    /// not the built-in model that made those of the partition.
    pub(super) fn find(
        &self,
        partition: &Digest,
        (text, vector): (&str, Option<&Quantised>),
        false_hits: f64,
        semantic: &Semantic,
    ) -> Option<(Digest, f32)> {
        let shelf = self.all.lock().get(partition).map(Arc::clone)?;
        let prompt = semantic.prompt(text);
        let threshold = semantic.threshold(false_hits);
        let shelf = shelf.lock();
        let hit = match vector {
            // What is near differs from model to model: the nearest are judged, however far they are.
            Some(vector) => shelf.prompts.lookup_vector(&prompt, (vector, -1.0), threshold, semantic)?,
            None => shelf.prompts.lookup(&prompt, threshold, semantic)?,
        };
        // The threshold keeps to its budget among pairs that the built-in model finds near.
        let near = hit.judgement.similarity >= LEAST_SIMILARITY;
        Some((*shelf.keys.get(&hit.id).filter(|_| near)?, hit.judgement.similarity))
    }

    /// Partitions that hold prompts.
    pub(super) fn len(&self) -> usize {
        self.all.lock().len()
    }
}
