//! The work behind the requests: keeping the connection, renewing, agreeing after a loss of
//! memory, looking again when time has made room.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rand::RngExt;
use sluice_policies::View;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::connect::Connection;
use super::engine::Engine;
use super::link::explain;
use super::scripts::{CHARGE, RESTORE, SHOW, TICK};
use super::wire::{ask_json, charge_json, level_json, millis, stored};
use crate::state::{Ask, Charge, LeaseId, LevelRow, Levels, PoolRow};

/// Between two looks at the store without anything to renew.
const TICK_EVERY: Duration = Duration::from_secs(1);
/// Replicas are counted as alive this long after their last tick.
const ALIVE: Duration = Duration::from_secs(5);
/// Ids, levels and charges in one command.
const BATCH: usize = 500;
/// What is known of a level in use is not older than this, while the store answers.
const FRESH: Duration = Duration::from_secs(1);
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(2);
/// Restoring may take longer than a request may wait.
const RESTORE_WITHIN: Duration = Duration::from_secs(5);
/// Pages of `/levels`.
const MOST_PAGES: usize = 1000;

/// What goes on in place of the store while it is gone.
pub(in crate::state) trait Outage: Send + Sync {
    /// What was granted and not reported yet. Asked before each attempt to go back to the store.
    fn granted(&self) -> Vec<Arc<Ask>>;
    /// They are leases of the store now, with these windows.
    fn adopted(&self, windows: &HashMap<LeaseId, String>);
    /// Requests go to the store again.
    fn over(&self);
}

impl Engine {
    /// Connects, and does it again each time the connection is lost. What `outage` granted meanwhile
    /// becomes leases of the store before requests go there again.
    pub(in crate::state) async fn keep(&self, stop: &CancellationToken, outage: &impl Outage) {
        let mut retry = FIRST_RETRY;
        loop {
            if self.link.is_up() {
                tokio::select! {
                    () = self.link.lost.notified() => {}
                    () = stop.cancelled() => return,
                }
                // They ask again, and are queued where they can be.
                self.wake_all();
                continue;
            }
            match self.try_connect(outage).await {
                Ok(()) => {
                    retry = FIRST_RETRY;
                    outage.over();
                    continue;
                }
                Err(why) => self.link.still_down(&why),
            }
            let jitter = rand::rng().random_range(0.5..1.5);
            tokio::select! {
                () = tokio::time::sleep(retry.mul_f64(jitter)) => {}
                () = stop.cancelled() => return,
            }
            retry = (retry * 2).min(LAST_RETRY);
        }
    }

    /// A connection is used only if it answers as fast as requests need it, and can do all that
    /// they need: scripts that write.
    pub(in crate::state) async fn try_connect(&self, outage: &impl Outage) -> Result<(), String> {
        let mut connection = self.connector.connect().await.map_err(|error| explain(&error))?;
        for _ in 0..3 {
            let ping = redis::cmd("PING");
            let answered = tokio::time::timeout(self.link.deadline(), ping.query_async::<String>(&mut connection));
            match answered.await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(explain(&error)),
                Err(_) => return Err(format!("it does not answer within {} ms", self.link.deadline().as_millis())),
            }
        }
        self.restore(&connection, "", Vec::new()).await?;
        self.adopt_from(&connection, outage).await?;
        self.link.up(connection);
        self.tell_unsettled().await?;
        self.tick(true).await
    }

    /// Tells the store of leases that were granted in place of it, if it can be told now.
    pub(in crate::state) async fn hand_over(&self, outage: &impl Outage) {
        if let Some(connection) = self.link.connection() {
            // It is tried again.
            drop(self.adopt_from(&connection, outage).await);
        }
    }

    async fn adopt_from(&self, connection: &Connection, outage: &impl Outage) -> Result<(), String> {
        let granted = outage.granted();
        if !granted.is_empty() {
            let leases = granted.iter().map(|ask| [String::new(), ask_json(ask, &self.replica)]).collect();
            outage.adopted(&self.restore(connection, "", leases).await?);
        }
        Ok(())
    }

    /// The store has another epoch than `mine`: another replica restored it, or nobody has yet.
    pub(super) async fn agree(&self, mine: &Arc<String>, current: &str) -> Result<(), String> {
        let _one = self.agreeing.lock().await;
        if !Arc::ptr_eq(&self.epoch.load_full(), mine) {
            return Ok(());
        }
        let connection = self.connector.connect().await.map_err(|error| explain(&error))?;
        self.restore(&connection, current, Vec::new()).await.map(drop)
    }

    /// Brings what this replica knows to the store if that does not know it, and agrees on an
    /// epoch. Budgets are taken from the last levels known here, and open leases: what other
    /// replicas know they bring themselves, and the larger use counts. Rates start full. Returns the
    /// windows of the `leases` given, pairs of windows and ask.
    async fn restore(
        &self,
        connection: &Connection,
        current: &str,
        mut leases: Vec<[String; 2]>,
    ) -> Result<HashMap<LeaseId, String>, String> {
        let mine = self.epoch.load_full();
        let stored = redis::cmd("HGET").arg(self.levels_key()).arg("!epoch").to_owned();
        let mut asking = connection.clone();
        let asked = stored.query_async::<Option<String>>(&mut asking);
        let stored = tokio::time::timeout(RESTORE_WITHIN, asked).await;
        let stored = stored.map_err(|_| "no answer".to_owned())?.map_err(|error| explain(&error))?;
        let lost = !mine.is_empty() && stored.as_deref() != Some(mine.as_str());
        let mut levels = Vec::new();
        if lost {
            let books = self.books.lock();
            let budgets = books.mirror.budgets();
            levels.extend(budgets.iter().map(|(scope, known)| level_json(scope, &known.limit, known.level)));
            leases.extend(books.open.values().map(|open| [open.windows.clone(), ask_json(&open.ask, &self.replica)]));
        }
        let proposed = stored.unwrap_or_else(|| Uuid::new_v4().simple().to_string());
        let batches = levels.len().max(leases.len()).div_ceil(BATCH).max(1);
        let (mut levels, mut leases) = (levels.into_iter(), leases.into_iter());
        let (mut epoch, mut windows) = (String::new(), HashMap::new());
        for _ in 0..batches {
            let some: Vec<String> = levels.by_ref().take(BATCH).collect();
            let mut args = vec![proposed.clone(), millis(self.lease).to_string(), some.len().to_string()];
            args.extend(some);
            args.extend(leases.by_ref().take(BATCH).flatten());
            let run = self.link.run(connection.clone(), &RESTORE, &args);
            let answered = tokio::time::timeout(RESTORE_WITHIN, run).await.map_err(|_| "no answer".to_owned())?;
            let mut reply = self.read(answered.map_err(|error| explain(&error))?)?;
            epoch = reply.field(0);
            let known: Vec<(String, String)> = reply.field(1);
            windows.extend(known.into_iter().filter_map(|(id, window)| Some((LeaseId::parse(&id)?, window))));
        }
        self.epoch.store(Arc::new(epoch));
        if lost {
            self.metrics.store_reset();
            tracing::error!(
                found = if current.is_empty() { "empty" } else { "restored by another replica" },
                "the shared store has lost its memory: budgets and open leases were restored from what this replica \
                 knew; rates start full"
            );
        }
        Ok(windows)
    }

    /// Tells the store of leases that ended while it did not listen.
    async fn tell_unsettled(&self) -> Result<(), String> {
        let count = self.books.lock().unsettled.len();
        for _ in 0..count {
            let Some((lease, used)) = self.books.lock().unsettled.pop_front() else { return Ok(()) };
            if let Err(error) = self.tell(lease, used).await {
                self.books.lock().unsettled.push_front((lease, used));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Charges what was used without leases; idempotent by `report`.
    pub(in crate::state) async fn report(&self, report: &str, used: &[(Charge, u64)]) -> Result<(), String> {
        let mut args = vec![report.to_owned()];
        args.extend(used.iter().map(|(charge, units)| charge_json(charge, *units)));
        self.run(&CHARGE, &args).await.map(drop)
    }

    /// Renews, looks again and refreshes until `stop`.
    pub(in crate::state) async fn work(&self, stop: &CancellationToken) {
        tokio::join!(self.listen(stop), self.ticks(stop), self.looks(stop));
    }

    async fn ticks(&self, stop: &CancellationToken) {
        let mut renewed = Instant::now();
        loop {
            let jitter = rand::rng().random_range(0.8..1.2);
            tokio::select! {
                () = tokio::time::sleep(TICK_EVERY.mul_f64(jitter)) => {}
                () = stop.cancelled() => return,
            }
            if !self.link.is_up() {
                continue;
            }
            let renew = renewed.elapsed() > self.lease / 3 || !self.listening.load(Ordering::Relaxed);
            if renew {
                renewed = Instant::now();
            }
            // The link has noted what went wrong, and tells when it changes.
            drop(self.tick(renew).await);
            drop(self.tell_unsettled().await);
            self.refresh().await;
        }
    }

    async fn tick(&self, renew: bool) -> Result<(), String> {
        let (open, waiting): (Vec<LeaseId>, Vec<LeaseId>) = {
            let books = self.books.lock();
            if renew {
                (books.open.keys().copied().collect(), books.waiting.keys().copied().collect())
            } else {
                (Vec::new(), Vec::new())
            }
        };
        let batches = open.len().max(waiting.len()).div_ceil(BATCH).max(1);
        let (mut open, mut waiting) = (open.into_iter(), waiting.into_iter());
        for _ in 0..batches {
            let some: Vec<LeaseId> = open.by_ref().take(BATCH).collect();
            let mut args = vec![
                millis(self.lease).to_string(),
                self.replica.clone(),
                millis(ALIVE).to_string(),
                some.len().to_string(),
            ];
            args.extend(some.into_iter().chain(waiting.by_ref().take(BATCH)).map(|lease| lease.to_string()));
            let mut reply = self.run(&TICK, &args).await?;
            self.replicas.store(reply.field(0), Ordering::Relaxed);
            let expired: u64 = reply.field(1);
            if expired > 0 {
                self.metrics.expired(expired);
                tracing::warn!(expired, "leases and places of a replica that is gone were given back");
            }
            let again: Vec<String> = reply.field(2);
            again.iter().filter_map(|id| LeaseId::parse(id)).for_each(|lease| self.wake(lease));
        }
        Ok(())
    }

    /// Keeps what is known of the levels in use fresh: an outage starts from it.
    async fn refresh(&self) {
        let (stale, oldest) = self.books.lock().mirror.stale(FRESH, BATCH);
        self.metrics.lag(oldest);
        if stale.is_empty() {
            return;
        }
        let mut cmd = redis::cmd("HMGET");
        cmd.arg(self.levels_key()).arg(&stale);
        let Some(found) = self.link.ask::<Vec<Option<Vec<u8>>>>(&cmd).await else { return };
        let now = self.now();
        let mut books = self.books.lock();
        for (scope, raw) in stale.iter().zip(found) {
            let level = raw.as_deref().and_then(|raw| stored(scope, raw)).map(|(_, level)| level);
            books.mirror.refresh(scope, level, now);
        }
        books.mirror.sweep(now);
    }

    fn levels_key(&self) -> String {
        format!("{}levels", self.link.prefix)
    }

    async fn looks(&self, stop: &CancellationToken) {
        loop {
            let due = tokio::select! {
                due = self.alarms.next() => due,
                () = stop.cancelled() => return,
            };
            for pool in due {
                // Without the store nobody waits there.
                drop(self.look(&pool, Duration::ZERO).await);
            }
        }
    }

    /// Everything `/levels` shows.
    pub(in crate::state) async fn levels(&self) -> Result<Levels, String> {
        let mut levels = Levels { shared: Some(true), ..Levels::default() };
        let (mut cursor, mut at) = ("0".to_owned(), 0);
        let (mut found, mut found_pools) = (Vec::new(), Vec::new());
        for _ in 0..MOST_PAGES {
            let value = self.link.call(&SHOW, || vec![String::new(), cursor]).await?;
            let wrong = |error: redis::ParsingError| format!("unexpected reply: {error}");
            let (now, next, raw, pools, replicas): Page = redis::from_redis_value(value).map_err(wrong)?;
            self.heard(now);
            for (scope, raw) in raw {
                let Some((limit, level)) = stored(&scope, &raw) else { continue };
                found.push((scope, limit, level));
            }
            found_pools.extend(pools);
            at = now;
            levels.replicas = replicas;
            cursor = next;
            if cursor == "0" {
                break;
            }
        }
        let rows = found.into_iter().map(|(scope, limit, level)| {
            let view: View = level.view(&limit, at);
            LevelRow { limit: Arc::new(limit), scope, view }
        });
        levels.limits.extend(rows);
        levels.pools.extend(found_pools.iter().filter_map(|(name, fields)| pool_row(name, fields, at)));
        levels.leases = levels.pools.iter().map(|pool| u64::from(pool.in_use)).sum();
        // A scan may meet a key twice.
        levels.limits.sort_by(|a, b| a.scope.cmp(&b.scope));
        levels.limits.dedup_by(|a, b| a.scope == b.scope);
        Ok(levels)
    }
}

/// The server's time, the cursor, levels, pools and replicas.
type Page = (u64, String, Vec<(String, Vec<u8>)>, Vec<(String, Vec<(String, String)>)>, u32);

/// A pool that is in use.
fn pool_row(name: &str, fields: &[(String, String)], now: u64) -> Option<PoolRow> {
    let mut row = PoolRow { name: name.to_owned(), ..PoolRow::default() };
    for (field, value) in fields {
        match field.split_once(':') {
            None if field == "use" => row.in_use = value.parse().unwrap_or(0),
            None if field == "hold" => {
                row.held_for = Duration::from_millis(value.parse::<u64>().unwrap_or(0).saturating_sub(now));
            }
            None if field == "cfg" => {
                let cfg: (i64, serde_json::Value) =
                    serde_json::from_str(value).unwrap_or((-1, serde_json::Value::Null));
                row.slots = u32::try_from(cfg.0).ok();
            }
            Some(("c", class)) => {
                let waiting: u32 = value.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0);
                if waiting > 0 {
                    row.waiting.push((class.to_owned(), waiting));
                }
            }
            _ => {}
        }
    }
    row.waiting.sort();
    let used = row.in_use > 0 || !row.waiting.is_empty() || !row.held_for.is_zero();
    used.then_some(row)
}
