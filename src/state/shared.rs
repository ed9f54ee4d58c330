//! The store of a gateway with replicas: the shared engine while it answers, and this replica's
//! slices of the limits while it does not.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use sluice_policies::{Demand, Kind, Mode, OnStoreDown, Pool};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::redis::{Engine, Outage};
use super::slices::{self, Slicer};
use super::{Ask, Cause, Charge, Entry, LeaseId, Levels, Refusal, Seen, Store, StoreError};
use crate::config::Redis;
use crate::telemetry::StoreMetrics;

/// The store may be back any moment.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Buckets in one report.
const REPORT: usize = 100;

/// Shared limits and queues, with a plan for an outage.
pub struct SharedStore {
    engine: Engine,
    slices: Slicer,
    /// Leases and places of this replica's own, of an outage.
    local: Mutex<HashMap<LeaseId, Local>>,
    /// Leases that ended while the engine was being told of them: it is told of them still.
    ended: Mutex<HashMap<LeaseId, Arc<Ask>>>,
    /// What was used during an outage and the engine does not know yet, by bucket.
    owed: Mutex<HashMap<Arc<str>, (Charge, u64)>>,
    /// A report whose fate is not known: it is sent again as it was.
    report: Mutex<Option<Report>>,
    metrics: StoreMetrics,
}

/// Its name, and what was used of each bucket.
type Report = (String, Vec<(Charge, u64)>);

struct Local {
    ask: Arc<Ask>,
    sliced: Arc<Ask>,
    /// Whether the engine has been told, or is being told, of the lease.
    told: bool,
}

impl SharedStore {
    /// Not connected yet: `run` does that. The error is for who wrote the config.
    pub fn new(config: &Redis, metrics: &StoreMetrics) -> Result<Self, String> {
        Ok(Self {
            engine: Engine::new(config, metrics.clone())?,
            slices: Slicer::new(config.slice_percent),
            local: Mutex::default(),
            ended: Mutex::default(),
            owed: Mutex::default(),
            report: Mutex::default(),
            metrics: metrics.clone(),
        })
    }

    /// Connects once, without the work that `run` does. The error says what is wrong.
    pub async fn connect(&self) -> Result<(), String> {
        self.engine.try_connect(self).await
    }

    /// The server's clock at the last reply, milliseconds since the Unix epoch; 0 before the first.
    pub fn heard_at(&self) -> u64 {
        self.engine.heard_at()
    }

    /// Whether the shared engine answers.
    pub fn is_up(&self) -> bool {
        self.engine.is_up()
    }

    /// Grants from this replica's slices.
    async fn without(&self, ask: &Arc<Ask>, wait: Duration) -> Result<Entry, StoreError> {
        let deny =
            |charge: &&Charge| charge.limit.mode == Mode::Enforce && charge.limit.on_store_down == OnStoreDown::Deny;
        if let Some(charge) = ask.charges.iter().find(deny) {
            let cause = Cause::StoreDown(Arc::clone(&charge.limit));
            return Ok(Entry::Denied(Refusal { cause, retry_after: Some(TRY_AGAIN), seen: Vec::new() }));
        }
        let known = self.local.lock().get(&ask.lease).map(|local| Arc::clone(&local.sliced));
        let sliced = known.unwrap_or_else(|| {
            let (replicas, in_use) = (self.engine.replicas(), self.engine.in_use(&ask.pool.name));
            let sliced = Arc::new(self.slices.ask(ask, replicas, in_use, |scope| self.engine.left(scope)));
            let local = Local { ask: Arc::clone(ask), sliced: Arc::clone(&sliced), told: false };
            self.local.lock().insert(ask.lease, local);
            sliced
        });
        let entry = self.slices.store().enter(&sliced, wait).await;
        if !matches!(entry, Ok(Entry::Granted(_) | Entry::Queued(_))) {
            self.local.lock().remove(&ask.lease);
        }
        if let Ok(Entry::Granted(_)) = &entry {
            for charge in &sliced.charges {
                self.metrics.slice_granted(&charge.limit.id, charge.amount);
            }
        }
        entry.map(|entry| shown(entry, ask))
    }

    /// This replica's share of a pool is less what is in use of it through the engine.
    fn resize(&self, pool: &Arc<Pool>) {
        if pool.slots.is_some() {
            let in_use = self.engine.in_use(&pool.name);
            let share = slices::pool(pool, u64::from(self.engine.replicas()), in_use);
            self.slices.store().resize(&Arc::new(share));
        }
    }

    /// Whether a request waits for a slice or holds one.
    fn is_local(&self, lease: LeaseId) -> bool {
        self.local.lock().contains_key(&lease)
    }

    /// Ends what a request has in the slices; what it used is owed to the engine.
    async fn settle_local(&self, lease: LeaseId, used: Demand) -> Result<bool, StoreError> {
        let Some(local) = self.local.lock().remove(&lease) else { return Ok(false) };
        let granted = self.slices.store().holds(lease);
        self.slices.store().settle(lease, used).await?;
        if local.told {
            // What is owed is told after what was granted.
            self.ended.lock().insert(lease, local.ask);
            self.engine.owe(lease, used);
        } else if granted {
            self.owe(&local.ask, &used);
        }
        Ok(true)
    }

    fn owe(&self, ask: &Ask, used: &Demand) {
        let mut owed = self.owed.lock();
        for charge in ask.all().filter(|charge| charge.limit.kind != Kind::Concurrent) {
            let entry = owed.entry(Arc::clone(&charge.scope)).or_insert_with(|| (charge.clone(), 0));
            entry.1 = entry.1.saturating_add(charge.limit.amount_of(used));
        }
        self.metrics.owed(owed.len());
    }

    /// Tells the engine what it is owed. A report that may have arrived is sent again under the same
    /// name, and counted once.
    async fn pay(&self) {
        while self.engine.is_up() {
            if self.report.lock().is_none() {
                let mut owed = self.owed.lock();
                let some: Vec<Arc<str>> = owed.keys().take(REPORT).cloned().collect();
                if some.is_empty() {
                    return;
                }
                let report: Vec<_> = some.iter().filter_map(|scope| owed.remove(scope)).collect();
                *self.report.lock() = Some((Uuid::new_v4().simple().to_string(), report));
            }
            let report = self.report.lock().clone();
            let Some((name, used)) = report else { return };
            if self.engine.report(&name, &used).await.is_err() {
                return;
            }
            *self.report.lock() = None;
            self.metrics.owed(self.owed.lock().len());
        }
    }

    async fn paying(&self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(TRY_AGAIN) => {
                    // One late reply grants from a slice, too, and no new connection follows it.
                    self.engine.hand_over(self).await;
                    self.pay().await;
                }
                () = stop.cancelled() => return,
            }
        }
    }
}

impl Outage for SharedStore {
    fn granted(&self) -> Vec<Arc<Ask>> {
        let mut local = self.local.lock();
        let open = local.iter_mut().filter(|(lease, _)| self.slices.store().holds(**lease)).map(|(_, local)| {
            local.told = true;
            Arc::clone(&local.ask)
        });
        let mut granted: Vec<Arc<Ask>> = open.collect();
        granted.extend(self.ended.lock().values().cloned());
        granted
    }

    fn adopted(&self, windows: &HashMap<LeaseId, String>) {
        let mut local = self.local.lock();
        self.ended.lock().retain(|lease, _| !windows.contains_key(lease));
        for (lease, windows) in windows {
            if let Some(adopted) = local.remove(lease) {
                self.engine.adopt(&adopted.ask, windows);
                // Its slot is in use still: nobody else of this replica may have it.
                self.resize(&adopted.ask.pool);
                self.slices.store().forget(*lease);
            }
        }
    }

    /// Who waits for a slice has a better place to wait at; the next outage starts from the levels
    /// known then.
    fn over(&self) {
        self.slices.store().renew();
    }
}

/// A decision over slices as one over the limits they are of.
fn shown(entry: Entry, ask: &Ask) -> Entry {
    match entry {
        Entry::Denied(mut refusal) => {
            // What never fits a slice may fit the limit.
            refusal.retry_after = Some(refusal.retry_after.unwrap_or(TRY_AGAIN));
            if let Cause::Limit { limit, asked } = &refusal.cause {
                let of = ask.charges.iter().find(|charge| charge.limit.id == limit.id);
                let (limit, asked) = (of.map_or_else(|| Arc::clone(limit), |of| Arc::clone(&of.limit)), *asked);
                for seen in refusal.seen.iter_mut().filter(|seen| seen.limit.id == limit.id) {
                    *seen = Seen { limit: Arc::clone(&limit), view: seen.view };
                }
                refusal.cause = Cause::Limit { limit, asked };
            }
            Entry::Denied(refusal)
        }
        entry => entry,
    }
}

#[async_trait]
impl Store for SharedStore {
    async fn enter(&self, ask: &Arc<Ask>, wait: Duration) -> Result<Entry, StoreError> {
        if !self.engine.is_up() {
            return self.without(ask, wait).await;
        }
        if self.is_local(ask.lease) {
            if self.slices.store().holds(ask.lease) {
                return self.without(ask, wait).await;
            }
            // It waited for a slice: the shared queue is better.
            let nothing = Demand { input: 0, output: 0, cost_micros: 0 };
            self.settle_local(ask.lease, nothing).await?;
        }
        match self.engine.enter(ask, wait).await {
            Ok(entry) => Ok(entry),
            // Whatever it did, it will be undone.
            Err(_) => self.without(ask, wait).await,
        }
    }

    async fn settle(&self, lease: LeaseId, used: Demand) -> Result<(), StoreError> {
        let local = self.settle_local(lease, used).await?;
        if local && !self.engine.has(lease) {
            return Ok(());
        }
        let ended = self.engine.settle(lease, used).await;
        if let Some(ask) = ended.filter(|_| !self.engine.is_up()) {
            // A slot of this replica's share is free.
            self.resize(&ask.pool);
        }
        Ok(())
    }

    async fn hold(&self, pool: &Arc<Pool>, time: Duration) -> Result<(), StoreError> {
        if self.engine.hold(&pool.name, time).await.is_err() {
            self.slices.store().hold(pool, time).await?;
        }
        Ok(())
    }

    async fn levels(&self) -> Result<Levels, StoreError> {
        if let Ok(levels) = self.engine.levels().await {
            return Ok(levels);
        }
        let mut levels = self.slices.store().levels().await?;
        levels.shared = Some(false);
        Ok(levels)
    }

    fn open_leases(&self) -> usize {
        self.engine.open_leases() + self.slices.store().open_leases()
    }

    async fn run(&self, stop: CancellationToken) {
        let (keep, work, paying) = (self.engine.keep(&stop, self), self.engine.work(&stop), self.paying(&stop));
        // Large futures live on the heap.
        let (keep, work, paying) = (Box::pin(keep), Box::pin(work), Box::pin(paying));
        tokio::join!(keep, work, paying, self.slices.store().run(stop.clone()));
        self.pay().await;
    }
}
