//! Quotas hold under concurrency, and end where the arithmetic says.

use crate::common::{Gate, ask, value};
use serde_json::{Value, json};
use sluice_mock::Behaviour;

fn remaining(levels: &Value, limit: &str) -> i64 {
    let rows = levels["limits"].as_array().unwrap();
    let row = rows.iter().find(|row| row["limit"].as_str().unwrap().contains(limit));
    row.unwrap_or_else(|| panic!("no {limit} in {levels}"))["remaining"].as_i64().unwrap()
}

/// 200 clients at once with random prompts and outputs against a daily budget, which never
/// refills: what is granted is exact.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_clients_never_exceed_a_limit() {
    let gate = Gate::start(&["10k tokens/min per key", "1M tokens/day per key"], "", Behaviour::default()).await;
    let gate = std::sync::Arc::new(gate);
    let begun = std::time::Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for index in 0..200u64 {
        let gate = gate.clone();
        clients.spawn(async move {
            let words = "river ".repeat(usize::try_from(index * 37 % 400).unwrap());
            let bound = 1 + index * 53 % 200;
            let used = 1 + index * 29 % bound;
            let body = json!({
                "model": "m", "stream": index % 2 == 0, "max_tokens": bound, "user": format!("u{index}"),
                "messages": [{"role": "user", "content": words}],
                "stream_options": if index % 4 == 0 { json!({"include_usage": true}) } else { Value::Null },
                "mock": {"tokens": used, "prompt_tokens": 8 + index * 37 % 400},
            });
            let response = gate.chat(body).await;
            let status = response.status().as_u16();
            if status == 429 {
                assert!(response.headers().contains_key("retry-after-ms"), "{:?}", response.headers());
            }
            response.bytes().await.unwrap();
            (status, 8 + index * 37 % 400 + used)
        });
    }
    let mut used = 0;
    let mut counts = [0u32; 2];
    while let Some(result) = clients.join_next().await {
        let (status, tokens) = result.unwrap();
        match status {
            200 => {
                counts[0] += 1;
                used += tokens;
            }
            429 => counts[1] += 1,
            other => panic!("status {other}"),
        }
    }
    gate.settled().await;
    // What refilled meanwhile at 10,000 tokens a minute, rounded up.
    let refilled = u64::try_from(begun.elapsed().as_millis()).unwrap() * 10_000 / 60_000 + 1;
    assert!(counts[0] > 0 && counts[1] > 0, "some pass and some are refused: {counts:?}");
    assert!(used <= 10_000 + refilled, "{used} tokens granted, {refilled} refilled");
    let levels: Value = serde_json::from_str(&gate.admin("/levels").await).unwrap();
    assert_eq!(levels["leases_open"], 0);
    assert_eq!(remaining(&levels, "1M"), 1_000_000 - i64::try_from(used).unwrap(), "settled to what was used");
    let rate = remaining(&levels, "10k");
    let floor = 10_000 - i64::try_from(used).unwrap();
    let ceiling = floor + i64::try_from(refilled).unwrap() + 200;
    assert!((floor..=ceiling).contains(&rate), "{rate} is not in {floor}..={ceiling}");
}

#[tokio::test]
async fn overspend_becomes_debt_and_delays_the_next_request() {
    let gate = Gate::start(&["1k tokens/min per key"], "", Behaviour::default()).await;
    let mut body = ask(false, json!({"completion_tokens": 1500, "prompt_tokens": 10}));
    body["max_tokens"] = json!(100);
    assert_eq!(gate.chat(body.clone()).await.status(), 200);
    let refused = gate.chat(body).await;
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.headers()["retry-after-ms"].to_str().unwrap().parse().unwrap();
    // 510 tokens of debt and about 109 to reserve at 1000 a minute.
    assert!((35_000..40_000).contains(&wait), "{wait}");
    let error = value(refused).await;
    assert_eq!(error["error"]["code"], "rate_limit_exceeded");
    assert!(error["error"]["message"].as_str().unwrap().contains("1k tokens/min per key"));
}

#[tokio::test]
async fn a_hard_budget_says_do_not_retry() {
    let gate = Gate::start(&["100 tokens/day per key"], "", Behaviour::default()).await;
    let mut body = ask(false, json!({}));
    body["max_tokens"] = json!(1000);
    let refused = gate.chat(body).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["x-should-retry"], "false");
    assert!(!refused.headers().contains_key("retry-after"));
    assert_eq!(value(refused).await["error"]["type"], "insufficient_quota");
    assert!(gate.mock.requests().is_empty(), "nothing was spent");
}

#[tokio::test]
async fn an_observed_limit_reports_and_lets_pass() {
    let gate = Gate::start(&["1 requests/min per key observe"], "", Behaviour::default()).await;
    for _ in 0..3 {
        assert_eq!(gate.chat(ask(false, json!({"tokens": 1}))).await.status(), 200);
    }
    let levels: Value = serde_json::from_str(&gate.admin("/levels").await).unwrap();
    assert_eq!(levels["limits"][0]["debt"], 0, "what would have been refused would not have been spent");
    let metrics = gate.admin("/metrics").await;
    let line = metrics.lines().find(|line| line.starts_with("sluice_admissions_total") && line.contains("observed"));
    assert!(line.is_some_and(|line| line.ends_with(" 2")), "{line:?}");
}

#[tokio::test]
async fn concurrency_is_given_back() {
    let gate = Gate::start(&["1 concurrent per key"], "", Behaviour::default()).await;
    let first = gate.chat(ask(true, json!({"tokens": 1000, "token_ms": 20}))).await;
    assert_eq!(first.status(), 200);
    assert_eq!(gate.chat(ask(false, json!({}))).await.status(), 429);
    drop(first);
    gate.settled().await;
    assert_eq!(gate.chat(ask(false, json!({"tokens": 1}))).await.status(), 200);
}
