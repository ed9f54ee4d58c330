//! From the raw config to the one the gateway runs on; collects every error on the way.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use indexmap::IndexMap;
use serde_json::{Value, json};
use serde_saphyr::{Location, Spanned};
use sha2::{Digest, Sha256};
use sluice_policies::{PolicyError, PolicySet};
use sluice_providers::catalog::{Catalog, Kind};
use sluice_providers::{ADAPTERS, adapter};

use super::cache::CachePolicy;
use super::credentials::{Credentials, fill};
use super::model::{Config, Identity, Limits, Provider, Redis, Telemetry, Timeouts};
use super::models::Known;
use super::raw::{RawConfig, RawLimits, RawProvider, RawTelemetry, RawTimeouts};
use super::routing::{Circuit, HealthRules};
use super::values;

/// Collects errors and what the fingerprint covers.
pub(super) struct Compiler {
    file: String,
    pub(super) dir: PathBuf,
    pub(super) errors: Vec<PolicyError>,
    hash: Sha256,
}

pub(super) type Providers = IndexMap<String, Arc<Provider>>;

impl Compiler {
    pub(super) fn new(file: &str, dir: &Path) -> Self {
        Self { file: file.to_owned(), dir: dir.to_path_buf(), errors: Vec::new(), hash: Sha256::new() }
    }

    pub(super) fn error(&mut self, at: Option<&Location>, path: &str, message: String) {
        self.errors.push(PolicyError {
            file: self.file.clone(),
            line: at.map_or(0, Location::line),
            column: at.map_or(0, Location::column),
            path: path.to_owned(),
            message,
        });
    }

    pub(super) fn fingerprint(&mut self, text: &str) {
        self.hash.update(text.len().to_le_bytes());
        self.hash.update(text);
    }

    pub(super) fn config(
        mut self,
        raw: &RawConfig,
        policies: PolicySet,
        sources: Vec<PathBuf>,
        generation: u64,
    ) -> Result<Config, Vec<PolicyError>> {
        let listen = self.address(raw.listen.as_ref(), "listen", 8080);
        let admin = self.address(raw.admin.as_ref(), "admin", 9090);
        if listen == admin && listen.port() != 0 {
            self.error(
                raw.admin.as_ref().map(|admin| &admin.referenced),
                "admin",
                "it must differ from `listen`".to_owned(),
            );
        }
        let limits = self.limits(&raw.limits);
        let mut catalog = match Catalog::builtin() {
            Ok(catalog) => catalog,
            Err(error) => {
                self.error(None, "catalog", error.to_string());
                return Err(self.errors);
            }
        };
        self.catalog(&raw.catalog, &raw.providers, &mut catalog);
        let providers = self.providers(&raw.providers, &catalog);
        let models = self.models(raw, &providers, &policies, &catalog);
        let zone = raw.zone.as_ref().and_then(|zone| self.resolved(zone, "zone")).map(Arc::from);
        let redis = raw.redis.as_ref().and_then(|raw| self.redis(raw, "redis"));
        let ext_proc = raw.ext_proc.as_ref().and_then(|raw| self.ext_proc(raw));
        let cache = self.cache_with(&Known { raw, providers: &providers, catalog: &catalog });
        let of_limits = raw.redis.as_ref().map(|raw| (raw, redis.as_ref()));
        let shared_cache = self.shared_cache(raw.cache.as_ref(), of_limits);
        let identity = Identity { user_header: self.user_header(raw.identity.user_header.as_ref()) };
        let telemetry = self.telemetry(&raw.telemetry);
        if self.errors.is_empty() && policies.keys().next().is_none() {
            let message =
                "no policy file has a key, so every request would be refused; `sluice key new --name NAME` makes one";
            self.error(raw.policies.as_ref().map(|policies| &policies.referenced), "policies", message.to_owned());
        }
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        let mut config = Config {
            generation,
            listen,
            admin,
            limits,
            providers,
            zone,
            models,
            policies,
            identity,
            telemetry,
            redis,
            ext_proc,
            cache,
            shared_cache,
            redacted: Value::Null,
            sources,
            fingerprint: self.hash.finalize().into(),
        };
        config.redacted = redacted(&config);
        Ok(config)
    }

    /// The value of an optional field, or the error where it stands and the default.
    pub(super) fn field<T>(
        &mut self,
        raw: Option<&Spanned<String>>,
        path: &str,
        default: T,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        let Some(raw) = raw else { return default };
        parse(&raw.value).unwrap_or_else(|message| {
            self.error(Some(&raw.referenced), path, message);
            default
        })
    }

    pub(super) fn address(&mut self, raw: Option<&Spanned<String>>, path: &str, port: u16) -> SocketAddr {
        let default = SocketAddr::from(([127, 0, 0, 1], port));
        self.field(raw, path, default, |text| {
            text.parse().map_err(|_| format!("`{text}` is not an address; write 127.0.0.1:{port} or [::]:{port}"))
        })
    }

    fn limits(&mut self, raw: &RawLimits) -> Limits {
        let seconds = Duration::from_secs;
        let mut size =
            |raw: &Option<Spanned<String>>, path, default| self.field(raw.as_ref(), path, default, positive_size);
        let max_body = size(&raw.max_body, "limits.max_body", 20 << 20);
        let max_upload = size(&raw.max_upload, "limits.max_upload", 100 << 20);
        let max_buffered = size(&raw.max_buffered, "limits.max_buffered", 512 << 20);
        let max_header_bytes = size(&raw.max_header_bytes, "limits.max_header_bytes", 64 << 10);
        let above = size(&raw.count_off_thread_above, "limits.count_off_thread_above", 64 << 10);
        let mut time = |raw: &Option<Spanned<String>>, path, default| {
            self.field(raw.as_ref(), path, seconds(default), positive_duration)
        };
        Limits {
            max_body,
            max_upload,
            max_buffered,
            max_header_bytes,
            header_timeout: time(&raw.header_timeout, "limits.header_timeout", 10),
            body_timeout: time(&raw.body_timeout, "limits.body_timeout", 60),
            idle_timeout: time(&raw.idle_timeout, "limits.idle_timeout", 75),
            drain_timeout: self.field(
                raw.drain_timeout.as_ref(),
                "limits.drain_timeout",
                seconds(30),
                values::duration,
            ),
            max_connections: raw
                .max_connections
                .as_ref()
                .map_or(20_000, |value| usize::try_from(value.value.max(1)).unwrap_or(1)),
            queue_comments: self.field(
                raw.queue_comments.as_ref(),
                "limits.queue_comments",
                seconds(15),
                values::duration,
            ),
            count_off_thread_above: above,
        }
    }

    /// Deadlines, with those of `default` where nothing is said.
    pub(super) fn timeouts(&mut self, raw: &RawTimeouts, path: &str, default: &Timeouts) -> Timeouts {
        let mut time = |raw: &Option<Spanned<String>>, name: &str, default| {
            self.field(raw.as_ref(), &format!("{path}.timeouts.{name}"), default, positive_duration)
        };
        let connect = time(&raw.connect, "connect", default.connect);
        let first_token = time(&raw.first_token, "first_token", default.first_token);
        let idle = time(&raw.idle, "idle", default.idle);
        let total = default.total.unwrap_or_default();
        let total = self.field(raw.total.as_ref(), &format!("{path}.timeouts.total"), total, values::duration);
        Timeouts { connect, first_token, idle, total: (total > Duration::ZERO).then_some(total) }
    }

    fn providers(&mut self, raw: &IndexMap<String, Spanned<RawProvider>>, catalog: &Catalog) -> Providers {
        if raw.is_empty() {
            self.error(None, "providers", "there must be at least one".to_owned());
        }
        let mut providers = IndexMap::new();
        for (name, spanned) in raw {
            let path = format!("providers.{name}");
            if name.contains('/') || name.is_empty() {
                let message = "a provider's name must not be empty or hold a `/`".to_owned();
                self.error(Some(&spanned.referenced), &path, message);
            }
            if let Some(provider) = self.provider(name, &spanned.value, &path, catalog) {
                providers.insert(name.clone(), Arc::new(provider));
            }
        }
        providers
    }

    fn provider(&mut self, name: &str, raw: &RawProvider, path: &str, catalog: &Catalog) -> Option<Provider> {
        let before = self.errors.len();
        let kind = adapter(&raw.kind.value);
        if kind.is_none() {
            let known = ADAPTERS.iter().map(|adapter| adapter.name()).collect::<Vec<_>>().join(", ");
            let message = format!("unknown kind `{}`; it is one of {known}", raw.kind.value);
            self.error(Some(&raw.kind.referenced), &format!("{path}.kind"), message);
        }
        let known = kind.and_then(|adapter| catalog.kind(adapter.name()));
        if let (None, Some(url)) = (known, &raw.base_url) {
            // Of a kind that is not known at least the address can be checked.
            let at = format!("{path}.base_url");
            if let Some(Err(message)) = self.resolved(url, &at).map(|text| base_url(&text)) {
                self.error(Some(&url.referenced), &at, message);
            }
        }
        let reached = known.and_then(|known| self.reached(raw, known, path));
        let mut headers = HeaderMap::new();
        for (header, value) in &raw.headers {
            let at = format!("{path}.headers.{header}");
            let Some(text) = self.resolved(value, &at) else { continue };
            match (HeaderName::try_from(header.as_str()), HeaderValue::try_from(text)) {
                (Ok(name), Ok(mut value)) => {
                    value.set_sensitive(true);
                    headers.insert(name, value);
                }
                _ => self.error(Some(&value.referenced), &at, "not a legal HTTP header".to_owned()),
            }
        }
        let version =
            raw.api_version.as_ref().and_then(|version| self.resolved(version, &format!("{path}.api_version")));
        let api_version = version.map(Arc::from);
        let timeouts = self.timeouts(&raw.timeouts, path, &Timeouts::default());
        let health = self.health(&raw.health, path, &HealthRules::default());
        let circuit = self.circuit(&raw.circuit, path, &Circuit::default());
        let check = raw.check.as_ref().map(|check| self.check(check, path));
        let (adapter, (credentials, base_url)) = (kind?, reached?);
        (self.errors.len() == before).then(|| Provider {
            name: Arc::from(name),
            adapter,
            kind: raw.kind.value.clone(),
            base_url,
            credentials,
            api_version,
            headers,
            timeouts,
            health,
            circuit,
            check,
            http2: raw.http2,
        })
    }

    /// What a provider is shown, and where it is.
    fn reached(&mut self, raw: &RawProvider, kind: &Kind, path: &str) -> Option<(Credentials, String)> {
        let credentials = self.credentials(raw, kind, path);
        let at = format!("{path}.base_url");
        let template = match (&raw.base_url, &kind.base_url) {
            (Some(given), _) => self.resolved(given, &at)?,
            (None, Some(own)) => own.to_string(),
            (None, None) => {
                self.error(Some(&raw.kind.referenced), &at, format!("providers of kind {} need one", kind.name));
                return None;
            }
        };
        // What a template lacks is said where the credentials are wrong.
        let names = credentials.as_ref().map(|(_, names)| names.clone()).unwrap_or_default();
        if credentials.is_none() && template.contains('{') {
            return None;
        }
        match fill(&template, &names).and_then(|url| base_url(&url)) {
            Ok(url) => credentials.map(|(credentials, _)| (credentials, url)),
            Err(message) => {
                self.error(raw.base_url.as_ref().map(|url| &url.referenced), &at, message);
                None
            }
        }
    }

    pub(super) fn resolved(&mut self, raw: &Spanned<String>, path: &str) -> Option<String> {
        match values::resolve(&raw.value, &self.dir) {
            Ok(text) => {
                self.fingerprint(&text);
                Some(text)
            }
            Err(message) => {
                self.error(Some(&raw.referenced), path, message);
                None
            }
        }
    }

    fn user_header(&mut self, raw: Option<&Spanned<String>>) -> Option<HeaderName> {
        self.field(raw, "identity.user_header", None, |text| {
            HeaderName::try_from(text).map(Some).map_err(|_| format!("`{text}` is not a header name"))
        })
    }

    fn telemetry(&mut self, raw: &RawTelemetry) -> Telemetry {
        let otlp_endpoint =
            self.field(raw.otlp_endpoint.as_ref(), "telemetry.otlp_endpoint", None, |text| base_url(text).map(Some));
        let sample = raw.sample_percent.as_ref();
        if let Some(percent) = sample.filter(|percent| percent.value > 100) {
            self.error(Some(&percent.referenced), "telemetry.sample_percent", "it is 0 to 100".to_owned());
        }
        Telemetry {
            otlp_endpoint,
            service_name: raw.service_name.clone().unwrap_or_else(|| "sluice".to_owned()),
            sample_percent: sample.map_or(100, |percent| percent.value),
            log_content: raw.log_content,
        }
    }
}

fn positive_size(text: &str) -> Result<usize, String> {
    values::size(text).and_then(|size| if size == 0 { Err("it must be more than 0".to_owned()) } else { Ok(size) })
}

pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    let time = values::duration(text)?;
    if time.is_zero() { Err("it must be more than 0".to_owned()) } else { Ok(time) }
}

pub(super) fn base_url(text: &str) -> Result<String, String> {
    let wrong = || "it must be a URL such as https://api.openai.com/v1".to_owned();
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let http = matches!(uri.scheme_str(), Some("http" | "https"));
    if !http || uri.host().is_none_or(str::is_empty) || uri.query().is_some() {
        return Err(wrong());
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("a URL must not carry a password; use api_key or headers".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// What `/config` shows: everything but secrets. Header values may be secrets: only names.
fn redacted(config: &Config) -> Value {
    let providers: serde_json::Map<String, Value> = config
        .providers
        .values()
        .map(|provider| {
            let shown = json!({
                "kind": provider.kind,
                "base_url": provider.base_url,
                "credentials": provider.credentials.redacted(),
                "headers": provider.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(),
                "http2": provider.http2,
            });
            (provider.name.to_string(), shown)
        })
        .collect();
    let models: serde_json::Map<String, Value> = config
        .models
        .values()
        .map(|model| {
            let targets: Vec<&str> = model.targets.iter().map(|target| &*target.label).collect();
            let tokens = model.pool.rate.as_ref().map(|rate| rate.amount);
            let shown = json!({
                "targets": targets, "concurrent": model.pool.slots, "tokens_per_minute": tokens,
                "balance": model.routing.balance.name(),
            });
            (model.name.to_string(), shown)
        })
        .collect();
    let mut keys: Vec<String> = config.policies.keys().map(|key| format!("{}/{}", key.tenant, key.name)).collect();
    keys.sort();
    let mut limits: Vec<String> = config.policies.limits().map(|limit| limit.id.to_string()).collect();
    limits.sort();
    let redis = |redis: &Redis| json!({ "mode": format!("{:?}", redis.mode), "prefix": redis.prefix, "nodes": redis.urls.len() });
    json!({
        "listen": config.listen.to_string(),
        "admin": config.admin.to_string(),
        "providers": providers,
        "models": models,
        "keys": keys,
        "limits": limits,
        "redis": config.redis.as_ref().map(redis),
        "cache": config.cache.as_ref().map(CachePolicy::shown),
        "cache_redis": config.shared_cache.as_deref().map(redis),
        "ext_proc": config.ext_proc.as_ref().map(|door| json!({
            "listen": door.listen, "unix": door.unix, "mode": format!("{:?}", door.mode).to_lowercase(),
            "tls": door.tls.is_some(),
        })),
        "max_body": config.limits.max_body, "max_upload": config.limits.max_upload, "max_buffered": config.limits.max_buffered,
    })
}
