//! The config file as it is written. The doc comments become the JSON Schema and docs/config.md.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;
use sluice_providers::catalog::ModelFacts;

use super::raw_credentials::{RawAws, RawEntra, RawGcp};

use super::raw_cache::RawCache;

use super::raw_health::{RawCheck, RawCircuit, RawHealth};
use super::raw_models::RawModel;

/// The gateway's config file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    /// Address for clients. Default `127.0.0.1:8080`. Changing it needs a restart.
    #[schemars(with = "Option<String>")]
    pub(super) listen: Option<Spanned<String>>,
    /// Address for operators: health, metrics, config, levels. Never make it public. Default
    /// `127.0.0.1:9090`. Changing it needs a restart.
    #[schemars(with = "Option<String>")]
    pub(super) admin: Option<Spanned<String>>,
    /// Providers by a name of your choice.
    #[schemars(with = "BTreeMap<String, RawProvider>")]
    pub(super) providers: IndexMap<String, Spanned<RawProvider>>,
    /// Where this gateway is, for targets balanced by `locality`. May use `${VAR}`.
    #[schemars(with = "Option<String>")]
    pub(super) zone: Option<Spanned<String>>,
    /// Allow `faults` of models: faults made on purpose. Default false.
    #[serde(default)]
    pub(super) allow_faults: bool,
    /// Public model names, each with its targets `provider/model`, best first: a list, or the long
    /// form with the capacity of the targets and how requests are spread over them.
    #[schemars(with = "BTreeMap<String, RawModel>")]
    pub(super) models: IndexMap<String, Spanned<RawModel>>,
    /// Policy files: a file, a list of files, or a folder of `*.yaml`; relative to this file.
    #[schemars(with = "Option<RawPaths>")]
    pub(super) policies: Option<Spanned<RawPaths>>,
    /// The Redis or Valkey (6.2 or later) that replicas share limits and queues through. Default:
    /// none, limits are kept in memory. Changing it needs a restart.
    pub(super) redis: Option<RawRedis>,
    /// What is known of models, where the built-in catalog is silent or wrong.
    #[serde(default)]
    pub(super) catalog: RawCatalog,
    /// Where Envoy calls: the same gateway as an external processor (`ext_proc`). Default: none.
    /// Changing it needs a restart.
    pub(super) ext_proc: Option<RawExtProc>,
    /// Answers that are kept for the same request. Default: none are.
    pub(super) cache: Option<RawCache>,
    /// Bounds of the public listener.
    #[serde(default)]
    pub(super) limits: RawLimits,
    /// How end users are told apart.
    #[serde(default)]
    pub(super) identity: RawIdentity,
    /// Where traces go.
    #[serde(default)]
    pub(super) telemetry: RawTelemetry,
}

/// What is known of models, beside the built-in catalog.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCatalog {
    /// LiteLLM's `model_prices_and_context_window.json`, relative to this file: its windows and
    /// prices are taken instead of the built-in ones. Read when the config is loaded.
    #[schemars(with = "Option<String>")]
    pub(super) litellm: Option<Spanned<String>>,
    /// Models by `provider/model` (of one provider) or `kind/model` (of all of a kind).
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, ModelFacts>")]
    pub(super) models: IndexMap<String, Spanned<ModelFacts>>,
}

/// One path or several.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum RawPaths {
    /// A file or a folder.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// `60000` and `60k` are both fine.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum RawCount {
    Number(u64),
    Text(String),
}

/// The store that replicas share.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRedis {
    /// `redis://host:6379/0`, or `rediss://` for TLS; a list for a cluster or sentinels. May use
    /// `${VAR}` and `file:`. Never logged.
    #[schemars(with = "RawPaths")]
    pub(super) url: Spanned<RawPaths>,
    /// `single`, `cluster` or `sentinel`. Default `single`.
    #[schemars(with = "Option<String>")]
    pub(super) mode: Option<Spanned<String>>,
    /// The master's name, for `sentinel`.
    pub(super) master: Option<String>,
    /// User of the access control list. Default the URL's.
    pub(super) username: Option<String>,
    /// Password: `${VAR}` or `file:/path`. Default the URL's. Never logged.
    #[schemars(with = "Option<String>")]
    pub(super) password: Option<Spanned<String>>,
    /// PEM file of the certificates to trust. Default the public ones.
    #[schemars(with = "Option<String>")]
    pub(super) ca: Option<Spanned<String>>,
    /// First part of every key; gateways with the same one share limits. Default `sluice`.
    #[schemars(with = "Option<String>")]
    pub(super) prefix: Option<Spanned<String>>,
    /// Deadline of every call. Default `20ms`.
    #[schemars(with = "Option<String>")]
    pub(super) timeout: Option<Spanned<String>>,
    /// The leases of a replica that died come back after this long. Default `30s`.
    #[schemars(with = "Option<String>")]
    pub(super) lease: Option<Spanned<String>>,
    /// Share of each bucket, in percent, that all replicas together may spend while the store is
    /// down. Default 25.
    #[schemars(with = "Option<u8>")]
    pub(super) slice_percent: Option<Spanned<u8>>,
}

/// A provider.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProvider {
    /// What it speaks: `openai`, which many providers and servers do, or the name of another kind
    /// (docs/providers-setup.md).
    #[schemars(with = "String")]
    pub(super) kind: Spanned<String>,
    /// Where it is, with its version path: `https://api.openai.com/v1`. May use `${VAR}`. Default
    /// the kind's own, where it has one.
    #[schemars(with = "Option<String>")]
    pub(super) base_url: Option<Spanned<String>>,
    /// Its API key: `${VAR}`, `file:/path`, or the key itself. Never logged.
    #[schemars(with = "Option<String>")]
    pub(super) api_key: Option<Spanned<String>>,
    /// Several keys that take turns: one that is refused or has spent its limit rests. Never logged.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) api_keys: Vec<Spanned<String>>,
    /// The header that carries the key; `authorization` carries it as a bearer token. Default the
    /// kind's own.
    #[schemars(with = "Option<String>")]
    pub(super) key_header: Option<Spanned<String>>,
    /// The version of the API, where that is a parameter: Azure's `api-version`.
    #[schemars(with = "Option<String>")]
    pub(super) api_version: Option<Spanned<String>>,
    /// The AWS identity that signs requests, for `bedrock`.
    pub(super) aws: Option<RawAws>,
    /// The Google Cloud identity, for `vertex`.
    pub(super) gcp: Option<RawGcp>,
    /// The Microsoft Entra application, for `azure`, instead of a key.
    pub(super) entra: Option<RawEntra>,
    /// Headers sent with every request. Values may use `${VAR}` and `file:`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub(super) headers: IndexMap<String, Spanned<String>>,
    /// Deadlines of one attempt.
    #[serde(default)]
    pub(super) timeouts: RawTimeouts,
    /// When its targets are ejected.
    #[serde(default)]
    pub(super) health: RawHealth,
    /// What each of its targets takes at once.
    #[serde(default)]
    pub(super) circuit: RawCircuit,
    /// Asks it again and again whether it is there. Default none: faults of requests tell.
    pub(super) check: Option<RawCheck>,
    /// Use HTTP/2 (by ALPN on https, with prior knowledge on http). All streams then share one
    /// connection and the provider's limit of streams on it. Default false.
    #[serde(default)]
    pub(super) http2: bool,
}

/// Deadlines, such as `5s` or `500ms`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTimeouts {
    /// A TCP and TLS connection. Default `5s`.
    #[schemars(with = "Option<String>")]
    pub(super) connect: Option<Spanned<String>>,
    /// From sending a streaming request to its first content. Default `60s`.
    #[schemars(with = "Option<String>")]
    pub(super) first_token: Option<Spanned<String>>,
    /// Between two chunks. Default `60s`.
    #[schemars(with = "Option<String>")]
    pub(super) idle: Option<Spanned<String>>,
    /// All of the answer; `0s` is no bound. Default `0s`, and 10 minutes for the head of an answer
    /// that does not stream.
    #[schemars(with = "Option<String>")]
    pub(super) total: Option<Spanned<String>>,
}

/// Bounds of the public listener. Sizes such as `20MiB`, durations such as `30s`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    /// One request body; more is 413. Default `20MiB`.
    #[schemars(with = "Option<String>")]
    pub(super) max_body: Option<Spanned<String>>,
    /// One form with a file, which is sent on as it comes (through Envoy once all of it has come); more is 413.
    /// Default `100MiB`.
    #[schemars(with = "Option<String>")]
    pub(super) max_upload: Option<Spanned<String>>,
    /// All request bodies held at once; more is 503. Default `512MiB`.
    #[schemars(with = "Option<String>")]
    pub(super) max_buffered: Option<Spanned<String>>,
    /// One request head; more is 431. Default `64KiB`.
    #[schemars(with = "Option<String>")]
    pub(super) max_header_bytes: Option<Spanned<String>>,
    /// From the first byte of a request head to its last. Default `10s`.
    #[schemars(with = "Option<String>")]
    pub(super) header_timeout: Option<Spanned<String>>,
    /// A whole request body. Default `60s`.
    #[schemars(with = "Option<String>")]
    pub(super) body_timeout: Option<Spanned<String>>,
    /// A connection without a request. Default `75s`.
    #[schemars(with = "Option<String>")]
    pub(super) idle_timeout: Option<Spanned<String>>,
    /// How long open requests may finish after SIGTERM. Default `30s`.
    #[schemars(with = "Option<String>")]
    pub(super) drain_timeout: Option<Spanned<String>>,
    /// Connections at once. Default 20000. Changing it needs a restart.
    #[schemars(with = "Option<u32>")]
    pub(super) max_connections: Option<Spanned<u32>>,
    /// Between comments on a stream that waits in the queue, from the first such wait on; `0s` is
    /// none. Default `15s`.
    #[schemars(with = "Option<String>")]
    pub(super) queue_comments: Option<Spanned<String>>,
    /// Larger bodies are parsed and counted off the I/O threads. Default `64KiB`.
    #[schemars(with = "Option<String>")]
    pub(super) count_off_thread_above: Option<Spanned<String>>,
}

/// The door for Envoy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawExtProc {
    /// Address for Envoy. It answers whoever reaches it in Envoy's name: never make it public. Default
    /// `127.0.0.1:9002`, or none if `unix` is set.
    #[schemars(with = "Option<String>")]
    pub(super) listen: Option<Spanned<String>>,
    /// Path of a Unix socket for an Envoy on this machine; relative to this file.
    #[schemars(with = "Option<String>")]
    pub(super) unix: Option<Spanned<String>>,
    /// `serve`: Sluice calls the provider and answers through Envoy. `steer`: Envoy calls it. A route's gRPC metadata
    /// `x-sluice-mode` overrides it. Default `serve`.
    #[schemars(with = "Option<String>")]
    pub(super) mode: Option<Spanned<String>>,
    /// TLS on `listen`. Default: none.
    pub(super) tls: Option<RawServerTls>,
}

/// Certificates of a listener: PEM files, relative to this file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawServerTls {
    /// The certificate and the ones up to its root.
    #[schemars(with = "String")]
    pub(super) cert: Spanned<String>,
    /// Its private key. Never logged.
    #[schemars(with = "String")]
    pub(super) key: Spanned<String>,
    /// Who signs the certificates of callers; without one a caller needs none.
    #[schemars(with = "Option<String>")]
    pub(super) client_ca: Option<Spanned<String>>,
}

/// How end users are told apart.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIdentity {
    /// A request header that names the end user, set by a proxy you trust. Default: the request's
    /// `user` field.
    #[schemars(with = "Option<String>")]
    pub(super) user_header: Option<Spanned<String>>,
}

/// Where traces go.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTelemetry {
    /// OTLP over gRPC, such as `http://127.0.0.1:4317`. Default: `OTEL_EXPORTER_OTLP_ENDPOINT`, or
    /// no traces. Changing it needs a restart.
    #[schemars(with = "Option<String>")]
    pub(super) otlp_endpoint: Option<Spanned<String>>,
    /// `service.name`. Default `sluice`.
    pub(super) service_name: Option<String>,
    /// Share of requests traced, 0 to 100, where the client's own trace does not decide. Default
    /// 100.
    #[schemars(with = "Option<u8>")]
    pub(super) sample_percent: Option<Spanned<u8>>,
    /// Put the messages of prompts into spans. Default false.
    #[serde(default)]
    pub(super) log_content: bool,
}
