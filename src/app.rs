//! Wiring: builds the gateway from a config, starts its listeners, and drains it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{Admin, Readiness};
use crate::budget::Budget;
use crate::cache::Cache;
use crate::config::{self, CachePolicy, Config, Live};
use crate::frontend::Acceptor;
use crate::pipeline::{Gateway, Joins, Offload, Sinks};
use crate::state::{MemoryStore, SharedStore, Store};
use crate::telemetry::{AccessLog, Metrics, Tracing};
use crate::tokens::Counter;
use crate::upstream::{self, Targets, Upstreams};
use crate::{door, extproc};

/// Counted messages remembered, so that a long conversation costs only its new turn.
const MEMO_ENTRIES: u64 = 50_000;

/// What starting can fail with: an address in use, a config that is wrong.
pub type StartError = Box<dyn std::error::Error + Send + Sync>;

/// Picks the TLS implementation of the process. To be called once, before anything connects;
/// later calls do nothing.
pub fn install_crypto() {
    // The only error is that one is installed already.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
}

/// A gateway that listens.
pub struct App {
    gateway: Arc<Gateway>,
    readiness: Readiness,
    stop: CancellationToken,
    /// Ends what must outlive the drain: the admin listener.
    end: CancellationToken,
    /// Where clients reach it.
    pub listen: SocketAddr,
    /// Where operators reach it.
    pub admin: SocketAddr,
    /// Where Envoy reaches it over TCP, if it may.
    pub ext_proc: Option<SocketAddr>,
    serving: JoinHandle<usize>,
    processing: Option<JoinHandle<usize>>,
}

impl App {
    /// Starts serving. `watched` is the config file to reload from, if there is one.
    pub async fn start(config: Config, watched: Option<PathBuf>) -> Result<Self, StartError> {
        let (listen, admin) = (config.listen, config.admin);
        let public = door::bind(listen).await?;
        let private = door::bind(admin).await?;
        let (listen, admin) = (public.local_addr()?, private.local_addr()?);
        let envoys = match &config.ext_proc {
            Some(config) => Some(extproc::bind(config).await?),
            None => None,
        };
        let ext_proc = envoys.as_ref().and_then(extproc::Bound::addr);
        let gateway = build(config)?;
        let (stop, end) = (CancellationToken::new(), gateway.end.clone());
        let readiness = Readiness::default();
        if let Some(path) = watched {
            watch(&gateway, path, stop.clone());
        }
        let acceptor = Acceptor::new(Arc::clone(&gateway), public);
        let serving = gateway.tasks.spawn(acceptor.run(stop.clone()));
        let processing = envoys.map(|bound| gateway.tasks.spawn(bound.run(Arc::clone(&gateway), stop.clone())));
        let operators = Admin::new(Arc::clone(&gateway), readiness.clone());
        gateway.tasks.spawn(operators.run(private, end.clone()));
        let (store, working) = (Arc::clone(&gateway.store), end.clone());
        gateway.tasks.spawn(async move { store.run(working).await });
        let (kept, end_tidying) = (Arc::clone(&gateway), end.clone());
        gateway.tasks.spawn(async move { kept.upstreams.tidy(end_tidying).await });
        let (cache, sharing) = (Arc::clone(&gateway.cache), end.clone());
        gateway.tasks.spawn(async move { cache.work(sharing).await });
        let (checked, end_checks) = (Arc::clone(&gateway), end.clone());
        gateway.tasks.spawn(async move {
            upstream::check(&checked.live, &checked.targets, &checked.upstreams, end_checks).await;
        });
        readiness.set(true);
        Ok(Self { gateway, readiness, stop, end, listen, admin, ext_proc, serving, processing })
    }

    /// The shared state, for tests and tools that run a gateway inside their own process.
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// Serves until SIGTERM or SIGINT, then drains.
    pub async fn run(self) -> Result<(), StartError> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        self.drain().await;
        Ok(())
    }

    /// Stops accepting, lets streams finish up to the deadline, settles everything.
    pub async fn drain(self) {
        self.readiness.set(false);
        self.stop.cancel();
        match self.serving.await {
            Ok(0) => {}
            Ok(cut) => tracing::warn!(connections = cut, "drain deadline passed: open connections were cut"),
            Err(error) => tracing::error!(%error, "the accept loop failed"),
        }
        if let Some(processing) = self.processing {
            match processing.await {
                Ok(0) => {}
                Ok(cut) => tracing::warn!(streams = cut, "drain deadline passed: streams of Envoy's were cut"),
                Err(error) => tracing::error!(%error, "the ext_proc server failed"),
            }
        }
        self.end.cancel();
        self.gateway.tasks.close();
        self.gateway.tasks.wait().await;
        let leases = self.gateway.store.open_leases();
        tracing::info!(leases_open = leases, "drained");
        self.gateway.sinks.shutdown().await;
    }
}

/// The store that the config asks for.
fn store(config: &Config, metrics: &Metrics) -> Result<Arc<dyn Store>, StartError> {
    Ok(match &config.redis {
        Some(redis) => Arc::new(SharedStore::new(redis, metrics.store())?),
        None => Arc::new(MemoryStore::new()),
    })
}

fn build(config: Config) -> Result<Arc<Gateway>, StartError> {
    let metrics = Metrics::new();
    let tracing = Tracing::start(
        config.telemetry.otlp_endpoint.as_deref(),
        &config.telemetry.service_name,
        config.telemetry.sample_percent,
    );
    let store = store(&config, &metrics)?;
    let max_bytes = config.cache.as_ref().map_or(0, |cache| cache.max_bytes);
    let cache = Arc::new(match &config.shared_cache {
        Some(redis) => Cache::shared(max_bytes, redis, metrics.cache().shared())?,
        None => Cache::new(max_bytes),
    });
    let access = AccessLog::stdout(metrics.clone())?;
    let targets = Targets::new(metrics.routes().clone());
    let sinks = Arc::new(Sinks::new(metrics, access, tracing));
    let counter = Arc::new(Counter::new(MEMO_ENTRIES));
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let other_words = config.cache.iter().flat_map(CachePolicy::all).any(|rules| rules.semantic);
    let gateway = Arc::new(Gateway {
        live: Arc::new(Live::new(config)),
        store,
        counter,
        upstreams: Upstreams::default(),
        targets,
        cache,
        joins: Joins::default(),
        budget: Budget::default(),
        sinks,
        tasks: TaskTracker::new(),
        end: CancellationToken::new(),
        offload: Offload::new(cores),
    });
    gateway.sinks.reloaded(&gateway.live.status());
    tell_untrusted(&gateway.live.snapshot());
    // The first request must not pay for loading the vocabularies.
    let (counter, config) = (Arc::clone(&gateway.counter), gateway.live.snapshot());
    gateway.tasks.spawn_blocking(move || {
        let targets = config.models.values().flat_map(|model| &model.targets);
        counter.warm(targets.map(|target| target.model.tokenizer));
    });
    if other_words {
        let cache = Arc::clone(&gateway.cache);
        gateway.tasks.spawn_blocking(move || cache.semantic().is_some());
    }
    Ok(gateway)
}

/// Reloads on change and on SIGHUP until `stop`, and tells the parts that keep something of it.
fn watch(gateway: &Arc<Gateway>, path: PathBuf, stop: CancellationToken) {
    let live = Arc::clone(&gateway.live);
    gateway.tasks.spawn(config::watch(live, path, stop.clone()));
    let mut changes = gateway.live.subscribe();
    let gateway_ref = Arc::downgrade(gateway);
    gateway.tasks.spawn(async move {
        loop {
            let changed = tokio::select! {
                changed = changes.changed() => changed,
                () = stop.cancelled() => return,
            };
            let Some(gateway) = gateway_ref.upgrade().filter(|_| changed.is_ok()) else { return };
            let config = gateway.live.snapshot();
            gateway.upstreams.retain(&config);
            gateway.targets.reloaded(&config);
            gateway.sinks.reloaded(&gateway.live.status());
            tell_untrusted(&config);
        }
    });
}

/// The other providers are served all the same.
fn tell_untrusted(config: &Config) {
    if let Some(message) = upstream::untrusted(config) {
        tracing::error!("no request can reach {message}");
    }
}
