//! Answers in memory, bounded in bytes and in time; behind them, if there is one, the shared tier.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::sync::Cache as Moka;
use sluice_policies::Demand;
use sluice_semantic::{Card, Quantised, Semantic};

use super::answer::Answer;
use super::ask::{Ask, Digest};
use super::control::Control;
use super::embed::{Embed, Outside, Vectors};
use super::later::Later;
use super::purges::{Purge, Purges, Stamp};
use super::question::{Asked, Question};
use super::shared::{Job, Shared};
use super::shelf::Shelves;
use super::watch::Watch;
use crate::config::{CacheRules, Redis};
use crate::state::AnswerIndex;
use crate::telemetry::SharedCacheMetrics;

/// An answer with whose it is.
pub(super) struct Entry {
    /// Shared with those that it is told to.
    pub(super) answer: Arc<Answer>,
    pub(super) ask: Ask,
    pub(super) shelved: Option<Shelved>,
    pub(super) kept: Instant,
    pub(super) ttl: Duration,
    pub(super) made: Demand,
}

/// Where its prompt is on the shelf of its partition.
#[derive(Clone, Copy)]
pub(super) struct Shelved {
    /// Its number there.
    pub(super) id: u64,
    /// Bytes of its vector.
    pub(super) dimensions: usize,
}

/// How an answer was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tier {
    /// The same request.
    Exact,
    /// The same question in other words, with their cosine.
    Semantic(f32),
}

impl Tier {
    /// In headers and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "hit-exact",
            Self::Semantic(_) => "hit-semantic",
        }
    }
}

/// An answer that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The answer.
    pub answer: Arc<Answer>,
    /// How.
    pub tier: Tier,
    /// Since it was kept.
    pub age: Duration,
    /// What it took when it was made.
    pub made: Demand,
    /// Of the request it was made for.
    pub key: Digest,
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

/// What of the answers is shared with other replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharing {
    /// How the store finds prompts, while it answers.
    pub index: Option<&'static str>,
    /// Why it is not used, if it is not.
    pub down: Option<String>,
    /// Answers written by this process, and those that were not for any reason.
    pub written: u64,
    /// As above.
    pub lost: u64,
    /// Prompts of the store that this process indexes for itself.
    pub prompts: usize,
}

/// The answers of one process, and with a store those of its fleet.
pub struct Cache {
    pub(super) entries: Moka<Digest, Arc<Entry>>,
    shelves: Arc<Shelves>,
    semantic: OnceLock<Option<Semantic>>,
    pub(super) vectors: Vectors,
    watch: Watch,
    pub(super) purges: Purges,
    pub(super) later: Later,
    pub(super) shared: Option<Box<Shared>>,
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
                if let Some(Shelved { id, .. }) = entry.shelved {
                    emptied.remove(&entry.ask.partition, id);
                }
            })
            .build();
        let (semantic, vectors, purges) = (OnceLock::new(), Vectors::default(), Purges::default());
        let (watch, later) = (Watch::default(), Later::default());
        Self { entries, shelves, semantic, vectors, watch, purges, later, shared: None }
    }

    /// The same in front of the answers of all replicas; [`work`](Self::work) connects to them. The
    /// error is for who wrote the config.
    pub fn shared(max_bytes: u64, redis: &Redis, metrics: &SharedCacheMetrics) -> Result<Self, String> {
        let shared = Shared::new(redis, max_bytes, metrics.clone())?;
        Ok(Self { shared: Some(Box::new(shared)), ..Self::new(max_bytes) })
    }

    /// How often answers to other words were wrong.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// How far purges are known: to be taken before a request is looked up.
    pub fn stamp(&self) -> Stamp {
        self.purges.stamp()
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

    /// The answer to a request, if there is one that it may have: of this process, else of any replica. `embed` makes
    /// the vectors that the rules want from outside. Dropping the future leaves nothing behind.
    pub async fn find(&self, ask: &Ask, control: &Control, rules: &CacheRules, embed: &dyn Embed) -> Option<Found> {
        self.catch_up(&ask.partition, None);
        let (outside, mut found) = (Outside::new(embed), self.exact_here(ask, control));
        if found.is_some() && self.shared.is_none() {
            return found;
        }
        let text = ask.text.as_deref().filter(|_| !control.exact);
        let question = text.zip(self.semantic_if(ask)).map(|(text, semantic)| Question::new(text, semantic));
        let asked = Asked { ask, control, rules, outside: &outside, question: question.as_ref() };
        if found.is_none() && rules.embeddings.is_none() {
            found = self.words_here(&asked).await;
        }
        if let Some(shared) = &self.shared {
            shared.metrics.looked("memory", found.as_ref().map_or("miss", |found| found.tier.name()));
            if found.is_none() {
                found = self.find_shared(shared, &asked).await;
            }
        }
        if found.is_none() && rules.embeddings.is_some() {
            // Last, for it costs a call.
            found = self.words_here(&asked).await;
        }
        if let Some(card) = question.and_then(Question::into_card).filter(|_| found.is_none()) {
            // If another has set it, it is the same.
            drop(ask.known.card.set(card));
        }
        found
    }

    fn exact_here(&self, ask: &Ask, control: &Control) -> Option<Found> {
        let entry = self.entries.get(&ask.key)?;
        self.may_use(&entry, control).then(|| entry.found(Tier::Exact))
    }

    async fn words_here(&self, asked: &Asked<'_>) -> Option<Found> {
        let Asked { ask, control, rules, outside, question } = *asked;
        let question = question?;
        let vector = match &rules.embeddings {
            Some(_) => Some(Quantised::from_vector(&self.vector(ask, rules, outside).await?).ok()?),
            None => None,
        };
        let (key, similarity) = self.shelves.find(&ask.partition, question, vector, asked.budget())?;
        // Keys contain their partition; that it is this one is checked all the same.
        let entry = self.entries.get(&key).filter(|entry| entry.ask.partition == ask.partition)?;
        let agreed = self.may_use(&entry, control) && self.agrees(ask, &entry.ask, rules, outside).await;
        // It may have been purged while others were asked.
        (agreed && self.may_use(&entry, control)).then(|| entry.found(Tier::Semantic(similarity)))
    }

    fn may_use(&self, entry: &Entry, control: &Control) -> bool {
        control.max_age.is_none_or(|most| entry.kept.elapsed() <= most) && self.purges.allows_here(&entry.ask)
    }

    /// The answer to this very request, if this process has it in memory.
    pub fn kept(&self, ask: &Ask) -> Option<Found> {
        self.catch_up(&ask.partition, Some(&ask.key));
        let entry = self.entries.get(&ask.key).filter(|entry| self.purges.allows_here(&entry.ask))?;
        Some(entry.found(Tier::Exact))
    }

    /// Keeps an answer in the request's own partition.
    pub fn keep(&self, ask: Ask, answer: Answer, made: Demand, rules: &CacheRules) {
        let room = rules.max_entry;
        if answer.size() > room {
            return;
        }
        let (answer, kept) = (Arc::new(answer), Instant::now());
        let entry = Entry { answer, ask, shelved: None, kept, ttl: rules.ttl, made };
        if !self.purges.allows_here(&entry.ask) {
            return;
        }
        let entry = self.hold(entry, rules);
        if let Some(shared) = &self.shared {
            shared.offer(Job::Put(entry));
        }
    }

    /// Puts an answer into memory, unless there is a younger one: of a request that was told to refresh it.
    pub(super) fn hold_if_newer(&self, entry: Entry, rules: &CacheRules) -> Arc<Entry> {
        let younger = |known: &Arc<Entry>| known.kept > entry.kept && self.purges.allows_here(&known.ask);
        self.entries.get(&entry.ask.key).filter(younger).unwrap_or_else(|| self.hold(entry, rules))
    }

    /// Puts an answer into memory.
    pub(super) fn hold(&self, mut entry: Entry, rules: &CacheRules) -> Arc<Entry> {
        let card = self.shelf_card(&mut entry.ask, rules);
        let ask = &entry.ask;
        let key = ask.key;
        if let Some((text, card)) = ask.text.as_deref().zip(card) {
            let id = self.shelves.insert(ask.partition, text, key, &card);
            entry.shelved = Some(Shelved { id, dimensions: card.dimensions() });
        }
        let entry = Arc::new(entry);
        self.entries.insert(key, Arc::clone(&entry));
        entry
    }

    /// By what its prompt is found; nothing if an answer is for the same request only.
    fn shelf_card(&self, ask: &mut Ask, rules: &CacheRules) -> Option<Card> {
        let (vector, known) = (ask.known.vector.take(), ask.known.card.take());
        let semantic = self.semantic_if(ask)?;
        let text = ask.text.as_deref()?;
        let card = known.map_or_else(|| semantic.card(text), |card| *card);
        match rules.embeddings {
            Some(_) => Some(card.found_by(Quantised::from_vector(&vector?).ok()?)),
            None => Some(card),
        }
    }

    pub(super) fn semantic_if(&self, ask: &Ask) -> Option<&Semantic> {
        ask.text.as_ref().and_then(|_| self.semantic())
    }

    /// Takes answers out of memory that were purged.
    pub(super) fn forget(&self, purged: &[Purge]) -> usize {
        let matching = |ask: &Ask| purged.iter().any(|what| what.matches(ask)) && !self.purges.allows_here(ask);
        let keys: Vec<Digest> = self.entries.iter().filter(|(_, e)| matching(&e.ask)).map(|(key, _)| *key).collect();
        for key in &keys {
            self.entries.invalidate(key);
        }
        self.entries.run_pending_tasks();
        self.vectors.forget();
        keys.len()
    }

    /// What is held now.
    pub fn size(&self) -> Size {
        self.catch_up_all();
        self.entries.run_pending_tasks();
        Size {
            entries: self.entries.entry_count(),
            bytes: self.entries.weighted_size(),
            partitions: self.shelves.len(),
        }
    }

    /// What is shared; `None` without a store.
    pub fn sharing(&self) -> Option<Sharing> {
        let shared = self.shared.as_ref()?;
        let count = |result| shared.metrics.written(result);
        Some(Sharing {
            index: shared.store.index().map(AnswerIndex::name),
            down: shared.down(),
            written: count("written"),
            lost: count("dropped") + count("failed") + count("down"),
            prompts: shared.prompts.len(),
        })
    }
}

impl Entry {
    pub(super) fn found(&self, tier: Tier) -> Found {
        Found { answer: Arc::clone(&self.answer), tier, age: self.kept.elapsed(), made: self.made, key: self.ask.key }
    }

    pub(super) fn size(&self) -> usize {
        // A shelved prompt has its text twice, a vector, hashes of its words and some ids.
        let text = self.ask.text.as_deref().map_or(0, |text| text.len() * 3 + 168);
        let vector = self.shelved.map_or(0, |shelved| shelved.dimensions);
        self.answer.size() + text + vector + size_of::<Self>()
    }
}

#[cfg(test)]
mod tests;
