//! The failover matrix: every way a first target can fail before it says something, streamed and
//! not, and every way it can fail after.

use std::net::SocketAddr;

use serde_json::{Value, json};
use sluice_mock::{Behaviour, Mock, MockHandle, Reset};

use crate::common::{Gate, any_port, ask, events, value};

/// A target that fails, and what the gateway calls it.
struct Row {
    name: &'static str,
    /// Its address; else the mock's.
    url: Option<String>,
    behaviour: Behaviour,
    /// What is written of the attempt, streamed and not.
    why: [&'static str; 2],
    /// It is at fault: its health must know. One that asks to be left alone is not.
    blamed: bool,
}

fn row(name: &'static str, why: [&'static str; 2], behaviour: Behaviour) -> Row {
    Row { name, url: None, behaviour, why, blamed: true }
}

fn at(name: &'static str, url: String, why: &'static str) -> Row {
    Row { name, url: Some(url), behaviour: Behaviour::default(), why: [why; 2], blamed: true }
}

fn status(name: &'static str, status: u16, retry_after: Option<f64>, why: &'static str) -> Row {
    let behaviour = Behaviour { status: Some(status), retry_after, ..Behaviour::default() };
    Row { blamed: status != 429, ..row(name, [why; 2], behaviour) }
}

/// Every fault before the first content. `plain` is a server that speaks no TLS.
fn before_content(plain: SocketAddr) -> Vec<Row> {
    let fault = Behaviour::default;
    vec![
        at("connect refused", "http://127.0.0.1:1/v1".to_owned(), "connect_failed"),
        at("DNS failure", "http://no-such-host.invalid/v1".to_owned(), "connect_failed"),
        at("TLS failure", format!("https://{plain}/v1"), "connect_failed"),
        row("reset before head", ["upstream_reset"; 2], Behaviour { reset: Some(Reset::BeforeHead), ..fault() }),
        status("429 with Retry-After", 429, Some(30.0), "status_429"),
        status("429 without Retry-After", 429, None, "status_429"),
        status("408", 408, None, "status_408"),
        status("500", 500, None, "status_500"),
        status("502", 502, None, "status_502"),
        status("503", 503, None, "status_503"),
        status("504", 504, None, "status_504"),
        status("529", 529, None, "status_529"),
        row("200 then silence", ["first_token_timeout", "idle_timeout"], Behaviour { stall_at_head: true, ..fault() }),
        row(
            "role chunk then silence",
            ["first_token_timeout", "idle_timeout"],
            Behaviour { stall_after: Some(0), ..fault() },
        ),
        row(
            "role chunk then reset",
            ["upstream_reset"; 2],
            Behaviour { reset: Some(Reset::AfterChunks(0)), ..fault() },
        ),
        row(
            "malformed first event",
            ["malformed_stream", "malformed_response"],
            Behaviour { malformed: true, ..fault() },
        ),
        row("first-token deadline", ["first_token_timeout", "total_timeout"], Behaviour { head_ms: 60_000, ..fault() }),
        row(
            "gzip garbage",
            ["unsupported_encoding"; 2],
            Behaviour { content_encoding: Some("gzip".to_owned()), ..fault() },
        ),
    ]
}

/// A gateway whose model goes to the failing target first and to a good one second.
async fn gate(row: &Row) -> (Gate, MockHandle) {
    let bad = Mock::with_defaults(row.behaviour.clone()).start(any_port()).await.unwrap();
    let url = row.url.clone().unwrap_or_else(|| format!("http://{}/v1", bad.addr()));
    let timeouts = "timeouts: { first_token: 400ms, idle: 400ms, total: 1500ms }";
    let edit = |text: String| {
        let provider =
            format!("providers:\n  bad: {{ kind: openai, base_url: \"{url}\", api_key: bad-secret, {timeouts} }}\n");
        text.replace("providers:\n", &provider).replace("[mock/gpt-4o-mini]", "[bad/gpt-4o, mock/gpt-4o-mini]")
    };
    let gate = Gate::with(&["1M tokens/day per key"], Behaviour::default(), edit).await;
    (gate, bad)
}

async fn spent(gate: &Gate) -> i64 {
    gate.settled().await;
    let levels: Value = serde_json::from_str(&gate.admin("/levels").await).unwrap();
    1_000_000 - levels["limits"][0]["remaining"].as_i64().unwrap()
}

async fn faults_of(gate: &Gate, target: &str) -> u64 {
    let targets: Value = serde_json::from_str(&gate.admin("/targets").await).unwrap();
    let all = targets["targets"].as_array().unwrap();
    all.iter().find(|one| one["target"] == target).unwrap()["faults"].as_u64().unwrap()
}

/// One cell of the matrix: the client sees the second target's clean answer and nothing else.
async fn replaced(row: &Row, stream: bool) {
    let (gate, _bad) = gate(row).await;
    let cell = format!("{}, {}", row.name, if stream { "streamed" } else { "whole" });
    let response = gate.chat(ask(stream, json!({}))).await;
    assert_eq!(response.status(), 200, "{cell}");
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    let why = row.why[usize::from(!stream)];
    assert_eq!(header("x-sluice-target"), "mock/gpt-4o-mini", "{cell}");
    assert_eq!(header("x-sluice-attempts"), "2", "{cell}");
    assert_eq!(header("x-sluice-tried"), format!("bad/gpt-4o={why}"), "{cell}");
    let text = response.text().await.unwrap();
    let clean = gate.mock.requests().len();
    assert_eq!(clean, 1, "{cell}: one request to the second target");
    if stream {
        assert!(text.ends_with("data: [DONE]\n\n"), "{cell}: {text}");
        let all = events(&text);
        assert!(all.iter().all(|event| event.get("error").is_none()), "{cell}: {text}");
        let roles = all.iter().filter(|event| event["choices"][0]["delta"]["role"] == "assistant").count();
        assert_eq!(roles, 1, "{cell}: nothing of the first target's prelude is left: {text}");
    } else {
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["choices"].as_array().map(Vec::len), Some(1), "{cell}: {text}");
    }
    let sent = gate.mock.requests().pop().unwrap();
    let credentials = sent.headers.iter().find(|(name, _)| name == "authorization").map(|(_, value)| value.as_str());
    assert_eq!(credentials, Some("Bearer upstream-secret"), "{cell}: no credentials of the first target");
    assert!(sent.body.contains("\"gpt-4o-mini\""), "{cell}: the second target's own model");
    // One lease: the mock counts 3 words and 8 for the prompt, and 10 tokens were said.
    assert_eq!(spent(&gate).await, 21, "{cell}: only what the second target used");
    let metrics = gate.admin("/metrics").await;
    let failure = format!("sluice_attempt_failures_total{{target=\"bad/gpt-4o\",kind=\"{why}\"}} 1");
    assert!(metrics.contains(&failure), "{cell}: {failure}\n{metrics}");
    let ok = "sluice_requests_total{model=\"m\",target=\"mock/gpt-4o-mini\",outcome=\"ok\"} 1";
    assert!(metrics.contains(ok), "{cell}: one request, recorded once\n{metrics}");
    assert_eq!(metrics.lines().filter(|line| line.starts_with("sluice_requests_total")).count(), 1, "{cell}");
    assert_eq!(faults_of(&gate, "bad/gpt-4o").await, u64::from(row.blamed), "{cell}: whose fault it was");
    assert_eq!(faults_of(&gate, "mock/gpt-4o-mini").await, 0, "{cell}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_fails_before_its_first_content_is_replaced_unseen() {
    let plain = Mock::new().start(any_port()).await.unwrap();
    let mut cells = tokio::task::JoinSet::new();
    for stream in [true, false] {
        for row in before_content(plain.addr()) {
            cells.spawn(async move { replaced(&row, stream).await });
        }
    }
    let mut count = 0;
    while let Some(cell) = cells.join_next().await {
        cell.unwrap();
        count += 1;
    }
    assert_eq!(count, 36);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_fails_after_its_first_content_ends_in_an_error_event() {
    let fault = Behaviour::default;
    let rows = [
        row("idle mid-stream", ["idle_timeout"; 2], Behaviour { stall_after: Some(3), token_ms: 20, ..fault() }),
        row(
            "reset mid-stream",
            ["upstream_reset"; 2],
            Behaviour { reset: Some(Reset::AfterChunks(3)), token_ms: 20, ..fault() },
        ),
        row("truncated", ["upstream_reset"; 2], Behaviour { tokens: Some(3), no_end: true, token_ms: 20, ..fault() }),
    ];
    for row in rows {
        let (gate, _bad) = gate(&row).await;
        let response = gate.chat(ask(true, json!({}))).await;
        assert_eq!(response.headers()["x-sluice-attempts"], "1", "{}", row.name);
        let text = response.text().await.unwrap();
        assert!(!text.contains("[DONE]"), "{}: {text}", row.name);
        let all = events(&text);
        let last = all.last().unwrap();
        assert_eq!(last["error"]["code"], row.why[0], "{}: {text}", row.name);
        assert!(last["error"]["message"].as_str().is_some_and(|message| !message.is_empty()));
        let said = all
            .iter()
            .filter(|event| event["choices"][0]["delta"]["content"].as_str().is_some_and(|word| !word.is_empty()));
        // A reset may overtake the last chunk before it.
        let said = i64::try_from(said.count()).unwrap();
        assert!((1..=3).contains(&said), "{}: {text}", row.name);
        assert_eq!(spent(&gate).await, 9 + said, "{}: the prompt and the tokens so far", row.name);
        assert_eq!(faults_of(&gate, "bad/gpt-4o").await, 1, "{}: the breaker is told", row.name);
        assert!(gate.mock.requests().is_empty(), "{}: it was committed", row.name);
    }
}

#[tokio::test]
async fn wrong_requests_go_nowhere_else_and_refused_credentials_do() {
    for (code, tries) in [(400, 1), (404, 1), (422, 1), (401, 2), (403, 2)] {
        let (gate, _bad) = gate(&status("wrong", code, None, "")).await;
        let response = gate.chat(ask(false, json!({}))).await;
        assert_eq!(response.headers()["x-sluice-attempts"], tries.to_string(), "{code}");
        assert_eq!(faults_of(&gate, "bad/gpt-4o").await, 0, "{code} is no fault of the target's");
        let again = gate.chat(ask(false, json!({}))).await;
        // The credentials rest: the second request does not try them again.
        assert_eq!(again.headers()["x-sluice-attempts"], "1", "{code}");
    }
}

#[tokio::test]
async fn faults_in_a_row_eject_and_requests_go_straight_to_the_next() {
    let (gate, bad) = gate(&status("down", 500, None, "")).await;
    for number in 0..8 {
        let attempts = gate.chat(ask(false, json!({}))).await.headers()["x-sluice-attempts"].clone();
        assert_eq!(attempts, if number < 5 { "2" } else { "1" }, "request {number}");
    }
    assert_eq!(bad.requests().len(), 5);
    let metrics = gate.admin("/metrics").await;
    assert!(metrics.contains("sluice_ejections_total{target=\"bad/gpt-4o\",cause=\"consecutive\"} 1"), "{metrics}");
    assert!(metrics.contains("sluice_target_ejected{target=\"bad/gpt-4o\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_target_that_asks_to_be_left_alone_is() {
    let (gate, bad) = gate(&status("busy", 429, Some(30.0), "")).await;
    for attempts in ["2", "1", "1"] {
        assert_eq!(gate.chat(ask(true, json!({}))).await.headers()["x-sluice-attempts"], attempts);
    }
    assert_eq!(bad.requests().len(), 1);
}

#[tokio::test]
async fn the_retry_budget_stops_retry_storms() {
    let both = |text: String| {
        text.replace(
            "[mock/gpt-4o-mini]",
            "{ targets: [mock/gpt-4o, mock/gpt-4o-mini], retry: { budget_percent: 50, budget_per_second: 0 } }",
        )
    };
    let gate = Gate::with(&[], Behaviour { status: Some(500), ..Behaviour::default() }, both).await;
    for _ in 0..40 {
        let response = gate.chat(ask(false, json!({}))).await;
        assert_eq!(response.status(), 500);
    }
    let attempts = gate.mock.requests().len();
    assert!((55..=60).contains(&attempts), "40 requests and half as many retries: {attempts}");
    let metrics = gate.admin("/metrics").await;
    assert!(metrics.contains("sluice_retries_total{model=\"m\",result=\"refused\"} "), "{metrics}");
}

#[tokio::test]
async fn the_only_target_is_tried_again_if_the_model_says_so() {
    let again = |text: String| {
        let retry = "{ same_target: true, attempts: 3, longest_pause: 200ms }";
        text.replace("[mock/gpt-4o-mini]", &format!("{{ targets: [mock/gpt-4o-mini], retry: {retry} }}"))
    };
    let gate = Gate::with(&[], Behaviour::default(), again).await;
    let response = gate.chat(ask(false, json!({"status": 503}))).await;
    assert_eq!((response.status().as_u16(), gate.mock.requests().len()), (503, 3));
    let late = gate.chat(ask(false, json!({"status": 503, "retry_after": 9}))).await;
    assert_eq!((late.status().as_u16(), gate.mock.requests().len()), (503, 4), "longer than the longest pause");
    assert_eq!(late.headers()["retry-after"], "9");
    let soon = gate.chat(ask(false, json!({"status": 429, "retry_after": 0.1}))).await;
    assert_eq!((soon.status().as_u16(), gate.mock.requests().len()), (429, 7));
}

#[tokio::test]
async fn the_requests_own_deadline_ends_it_and_is_passed_on() {
    let gate = Gate::start(&[], "", Behaviour::default()).await;
    let send = |mock: Value| {
        let request = gate.client.post(gate.url("/v1/chat/completions")).bearer_auth(crate::common::KEY);
        request.header("x-sluice-deadline-ms", "300").body(ask(true, mock).to_string()).send()
    };
    let late = send(json!({"head_ms": 60_000})).await.unwrap();
    assert_eq!(late.status(), 504);
    assert_eq!(value(late).await["error"]["code"], "request_deadline");
    let slow = send(json!({"tokens": 100, "token_ms": 50})).await.unwrap().text().await.unwrap();
    assert_eq!(events(&slow).last().unwrap()["error"]["code"], "request_deadline", "{slow}");
    let sent = gate.mock.requests().pop().unwrap();
    let header = sent.headers.iter().find(|(name, _)| name == "x-sluice-deadline-ms").unwrap();
    assert!((1..=300).contains(&header.1.parse::<u64>().unwrap()), "{header:?}");
}

#[tokio::test]
async fn a_stream_that_is_long_in_coming_hears_comments_and_can_still_fail_over() {
    let (held, mute) = (Behaviour::default(), Behaviour { stall_at_head: true, ..Behaviour::default() });
    let bad = Mock::with_defaults(mute).start(any_port()).await.unwrap();
    let edit = |text: String| {
        let provider = format!("providers:\n  bad: {{ kind: openai, base_url: \"http://{}/v1\" }}\n", bad.addr());
        text.replace("providers:\n", &provider).replace(
            "[mock/gpt-4o-mini]",
            "{ targets: [bad/gpt-4o, mock/gpt-4o-mini], hold_ms: 50, timeouts: { first_token: 400ms } }",
        )
    };
    let gate = Gate::with(&[], held, edit).await;
    let text = gate.chat(ask(true, json!({}))).await.text().await.unwrap();
    assert!(text.starts_with(": waiting for the model\n\n"), "{text}");
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert_eq!(gate.mock.requests().len(), 1);
}
