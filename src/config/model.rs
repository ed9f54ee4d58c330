//! The config as the gateway runs on it: validated, resolved, immutable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use indexmap::IndexMap;
use secrecy::SecretString;
use sluice_policies::{PolicySet, Pool};
use sluice_providers::{Adapter, Target, catalog};

use super::cache::CachePolicy;
use super::credentials::Credentials;
use super::routing::{Check, Circuit, HealthRules, Routing};

/// One snapshot. A request takes one and keeps it to its end.
#[derive(Debug)]
pub struct Config {
    /// Counts loads that went live, from 1.
    pub generation: u64,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where operators connect.
    pub admin: SocketAddr,
    /// Bounds of what requests may hold and how long they may take.
    pub limits: Limits,
    /// Providers by name.
    pub providers: IndexMap<String, Arc<Provider>>,
    /// Where this gateway is.
    pub zone: Option<Arc<str>>,
    /// Models by public name.
    pub models: IndexMap<String, Arc<ModelRoute>>,
    /// Keys, classes and limits.
    pub policies: PolicySet,
    /// How end users are told apart.
    pub identity: Identity,
    /// Where traces go.
    pub telemetry: Telemetry,
    /// The store that replicas share; `None` keeps limits in memory.
    pub redis: Option<Redis>,
    /// The door for Envoy; `None` is no such door.
    pub ext_proc: Option<ExtProc>,
    /// Which answers are kept; `None` keeps none.
    pub cache: Option<CachePolicy>,
    /// Through which replicas share answers; `None` shares none.
    pub shared_cache: Option<Arc<Redis>>,
    /// All of this for `/config`, without secrets.
    pub redacted: serde_json::Value,
    /// Files and folders it was read from.
    pub sources: Vec<PathBuf>,
    /// Equal for equal files and secrets.
    pub fingerprint: [u8; 32],
}

/// Bounds of the public listener. Sizes are bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// One request body.
    pub max_body: usize,
    /// One form with a file.
    pub max_upload: usize,
    /// All bodies held at once.
    pub max_buffered: usize,
    /// One request head.
    pub max_header_bytes: usize,
    /// From the first byte of a head to its last.
    pub header_timeout: Duration,
    /// A whole body.
    pub body_timeout: Duration,
    /// A connection without a request.
    pub idle_timeout: Duration,
    /// Open requests after SIGTERM.
    pub drain_timeout: Duration,
    /// Connections at once.
    pub max_connections: usize,
    /// Between comments on a stream that waits in the queue; zero is none.
    pub queue_comments: Duration,
    /// Larger bodies are parsed and counted off the I/O threads.
    pub count_off_thread_above: usize,
}

/// One provider.
#[derive(Debug)]
pub struct Provider {
    /// Its name in the config.
    pub name: Arc<str>,
    /// Translates for it.
    pub adapter: &'static dyn Adapter,
    /// The kind, as written.
    pub kind: String,
    /// Without a trailing slash.
    pub base_url: String,
    /// What it is shown.
    pub credentials: Credentials,
    /// The version of its API, where that is a parameter.
    pub api_version: Option<Arc<str>>,
    /// Sent with every request.
    pub headers: HeaderMap,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// When its targets are ejected.
    pub health: HealthRules,
    /// What each of its targets takes at once.
    pub circuit: Circuit,
    /// How it is asked whether it is there.
    pub check: Option<Check>,
    /// Use HTTP/2 where the provider offers it.
    pub http2: bool,
}

/// Deadlines of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A TCP and TLS connection.
    pub connect: Duration,
    /// From sending a streaming request to its first content.
    pub first_token: Duration,
    /// Between two chunks.
    pub idle: Duration,
    /// All of the answer; `None` is no bound.
    pub total: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_token: Duration::from_mins(1),
            idle: Duration::from_mins(1),
            total: None,
        }
    }
}

/// One public model.
#[derive(Debug)]
pub struct ModelRoute {
    /// Its public name.
    pub name: Arc<str>,
    /// Its capacity, and where it queues.
    pub pool: Arc<Pool>,
    /// Where it may go, by priority; at least one.
    pub targets: Vec<TargetRoute>,
    /// How requests are spread over them.
    pub routing: Routing,
}

/// One target of a model.
#[derive(Clone, Debug)]
pub struct TargetRoute {
    /// Who serves it.
    pub provider: Arc<Provider>,
    /// The provider's name for the model.
    pub target: Target,
    /// What the catalog knows of it.
    pub model: Arc<catalog::Model>,
    /// `provider/model`.
    pub label: Arc<str>,
    /// Its share among targets of the same priority.
    pub weight: u32,
    /// Lower is tried first.
    pub priority: u32,
    /// Where it is.
    pub zone: Option<Arc<str>>,
    /// Deadlines of an attempt.
    pub timeouts: Timeouts,
    /// When it is ejected.
    pub health: HealthRules,
    /// What it takes at once.
    pub circuit: Circuit,
}

/// How end users are told apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// A header that names the user; else the request's `user` field does.
    pub user_header: Option<HeaderName>,
}

/// The store that replicas share.
#[derive(Clone, Debug)]
pub struct Redis {
    /// One node, or several of a cluster or of sentinels. They hold passwords.
    pub urls: Vec<SecretString>,
    /// How they are one store.
    pub mode: RedisMode,
    /// User of the access control list.
    pub username: Option<String>,
    /// Password, if the URL has none.
    pub password: Option<SecretString>,
    /// PEM certificates to trust instead of the public ones.
    pub ca: Option<Vec<u8>>,
    /// First part of every key.
    pub prefix: String,
    /// Deadline of every call.
    pub timeout: Duration,
    /// After this long without a renewal, the leases of a replica that died are given back.
    pub lease: Duration,
    /// Share of a bucket that all replicas together may spend while the store is down, percent.
    pub slice_percent: u8,
}

/// How the nodes of a shared store are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisMode {
    /// There is one node.
    Single,
    /// A Redis Cluster.
    Cluster,
    /// Sentinels that know the master of this name.
    Sentinel(String),
}

/// Where traces go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// OTLP over gRPC; `None` leaves it to `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub otlp_endpoint: Option<String>,
    /// `service.name`.
    pub service_name: String,
    /// Share of requests traced, 0 to 100.
    pub sample_percent: u8,
    /// Put the messages of prompts into spans.
    pub log_content: bool,
}

/// The door for Envoy.
#[derive(Clone, Debug)]
pub struct ExtProc {
    /// Where Envoy connects over TCP.
    pub listen: Option<SocketAddr>,
    /// Where Envoy connects on the same machine.
    pub unix: Option<PathBuf>,
    /// Who calls the provider, unless a route says otherwise.
    pub mode: ExtProcMode,
    /// TLS on `listen`.
    pub tls: Option<ServerTls>,
}

/// Who calls the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtProcMode {
    /// The gateway; it answers through Envoy.
    Serve,
    /// Envoy; the gateway counts, admits and translates.
    Steer,
}

impl ExtProcMode {
    /// The mode of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "serve" => Some(Self::Serve),
            "steer" => Some(Self::Steer),
            _ => None,
        }
    }
}

/// Certificates of a listener, PEM.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// The certificate and the ones up to its root.
    pub cert: Vec<u8>,
    /// Its private key.
    pub key: SecretString,
    /// Who signs the certificates of callers; `None` asks for none.
    pub client_ca: Option<Vec<u8>>,
}
