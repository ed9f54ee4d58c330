//! A simulated KV cache: blocks of the prompt's words, each known by all that stands before it,
//! the least recently used forgotten first.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use parking_lot::Mutex;
use serde_json::{Value, json};

/// Words of a block; the mock counts a word as a token.
const BLOCK: usize = 16;

/// The cache of one engine, and what it was worth.
#[derive(Debug, Default)]
pub(crate) struct KvCache(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When each block was last used.
    blocks: HashMap<u64, u64>,
    by_use: BTreeMap<u64, u64>,
    clock: u64,
    requests: u64,
    prompt: u64,
    hit: u64,
}

impl KvCache {
    /// Reads a prompt and writes its answer, with room for `capacity` tokens. Returns how many of
    /// the prompt's tokens were there already.
    pub(crate) fn serve(&self, messages: &Value, answer: &str, capacity: u64) -> u64 {
        let mut words: Vec<&str> = Vec::new();
        for message in messages.as_array().into_iter().flatten() {
            words.extend(message["role"].as_str());
            words.extend(message["content"].as_str().unwrap_or_default().split_whitespace());
        }
        let prompt = words.len();
        words.push("assistant");
        words.extend(answer.split_whitespace());
        let mut state = self.0.lock();
        let (mut hasher, mut hits, mut whole) = (DefaultHasher::new(), 0, true);
        for (number, block) in words.chunks_exact(BLOCK).enumerate() {
            block.hash(&mut hasher);
            let known = state.touch(hasher.finish());
            whole &= known;
            if whole && (number + 1) * BLOCK <= prompt {
                hits += BLOCK as u64;
            }
        }
        state.forget(capacity / BLOCK as u64);
        state.requests += 1;
        state.prompt += prompt as u64;
        state.hit += hits;
        hits
    }

    /// What was served so far.
    pub(crate) fn read(&self) -> Value {
        let state = self.0.lock();
        json!({"requests": state.requests, "prompt_tokens": state.prompt, "hit_tokens": state.hit})
    }
}

impl State {
    /// Marks a block as used now. Whether it was there.
    fn touch(&mut self, block: u64) -> bool {
        self.clock += 1;
        let before = self.blocks.insert(block, self.clock);
        if let Some(before) = before {
            self.by_use.remove(&before);
        }
        self.by_use.insert(self.clock, block);
        before.is_some()
    }

    fn forget(&mut self, capacity: u64) {
        while self.blocks.len() as u64 > capacity {
            let Some((_, block)) = self.by_use.pop_first() else { return };
            self.blocks.remove(&block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(words: usize) -> Value {
        json!([{"role": "user", "content": "word ".repeat(words)}])
    }

    #[test]
    fn the_beginning_is_found_again_until_it_is_forgotten() {
        let cache = KvCache::default();
        assert_eq!(cache.serve(&say(63), "", 1000), 0);
        assert_eq!(cache.serve(&say(63), "", 1000), 64);
        assert_eq!(cache.serve(&say(40), "", 1000), 32, "whole blocks only");
        cache.serve(&json!([{"role": "system", "content": "other ".repeat(200)}]), "", 160);
        assert_eq!(cache.serve(&say(63), "", 1000), 0, "there was no room for it");
        assert_eq!(cache.read()["requests"], 5);
    }
}
