//! The work behind the shared tier: connecting, hearing of purges, reading the stream of prompts, writing.

use std::time::Duration;

use rand::RngExt;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::purges::Purge;
use super::shared::Shared;
use super::store::Cache;
use crate::state::{AnswerIndex, Fault, PurgeMark};

/// Between two looks at purges and prompts of others.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(2);
/// Answers that wait when the process ends are written within this time.
const LAST_WRITES: Duration = Duration::from_secs(1);

/// What became of a purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purged {
    /// Answers that were in memory here.
    pub entries: usize,
    /// Whether the other replicas will hear of it within a second; `None` if there are none to tell.
    pub shared: Option<bool>,
}

impl Cache {
    /// Forgets answers; when it returns, none of them is found here any more, nor kept by a request
    /// that is under way. Other replicas hear of it within a second, or when the store is back.
    pub async fn purge(&self, what: &Purge) -> Purged {
        let shared = match &self.shared {
            None => None,
            Some(shared) => Some(self.tell(shared, what).await.is_ok()),
        };
        // So that they are counted.
        self.catch_up_all();
        // After the store was told: what a look-up found there before is not kept here.
        self.purges.add_here(what);
        Purged { entries: self.forget(std::slice::from_ref(what)), shared }
    }

    async fn tell(&self, shared: &Shared, what: &Purge) -> Result<(), Fault> {
        let Ok(text) = serde_json::to_string(what) else { return Err(Fault::Failed) };
        let known = self.purges.stamp().shared;
        let told = shared.store.purge(known, Some(&text)).await.inspect_err(|_| shared.to_tell(what))?;
        shared.told(what);
        if told.epoch == known.epoch {
            self.purges.add_shared(what, told);
        } else {
            shared.in_step_since(None);
        }
        Ok(())
    }

    /// Shares answers until `stop`, if there is a store to share them through.
    pub async fn work(&self, stop: CancellationToken) {
        let Some(shared) = &self.shared else { return };
        let writer = || self.writer(shared, &stop);
        tokio::join!(self.follow(shared, &stop), writer(), writer(), writer(), writer());
    }

    async fn follow(&self, shared: &Shared, stop: &CancellationToken) {
        let mut retry = FIRST_RETRY;
        while !stop.is_cancelled() {
            shared.in_step_since(None);
            let begun = Instant::now();
            match self.connect(shared).await {
                Ok(()) => {
                    shared.store.note_up();
                    self.keep_in_step(shared, stop).await;
                }
                Err(why) => shared.store.note_down(&why),
            }
            // A store that comes and goes is not asked in a circle.
            retry = if begun.elapsed() > LAST_RETRY { FIRST_RETRY } else { (retry * 2).min(LAST_RETRY) };
            let pause = retry.mul_f64(rand::rng().random_range(0.5..1.5));
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    async fn connect(&self, shared: &Shared) -> Result<(), String> {
        shared.store.connect().await?;
        let synced = self.sync(shared).await;
        synced.map_err(|_| {
            let why = "it does not say what was purged: the user may lack rights that docs/redis.md lists";
            shared.store.give_up(why);
            why.to_owned()
        })
    }

    async fn keep_in_step(&self, shared: &Shared, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                () = shared.store.lost() => return,
                () = stop.cancelled() => return,
            }
            // While it fails the tier is not asked; the store notes what is wrong.
            drop(self.sync(shared).await);
        }
    }

    /// Hears of purges and prompts of the other replicas.
    async fn sync(&self, shared: &Shared) -> Result<(), Fault> {
        let begun = Instant::now();
        let known = self.purges.stamp().shared;
        let mark = shared.store.mark().await?;
        match mark {
            Some(mark) if mark == known => {}
            Some(mark) if mark.epoch == known.epoch && mark.seq > known.seq => self.learn(shared, mark).await?,
            _ => {
                let mark = shared.store.purge(known, None).await?;
                if known.epoch != 0 && mark.epoch != known.epoch {
                    self.start_over(shared);
                }
                self.learn(shared, mark).await?;
            }
        }
        for purge in shared.pending() {
            self.tell(shared, &purge).await?;
        }
        if shared.store.index() == Some(AnswerIndex::Stream) {
            self.read_prompts(shared).await?;
        }
        shared.in_step_since(Some(begun));
        Ok(())
    }

    /// Which purges were made up to a mark.
    async fn learn(&self, shared: &Shared, mark: PurgeMark) -> Result<(), Fault> {
        let known = self.purges.stamp().shared;
        let since = if known.epoch == mark.epoch { known.seq } else { 0 };
        let all = shared.store.purges().await?;
        // One that cannot be read is one of everything.
        let all: Vec<(Purge, u64)> =
            all.into_iter().map(|(text, at)| (serde_json::from_str(&text).unwrap_or_default(), at)).collect();
        self.purges.replace_shared(&all, mark);
        let news: Vec<Purge> = all.into_iter().filter(|(_, at)| *at > since).map(|(what, _)| what).collect();
        for what in &news {
            self.purges.add_here(what);
        }
        if !news.is_empty() {
            self.forget(&news);
        }
        Ok(())
    }

    /// The store has lost its memory, and purges with it: nothing older is used any more.
    fn start_over(&self, shared: &Shared) {
        tracing::warn!(
            "the shared cache has lost its memory, or too much was purged: this replica forgets its answers"
        );
        self.purges.add_here(&Purge::default());
        self.forget(&[Purge::default()]);
        shared.prompts.clear();
        shared.cursor.lock().clear();
    }

    async fn read_prompts(&self, shared: &Shared) -> Result<(), Fault> {
        shared.prompts.expire(std::time::Instant::now());
        loop {
            let cursor = shared.cursor.lock().clone();
            let page = shared.store.prompts_after(&cursor).await?;
            let Some(last) = page.last else { return Ok(()) };
            if let Some(semantic) = self.semantic() {
                page.prompts.iter().for_each(|prompt| shared.prompts.insert(prompt, semantic));
            }
            *shared.cursor.lock() = last;
            if !page.more {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }

    async fn writer(&self, shared: &Shared, stop: &CancellationToken) {
        loop {
            let job = tokio::select! {
                job = shared.next() => job,
                () = stop.cancelled() => break,
            };
            let Some(job) = job else { return };
            self.write(shared, job).await;
        }
        let rest = async {
            self.catch_up_all();
            while let Some(job) = shared.left().await {
                self.write(shared, job).await;
            }
        };
        // What is not written by then is asked for again some time.
        drop(timeout(LAST_WRITES, rest).await);
    }
}
