//! Policies, asks and stores for the tests of this folder.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use sluice::config::{Redis, RedisMode};
use sluice::state::{Ask, Cause, Charge, Entry, Grant, LeaseId, MemoryStore, Place, Refusal, SharedStore, Store};
use sluice::telemetry::Metrics;
use sluice_policies::{Demand, Limit, PolicyFile, PolicySet, Pool, Subject};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::servers::{Cluster, Server};

pub(crate) const NOTHING: Demand = Demand { input: 0, output: 0, cost_micros: 0 };
const LONG: Duration = Duration::from_secs(20);

/// A store at work, and the servers behind it.
pub(crate) struct Rig {
    pub(crate) store: Arc<dyn Store>,
    stop: CancellationToken,
    _work: JoinSet<()>,
    _servers: Vec<Server>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Rig {
    pub(crate) fn memory() -> Self {
        Self::of(Arc::new(MemoryStore::new()), Vec::new())
    }

    pub(crate) async fn redis() -> Self {
        let server = Server::start(&[]);
        let store = shared(&config(&[server.url()], RedisMode::Single));
        store.connect().await.unwrap();
        Self::of(store, vec![server])
    }

    pub(crate) async fn on_cluster(cluster: &Cluster) -> Self {
        let store = shared(&config(&cluster.urls(), RedisMode::Cluster));
        store.connect().await.unwrap();
        Self::of(store, Vec::new())
    }

    fn of(store: Arc<dyn Store>, servers: Vec<Server>) -> Self {
        let stop = CancellationToken::new();
        let (working, until) = (Arc::clone(&store), stop.clone());
        let mut work = JoinSet::new();
        work.spawn(async move { working.run(until).await });
        Self { store, stop, _work: work, _servers: servers }
    }

    pub(crate) async fn enter(&self, ask: &Arc<Ask>, wait: Duration) -> Entry {
        self.store.enter(ask, wait).await.unwrap()
    }

    pub(crate) async fn granted(&self, ask: &Arc<Ask>) -> Grant {
        match self.enter(ask, Duration::ZERO).await {
            Entry::Granted(grant) => grant,
            other => panic!("not granted: {other:?}"),
        }
    }

    pub(crate) async fn denied(&self, ask: &Arc<Ask>, wait: Duration) -> Refusal {
        match self.enter(ask, wait).await {
            Entry::Denied(refusal) => refusal,
            other => panic!("not denied: {other:?}"),
        }
    }

    pub(crate) async fn queued(&self, ask: &Arc<Ask>) -> Place {
        match self.enter(ask, LONG).await {
            Entry::Queued(place) => place,
            other => panic!("not queued: {other:?}"),
        }
    }

    /// Waits to be woken until it is granted. Being woken for nothing is allowed, but not often.
    pub(crate) async fn woken(&self, ask: &Arc<Ask>, mut place: Place) -> Grant {
        for _ in 0..3 {
            let woken = tokio::time::timeout(Duration::from_secs(5), place.woken).await;
            assert!(woken.is_ok(), "nobody woke the waiter");
            match self.enter(ask, LONG).await {
                Entry::Granted(grant) => return grant,
                Entry::Queued(again) => place = again,
                Entry::Denied(refusal) => panic!("denied: {refusal:?}"),
            }
        }
        panic!("woken for nothing again and again");
    }

    pub(crate) async fn settle(&self, ask: &Ask, input: u64) {
        self.store.settle(ask.lease, Demand { input, ..NOTHING }).await.unwrap();
    }

    /// What is left of the first bucket whose scope has `part` in it; `None` if it is at rest.
    pub(crate) async fn left(&self, part: &str) -> Option<i64> {
        let levels = self.store.levels().await.unwrap();
        levels.limits.iter().find(|row| row.scope.contains(part)).map(|row| row.view.remaining)
    }
}

/// Empties a cluster.
pub(crate) fn flush(cluster: &Cluster) {
    for node in &cluster.nodes {
        node.cli(&["flushall"]);
    }
}

pub(crate) fn config(urls: &[String], mode: RedisMode) -> Redis {
    Redis {
        urls: urls.iter().map(|url| SecretString::from(url.clone())).collect(),
        mode,
        username: None,
        password: None,
        ca: None,
        prefix: "test".to_owned(),
        // Generous: the machine that runs the tests does much else.
        timeout: Duration::from_millis(500),
        lease: Duration::from_secs(3),
        slice_percent: 25,
    }
}

pub(crate) fn shared(config: &Redis) -> Arc<SharedStore> {
    sluice::app::install_crypto();
    Arc::new(SharedStore::new(config, Metrics::new().store()).unwrap())
}

/// A policy and a pool.
pub(crate) struct World {
    set: PolicySet,
    pub(crate) pool: Arc<Pool>,
}

impl World {
    pub(crate) fn new(limits: &[&str], slots: Option<u32>) -> Self {
        Self::with(limits, "", Pool::new("m", slots, None, Vec::new()))
    }

    /// `classes` is added to the policy file as it is.
    pub(crate) fn with(limits: &[&str], classes: &str, pool: Pool) -> Self {
        let lines: String = limits.iter().map(|limit| format!("  - {limit}\n")).collect();
        let limits = if limits.is_empty() { String::new() } else { format!("limits:\n{lines}") };
        let text = format!("tenant: t\n{classes}{limits}");
        let set = PolicySet::compile(&[PolicyFile { name: "p".to_owned(), text }]).unwrap_or_else(|e| panic!("{e:?}"));
        Self { set, pool: Arc::new(pool) }
    }

    /// `tokens` prompt tokens for a key.
    pub(crate) fn ask(&self, key: &str, class: &str, tokens: u64) -> Arc<Ask> {
        self.ask_in(&self.pool, key, class, Demand { input: tokens, ..NOTHING })
    }

    pub(crate) fn ask_in(&self, pool: &Arc<Pool>, key: &str, class: &str, demand: Demand) -> Arc<Ask> {
        let who = Subject { tenant: "t", key, user: Some(key), class, model: &pool.name };
        let sunk = Demand { output: 0, ..demand };
        let charge = |limit: &Arc<Limit>| Charge {
            scope: limit.scope_key(&who).into(),
            amount: limit.amount_of(&demand),
            sunk: limit.amount_of(&sunk),
            limit: Arc::clone(limit),
        };
        let class = self.set.classes().find(|known| &*known.name == class).expect("a class");
        let rate = |rate: &Arc<Limit>| Charge { scope: Arc::clone(&rate.id), ..charge(rate) };
        Arc::new(Ask {
            lease: LeaseId::new(),
            pool: Arc::clone(pool),
            pool_rate: pool.rate.as_ref().map(rate),
            class: Arc::clone(class),
            key: Arc::from(format!("t/{key}")),
            cost: demand.input + demand.output,
            charges: self.set.limits_for(&who).map(charge).collect(),
        })
    }
}

/// The limit a refusal names.
pub(crate) fn limit_of(refusal: &Refusal) -> &str {
    match &refusal.cause {
        Cause::Limit { limit, .. } | Cause::StoreDown(limit) => &limit.id,
        Cause::Busy => "busy",
        Cause::Held => "held",
        Cause::QueueFull => "full",
    }
}
