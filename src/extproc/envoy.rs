//! The Envoy config that goes with a gateway's: what `sluice envoy` prints.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use crate::config::{Config, ExtProcMode};

mod called;

const SERVE: &str = include_str!("envoy/serve.yaml");
const STEER: &str = include_str!("envoy/steer.yaml");
/// Tells the filter before the router that those of the clusters translate.
const ATTEMPTS: &str = "                initial_metadata: [ { key: x-sluice-attempts, value: envoy } ]\n";
const GATEWAY: &str = include_str!("envoy/gateway.yaml");
const TLS: &str = include_str!("envoy/tls.yaml");
/// The longest a provider may be silent where it has no total deadline: the head of an answer that does not stream.
const LONGEST_SILENCE: Duration = Duration::from_mins(10);
/// Between the end of the gateway's patience and that of Envoy.
const MARGIN: Duration = Duration::from_mins(1);
const SHORTEST_IDLE: Duration = Duration::from_mins(15);

/// Where Envoy and the gateway stand.
#[derive(Clone, Debug)]
pub struct Site {
    /// Where Envoy takes requests.
    pub listen: SocketAddr,
    /// Envoy's own admin address.
    pub admin: SocketAddr,
    /// Steer: Envoy tries a model's targets in turn, and a filter of the cluster translates and signs each attempt.
    pub attempts: bool,
    /// The replicas, `host:port` or `unix:/path`. Empty: what the gateway's config says.
    pub gateways: Vec<String>,
}

/// A complete Envoy config for this gateway. The error says what is missing in the gateway's.
pub fn config(config: &Config, mode: ExtProcMode, site: &Site) -> Result<String, String> {
    let gateways = gateways(config, site)?;
    let template = match mode {
        ExtProcMode::Serve => SERVE,
        ExtProcMode::Steer => STEER,
    };
    let (routes, providers) = if site.attempts { called::by_model(config)? } else { called::by_provider(config)? };
    let cap = config.limits.max_body;
    let (attempts, buffer, host) = if site.attempts {
        let buffer = format!(
            "    # Bodies are held for the next attempt: not less than `limits.max_body`. Default 1 MiB: 413.\n    \
             per_connection_buffer_limit_bytes: {cap}\n"
        );
        let host = format!("              request_body_buffer_limit: {cap}\n");
        (ATTEMPTS, buffer, host)
    } else {
        ("", String::new(), String::new())
    };
    Ok(fill(
        template,
        &[
            ("attempts", attempts),
            ("buffer", &buffer),
            ("host", &host),
            ("routes", routes.trim_end()),
            ("providers", providers.trim_end()),
            ("admin", &address(site.admin)),
            ("listen", &address(site.listen)),
            ("idle", &idle(config).as_secs().to_string()),
            ("gateway", gateway_cluster(config, &gateways).trim_end()),
        ],
    ))
}

/// Puts values in the place of `{{name}}`.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
}

fn address(addr: SocketAddr) -> String {
    format!("{{ socket_address: {{ address: {}, port_value: {} }} }}", quoted(addr.ip()), addr.port())
}

/// YAML takes the colons of an IPv6 address for its own.
fn quoted(ip: IpAddr) -> String {
    if ip.is_ipv6() { format!("\"{ip}\"") } else { ip.to_string() }
}

/// Longer than the gateway lets anything wait.
fn idle(config: &Config) -> Duration {
    let wait = config.policies.classes().map(|class| class.max_wait).max().unwrap_or_default();
    let silence = config.providers.values().map(|provider| {
        let timeouts = &provider.timeouts;
        timeouts.first_token.max(timeouts.idle).max(timeouts.total.unwrap_or(LONGEST_SILENCE))
    });
    SHORTEST_IDLE.max(wait + silence.max().unwrap_or_default() + MARGIN)
}

/// Where the replicas are: what the flags say, else what the config says.
fn gateways(config: &Config, site: &Site) -> Result<Vec<String>, String> {
    if !site.gateways.is_empty() {
        return Ok(site.gateways.clone());
    }
    let Some(door) = &config.ext_proc else {
        return Err("the config has no `ext_proc` section: add `ext_proc: { listen: 127.0.0.1:9002 }`".to_owned());
    };
    let near = |addr: SocketAddr| {
        let ip = if addr.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { addr.ip() };
        SocketAddr::new(ip, addr.port()).to_string()
    };
    let socket = |path: &Path| format!("unix:{}", path.display());
    Ok(vec![door.unix.as_deref().map(socket).or(door.listen.map(near)).unwrap_or_default()])
}

fn gateway_cluster(config: &Config, gateways: &[String]) -> String {
    let mut endpoints = String::new();
    let mut discovery = "STATIC";
    for gateway in gateways {
        let address = if let Some(path) = gateway.strip_prefix("unix:") {
            format!("{{ pipe: {{ path: {path} }} }}")
        } else if let Ok(addr) = gateway.parse() {
            address(addr)
        } else {
            discovery = "STRICT_DNS";
            let (host, port) = gateway.rsplit_once(':').unwrap_or((gateway, "9002"));
            format!("{{ socket_address: {{ address: {host}, port_value: {port} }} }}")
        };
        let endpoint = writeln!(endpoints, "        - {{ endpoint: {{ address: {address} }} }}");
        // Writing to a string cannot fail.
        endpoint.unwrap_or_default();
    }
    let encrypted = config.ext_proc.as_ref().is_some_and(|door| door.tls.is_some());
    let sni = gateways.first().and_then(|gateway| gateway.rsplit_once(':')).map_or("sluice", |(host, _)| host);
    let tls = if encrypted { fill(TLS, &[("sni", sni)]) } else { String::new() };
    fill(GATEWAY, &[("discovery", discovery), ("tls", &tls), ("endpoints", endpoints.trim_end())])
}
