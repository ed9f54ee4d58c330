//! The parts of an Envoy config that name providers: routes and clusters, where Envoy calls them.

use std::net::SocketAddr;

use http::Uri;

use super::{address, fill};
use crate::config::{Config, Provider};

const ROUTE: &str = include_str!("route.yaml");
const PROVIDER: &str = include_str!("provider.yaml");
const PROVIDER_TLS: &str = include_str!("provider_tls.yaml");
const ATTEMPTS_ROUTE: &str = include_str!("attempts_route.yaml");
const ATTEMPTS_MODEL: &str = include_str!("attempts_model.yaml");

/// One target per request: a route and a cluster for each provider.
pub(super) fn by_provider(config: &Config) -> Result<(String, String), String> {
    let mut parts = (String::new(), String::new());
    for provider in config.providers.values() {
        let called = Called::of(provider)?;
        let cluster = format!("provider-{}", provider.name);
        parts.0 += &fill(ROUTE, &[("name", &provider.name), ("cluster", &cluster), ("host", &called.host_header())]);
        parts.1 += &called.cluster(&cluster, "");
    }
    Ok(parts)
}

/// Envoy tries a model's targets in turn: a route and a cluster for each model, and a cluster for each target.
pub(super) fn by_model(config: &Config) -> Result<(String, String), String> {
    let mut parts = (String::new(), String::new());
    let mut known = Vec::new();
    for model in config.models.values() {
        let cluster = yaml(&format!("model {}", model.name));
        let retries = model.targets.len().saturating_sub(1).to_string();
        let names: Vec<String> = model.targets.iter().map(|target| format!("target {}", target.label)).collect();
        let targets: Vec<String> = names.iter().map(|name| format!("{{ name: {} }}", yaml(name))).collect();
        let values =
            [("model", yaml(&model.name)), ("cluster", cluster), ("retries", retries), ("targets", targets.join(", "))];
        let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        parts.0 += &fill(ATTEMPTS_ROUTE, &values);
        parts.1 += &fill(ATTEMPTS_MODEL, &values);
        for (target, name) in model.targets.iter().zip(names) {
            if known.contains(&target.label) {
                continue;
            }
            known.push(target.label.clone());
            let label = yaml(&target.label);
            let metadata = format!(", metadata: {{ filter_metadata: {{ sluice: {{ target: {label} }} }} }}");
            parts.1 += &Called::of(&target.provider)?.cluster(&yaml(&name), &metadata);
        }
    }
    Ok(parts)
}

/// A name as YAML takes it whatever is in it: JSON is YAML too.
fn yaml(name: &str) -> String {
    serde_json::Value::from(name).to_string()
}

/// A provider as Envoy calls it.
struct Called<'a> {
    provider: &'a Provider,
    host: String,
    port: u16,
    encrypted: bool,
}

impl<'a> Called<'a> {
    fn of(provider: &'a Provider) -> Result<Self, String> {
        let uri: Option<Uri> = provider.base_url.parse().ok();
        let host = uri.as_ref().and_then(Uri::host).map(str::to_owned);
        let (Some(uri), Some(host)) = (uri, host) else {
            return Err(format!("providers.{}.base_url: no host in it", provider.name));
        };
        let encrypted = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        Ok(Self { provider, host, port, encrypted })
    }

    fn host_header(&self) -> String {
        let usual = self.port == if self.encrypted { 443 } else { 80 };
        if usual { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    fn cluster(&self, name: &str, metadata: &str) -> String {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        let (discovery, address) = match bare.parse() {
            Ok(ip) => ("STATIC", address(SocketAddr::new(ip, self.port))),
            Err(_) => {
                let port = self.port;
                ("STRICT_DNS", format!("{{ socket_address: {{ address: {bare}, port_value: {port} }} }}"))
            }
        };
        let tls = if self.encrypted { fill(PROVIDER_TLS, &[("sni", bare)]) } else { String::new() };
        let protocol = if self.provider.http2 { "http2_protocol_options" } else { "http_protocol_options" };
        let connect = format!("{}s", self.provider.timeouts.connect.as_secs_f64());
        fill(
            PROVIDER,
            &[
                ("cluster", name),
                ("metadata", metadata),
                ("discovery", discovery),
                ("connect", &connect),
                ("protocol", protocol),
                ("tls", &tls),
                ("address", &address),
            ],
        )
    }
}
