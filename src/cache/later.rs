//! Answers that are kept once their clients have them: to take one apart and put it on its shelf takes longer than the
//! last bytes of a response should wait.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use sluice_policies::Demand;
use sluice_providers::{Endpoint, Usage};
use tokio::runtime::Handle;

use super::answer::Answer;
use super::ask::{Ask, Digest};
use super::store::Cache;
use crate::config::CacheRules;

const SHARDS: usize = 16;
/// So many answers may wait in a shard; then they are kept at once.
const MOST: usize = 32;
/// Larger ones do not wait, in bytes: who looks for another would have to wait for them.
const HEAVY: usize = 64 << 10;

/// An answer as its client got it, with what it takes to keep it.
pub struct Delivered {
    /// What it answers.
    pub ask: Ask,
    /// What the client called.
    pub endpoint: Endpoint,
    /// All of it.
    pub bytes: Bytes,
    /// Whether they are events.
    pub streamed: bool,
    /// The provider's.
    pub usage: Option<Usage>,
    /// What it took to make.
    pub made: Demand,
    /// Of the model, for this client.
    pub rules: Arc<CacheRules>,
}

/// Answers that wait to be kept, by partition.
#[derive(Default)]
pub(super) struct Later {
    /// A shard is locked until what it had is kept: who looks meanwhile waits for that.
    shards: [Mutex<Vec<Delivered>>; SHARDS],
}

impl Later {
    fn shard(&self, partition: &Digest) -> Option<&Mutex<Vec<Delivered>>> {
        let [first, ..] = partition;
        self.shards.get(usize::from(*first) % SHARDS)
    }
}

impl Cache {
    /// Keeps an answer as soon as the task that calls has gone on, or when it is asked for, whichever comes first: to
    /// whoever looks, it has been kept when this returns.
    pub fn keep_later(self: &Arc<Self>, delivered: Delivered) {
        let partition = delivered.ask.partition;
        if delivered.bytes.len() > HEAVY {
            // After what came before it.
            self.catch_up(&partition, Some(&delivered.ask.key));
            return self.keep_delivered(delivered);
        }
        let Some(shard) = self.later.shard(&partition) else { return };
        let many = {
            let mut waiting = shard.lock();
            waiting.push(delivered);
            waiting.len() >= MOST
        };
        match Handle::try_current() {
            Ok(runtime) if !many => {
                let cache = Arc::clone(self);
                runtime.spawn(async move { cache.catch_up(&partition, None) });
            }
            _ => self.catch_up(&partition, None),
        }
    }

    /// Keeps what waits for that in a partition; only the answer to one request if there is a key.
    pub(super) fn catch_up(&self, partition: &Digest, key: Option<&Digest>) {
        if let Some(shard) = self.later.shard(partition) {
            self.keep_all(shard, |delivered| key.is_none_or(|key| delivered.ask.key == *key));
        }
    }

    /// Keeps all that waits for it.
    pub(super) fn catch_up_all(&self) {
        for shard in &self.later.shards {
            self.keep_all(shard, |_| true);
        }
    }

    fn keep_all(&self, shard: &Mutex<Vec<Delivered>>, of: impl Fn(&mut Delivered) -> bool) {
        for delivered in shard.lock().extract_if(.., |delivered| of(delivered)) {
            self.keep_delivered(delivered);
        }
    }

    fn keep_delivered(&self, delivered: Delivered) {
        let Delivered { ask, endpoint, bytes, streamed, usage, made, rules } = delivered;
        if let Some(answer) = Answer::of(endpoint, &bytes, streamed, usage) {
            self.keep(ask, answer, made, &rules);
        }
    }
}
