//! What an operator can say of routing: fallbacks, continuation, hedges, mirrors, A/B tests, faults
//! made on purpose, checks, and the admin listener.

use std::time::Duration;

use serde_json::{Value, json};
use sluice_mock::{Behaviour, Mock, MockHandle, Reason, Reset};

use crate::common::{Gate, KEY, any_port, ask, events, policy, value};

/// A gateway with a second provider `other`, and `models` instead of the usual ones.
async fn two(first: Behaviour, second: Behaviour, limits: &[&str], models: &str) -> (Gate, MockHandle) {
    let other = Mock::with_defaults(second).start(any_port()).await.unwrap();
    let edit = |text: String| {
        let provider = format!("providers:\n  other: {{ kind: openai, base_url: \"http://{}/v1\" }}\n", other.addr());
        text.replace("providers:\n", &provider).replace("  m: [mock/gpt-4o-mini]\n", models)
    };
    (Gate::with(limits, first, edit).await, other)
}

async fn spent(gate: &Gate) -> i64 {
    gate.settled().await;
    let levels: Value = serde_json::from_str(&gate.admin("/levels").await).unwrap();
    1_000_000 - levels["limits"][0]["remaining"].as_i64().unwrap()
}

const ROOM: &[&str] = &["1M tokens/day per key"];

#[tokio::test]
async fn a_prompt_that_does_not_fit_goes_to_the_model_that_takes_it() {
    let models = "  m: { targets: [mock/gpt-4o-mini], fallback: { on_context_length: big } }\n  big: [other/gpt-4.1]\n";
    let (gate, other) = two(Behaviour::default(), Behaviour::default(), &[], models).await;
    // 130k tokens: more than gpt-4o-mini has, less than gpt-4.1.
    let long = "river ".repeat(130_000);
    let body = json!({"model": "m", "messages": [{"role": "user", "content": long}], "mock": {"tokens": 2}});
    let response = gate.chat(body).await;
    assert_eq!(response.status(), 200);
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(
        (header("x-sluice-fallback"), header("x-sluice-model"), header("x-sluice-target")),
        ("context_length".to_owned(), "big".to_owned(), "other/gpt-4.1".to_owned())
    );
    assert!(other.requests()[0].body.contains("\"gpt-4.1\"") && gate.mock.requests().is_empty());
}

#[tokio::test]
async fn a_provider_that_refuses_the_content_hands_over_with_a_lease_of_the_other_model() {
    let refuses = Behaviour { refuse: Some(Reason::ContentPolicy), ..Behaviour::default() };
    let models = "  m: { targets: [mock/gpt-4o-mini], fallback: { on_content_policy: n } }\n  n: [other/gpt-4o]\n";
    let (gate, _other) = two(refuses.clone(), Behaviour::default(), ROOM, models).await;
    for stream in [false, true] {
        let response = gate.chat(ask(stream, json!({}))).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-sluice-fallback"], "content_policy");
        assert_eq!(response.headers()["x-sluice-tried"], "mock/gpt-4o-mini=status_400");
        response.bytes().await.unwrap();
    }
    assert_eq!(spent(&gate).await, 2 * 21, "the first model's leases were given back");
    let (gate, _other) =
        two(refuses, Behaviour::default(), ROOM, "  m: [mock/gpt-4o-mini]\n  n: [other/gpt-4o]\n").await;
    assert_eq!(gate.chat(ask(false, json!({}))).await.status(), 400, "without a fallback it is the client's");
}

#[tokio::test]
async fn a_budget_that_is_used_up_makes_way_for_the_cheap_model() {
    let models = "  m: { targets: [mock/gpt-4o-mini], fallback: { on_budget: cheap } }\n  cheap: [other/own-model]\n";
    let limits = &["1 requests/day per key on m"];
    let (gate, _other) = two(Behaviour::default(), Behaviour::default(), limits, models).await;
    let first = gate.chat(ask(false, json!({}))).await;
    assert!(first.headers().get("x-sluice-fallback").is_none() && first.status() == 200);
    let second = gate.chat(ask(false, json!({}))).await;
    assert_eq!(second.headers()["x-sluice-fallback"], "budget");
    assert_eq!(second.headers()["x-sluice-model"], "cheap");
}

#[tokio::test]
async fn a_stream_that_breaks_off_goes_on_where_it_was() {
    let breaks = Behaviour { reset: Some(Reset::AfterChunks(3)), token_ms: 10, ..Behaviour::default() };
    let goes_on = Behaviour { text: Some(" under stone".to_owned()), ..Behaviour::default() };
    let models = "  m: { targets: [mock/gpt-4o-mini, other/gpt-4o], continuation: true }\n";
    let (gate, other) = two(breaks, goes_on, ROOM, models).await;
    let mut body = ask(true, json!({}));
    body["max_tokens"] = json!(50);
    let text = gate.chat(body.clone()).await.text().await.unwrap();
    let said: String = events(&text)
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect();
    let sent: Value = serde_json::from_str(&other.requests()[0].body).unwrap();
    // A reset may overtake the last chunk before it.
    let first = sent["messages"][1]["content"].as_str().unwrap();
    assert!(!first.is_empty() && " the river runs".starts_with(first), "{sent}");
    assert_eq!(sent["messages"][1]["role"], "assistant");
    assert_eq!(said, format!("{first} under stone"), "{text}");
    assert!(text.contains(": continued on another target\n\n") && text.ends_with("data: [DONE]\n\n"), "{text}");
    let words = i64::try_from(first.split_whitespace().count()).unwrap();
    assert_eq!(sent["max_tokens"], 50 - words);
    // Counted for what broke off; words and 8, and 3 tokens, reported for the rest.
    assert_eq!(spent(&gate).await, (9 + words) + (4 + words + 8) + 3);
    // JSON mode cannot be continued: the client gets its error.
    body["response_format"] = json!({"type": "json_object"});
    let text = gate.chat(body).await.text().await.unwrap();
    assert_eq!(events(&text).last().unwrap()["error"]["code"], "upstream_reset", "{text}");
}

#[tokio::test]
async fn a_slow_stream_is_hedged_and_the_loser_is_cancelled_and_settled() {
    let slow = Behaviour { first_token_ms: 30_000, ..Behaviour::default() };
    let models = "  m: { targets: [mock/gpt-4o-mini, other/gpt-4o-mini], hedge: { after: 50ms } }\n";
    let (gate, _other) = two(slow, Behaviour::default(), ROOM, models).await;
    let response = gate.chat(ask(true, json!({}))).await;
    assert_eq!(response.headers()["x-sluice-target"], "other/gpt-4o-mini");
    assert_eq!(response.headers()["x-sluice-attempts"], "2");
    response.bytes().await.unwrap();
    for _ in 0..100 {
        if gate.mock.cancelled() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(gate.mock.cancelled(), 1, "the loser is cancelled");
    assert_eq!(spent(&gate).await, 21 + 9, "the winner's usage and the loser's prompt");
    let metrics = gate.admin("/metrics").await;
    assert!(metrics.contains("sluice_hedges_total{model=\"m\",result=\"won\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_mirror_gets_a_copy_that_nobody_waits_or_pays_for() {
    let slow = Behaviour { head_ms: 300, ..Behaviour::default() };
    let models = "  m: { targets: [mock/gpt-4o-mini], mirror: { target: other/gpt-4o } }\n";
    let (gate, other) = two(Behaviour::default(), slow, ROOM, models).await;
    let response = gate.chat(ask(false, json!({}))).await;
    assert_eq!(response.headers()["x-sluice-target"], "mock/gpt-4o-mini");
    assert_eq!(spent(&gate).await, 21);
    for _ in 0..200 {
        if gate.admin("/metrics").await.contains("sluice_mirrored_total{target=\"other/gpt-4o\",result=\"ok\"} 1") {
            assert!(other.requests()[0].body.contains("\"gpt-4o\""));
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the copy was not sent");
}

#[tokio::test]
async fn an_ab_test_is_sticky_per_user() {
    let models = "  m: { targets: [mock/gpt-4o-mini], split: { b: 30 } }\n  b: [other/gpt-4o]\n";
    let (gate, other) = two(Behaviour::default(), Behaviour::default(), &[], models).await;
    let arm = async |user: usize| {
        let mut body = ask(false, json!({"tokens": 1}));
        body["user"] = json!(format!("user-{user}"));
        gate.chat(body).await.headers()["x-sluice-model"].to_str().unwrap().to_owned()
    };
    for user in 0..200 {
        arm(user).await;
    }
    let share = other.requests().len();
    assert!((40..=80).contains(&share), "30 percent of 200 users: {share}");
    for user in 0..20 {
        assert_eq!(arm(user).await, arm(user).await);
    }
}

#[tokio::test]
async fn faults_made_on_purpose_rehearse_failover_and_hurt_no_targets_health() {
    let models =
        "  m: { targets: [mock/gpt-4o, mock/gpt-4o-mini], faults: { abort: 503, abort_percent: 50, cut_after: 2 } }\n";
    let (gate, _other) = two(
        Behaviour { token_ms: 5, ..Behaviour::default() },
        Behaviour::default(),
        &[],
        &format!("{models}allow_faults: true\n"),
    )
    .await;
    let mut failed = 0;
    for _ in 0..40 {
        failed += usize::from(gate.chat(ask(false, json!({}))).await.status() == 503);
    }
    assert!((1..30).contains(&failed), "a quarter fails twice: {failed}");
    let targets: Value = serde_json::from_str(&gate.admin("/targets").await).unwrap();
    assert!(targets["targets"].as_array().unwrap().iter().all(|one| one["faults"] == 0 && one["standing"] == "up"));
    for _ in 0..20 {
        let response = gate.chat(ask(true, json!({}))).await;
        if response.status() == 200 {
            let text = response.text().await.unwrap();
            assert_eq!(events(&text).last().unwrap()["error"]["code"], "fault_injected", "{text}");
            return;
        }
    }
    panic!("no stream began");
}

#[tokio::test]
async fn operators_switch_targets_until_the_next_reload() {
    let models = "  m: { targets: [mock/gpt-4o-mini, other/gpt-4o], balance: round_robin }\n";
    let (gate, other) = two(Behaviour::default(), Behaviour::default(), &[], models).await;
    let say = async |path: &str| {
        let url = format!("http://{}{path}", gate.app.admin);
        let response = gate.client.post(url).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let served = async || {
        let before = (gate.mock.requests().len(), other.requests().len());
        for _ in 0..10 {
            gate.chat(ask(false, json!({"tokens": 1}))).await;
        }
        (gate.mock.requests().len() - before.0, other.requests().len() - before.1)
    };
    assert_eq!(served().await, (5, 5));
    assert_eq!(say("/targets/other/gpt-4o?mode=drained").await.0, 200);
    assert_eq!(served().await, (10, 0));
    let config: Value = serde_json::from_str(&gate.admin("/config").await).unwrap();
    assert_eq!(config["overrides"], json!([{"target": "other/gpt-4o", "mode": "drained", "weight": null}]));
    assert_eq!(say("/targets/other/gpt-4o?mode=on&weight=4").await.0, 200);
    let (few, many) = served().await;
    assert!((1..=3).contains(&few) && few + many == 10, "one to four: {few}, {many}");
    say("/targets/other/gpt-4o?mode=disabled").await;
    say("/targets/mock/gpt-4o-mini?mode=disabled").await;
    let none = gate.chat(ask(false, json!({}))).await;
    assert_eq!(none.status(), 503);
    assert_eq!(value(none).await["error"]["code"], "no_target");
    let (status, text) = say("/targets/other/none?mode=on").await;
    assert!(status == 400 && text.contains("mock/gpt-4o-mini"), "{text}");
    let (status, text) = say("/targets/other/gpt-4o?mode=off").await;
    assert!(status == 400 && text.contains("mode=drained"), "{text}");
    let url = format!("http://{}/targets/other/gpt-4o?mode=on", gate.app.admin);
    let browser = gate.client.post(url).header("origin", "https://evil.example").send().await.unwrap();
    assert_eq!(browser.status(), 403);
    let text = std::fs::read_to_string(gate.config_path()).unwrap();
    std::fs::write(gate.config_path(), format!("{text}# changed\n")).unwrap();
    std::fs::write(gate.dir.path().join("policy.yaml"), policy(&["1M tokens/day per key"])).unwrap();
    for _ in 0..300 {
        let config: Value = serde_json::from_str(&gate.admin("/config").await).unwrap();
        if config["overrides"] == json!([]) {
            assert_eq!(gate.chat(ask(false, json!({}))).await.status(), 200);
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("a reload does not forget what operators said");
}

#[tokio::test]
async fn a_provider_whose_checks_fail_is_passed_by_before_any_request_does() {
    let gone = Mock::new().start(any_port()).await.unwrap();
    let addr = gone.addr();
    let edit = |text: String| {
        let check = "check: { path: /v1/models, interval: 200ms, fall: 1, rise: 1 }";
        let provider = format!("providers:\n  gone: {{ kind: openai, base_url: \"http://{addr}/v1\", {check} }}\n");
        text.replace("providers:\n", &provider).replace("[mock/gpt-4o-mini]", "[gone/gpt-4o, mock/gpt-4o-mini]")
    };
    let gate = Gate::with(&[], Behaviour::default(), edit).await;
    let standing = async |expected: &str| {
        for _ in 0..300 {
            let targets: Value = serde_json::from_str(&gate.admin("/targets").await).unwrap();
            if targets["targets"][0]["standing"] == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it is not {expected}");
    };
    standing("up").await;
    drop(gone);
    standing("ejected").await;
    assert_eq!(gate.chat(ask(false, json!({}))).await.headers()["x-sluice-attempts"], "1");
    let _back = Mock::new().start(addr).await.unwrap();
    standing("up").await;
    assert_eq!(gate.chat(ask(false, json!({}))).await.headers()["x-sluice-target"], "gone/gpt-4o");
}

#[tokio::test]
async fn sessions_and_prefixes_stay_where_they_were() {
    for balance in ["affinity", "prefix"] {
        let models = format!("  m: {{ targets: [mock/gpt-4o-mini, other/gpt-4o], balance: {balance} }}\n");
        let (gate, _other) = two(Behaviour::default(), Behaviour::default(), &[], &models).await;
        let mut seen = std::collections::HashSet::new();
        for session in 0..12 {
            let mut targets = std::collections::HashSet::new();
            let mut messages =
                vec![json!({"role": "system", "content": format!("Session {session}. {}", "Be brief. ".repeat(50))})];
            for turn in 0..4 {
                messages.push(json!({"role": "user", "content": format!("Turn {turn}")}));
                let body = json!({"model": "m", "messages": messages, "mock": {"tokens": 1}});
                let request = gate.client.post(gate.url("/v1/chat/completions")).bearer_auth(KEY);
                let request = request.header("x-session-id", format!("session {session}"));
                let response = request.body(body.to_string()).send().await.unwrap();
                targets.insert(response.headers()["x-sluice-target"].to_str().unwrap().to_owned());
            }
            assert_eq!(targets.len(), 1, "{balance}: session {session} moved");
            seen.extend(targets);
        }
        assert_eq!(seen.len(), 2, "{balance}: both targets have sessions");
    }
}
