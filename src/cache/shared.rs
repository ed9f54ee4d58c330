//! The second tier: the answers of all replicas, in Redis. A fault there is a miss.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sluice_semantic::DIMENSIONS;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::ask::Digest;
use super::prompts::Prompts;
use super::purges::Purge;
use super::question::{Asked, Question};
use super::record;
use super::store::{Cache, Entry, Found, Tier};
use crate::config::Redis;
use crate::state::{AnswerIndex, Answers, Fault, SharedPrompt};
use crate::telemetry::SharedCacheMetrics;

/// What makes the vectors of prompts.
const EMBEDDING: (&str, usize) = ("builtin-1", DIMENSIONS);
/// Prompts on a shortlist.
const SHORTLIST: usize = 5;
/// Purges of other replicas are known at most this late, or the tier is not asked.
const LAG: Duration = Duration::from_secs(1);
/// What waits to be written: jobs, and bytes of answers.
const MOST_JOBS: usize = 1024;
const MOST_BYTES: usize = 16 << 20;
/// Purges that wait for the store; more become one of everything.
const MOST_PENDING: usize = 1000;
/// Memory that one prompt of the stream takes, about.
const PROMPT_BYTES: u64 = 1024;
/// The part of `max_bytes` that they may take beside the answers.
const PROMPTS_PART: u64 = 8;
/// A value may be so much longer than the answer it holds.
const VALUE_SLACK: usize = 64 << 10;
/// Larger answers are compressed off the I/O threads, and read there.
const HEAVY: usize = 64 << 10;

/// What is to be done in the store, behind the requests.
pub(super) enum Job {
    /// Keep an answer.
    Put(Arc<Entry>),
    /// A value that nobody may use any more.
    Unlink(Digest),
    /// A prompt whose answer is gone.
    Unshelve(Digest, SharedPrompt),
}

/// The store of all replicas, and what of it is known here.
pub(super) struct Shared {
    pub(super) store: Answers,
    pub(super) prompts: Prompts,
    /// Where the stream of prompts has been read to.
    pub(super) cursor: Mutex<String>,
    pub(super) metrics: SharedCacheMetrics,
    /// Purges that the store has not been told.
    pending: Mutex<Vec<Purge>>,
    /// When this replica knew of all purges last.
    synced: Mutex<Option<Instant>>,
    jobs: mpsc::Sender<Job>,
    waiting: tokio::sync::Mutex<mpsc::Receiver<Job>>,
    queued: AtomicUsize,
}

/// What became of a value.
enum Fetched {
    Entry(Arc<Entry>),
    /// There is none, or none that may be used.
    Gone,
    /// It is older than the client wants.
    Old,
}

impl Shared {
    pub(super) fn new(redis: &Redis, max_bytes: u64, metrics: SharedCacheMetrics) -> Result<Self, String> {
        let (jobs, waiting) = mpsc::channel(MOST_JOBS);
        let most = usize::try_from(max_bytes / PROMPTS_PART / PROMPT_BYTES).unwrap_or(usize::MAX);
        Ok(Self {
            store: Answers::new(redis, EMBEDDING, metrics.clone())?,
            prompts: Prompts::new(most.max(1)),
            cursor: Mutex::default(),
            metrics,
            pending: Mutex::default(),
            synced: Mutex::default(),
            jobs,
            waiting: tokio::sync::Mutex::new(waiting),
            queued: AtomicUsize::new(0),
        })
    }

    /// Whether an answer of the store may be used: every purge is known that was made a moment ago.
    fn is_in_step(&self) -> bool {
        self.knows_purges() && self.pending.lock().is_empty()
    }

    fn knows_purges(&self) -> bool {
        self.synced.lock().is_some_and(|at| at.elapsed() < LAG)
    }

    /// Why answers of the store are not used, if they are not.
    pub(super) fn down(&self) -> Option<String> {
        let unknown = || (!self.knows_purges()).then(|| "what the other replicas have purged is not known".to_owned());
        self.store.reason().or_else(unknown)
    }

    /// All purges before this moment are known; none is sure to be with `None`.
    pub(super) fn in_step_since(&self, at: Option<Instant>) {
        *self.synced.lock() = at;
    }

    /// Purges to be told.
    pub(super) fn pending(&self) -> Vec<Purge> {
        self.pending.lock().clone()
    }

    pub(super) fn told(&self, purge: &Purge) {
        self.pending.lock().retain(|pending| pending != purge);
    }

    pub(super) fn to_tell(&self, purge: &Purge) {
        let mut pending = self.pending.lock();
        if pending.len() >= MOST_PENDING {
            *pending = vec![Purge::default()];
        } else if !pending.contains(purge) {
            pending.push(purge.clone());
        }
    }

    /// Leaves a job to the writers, or drops it if there are too many.
    pub(super) fn offer(&self, job: Job) {
        let bytes = job.bytes();
        let room = self.queued.fetch_add(bytes, Ordering::Relaxed) + bytes <= MOST_BYTES;
        let put = matches!(job, Job::Put(_));
        if room && self.jobs.try_send(job).is_ok() {
            return;
        }
        self.queued.fetch_sub(bytes, Ordering::Relaxed);
        if put {
            self.metrics.wrote("dropped");
        }
    }

    /// The next job; `None` never comes while the cache lives.
    pub(super) async fn next(&self) -> Option<Job> {
        let job = self.waiting.lock().await.recv().await?;
        self.queued.fetch_sub(job.bytes(), Ordering::Relaxed);
        Some(job)
    }

    /// The next job, if one waits.
    pub(super) async fn left(&self) -> Option<Job> {
        let job = self.waiting.lock().await.try_recv().ok()?;
        self.queued.fetch_sub(job.bytes(), Ordering::Relaxed);
        Some(job)
    }
}

impl Job {
    fn bytes(&self) -> usize {
        match self {
            Self::Put(entry) => entry.size(),
            Self::Unlink(_) | Self::Unshelve(..) => 0,
        }
    }
}

impl Cache {
    /// An answer of any replica.
    pub(super) async fn find_shared(&self, shared: &Shared, asked: &Asked<'_>) -> Option<Found> {
        let until = Instant::now() + shared.store.deadline();
        let looked = if shared.is_in_step() { self.look(shared, asked, until).await } else { Err(Fault::Down) };
        let result = match &looked {
            Ok(Some(found)) => found.tier.name(),
            Ok(None) => "miss",
            Err(Fault::Down) => "down",
            Err(Fault::Late) => "timeout",
            Err(Fault::Failed) => "error",
        };
        shared.metrics.looked("redis", result);
        looked.ok().flatten()
    }

    async fn look(&self, shared: &Shared, asked: &Asked<'_>, until: Instant) -> Result<Option<Found>, Fault> {
        if let Fetched::Entry(entry) = self.fetch(shared, &asked.ask.key, asked, until).await? {
            return Ok(Some(entry.found(Tier::Exact)));
        }
        let Some(question) = asked.question else { return Ok(None) };
        for (similarity, candidate) in self.candidates(shared, asked, question, until).await? {
            match self.fetch(shared, &candidate.key, asked, until).await? {
                Fetched::Entry(entry) => {
                    // What decides is the text that was sealed together with the answer.
                    let sealed = entry.ask.text.as_deref();
                    let judged = similarity.filter(|_| sealed == Some(&*candidate.text));
                    let judge = || Some(question.same(sealed?, asked.budget())?.1);
                    if let Some(similarity) = judged.or_else(judge)
                        && self.agrees(asked.ask, &entry.ask, asked.rules, asked.outside).await
                        && self.purges.allows_here(&entry.ask)
                    {
                        return Ok(Some(entry.found(Tier::Semantic(similarity))));
                    }
                }
                Fetched::Gone => {
                    shared.prompts.remove(&candidate.key);
                    shared.offer(Job::Unshelve(asked.ask.partition, candidate));
                }
                Fetched::Old => {}
            }
        }
        Ok(None)
    }

    /// Prompts that ask the same, the surest first, with their similarity where their text is known.
    async fn candidates(
        &self,
        shared: &Shared,
        asked: &Asked<'_>,
        question: &Question<'_>,
        until: Instant,
    ) -> Result<Vec<(Option<f32>, SharedPrompt)>, Fault> {
        let (partition, budget) = (&asked.ask.partition, asked.budget());
        if shared.store.index() == Some(AnswerIndex::Stream) {
            let found = shared.prompts.find(partition, question, budget);
            return Ok(found.map(|key| (None, SharedPrompt { key, text: String::new() })).into_iter().collect());
        }
        let near = shared.store.nearest(partition, question.prompt().embedding(), SHORTLIST, until).await?;
        let judged = near.into_iter().filter_map(|near| Some((question.same(&near.text, budget)?, near)));
        let mut judged: Vec<((f64, f32), SharedPrompt)> = judged.collect();
        judged.sort_by(|a, b| b.0.0.total_cmp(&a.0.0));
        Ok(judged.into_iter().map(|((_, similarity), near)| (Some(similarity), near)).collect())
    }

    /// The answer of a key in the partition of the request, which is in memory from then on.
    async fn fetch(&self, shared: &Shared, key: &Digest, asked: &Asked<'_>, until: Instant) -> Result<Fetched, Fault> {
        let here = self.purges.stamp().here;
        let Some((value, left)) = shared.store.get(key, until).await? else { return Ok(Fetched::Gone) };
        let heavy = value.len() > HEAVY / 2;
        let most = asked.rules.max_entry.saturating_mul(3).saturating_add(VALUE_SLACK);
        let (of, partition) = (*key, asked.ask.partition);
        let read = move || record::decode(&value, (&of, &partition), left, here, most);
        let entry = if heavy { tokio::task::spawn_blocking(read).await.map_err(|_| Fault::Failed)? } else { read() };
        let Some(entry) = entry.filter(|entry| self.purges.allows_shared(&entry.ask)) else {
            shared.offer(Job::Unlink(*key));
            return Ok(Fetched::Gone);
        };
        let fresh = asked.control.max_age.is_none_or(|most| entry.kept.elapsed() <= most);
        let entry = self.hold_if_newer(entry, asked.rules);
        Ok(if fresh { Fetched::Entry(entry) } else { Fetched::Old })
    }

    /// Does what was left to the writers.
    pub(super) async fn write(&self, shared: &Shared, job: Job) {
        // What fails is counted by the store, and ends by itself.
        match job {
            Job::Put(entry) => {
                let result = match self.put(shared, entry).await {
                    Ok(()) => "written",
                    Err(Fault::Down) => "down",
                    Err(Fault::Late | Fault::Failed) => "failed",
                };
                shared.metrics.wrote(result);
            }
            Job::Unlink(key) => drop(shared.store.unlink(&key).await),
            Job::Unshelve(partition, prompt) => drop(shared.store.unshelve(&partition, &prompt).await),
        }
    }

    async fn put(&self, shared: &Shared, entry: Arc<Entry>) -> Result<(), Fault> {
        let ttl = entry.ttl.saturating_sub(entry.kept.elapsed());
        if shared.store.index().is_none() || entry.ask.stamp.shared.epoch == 0 {
            return Err(Fault::Down);
        }
        if ttl.is_zero() || !self.purges.allows_here(&entry.ask) {
            return Ok(());
        }
        let value = if entry.size() > HEAVY {
            let entry = Arc::clone(&entry);
            tokio::task::spawn_blocking(move || record::encode(&entry)).await.map_err(|_| Fault::Failed)?
        } else {
            record::encode(&entry)
        };
        let Some(value) = value else { return Err(Fault::Failed) };
        let ask = &entry.ask;
        shared.store.set(&ask.key, &value, ttl).await?;
        let (Some(text), Some(semantic)) = (&ask.text, self.semantic_if(ask)) else { return Ok(()) };
        let prompt = SharedPrompt { key: ask.key, text: text.clone() };
        shared.store.shelve(&ask.partition, &prompt, &semantic.embedding(text), ttl).await
    }
}
