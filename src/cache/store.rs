//! Answers in memory, bounded in bytes and in time.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::sync::Cache as Moka;
use sluice_policies::Demand;
use sluice_semantic::Semantic;

use super::answer::Answer;
use super::ask::{Ask, Digest};
use super::control::Control;
use super::shelf::Shelves;
use crate::config::CacheRules;

/// An answer with whose it is.
struct Entry {
    answer: Answer,
    ask: Ask,
    /// Its number on the shelf of its partition.
    shelved: Option<u64>,
    kept: Instant,
    ttl: Duration,
    made: Demand,
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
    /// What it took when it was made.
    pub made: Demand,
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
        Self { entries, shelves, semantic: OnceLock::new() }
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

    /// The answer to a request, if there is one that it may have.
    pub fn find(&self, ask: &Ask, control: &Control, rules: &CacheRules) -> Option<Found> {
        let fresh = |entry: &Arc<Entry>| control.max_age.is_none_or(|most| entry.kept.elapsed() <= most);
        if let Some(entry) = self.entries.get(&ask.key).filter(fresh) {
            return Some(entry.found(Tier::Exact));
        }
        let text = ask.text.as_deref().filter(|_| !control.exact)?;
        let (key, similarity) =
            self.shelves.find(&ask.partition, text, control.budget(rules.max_false_hits), self.semantic()?)?;
        // Keys contain their partition; that it is this one is checked all the same.
        let entry = self.entries.get(&key).filter(fresh).filter(|entry| entry.ask.partition == ask.partition)?;
        Some(entry.found(Tier::Semantic(similarity)))
    }

    /// Keeps an answer in the request's own partition.
    pub fn keep(&self, ask: Ask, answer: Answer, made: Demand, rules: &CacheRules) {
        let room = rules.max_entry;
        if answer.size() > room {
            return;
        }
        let key = ask.key;
        let shelved = ask.text.as_deref().zip(self.semantic_if(&ask)).and_then(|(text, semantic)| {
            semantic.eligible(text).ok()?;
            Some(self.shelves.insert(ask.partition, text, key, semantic))
        });
        let entry = Entry { answer, ask, shelved, kept: Instant::now(), ttl: rules.ttl, made };
        self.entries.insert(key, Arc::new(entry));
    }

    fn semantic_if(&self, ask: &Ask) -> Option<&Semantic> {
        ask.text.as_ref().and_then(|_| self.semantic())
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
        Found { answer: self.answer.clone(), tier, age: self.kept.elapsed(), made: self.made }
    }

    fn size(&self) -> usize {
        // A shelved prompt has its text twice, a vector and some ids.
        let text = self.ask.text.as_deref().map_or(0, |text| text.len() * 2 + 400);
        self.answer.size() + text + size_of::<Self>()
    }
}

#[cfg(test)]
mod tests;
