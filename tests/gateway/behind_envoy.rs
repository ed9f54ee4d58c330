//! What a real Envoy does to the `ext_proc` door: each test is something that went wrong there once, or would without
//! the setting or the order of messages that it holds fast.

use std::net::SocketAddr;
use std::time::Duration;

use crate::common::{Gate, KEY, ask, events, value};
use serde_json::{Value, json};
use sluice_mock::Behaviour;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn gate(extra: &str) -> Gate {
    Gate::behind_envoy(&["1M tokens/day per key"], Behaviour::default(), |text| text + extra, |config| config).await
}

/// Envoy's config with routes that lead somewhere instead of the guard: whatever slips past the gateway is seen there.
fn leaking(config: &str, to: SocketAddr) -> String {
    let (before, rest) = config.split_once("              - name: sluice-guard").unwrap();
    let (_, after) = rest.split_once("  clusters:\n").unwrap();
    format!(
        "{before}              - match: {{ prefix: / }}\n                route: {{ cluster: leak, timeout: 0s }}\n  \
         clusters:\n  - name: leak\n    type: STATIC\n    load_assignment: {{ cluster_name: leak, endpoints: [ {{ \
         lb_endpoints: [ {{ endpoint: {{ address: {{ socket_address: {{ address: {}, port_value: {} }} }} }} }} ] }} ] }}\n\
         {after}",
        to.ip(),
        to.port()
    )
}

/// A gateway whose Envoy would let everything through to the provider; `edit` changes Envoy's config further.
async fn leaky(limits: &str, edit: impl FnOnce(String) -> String) -> (Gate, sluice_mock::MockHandle) {
    let sink = sluice_mock::Mock::with_defaults(Behaviour::default()).start(crate::common::any_port()).await.unwrap();
    let to = sink.addr();
    let gate = Gate::behind_envoy(
        &["1M tokens/day per key"],
        Behaviour::default(),
        |text| text + limits,
        |config| edit(leaking(&config, to)),
    )
    .await;
    (gate, sink)
}

/// Uploads a body of `size` bytes, in one go, and returns the answer.
async fn upload(gate: &Gate, key: &str, size: usize, http2: bool) -> reqwest::Result<reqwest::Response> {
    let client = reqwest::Client::builder().no_proxy();
    let client = if http2 { client.http2_prior_knowledge() } else { client };
    let body = bytes::Bytes::from(vec![b' '; size]);
    client.build().unwrap().post(gate.url("/v1/chat/completions")).bearer_auth(key).body(body).send().await
}

/// Found on Envoy 1.40: an answer in pieces that begins before the body has ended makes Envoy send the client's own
/// headers, its key among them, to the route behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_refusals_reach_the_client_and_nothing_reaches_the_route_behind() {
    let (gate, sink) = leaky("limits: { max_body: 1MiB }\n", |config| config).await;
    for http2 in [false, true] {
        for (key, size, expected) in [("sk-wrong", 8 << 20, 401), ("sk-wrong", 10, 401), (KEY, 8 << 20, 413)] {
            let answer = upload(&gate, key, size, http2).await.unwrap();
            assert_eq!(answer.status(), expected, "{size} bytes, HTTP/2 {http2}");
            let error = value(answer).await["error"].clone();
            assert!(error["message"].is_string(), "{error}");
        }
    }
    gate.settled().await;
    assert!(sink.requests().is_empty(), "{:?}", sink.requests());
    assert!(gate.mock.requests().is_empty());
}

/// Read whole here, because the answer must not begin before the request has ended; under the limit of files all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_may_be_larger_than_other_bodies() {
    let limits = "limits: { max_body: 256KiB, max_upload: 2MiB }\n";
    let gate = Gate::behind_envoy(&[], Behaviour::default(), |text| text + limits, |config| config).await;
    let form = |model: &str, bytes: usize| {
        format!(
            "--xyz\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--xyz\r\ncontent-disposition: \
             form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF{}\r\n--xyz--\r\n",
            "0".repeat(bytes)
        )
    };
    for (bytes, expected) in [(1 << 20, 200), (3 << 20, 413)] {
        let request = gate.client.post(gate.url("/v1/audio/transcriptions")).bearer_auth(KEY);
        let request = request.header("content-type", "multipart/form-data; boundary=xyz");
        let answer = request.body(form("m", bytes)).send().await.unwrap();
        assert_eq!(answer.status(), expected, "{}", answer.text().await.unwrap());
    }
    let received = gate.mock.requests();
    assert_eq!(received.len(), 1);
    assert!(received[0].body == form("gpt-4o-mini", 1 << 20));
    gate.settled().await;
    assert_eq!(gate.gateway().budget.used(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_the_gateways_goes_on_as_it_came() {
    let (gate, sink) = leaky("", |config| config).await;
    let body = "x".repeat(3 << 20);
    for http2 in [false, true] {
        let client = reqwest::Client::builder().no_proxy();
        let client = if http2 { client.http2_prior_knowledge() } else { client }.build().unwrap();
        let answer = client.post(gate.url("/other/service?q=1")).bearer_auth("theirs").body(body.clone()).send().await;
        assert_eq!(answer.unwrap().status(), 404, "the mock's own answer to a path it does not know");
        let seen = sink.requests().pop().unwrap();
        assert!(seen.path.starts_with("/other/service"), "{}", seen.path);
        assert_eq!(seen.body.len(), body.len());
        assert!(seen.headers.contains(&("authorization".to_owned(), "Bearer theirs".to_owned())));
        assert_eq!(client.get(gate.url("/other")).send().await.unwrap().status(), 404);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_mode_that_cannot_work_is_refused_by_the_name_of_its_setting() {
    for mode in ["NONE", "BUFFERED", "STREAMED", "BUFFERED_PARTIAL"] {
        let (gate, sink) = leaky("", |config| {
            config.replace("request_body_mode: FULL_DUPLEX_STREAMED", &format!("request_body_mode: {mode}"))
        })
        .await;
        let refused = gate.chat(ask(true, json!({}))).await;
        assert_eq!(refused.status(), 500, "{mode}");
        let error = value(refused).await["error"].clone();
        assert_eq!(error["code"], "envoy_misconfigured", "{mode}");
        assert!(error["message"].as_str().unwrap().contains("request_body_mode: FULL_DUPLEX_STREAMED"), "{error}");
        // What has no body can be answered in every mode.
        let models = gate.client.get(gate.url("/v1/models")).bearer_auth(KEY).send().await.unwrap();
        assert_eq!(value(models).await["data"][0]["id"], "m", "{mode}");
        assert!(sink.requests().is_empty() && gate.mock.requests().is_empty(), "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statuses_that_envoy_has_no_name_for_pass() {
    let gate = gate("").await;
    for status in [418, 499, 529] {
        let answer = gate.chat(ask(false, json!({"status": status}))).await;
        assert_eq!(answer.status(), status);
        assert!(value(answer).await["error"].is_object());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoys_log_tells_the_clients_request_id_and_the_bill() {
    let gate = gate("").await;
    let request = gate.client.post(gate.url("/v1/chat/completions")).bearer_auth(KEY).header("x-request-id", "mine-1");
    let answer = request.body(ask(true, json!({"tokens": 3})).to_string()).send().await.unwrap();
    assert_eq!(answer.headers()["x-request-id"], "mine-1");
    answer.bytes().await.unwrap();
    let envoy = gate.envoy.as_ref().unwrap();
    let mut lines = envoy.access();
    for _ in 0..100 {
        if !lines.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        lines = envoy.access();
    }
    assert_eq!(lines[0]["request_id"], "mine-1", "{lines:?}");
    assert_eq!(lines[0]["details"], "ext_proc_local_response");
    let bill = &lines[0]["sluice"];
    assert_eq!((bill["key"].as_str(), bill["target"].as_str()), (Some("web"), Some("mock/gpt-4o-mini")), "{bill}");
    assert_eq!(bill["output_tokens"].as_f64(), Some(3.0), "{bill}");
}

/// A chunk of the provider's is a chunk at the client: each event is read on its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_one_by_one_and_not_at_the_end() {
    let gate = gate("").await;
    let mut answer = gate.chat(ask(true, json!({"tokens": 20, "token_ms": 40}))).await;
    let mut reads = 0;
    while let Some(chunk) = answer.chunk().await.unwrap() {
        assert!(chunk.ends_with(b"\n\n"), "whole events only");
        reads += 1;
    }
    assert!(reads >= 15, "{reads} reads for 20 tokens");
}

/// Envoy ends the body of a request with trailers by the trailers: no piece of it is the last one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_with_trailers_is_answered() {
    let gate = gate("").await;
    let body = ask(false, json!({"tokens": 2})).to_string();
    let mut socket = TcpStream::connect(gate.listen()).await.unwrap();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ntransfer-encoding: chunked\r\n\
         trailer: x-sum\r\nconnection: close\r\n\r\n{:x}\r\n{body}\r\n0\r\nx-sum: 1\r\n\r\n",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_body_is_a_bad_request() {
    let gate = gate("").await;
    for http2 in [false, true] {
        let answer = upload(&gate, KEY, 0, http2).await.unwrap();
        assert_eq!(answer.status(), 400);
    }
}

/// Default circuit breakers would refuse request 1,025.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_streams_at_once() {
    const STREAMS: usize = 2000;
    let edit = |text: String| text + "ext_proc: { listen: 127.0.0.1:0 }\n";
    let gate = Gate::alone(&[], Behaviour::default(), edit).await;
    let config = sluice::extproc::envoy::config(
        &gate.gateway().live.snapshot(),
        sluice::config::ExtProcMode::Serve,
        &gate.site(),
    );
    let envoy = crate::envoy::Envoy::start(gate.dir.path(), &config.unwrap()).await;
    let url = format!("http://{}/v1/chat/completions", envoy.addr);
    // One HTTP/2 connection carries a hundred or so at once: the ports of one machine are for the provider's side.
    let mut streams = tokio::task::JoinSet::new();
    let clients: Vec<_> =
        (0..40).map(|_| reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap()).collect();
    let body = ask(true, json!({"tokens": 3, "first_token_ms": 100, "token_ms": 8_000})).to_string();
    for index in 0..STREAMS {
        let request = clients[index % clients.len()].post(&url).bearer_auth(KEY).body(body.clone());
        streams.spawn(async move {
            let response = request.send().await.unwrap();
            let status = response.status();
            let text = response.text().await.unwrap();
            (status, text)
        });
    }
    let mut most = 0;
    while let Some(done) = {
        most = most.max(gate.mock.open_streams());
        tokio::time::timeout(Duration::from_millis(100), streams.join_next())
            .await
            .unwrap_or(Some(Ok(Default::default())))
    } {
        let (status, text) = done.unwrap();
        if text.is_empty() && status == 200 {
            continue;
        }
        assert_eq!(status, 200, "{text}");
        assert!(text.ends_with("data: [DONE]\n\n") && events(&text).len() > 3, "{text}");
    }
    assert_eq!(most, STREAMS, "all of them at once");
    gate.settled().await;
    println!("| streams at once through one Envoy | {most} |");
}

/// What an operator sees of a misconfigured Envoy is its own error; what a client sees is never an unprocessed answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_away_is_503_and_not_a_way_past_it() {
    let (gate, sink) = leaky("", |config| config).await;
    assert_eq!(gate.chat(ask(false, json!({"tokens": 1}))).await.status(), 200);
    let Gate { envoy, app, client, .. } = gate;
    app.drain().await;
    let envoy = envoy.unwrap();
    for _ in 0..5 {
        let answer = client.post(format!("http://{}/v1/chat/completions", envoy.addr)).bearer_auth(KEY);
        let answer = answer.body(ask(false, json!({})).to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 503);
    }
    assert!(sink.requests().is_empty());
}

/// The levels say what Envoy's clients are charged, also for a stream that is left in the middle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_through_envoy_pays_for_what_came() {
    let gate = gate("").await;
    let mut answer = gate.chat(ask(true, json!({"tokens": 1000, "token_ms": 10}))).await;
    for _ in 0..10 {
        answer.chunk().await.unwrap().unwrap();
    }
    drop(answer);
    gate.settled().await;
    let levels: Value = serde_json::from_str(&gate.admin("/levels").await).unwrap();
    let spent = 1_000_000 - levels["limits"][0]["remaining"].as_i64().unwrap();
    assert!((12..100).contains(&spent), "{spent}");
}

fn openssl(dir: &std::path::Path, args: &str) {
    let output = std::process::Command::new("openssl").current_dir(dir).args(args.split(' ')).output();
    let output = output.expect("openssl does not start; scripts/test installs it");
    assert!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority (`ca.pem`), and certificates by it for the gateway (`server.pem`) and for Envoy (`cert.pem`).
fn certificates() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    std::fs::write(at.join("san"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    openssl(at, "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority");
    for (key, cert) in [("server.key", "server.pem"), ("key.pem", "cert.pem")] {
        openssl(at, &format!("req -newkey rsa:2048 -nodes -keyout {key} -out {cert}.csr -subj /CN=party"));
        let sign = "-CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san";
        openssl(at, &format!("x509 -req -in {cert}.csr {sign} -out {cert}"));
    }
    dir
}

/// A gateway that asks for a client certificate, and an Envoy with its printed config, changed by `edit`.
async fn encrypted(certificates: &tempfile::TempDir, edit: impl FnOnce(String) -> String) -> Gate {
    let dir = certificates.path().display();
    let door = format!(
        "ext_proc: {{ listen: 127.0.0.1:0, tls: {{ cert: {dir}/server.pem, key: {dir}/server.key, client_ca: {dir}/ca.pem }} }}\n"
    );
    let mut gate = Gate::alone(&["1M tokens/day per key"], Behaviour::default(), |text| text + &door).await;
    let mode = sluice::config::ExtProcMode::Serve;
    let config = sluice::extproc::envoy::config(&gate.gateway().live.snapshot(), mode, &gate.site()).unwrap();
    let config = edit(config.replace("/etc/envoy/sluice/", &format!("{dir}/")));
    gate.envoy = Some(crate::envoy::Envoy::start(gate.dir.path(), &config).await);
    gate
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutual_tls_lets_in_an_envoy_with_a_certificate_and_no_other() {
    let certificates = certificates();
    let gate = encrypted(&certificates, |config| config).await;
    let text = gate.chat(ask(true, json!({"tokens": 3}))).await.text().await.unwrap();
    assert_eq!(events(&text).len(), 5, "{text}");
    let without = |config: String| {
        let line = config.lines().find(|line| line.contains("tls_certificates:")).unwrap().to_owned();
        config.replace(&format!("{line}\n"), "")
    };
    let stranger = encrypted(&certificates, without).await;
    let refused = stranger.chat(ask(false, json!({}))).await;
    assert!(refused.status().is_server_error(), "{}", refused.status());
    assert!(stranger.mock.requests().is_empty(), "nothing reached a provider");
}
