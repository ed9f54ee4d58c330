//! Vectors of prompts from an embeddings model of the config, each asked for once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use moka::future::Cache as Moka;
use moka::policy::EvictionPolicy;
use sha2::{Digest as _, Sha256};

use super::ask::{Ask, Digest};
use super::store::Cache;
use crate::config::{CacheRules, Embedder, Opinion};

/// Bytes of vectors that are remembered.
const MOST_BYTES: u64 = 16 << 20;
/// Pairs whose similarity is remembered.
const MOST_PAIRS: u64 = 10_000;
/// They are forgotten after this time.
const REMEMBERED: Duration = Duration::from_hours(1);

/// A vector of length 1.
pub type Vector = Arc<[f32]>;

/// Where vectors come from, other than the binary.
#[async_trait]
pub trait Embed: Send + Sync {
    /// One vector for each text, in their order and all of one dimension; nothing if they do not come within the
    /// embedder's timeout. Dropping the future gives up waiting.
    async fn embed(&self, embedder: &Embedder, texts: &[&str]) -> Option<Vec<Vector>>;

    /// Told what a second opinion was; nothing if there was none in time.
    fn said(&self, opinion: &Opinion, agree: Option<bool>);
}

/// No embeddings model can be asked.
#[async_trait]
impl Embed for () {
    async fn embed(&self, _: &Embedder, _: &[&str]) -> Option<Vec<Vector>> {
        None
    }

    fn said(&self, _: &Opinion, _: Option<bool>) {}
}

/// One look-up's way to ask.
pub(super) struct Outside<'a> {
    embed: &'a dyn Embed,
    /// An opinion did not come: it will not come for another candidate either.
    silent: AtomicBool,
}

impl<'a> Outside<'a> {
    pub(super) fn new(embed: &'a dyn Embed) -> Self {
        Self { embed, silent: AtomicBool::new(false) }
    }
}

impl Cache {
    /// Has the vector made that an answer is kept with, for a request that is not looked up.
    pub async fn prepare(&self, ask: &Ask, rules: &CacheRules, embed: &dyn Embed) {
        if rules.embeddings.is_some() {
            self.vector(ask, rules, &Outside::new(embed)).await;
        }
    }

    /// The prompt's vector by the model of the config, if there is one and the prompt may be found by it.
    pub(super) async fn vector(&self, ask: &Ask, rules: &CacheRules, outside: &Outside<'_>) -> Option<Vector> {
        let (text, embedder) = (ask.text.as_deref()?, rules.embeddings.as_ref()?);
        if ask.known.vector.get().is_none() {
            let vector = Box::pin(self.vectors.of(text, &ask.partition, embedder, outside.embed)).await?;
            // If another has set it, it is the same.
            drop(ask.known.vector.set(vector));
        }
        ask.known.vector.get().cloned()
    }

    /// Whether the second opinion, where one is wanted, is that a stored prompt asks the same.
    pub(super) async fn agrees(&self, ask: &Ask, stored: &Ask, rules: &CacheRules, outside: &Outside<'_>) -> bool {
        let Some(opinion) = &rules.second_opinion else { return true };
        let (Some(text), Some(stored)) = (ask.text.as_deref(), stored.text.as_deref()) else { return false };
        if outside.silent.load(Ordering::Relaxed) {
            return false;
        }
        // Boxed: every request has room for this future, and few need it.
        let agree = Box::pin(self.vectors.agree([text, stored], &ask.partition, opinion, outside.embed)).await;
        outside.silent.store(agree.is_none(), Ordering::Relaxed);
        outside.embed.said(opinion, agree);
        agree == Some(true)
    }
}

/// Vectors and similarities that are known. Of requests at once that need the same one, one asks for it.
pub(super) struct Vectors {
    vectors: Moka<Digest, Vector>,
    pairs: Moka<Digest, f32>,
}

impl Default for Vectors {
    fn default() -> Self {
        let weight = |_: &Digest, vector: &Vector| u32::try_from(size_of_val(&**vector) + 128).unwrap_or(u32::MAX);
        let vectors = Moka::builder().max_capacity(MOST_BYTES).weigher(weight).time_to_live(REMEMBERED);
        let pairs = Moka::builder().max_capacity(MOST_PAIRS).time_to_live(REMEMBERED);
        // What is new is what will be needed: no admission by frequency.
        let policy = EvictionPolicy::lru;
        Self { vectors: vectors.eviction_policy(policy()).build(), pairs: pairs.eviction_policy(policy()).build() }
    }
}

impl Vectors {
    /// The vector of a prompt. What is known is of its partition: how fast an answer comes tells nothing of others'.
    pub(super) async fn of(
        &self,
        text: &str,
        partition: &Digest,
        embedder: &Embedder,
        embed: &dyn Embed,
    ) -> Option<Vector> {
        let key = key(partition, embedder, &[text]);
        self.vectors.optionally_get_with(key, async { embed.embed(embedder, &[text]).await?.pop() }).await
    }

    /// Whether two prompts are as alike as an opinion wants; nothing if there is none in time. What is not known of
    /// their vectors is asked for at once.
    pub(super) async fn agree(
        &self,
        texts: [&str; 2],
        partition: &Digest,
        opinion: &Opinion,
        embed: &dyn Embed,
    ) -> Option<bool> {
        let pair = key(partition, &opinion.embedder, &texts);
        let similarity =
            self.pairs.optionally_get_with(pair, self.similarity(texts, partition, opinion, embed)).await?;
        Some(similarity >= opinion.min_similarity)
    }

    async fn similarity(
        &self,
        texts: [&str; 2],
        partition: &Digest,
        opinion: &Opinion,
        embed: &dyn Embed,
    ) -> Option<f32> {
        let keys = texts.map(|text| key(partition, &opinion.embedder, &[text]));
        let [a, b] = &keys;
        let [a, b] = [self.vectors.get(a).await, self.vectors.get(b).await];
        let [first, second] = texts;
        let wanted: &[&str] = match (&a, &b) {
            (Some(_), Some(_)) => &[],
            (None, Some(_)) => &[first],
            (Some(_), None) => &[second],
            (None, None) => &texts,
        };
        let made = if wanted.is_empty() { Vec::new() } else { embed.embed(&opinion.embedder, wanted).await? };
        let mut made = made.into_iter();
        let mut vectors = Vec::with_capacity(2);
        for (known, key) in [a, b].into_iter().zip(keys) {
            let vector = match known {
                Some(vector) => vector,
                None => {
                    let vector = made.next()?;
                    self.vectors.insert(key, Arc::clone(&vector)).await;
                    vector
                }
            };
            vectors.push(vector);
        }
        cosine(vectors.first()?, vectors.last()?)
    }

    /// Forgets all: what it was made of may be secret.
    pub(super) fn forget(&self) {
        self.vectors.invalidate_all();
        self.pairs.invalidate_all();
    }
}

fn key(partition: &Digest, embedder: &Embedder, texts: &[&str]) -> Digest {
    let mut hash = Sha256::new();
    hash.update(partition);
    for part in [embedder.id().as_str()].iter().chain(texts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Of vectors of length 1; those of different models have none.
fn cosine(a: &[f32], b: &[f32]) -> Option<f32> {
    (a.len() == b.len()).then(|| a.iter().zip(b).map(|(a, b)| a * b).sum())
}

#[cfg(test)]
pub(super) mod tests;
