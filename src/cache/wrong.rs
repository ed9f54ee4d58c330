//! Answers to other words that turned out to be wrong.

use std::sync::Arc;

use super::answer::Answer;
use super::ask::Digest;
use super::compare;
use super::shared::Job;
use super::store::{Cache, Entry};
use crate::state::SharedPrompt;

impl Cache {
    /// What a kept answer and a live one contradict each other in; nothing if they agree.
    pub fn conflict(&self, kept: &Answer, live: &Answer) -> Option<&'static str> {
        compare::conflict(&kept.content, &live.content, self.semantic()?)
    }

    /// Takes an answer away from other words. The request it was made for still gets it, from this process's memory.
    pub fn unshelve(&self, key: &Digest) {
        let Some(entry) = self.entries.get(key) else { return };
        let Some(text) = entry.ask.text.clone() else { return };
        let mut ask = entry.ask.clone();
        ask.text = None;
        if let Some(shared) = &self.shared {
            shared.prompts.remove(key);
            shared.offer(Job::Unlink(*key));
            shared.offer(Job::Unshelve(ask.partition, SharedPrompt { key: *key, text }));
        }
        let ttl = entry.ttl.saturating_sub(entry.kept.elapsed());
        let (answer, kept, made) = (Arc::clone(&entry.answer), entry.kept, entry.made);
        // What is replaced takes its prompt off the shelf.
        self.entries.insert(*key, Arc::new(Entry { answer, ask, shelved: None, kept, ttl, made }));
        self.entries.run_pending_tasks();
    }
}
