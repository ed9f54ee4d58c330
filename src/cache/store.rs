//! Answers in memory, bounded in bytes and in time.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::sync::Cache as Moka;
use sluice_semantic::{Quantised, Semantic};

use super::answer::Answer;
use super::ask::{Ask, Digest};
use super::control::Control;
use super::embed::{Embed, Vector, Vectors};
use super::shelf::Shelves;
use crate::config::{CacheRules, Opinion};

/// An answer with whose it is.
struct Entry {
    answer: Answer,
    ask: Ask,
    /// Its number on the shelf of its partition.
    shelved: Option<u64>,
    /// Of its vector there.
    dimensions: usize,
    kept: Instant,
    ttl: Duration,
    cost_micros: u64,
}

/// How an answer was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tier {
    /// The same request.
    Exact,
    /// The same question in other words, with their cosine.
    Semantic(f32),
}

/// An answer that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The answer.
    pub answer: Answer,
    /// How.
    pub tier: Tier,
    /// Since it was kept.
    pub age: Duration,
    /// What it cost, micro-dollars.
    pub cost_micros: u64,
}

/// Which answers to forget; what is `None` matches all.
#[derive(Clone, Debug, Default)]
pub struct Purge {
    /// The public model.
    pub model: Option<String>,
    /// The tenant.
    pub tenant: Option<String>,
    /// The key's name.
    pub key: Option<String>,
}

/// What is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Answers.
    pub entries: u64,
    /// Their bytes, about.
    pub bytes: u64,
    /// Partitions with prompts that other words may find.
    pub partitions: usize,
}

/// The answers of one process.
pub struct Cache {
    entries: Moka<Digest, Arc<Entry>>,
    shelves: Arc<Shelves>,
    semantic: OnceLock<Option<Semantic>>,
    vectors: Vectors,
}

struct Ttl;

impl Expiry<Digest, Arc<Entry>> for Ttl {
    fn expire_after_create(&self, _: &Digest, entry: &Arc<Entry>, _: Instant) -> Option<Duration> {
        Some(entry.ttl)
    }

    fn expire_after_update(&self, _: &Digest, entry: &Arc<Entry>, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(entry.ttl)
    }
}

impl Cache {
    /// Room for so many bytes.
    pub fn new(max_bytes: u64) -> Self {
        let shelves = Arc::new(Shelves::default());
        let emptied = Arc::clone(&shelves);
        let entries = Moka::builder()
            .max_capacity(max_bytes)
            .weigher(|_, entry: &Arc<Entry>| u32::try_from(entry.size()).unwrap_or(u32::MAX))
            .expire_after(Ttl)
            .eviction_listener(move |_, entry: Arc<Entry>, _| {
                if let Some(id) = entry.shelved {
                    emptied.remove(&entry.ask.partition, id);
                }
            })
            .build();
        Self { entries, shelves, semantic: OnceLock::new(), vectors: Vectors::default() }
    }

    /// Loads the model that compares questions, which takes some milliseconds the first time.
    pub fn semantic(&self) -> Option<&Semantic> {
        let load = || {
            Semantic::built_in()
                .inspect_err(|error| tracing::error!(%error, "questions in other words are not answered"))
                .ok()
        };
        self.semantic.get_or_init(load).as_ref()
    }

    /// The answer to a request, if there is one that it may have. Dropping the future changes nothing.
    pub async fn find(&self, ask: &Ask, control: &Control, rules: &CacheRules, embed: &dyn Embed) -> Option<Found> {
        let fresh = |entry: &Arc<Entry>| control.max_age.is_none_or(|most| entry.kept.elapsed() <= most);
        if let Some(entry) = self.entries.get(&ask.key).filter(fresh) {
            return Some(entry.found(Tier::Exact));
        }
        let text = ask.text.as_deref().filter(|_| !control.exact)?;
        let semantic = self.semantic()?;
        semantic.eligible(text).ok()?;
        let vector = match &rules.embeddings {
            Some(_) => Some(Quantised::from_vector(&self.vector(ask, rules, embed).await?).ok()?),
            None => None,
        };
        let (prompt, false_hits) = ((text, vector.as_ref()), control.budget(rules.max_false_hits));
        let (key, similarity) = self.shelves.find(&ask.partition, prompt, false_hits, semantic)?;
        // Keys contain their partition; that it is this one is checked all the same.
        let entry = self.entries.get(&key).filter(fresh).filter(|entry| entry.ask.partition == ask.partition)?;
        if let Some(opinion) = &rules.second_opinion {
            let agree = self.second_opinion(ask, &entry, opinion, embed).await;
            embed.said(opinion, agree);
            // Meanwhile it may have been purged.
            if agree != Some(true) || !self.entries.contains_key(&key) {
                return None;
            }
        }
        Some(entry.found(Tier::Semantic(similarity)))
    }

    /// Has the vector made that an answer is kept with, for a request that is not looked up.
    pub async fn prepare(&self, ask: &Ask, rules: &CacheRules, embed: &dyn Embed) {
        self.vector(ask, rules, embed).await;
    }

    /// The prompt's vector by the model of the config, if there is one and the prompt may be found by it.
    async fn vector(&self, ask: &Ask, rules: &CacheRules, embed: &dyn Embed) -> Option<Vector> {
        let (text, embedder) = (ask.text.as_deref()?, rules.embeddings.as_ref()?);
        self.semantic()?.eligible(text).ok()?;
        if ask.vector.get().is_none() {
            let vector = self.vectors.of(text, &ask.partition, embedder, embed).await?;
            // It is the same if another has set it.
            drop(ask.vector.set(vector));
        }
        ask.vector.get().cloned()
    }

    async fn second_opinion(&self, ask: &Ask, entry: &Entry, opinion: &Opinion, embed: &dyn Embed) -> Option<bool> {
        let texts = [ask.text.as_deref()?, entry.ask.text.as_deref()?];
        self.vectors.agree(texts, &ask.partition, opinion, embed).await
    }

    /// Keeps an answer in the request's own partition.
    pub fn keep(&self, mut ask: Ask, answer: Answer, cost_micros: u64, rules: &CacheRules) {
        let room = rules.max_entry;
        if answer.size() > room {
            return;
        }
        let key = ask.key;
        let vector = self.shelf_vector(&mut ask, rules);
        let shelved = ask.text.as_deref().zip(vector.as_ref());
        let shelved = shelved.map(|(text, vector)| self.shelves.insert(ask.partition, text, key, vector));
        let dimensions = vector.map_or(0, |vector| vector.dimensions());
        let kept = Instant::now();
        let entry = Entry { answer, ask, shelved, dimensions, kept, ttl: rules.ttl, cost_micros };
        self.entries.insert(key, Arc::new(entry));
    }

    /// By what the prompt is found; nothing if it is for the same request only.
    fn shelf_vector(&self, ask: &mut Ask, rules: &CacheRules) -> Option<Quantised> {
        let made = ask.vector.take();
        let text = ask.text.as_deref()?;
        let semantic = self.semantic()?;
        semantic.eligible(text).ok()?;
        match rules.embeddings {
            Some(_) => Quantised::from_vector(&made?).ok(),
            None => Some(semantic.vector(text)),
        }
    }

    /// Forgets answers; when it returns, none of them is found any more.
    pub fn purge(&self, what: &Purge) -> usize {
        let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
        let matching = |entry: &Arc<Entry>| {
            let ask = &entry.ask;
            is(&what.model, &ask.model) && is(&what.tenant, &ask.owner.tenant) && is(&what.key, &ask.owner.key)
        };
        let keys: Vec<Digest> = self.entries.iter().filter(|(_, e)| matching(e)).map(|(key, _)| *key).collect();
        for key in &keys {
            self.entries.invalidate(key);
        }
        self.entries.run_pending_tasks();
        self.vectors.forget();
        keys.len()
    }

    /// What is held now.
    pub fn size(&self) -> Size {
        self.entries.run_pending_tasks();
        Size {
            entries: self.entries.entry_count(),
            bytes: self.entries.weighted_size(),
            partitions: self.shelves.len(),
        }
    }
}

impl Entry {
    fn found(&self, tier: Tier) -> Found {
        Found { answer: self.answer.clone(), tier, age: self.kept.elapsed(), cost_micros: self.cost_micros }
    }

    fn size(&self) -> usize {
        // A shelved prompt has its text twice, a vector and some ids.
        let text = self.ask.text.as_deref().map_or(0, |text| text.len() * 2 + 144);
        self.answer.size() + text + self.dimensions + size_of::<Self>()
    }
}

#[cfg(test)]
mod tests;
