//! The store's operations over one link, and what of this replica is open in the store.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use redis::Value;
use sluice_policies::{Demand, Level, Mode};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::connect::Connector;
use super::known::Mirror;
use super::link::Link;
use super::scripts::{ENTER, LOOK, Op, SETTLE, VERSION};
use super::wire::{Reply, ask_json, millis};
use crate::config::Redis;
use crate::state::alarms::Alarms;
use crate::state::refusal::{Standing, judge};
use crate::state::{Ask, Cause, Entry, Grant, LeaseId, Place, Seen};
use crate::telemetry::StoreMetrics;

/// A command that arrives later than its deadline and this must not run: it has been given up.
const SLACK_MS: u64 = 30;
/// Stands for that moment until the command is sent.
const UNTIL: &str = "until";
/// Settlements that wait for the store to come back.
const MOST_UNSETTLED: usize = 100_000;
/// A script that finds another epoch, or the clock another, is tried again; a reply that is late,
/// too, and by those who have time until the breaker opens or it seems that it should have.
const TRIES: u32 = 2;
const PATIENT_TRIES: u32 = 15;
const PATIENT: Duration = Duration::from_millis(500);

/// The shared store, as long as it answers.
pub(in crate::state) struct Engine {
    pub(super) connector: Connector,
    pub(super) link: Link,
    /// This replica, for wake-ups and liveness.
    pub(super) replica: String,
    pub(super) lease: Duration,
    pub(super) slice_percent: u8,
    pub(super) epoch: ArcSwap<String>,
    /// One restoration at a time.
    pub(super) agreeing: tokio::sync::Mutex<()>,
    /// The server's clock less ours since `started`, milliseconds.
    offset: AtomicI64,
    last: AtomicU64,
    started: Instant,
    pub(super) replicas: AtomicU32,
    /// Whether wake-ups are heard.
    pub(super) listening: AtomicBool,
    pub(super) books: Mutex<Books>,
    pub(super) alarms: Alarms,
    pub(super) metrics: StoreMetrics,
}

/// What of this replica is in the store.
#[derive(Default)]
pub(super) struct Books {
    pub(super) open: HashMap<LeaseId, Open>,
    /// Open leases by pool.
    in_use: HashMap<Arc<str>, u32>,
    pub(super) waiting: HashMap<LeaseId, Option<oneshot::Sender<()>>>,
    /// Leases whose end the store has not been told, or has not confirmed.
    pub(super) unsettled: VecDeque<(LeaseId, Demand)>,
    pub(super) mirror: Mirror,
}

/// An open lease, to restore it from.
pub(super) struct Open {
    pub(super) ask: Arc<Ask>,
    pub(super) windows: String,
}

impl Books {
    fn opened(&mut self, ask: &Arc<Ask>, windows: String) {
        let open = Open { ask: Arc::clone(ask), windows };
        if self.open.insert(ask.lease, open).is_none() {
            *self.in_use.entry(Arc::clone(&ask.pool.name)).or_default() += 1;
        }
    }

    fn closed(&mut self, lease: LeaseId) -> Option<Arc<Ask>> {
        let open = self.open.remove(&lease)?;
        if let Some(count) = self.in_use.get_mut(&open.ask.pool.name) {
            *count = count.saturating_sub(1);
        }
        Some(open.ask)
    }
}

impl Engine {
    /// Not connected yet: `keep` does that.
    pub(in crate::state) fn new(config: &Redis, metrics: StoreMetrics) -> Result<Self, String> {
        // Renewed at thirds, looked for every second: given back within the time that is promised.
        let lease = config.lease.mul_f64(0.9);
        let prefix = format!("{{{}}}:{VERSION}:", config.prefix);
        Ok(Self {
            connector: Connector::new(config)?,
            link: Link::new(config.timeout, prefix, metrics.clone()),
            replica: Uuid::new_v4().simple().to_string(),
            lease,
            slice_percent: config.slice_percent,
            epoch: ArcSwap::default(),
            agreeing: tokio::sync::Mutex::new(()),
            offset: AtomicI64::new(0),
            last: AtomicU64::new(0),
            started: Instant::now(),
            replicas: AtomicU32::new(1),
            listening: AtomicBool::new(false),
            books: Mutex::new(Books::default()),
            alarms: Alarms::default(),
            metrics,
        })
    }

    pub(in crate::state) fn is_up(&self) -> bool {
        self.link.is_up()
    }

    /// The server's clock at the last reply.
    pub(in crate::state) fn heard_at(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// Replicas alive, when last heard.
    pub(in crate::state) fn replicas(&self) -> u32 {
        self.replicas.load(Ordering::Relaxed).max(1)
    }

    /// What is left of a bucket, as far as this replica knows; negative is debt.
    pub(in crate::state) fn left(&self, scope: &str) -> Option<i64> {
        let known = self.books.lock().mirror.get(scope)?;
        Some(known.level.view(&known.limit, self.now()).remaining)
    }

    pub(in crate::state) fn open_leases(&self) -> usize {
        self.books.lock().open.len()
    }

    /// Whether a lease is open in the store, or may be.
    pub(in crate::state) fn has(&self, lease: LeaseId) -> bool {
        let books = self.books.lock();
        books.open.contains_key(&lease) || books.waiting.contains_key(&lease)
    }

    /// The server's time, as far as this replica can tell.
    pub(super) fn now(&self) -> u64 {
        let own = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        u64::try_from(own.saturating_add(self.offset.load(Ordering::Relaxed))).unwrap_or(0)
    }

    pub(super) fn heard(&self, now: u64) {
        self.last.store(now, Ordering::Relaxed);
        let own = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.offset.store(i64::try_from(now).unwrap_or(i64::MAX).saturating_sub(own), Ordering::Relaxed);
    }

    /// Runs an operation whose first argument is the epoch; `args` are the others.
    pub(super) async fn run(&self, op: &Op, args: &[String]) -> Result<Reply, String> {
        for _ in 0..TRIES {
            let epoch = self.epoch.load_full();
            let args = || {
                let until = self.now() + millis(self.link.deadline()) + SLACK_MS;
                let given = args.iter().map(|arg| if arg == UNTIL { until.to_string() } else { arg.clone() });
                std::iter::once(epoch.to_string()).chain(given).collect::<Vec<String>>()
            };
            let mut reply = self.read(self.link.call(op, args).await?)?;
            if reply.what != "epoch" {
                return Ok(reply);
            }
            self.agree(&epoch, &reply.last()).await?;
        }
        Err("the store loses its memory again and again".to_owned())
    }

    pub(super) fn read(&self, value: Value) -> Result<Reply, String> {
        let reply = Reply::parse(value)?;
        self.heard(reply.now);
        for (pool, at) in &reply.alarms {
            self.alarms.set(&Arc::from(pool.as_str()), Duration::from_millis(at.saturating_sub(reply.now)));
        }
        Ok(reply)
    }

    /// Reserves, queues or refuses. On an error the outcome is not known, and will be undone.
    pub(in crate::state) async fn enter(&self, ask: &Arc<Ask>, wait: Duration) -> Result<Entry, String> {
        // What was given up under this id, and not told yet, is wanted again.
        self.books.lock().unsettled.retain(|(lease, _)| *lease != ask.lease);
        let json = ask_json(ask, &self.replica);
        let entered = self.try_enter(ask, wait, &json).await;
        if entered.is_err() {
            self.give_up(ask.lease);
        }
        entered
    }

    async fn try_enter(&self, ask: &Arc<Ask>, wait: Duration, json: &str) -> Result<Entry, String> {
        // A reply that is late once may be in time when asked for again: the question is idempotent.
        let tries = if wait > PATIENT { PATIENT_TRIES } else { TRIES };
        for left in (0..tries).rev() {
            let wait = millis(wait).to_string();
            let args = [UNTIL.to_owned(), wait, millis(self.lease).to_string(), json.to_owned()];
            // It must be known before the reply: a wake-up may be quicker.
            let (wake, woken) = oneshot::channel();
            self.books.lock().waiting.insert(ask.lease, Some(wake));
            let mut reply = match self.run(&ENTER, &args).await {
                Ok(reply) if reply.what == "stale" => continue,
                Ok(reply) => reply,
                Err(_) if left > 0 && self.link.is_up() => continue,
                Err(error) => return Err(error),
            };
            let entry = self.entered(ask, &mut reply, woken);
            if !matches!(entry, Entry::Queued(_)) {
                self.books.lock().waiting.remove(&ask.lease);
            }
            return Ok(entry);
        }
        Err("the store's clock jumps".to_owned())
    }

    fn entered(&self, ask: &Arc<Ask>, reply: &mut Reply, woken: oneshot::Receiver<()>) -> Entry {
        let now = reply.now;
        let levels: Vec<i64> = reply.field(3);
        let part = |index: usize| levels.get(index).copied().unwrap_or_default();
        let at = |index: usize| Level::from_parts(part(3 * index), u64::try_from(part(3 * index + 1)).unwrap_or(0));
        let mut books = self.books.lock();
        let mut seen = Vec::with_capacity(ask.charges.len() + 1);
        for (index, charge) in ask.all().enumerate() {
            books.mirror.note(&charge.scope, &charge.limit, at(index));
            books.mirror.tell_bound(&charge.limit, self.slice_percent, &self.metrics);
            seen.push(Seen { view: at(index).view(&charge.limit, now), limit: Arc::clone(&charge.limit) });
        }
        if reply.what == "queued" {
            return Entry::Queued(Place { ahead: reply.field(0), woken });
        }
        if reply.what == "granted" {
            let windows: String = reply.field(4);
            let observed = |(charge, window): (&crate::state::Charge, &str)| {
                (window == "-" && charge.limit.mode == Mode::Observe).then(|| Arc::clone(&charge.limit.id))
            };
            let observed = ask.all().zip(windows.split(',')).filter_map(observed).collect();
            books.opened(ask, windows);
            return Entry::Granted(Grant { seen, observed });
        }
        let held: u64 = reply.field(1);
        let slot: u8 = reply.field(2);
        let standing = Standing { seen, held: Duration::from_millis(held.saturating_sub(now)), slot: slot == 1 };
        let mut index = 0..;
        let claims: HashMap<&str, usize> = ask.all().map(|charge| &*charge.scope).zip(index.by_ref()).collect();
        let mut refusal = judge(ask, standing, |charge| {
            let index = claims.get(&*charge.scope).copied().unwrap_or_default();
            match u64::try_from(part(3 * index + 2)).unwrap_or(0) {
                0 => at(index).check(&charge.limit, charge.amount, now).map_err(|short| short.retry_after),
                claimed => Err(Some(Duration::from_millis(claimed))),
            }
        })
        .refusal;
        if reply.what == "full" {
            refusal.cause = Cause::QueueFull;
        }
        Entry::Denied(refusal)
    }

    /// Ends a lease or gives up a place; if the store does not hear it, it is told later. Returns
    /// what the lease was for.
    pub(in crate::state) async fn settle(&self, lease: LeaseId, used: Demand) -> Option<Arc<Ask>> {
        let ask = {
            let mut books = self.books.lock();
            books.waiting.remove(&lease);
            books.closed(lease)
        };
        if self.tell(lease, used).await.is_err() {
            self.owe(lease, used);
        }
        ask
    }

    /// A lease that the store knows, and this engine did not.
    pub(in crate::state) fn adopt(&self, ask: &Arc<Ask>, windows: &str) {
        let mut books = self.books.lock();
        // It may have been given up before it was granted elsewhere.
        books.unsettled.retain(|(lease, _)| *lease != ask.lease);
        books.opened(ask, windows.to_owned());
    }

    /// Slots of a pool that this replica's leases are in.
    pub(in crate::state) fn in_use(&self, pool: &str) -> u32 {
        self.books.lock().in_use.get(pool).copied().unwrap_or(0)
    }

    pub(super) async fn tell(&self, lease: LeaseId, used: Demand) -> Result<(), String> {
        let Demand { input, output, cost_micros } = used;
        let numbers = [input, output, cost_micros].map(|number| number.to_string());
        let [input, output, cost] = numbers;
        let args = [millis(self.lease).to_string(), lease.to_string(), input, output, cost];
        self.run(&SETTLE, &args).await.map(drop)
    }

    /// Forgets a question whose outcome is not known; the store is told once it listens.
    fn give_up(&self, lease: LeaseId) {
        self.books.lock().waiting.remove(&lease);
        self.owe(lease, Demand { input: 0, output: 0, cost_micros: 0 });
    }

    /// Tells the store later how a lease ended; what was to be told of it before is void.
    pub(in crate::state) fn owe(&self, lease: LeaseId, used: Demand) {
        let mut books = self.books.lock();
        books.unsettled.retain(|(other, _)| *other != lease);
        if books.unsettled.len() >= MOST_UNSETTLED {
            books.unsettled.pop_front();
            tracing::error!(most = MOST_UNSETTLED, "too many settlements wait for the shared store: one is lost");
        }
        books.unsettled.push_back((lease, used));
    }

    /// Grants nothing from a pool for this long.
    pub(in crate::state) async fn hold(&self, pool: &str, time: Duration) -> Result<(), String> {
        self.look(pool, time).await
    }

    /// Looks whether time has made room in a pool.
    pub(super) async fn look(&self, pool: &str, hold: Duration) -> Result<(), String> {
        let args = [millis(self.lease).to_string(), millis(hold).to_string(), pool.to_owned()];
        self.run(&LOOK, &args).await.map(drop)
    }

    /// Wakes one waiter, or all of them.
    pub(super) fn wake(&self, lease: LeaseId) {
        if let Some(wake) = self.books.lock().waiting.get_mut(&lease).and_then(Option::take) {
            // Nobody listens: it has left and says so.
            wake.send(()).unwrap_or_default();
        }
    }

    pub(super) fn wake_all(&self) {
        let wakes: Vec<_> = self.books.lock().waiting.values_mut().filter_map(Option::take).collect();
        for wake in wakes {
            wake.send(()).unwrap_or_default();
        }
    }
}
