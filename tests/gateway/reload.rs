//! Config swaps under load: no stream is cut, no request fails.

use std::sync::Arc;
use std::time::Duration;

use crate::common::{Gate, ask, config_text, events};
use serde_json::{Value, json};
use sluice_mock::Behaviour;

fn generation(gate: &Gate) -> u64 {
    gate.gateway().live.status().generation
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_swaps_under_two_hundred_streams() {
    let gate = Arc::new(Gate::start(&["100M tokens/min per key"], "", Behaviour::default()).await);
    let mut streams = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let gate = gate.clone();
        streams.spawn(async move {
            let response = gate.chat(ask(true, json!({"tokens": 100, "token_ms": 30}))).await;
            assert_eq!(response.status(), 200);
            let text = response.text().await.unwrap();
            assert!(text.ends_with("data: [DONE]\n\n"), "cut: {text}");
            events(&text).len()
        });
    }
    for index in 0..100u32 {
        let idle = 60 + index % 7;
        let text = config_text(gate.mock.addr(), &format!("limits: {{ idle_timeout: {idle}s }}\n"));
        let config = sluice::config::from_str("swap", &text, gate.dir.path(), &[], u64::from(index) + 2).unwrap();
        gate.gateway().live.replace(config);
        let response = gate.chat(ask(false, json!({"tokens": 2}))).await;
        assert_eq!(response.status(), 200, "a request during swap {index}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    while let Some(result) = streams.join_next().await {
        assert!(result.unwrap() >= 100);
    }
    gate.settled().await;
}

#[tokio::test]
async fn a_file_is_picked_up_and_a_bad_one_is_refused() {
    let gate = Gate::start(&[], "", Behaviour::default()).await;
    let more = config_text(gate.mock.addr(), "").replace("  m: ", "  n: [mock/gpt-4o]\n  m: ");
    std::fs::write(gate.config_path(), more).unwrap();
    wait(&gate, |status| status["generation"].as_u64() > Some(1)).await;
    let mut body = ask(false, json!({"tokens": 1}));
    body["model"] = json!("n");
    assert_eq!(gate.chat(body.clone()).await.status(), 200);
    let live = generation(&gate);

    let bad = config_text(gate.mock.addr(), "listn: oops\n");
    std::fs::write(gate.config_path(), bad).unwrap();
    let status = wait(&gate, |status| status["last_error"].is_string()).await;
    let error = status["last_error"].as_str().unwrap();
    assert!(error.contains("listn") && error.contains("sluice.yaml:"), "{error}");
    assert_eq!(generation(&gate), live);
    assert_eq!(gate.chat(body).await.status(), 200, "the last good config stays live");
    let text = status.to_string();
    assert!(!text.contains("upstream-secret"), "{text}");
    let metrics = gate.admin("/metrics").await;
    let failed = |line: &&str| line.starts_with("sluice_config_reloads_total") && line.contains("fail");
    assert!(metrics.lines().find(failed).is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
}

async fn wait(gate: &Gate, done: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..200 {
        let status: Value = serde_json::from_str(&gate.admin("/config").await).unwrap();
        if done(&status) {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the reload was not seen: {}", gate.admin("/config").await);
}
