//! Mode `steer` behind a real Envoy, in every pair of body modes that it can work in, and with Envoy trying the targets.

use std::time::Duration;

use crate::common::{Gate, KEY, any_port, ask, events, value};
use crate::envoy::Envoy;
use serde_json::{Value, json};
use sluice::config::ExtProcMode;
use sluice::extproc::envoy::{Site, config};
use sluice_mock::{Behaviour, Mock};

/// Body modes of request and response. The first is what `sluice envoy` prints.
const MODES: &[(&str, &str)] = &[
    ("FULL_DUPLEX_STREAMED", "STREAMED"),
    ("FULL_DUPLEX_STREAMED", "FULL_DUPLEX_STREAMED"),
    ("BUFFERED", "STREAMED"),
    ("BUFFERED", "BUFFERED"),
];

async fn gate(modes: (&str, &str)) -> Gate {
    let (request, response) = modes;
    let edit = |text: String| {
        // What must be set beside BUFFERED, see docs/ext_proc.md.
        let more = format!("request_body_mode: {request}");
        text.replace("request_body_mode: FULL_DUPLEX_STREAMED", &more)
            .replace("response_body_mode: STREAMED", &format!("response_body_mode: {response}"))
            .replace(
                "              failure_mode_allow:",
                "              allow_mode_override: true\n              failure_mode_allow:",
            )
    };
    Gate::in_mode(ExtProcMode::Steer, (&["1M tokens/day per key"], Behaviour::default()), |text| text, edit).await
}

fn spent(levels: &str) -> i64 {
    let levels: Value = serde_json::from_str(levels).unwrap();
    1_000_000 - levels["limits"][0]["remaining"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_pair_of_modes_answers_and_settles() {
    for modes in MODES {
        let gate = gate(*modes).await;
        let whole = gate.chat(ask(false, json!({"tokens": 5, "prompt_tokens": 9}))).await;
        assert_eq!(whole.status(), 200, "{modes:?}");
        assert_eq!(whole.headers()["x-sluice-target"], "mock/gpt-4o-mini");
        assert!(value(whole).await["choices"][0]["message"]["content"].is_string(), "{modes:?}");
        gate.settled().await;
        assert_eq!(spent(&gate.admin("/levels").await), 14, "{modes:?}");

        let stream = gate.chat(ask(true, json!({"tokens": 5, "prompt_tokens": 9}))).await;
        assert!(stream.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"), "{modes:?}");
        let text = stream.text().await.unwrap();
        assert!(text.ends_with("data: [DONE]\n\n"), "{modes:?}: {text}");
        // Asked for by the gateway, and taken out again.
        assert!(events(&text).iter().all(|event| !event["choices"].as_array().unwrap().is_empty()), "{text}");
        gate.settled().await;
        assert_eq!(spent(&gate.admin("/levels").await), 28, "{modes:?}");

        let refused = gate.chat(ask(false, json!({"status": 503}))).await;
        assert_eq!(refused.status(), 503, "{modes:?}");
        assert!(value(refused).await["error"]["message"].is_string(), "{modes:?}");
        gate.settled().await;
        assert_eq!(spent(&gate.admin("/levels").await), 28, "an error costs nothing: {modes:?}");

        let received = gate.mock.requests().pop().unwrap();
        let header = |name: &str| received.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        assert_eq!(header("authorization"), Some("Bearer upstream-secret"), "{modes:?}");
        assert!(received.headers.iter().all(|(name, value)| !name.starts_with("x-sluice") && !value.contains(KEY)));
        assert_eq!(header("content-length"), Some(received.body.len().to_string().as_str()), "{modes:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_one_by_one_in_every_pair_of_modes() {
    for modes in MODES {
        let gate = gate(*modes).await;
        let mut stream = gate.chat(ask(true, json!({"tokens": 10, "token_ms": 40}))).await;
        let mut reads = 0;
        while stream.chunk().await.unwrap().is_some() {
            reads += 1;
        }
        assert!(reads >= 8, "{modes:?}: {reads} reads for 10 tokens");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modes_that_cannot_work_are_refused_by_the_name_of_their_setting() {
    for (request, response, named) in [
        ("STREAMED", "STREAMED", "request_body_mode"),
        ("NONE", "STREAMED", "request_body_mode"),
        ("BUFFERED_PARTIAL", "STREAMED", "request_body_mode"),
        ("FULL_DUPLEX_STREAMED", "NONE", "response_body_mode"),
        ("BUFFERED", "BUFFERED_PARTIAL", "response_body_mode"),
    ] {
        let gate = gate((request, response)).await;
        let refused = gate.chat(ask(false, json!({}))).await;
        assert_eq!(refused.status(), 500, "{request} {response}");
        let error = value(refused).await["error"].clone();
        assert_eq!(error["code"], "envoy_misconfigured");
        assert!(error["message"].as_str().unwrap().contains(named), "{request} {response}: {error}");
        assert!(gate.mock.requests().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_sets_our_headers_reaches_no_provider() {
    let gate = gate(MODES[0]).await;
    for path in ["/", "/mock/requests", "/chat/completions", "/v1/models"] {
        let request = gate.client.get(gate.url(path)).header("x-sluice-provider", "mock").header("x-sluice-model", "m");
        let status = request.send().await.unwrap().status();
        assert!([401, 404].contains(&status.as_u16()), "{path}: {status}");
    }
    assert!(gate.mock.requests().is_empty(), "{:?}", gate.mock.requests());
}

/// Also after a hang-up the access log knows what was spent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoys_log_has_the_bill() {
    let gate = gate(MODES[0]).await;
    gate.chat(ask(true, json!({"tokens": 5, "prompt_tokens": 9}))).await.bytes().await.unwrap();
    let mut left = gate.chat(ask(true, json!({"tokens": 1000, "token_ms": 10}))).await;
    for _ in 0..20 {
        left.chunk().await.unwrap().unwrap();
    }
    drop(left);
    let envoy = gate.envoy.as_ref().unwrap();
    let mut lines = envoy.access();
    for _ in 0..200 {
        if lines.len() >= 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        lines = envoy.access();
    }
    let whole = &lines[0]["sluice"];
    assert_eq!((whole["key"].as_str(), whole["tenant"].as_str()), (Some("web"), Some("acme")), "{whole}");
    assert_eq!((whole["model"].as_str(), whole["target"].as_str()), (Some("m"), Some("mock/gpt-4o-mini")));
    assert_eq!((whole["input_tokens"].as_f64(), whole["output_tokens"].as_f64()), (Some(9.0), Some(5.0)), "{whole}");
    assert!(whole["cost_micros"].as_f64().unwrap() > 0.0, "{whole}");
    assert!(lines[1]["sluice"]["output_tokens"].as_f64().unwrap() >= 5.0, "{}", lines[1]);
}

/// A gateway whose model has two targets at two providers, of which the first one is `first`; Envoy tries them.
async fn in_turn(first: &str) -> Gate {
    let edit = |text: String| {
        text.replace(
            "providers:\n",
            &format!("providers:\n  first: {{ kind: openai, base_url: \"{first}\", api_key: first-secret }}\n"),
        )
        .replace("[mock/gpt-4o-mini]", "[first/gpt-4o, mock/gpt-4o-mini]")
            + "ext_proc: { listen: 127.0.0.1:0, mode: steer }\n"
    };
    let mut gate = Gate::alone(&["1M tokens/day per key"], Behaviour::default(), edit).await;
    let site = Site { attempts: true, ..gate.site() };
    let text = config(&gate.gateway().live.snapshot(), ExtProcMode::Steer, &site).unwrap();
    gate.envoy = Some(Envoy::start(gate.dir.path(), &text).await);
    gate
}

/// Found on Envoy 1.40: the headers of attempt one, its credentials among them, are still there in attempt two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_tries_the_targets_in_turn_and_each_gets_its_own_request() {
    let behaviour = Behaviour { status: Some(503), ..Behaviour::default() };
    let broken = Mock::with_defaults(behaviour).start(any_port()).await.unwrap();
    let gate = in_turn(&format!("http://{}/v1", broken.addr())).await;
    for (stream, size) in [(false, 1), (true, 1), (false, 40_000)] {
        let mut body = ask(stream, json!({"tokens": 5, "prompt_tokens": 9}));
        // The mock that answers 503 does so to whatever says nothing else.
        body.as_object_mut().unwrap().remove("mock");
        body["messages"][0]["content"] = json!("word ".repeat(size));
        body["max_tokens"] = json!(7);
        let answer = gate.chat(body).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["x-sluice-target"], "mock/gpt-4o-mini", "who answered, not who was asked first");
        let text = answer.text().await.unwrap();
        assert!(!stream || text.ends_with("data: [DONE]\n\n"), "{text}");
        gate.settled().await;
    }
    let (first, second) = (broken.requests(), gate.mock.requests());
    assert_eq!((first.len(), second.len()), (3, 3));
    for (one, two) in first.iter().zip(&second) {
        let header = |of: &sluice_mock::Received, name: &str| {
            of.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
        };
        assert_eq!((one.path.as_str(), two.path.as_str()), ("/v1/chat/completions", "/v1/chat/completions"));
        assert_eq!(header(one, "authorization").as_deref(), Some("Bearer first-secret"));
        assert_eq!(header(two, "authorization").as_deref(), Some("Bearer upstream-secret"));
        assert_eq!(header(one, "host"), Some(broken.addr().to_string()));
        assert_eq!(header(two, "host"), Some(gate.mock.addr().to_string()));
        assert!(one.body.contains("\"gpt-4o\"") && two.body.contains("\"gpt-4o-mini\""));
        assert!(!one.headers.iter().chain(&two.headers).any(|(_, value)| value.contains(KEY)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_targets_own_error_reaches_the_client() {
    let gate = in_turn("http://127.0.0.1:1/v1").await;
    let answer = gate.chat(ask(false, json!({"tokens": 3}))).await;
    assert_eq!(answer.status(), 200, "a target that is not there is passed over");
    let refused = gate.chat(ask(false, json!({"status": 529}))).await;
    assert_eq!(refused.status(), 529);
    assert!(value(refused).await["error"]["message"].is_string());
    gate.settled().await;
}

/// Envoy 1.40 crashes on full duplex in a cluster; small bodies still show who must be told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_duplex_in_a_cluster_is_refused_loudly() {
    let edit = |text: String| text + "ext_proc: { listen: 127.0.0.1:0, mode: steer }\n";
    let mut gate = Gate::alone(&[], Behaviour::default(), edit).await;
    let site = Site { attempts: true, ..gate.site() };
    let text = config(&gate.gateway().live.snapshot(), ExtProcMode::Steer, &site).unwrap();
    let text = text.replace(
        "request_body_mode: BUFFERED, response",
        "request_body_mode: FULL_DUPLEX_STREAMED, request_trailer_mode: SEND, response",
    );
    gate.envoy = Some(Envoy::start(gate.dir.path(), &text).await);
    let refused = gate.chat(ask(false, json!({"tokens": 1}))).await;
    assert_eq!(refused.status(), 500);
    assert!(value(refused).await["error"]["message"].as_str().unwrap().contains("request_body_mode: BUFFERED"));
    assert!(gate.mock.requests().is_empty());
}
