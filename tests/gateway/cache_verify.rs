//! Hits that are answered live as well: what is counted, what a wrong one leads to, and who pays.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use reqwest::Response;
use serde_json::{Value, json};
use sluice_mock::{Behaviour, Mock, Reason};
use sluice_semantic::Semantic;

use crate::common::{Gate, KEY, any_port, value};

const CHECKED: &str = "cache: { mode: semantic, verify_sample: 100% }\n";

fn question(text: &str) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": text}]})
}

fn saying(text: &str) -> Behaviour {
    Behaviour { text: Some(text.to_owned()), ..Behaviour::default() }
}

fn cached(response: &Response) -> String {
    let header = response.headers().get("x-sluice-cache");
    header.map_or_else(|| "nothing said".to_owned(), |value| value.to_str().unwrap().to_owned())
}

/// What the cache makes of a question, and what is answered.
async fn asked(gate: &Gate, text: &str) -> (String, String) {
    let response = gate.chat(question(text)).await;
    let how = cached(&response);
    (how, value(response).await["choices"][0]["message"]["content"].as_str().unwrap().to_owned())
}

/// Questions on subjects of their own, each in two wordings that the strictest budget takes for one question.
fn pairs(count: usize) -> Vec<(String, String)> {
    let semantic = Semantic::built_in().unwrap();
    let strict = semantic.threshold(0.001);
    let mut categories = HashSet::new();
    let lines =
        include_str!("../../semantic/testdata/hard.dev.tsv").lines().skip(1).filter(|line| !line.contains('\\'));
    let sure = lines.filter_map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let (one, two) = (fields[3], fields[4]);
        let judged = semantic.judge(&semantic.prompt(one), &semantic.prompt(two));
        let eligible = sluice_semantic::eligible(one).and(sluice_semantic::eligible(two)).is_ok() && one != two;
        let hit = eligible && judged.veto.is_none() && judged.similarity > 0.6 && judged.score > strict;
        (hit && categories.insert(fields[1].to_owned())).then(|| (one.to_owned(), two.to_owned()))
    });
    let found: Vec<_> = sure.take(count).collect();
    assert_eq!(found.len(), count);
    found
}

/// Waits until so many hits have been compared.
async fn compared(gate: &Gate, result: &str, count: usize) -> String {
    let line = format!("sluice_cache_verified_total{{model=\"m\",rule=\"default\",result=\"{result}\"}} {count}\n");
    let begun = Instant::now();
    loop {
        let metrics = gate.admin("/metrics").await;
        if metrics.contains(&line) {
            return metrics;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "never {line}: {metrics}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn standing(gate: &Gate) -> Value {
    let held: Value = serde_json::from_str(&gate.admin("/cache").await).unwrap();
    held["verified"][0].clone()
}

#[tokio::test]
async fn a_right_hit_is_counted_at_nobodys_expense() {
    let gate = Gate::start(&["100 requests/day per key"], CHECKED, saying("It is Nairobi.")).await;
    let (one, two) = pairs(1).remove(0);
    assert_eq!(asked(&gate, &one).await.0, "miss");
    gate.mock.behave(saying("The answer to that is Nairobi."));
    assert_eq!(asked(&gate, &two).await, ("hit-semantic".to_owned(), "It is Nairobi.".to_owned()));
    let metrics = compared(&gate, "agree", 1).await;
    assert_eq!(gate.mock.requests().len(), 2);
    assert!(metrics.contains("sluice_cache_verify_tokens_total{model=\"m\"}"), "{metrics}");
    assert!(metrics.contains("sluice_cache_false_hit_upper_bound{model=\"m\",rule=\"default\"} 0.9"), "{metrics}");
    assert!(metrics.contains("sluice_cache_semantic_off{model=\"m\",rule=\"default\"} 0"), "{metrics}");
    let known = standing(&gate).await;
    assert_eq!((&known["verified"], &known["disagreed"], &known["semantic"]), (&json!(1), &json!(0), &json!("on")));
    assert!((known["upper_bound"].as_f64().unwrap() - 0.95).abs() < 1e-6, "{known}");
    gate.settled().await;
    let levels: Value = serde_json::from_str(&gate.admin("/levels").await).unwrap();
    assert_eq!(levels["limits"][0]["remaining"], json!(99), "the live answer is on nobody's quota: {levels}");
    // The live answer is kept as that of its own words, and hits of the same words are not checked.
    assert_eq!(asked(&gate, &two).await, ("hit-exact".to_owned(), "The answer to that is Nairobi.".to_owned()));
    gate.settled().await;
    assert_eq!((gate.mock.requests().len(), &standing(&gate).await["verified"]), (2, &json!(1)));
}

#[tokio::test]
async fn a_model_whose_hits_are_wrong_answers_no_other_words_until_it_is_reset() {
    let gate = Gate::start(&[], CHECKED, Behaviour::default()).await;
    let pairs = pairs(3);
    for (index, (one, two)) in pairs.iter().take(2).enumerate() {
        gate.mock.behave(saying("The number is 250."));
        assert_eq!(asked(&gate, one).await.0, "miss");
        gate.mock.behave(saying("The number is 990."));
        assert_eq!(asked(&gate, two).await, ("hit-semantic".to_owned(), "The number is 250.".to_owned()));
        compared(&gate, "disagree", index + 1).await;
        // The wrong answer stays with its own words; these have theirs now.
        assert_eq!(asked(&gate, one).await, ("hit-exact".to_owned(), "The number is 250.".to_owned()));
        assert_eq!(asked(&gate, two).await, ("hit-exact".to_owned(), "The number is 990.".to_owned()));
    }
    let known = standing(&gate).await;
    assert_eq!((&known["disagreed"], &known["semantic"]), (&json!(2), &json!("off")), "{known}");
    assert!(known["lower_bound"].as_f64().unwrap() > 0.2, "{known}");
    let metrics = gate.admin("/metrics").await;
    assert!(metrics.contains("sluice_cache_semantic_off{model=\"m\",rule=\"default\"} 1"), "{metrics}");
    let (one, two) = &pairs[2];
    assert!(asked(&gate, one).await.0.starts_with("miss"));
    assert_eq!(asked(&gate, one).await.0, "hit-exact", "the same words are answered still");
    let request =
        gate.client.post(gate.url("/v1/chat/completions")).bearer_auth(KEY).header("x-sluice-cache", "no-store");
    let bypass =
        request.header("content-type", "application/json").body(question(two).to_string()).send().await.unwrap();
    assert_eq!(cached(&bypass), "bypass(no-store)");
    let mut fresh = question(two);
    fresh["seed"] = json!(7);
    assert_eq!(cached(&gate.chat(fresh).await), "miss(over-budget)");
    let reset = gate.client.post(format!("http://{}/cache/verify/reset?model=m", gate.app.admin)).send().await.unwrap();
    assert!(reset.text().await.unwrap().contains("\"reset\": 1"));
    assert_eq!(asked(&gate, two).await.0, "hit-semantic");
}

#[tokio::test]
async fn what_another_model_says_proves_nothing() {
    let models = "  m: { targets: [mock/gpt-4o-mini], fallback: { on_content_policy: n } }\n  n: [other/gpt-4o]\n";
    let other = Mock::with_defaults(saying("The number is 990.")).start(any_port()).await.unwrap();
    let provider = format!("providers:\n  other: {{ kind: openai, base_url: \"http://{}/v1\" }}\n", other.addr());
    let edit =
        |text: String| text.replace("providers:\n", &provider).replace("  m: [mock/gpt-4o-mini]\n", models) + CHECKED;
    let gate = Gate::with(&[], saying("The number is 250."), edit).await;
    let (one, two) = pairs(1).remove(0);
    assert_eq!(asked(&gate, &one).await.0, "miss");
    gate.mock.behave(Behaviour { refuse: Some(Reason::ContentPolicy), ..Behaviour::default() });
    assert_eq!(asked(&gate, &two).await, ("hit-semantic".to_owned(), "The number is 250.".to_owned()));
    let metrics = compared(&gate, "failed", 1).await;
    assert!(!metrics.contains("result=\"disagree\""), "{metrics}");
    let bodies: Vec<String> = other.requests().into_iter().map(|request| request.body).collect();
    // A port that another test gave back may still be called.
    assert_eq!(bodies.iter().filter(|body| body.contains(&two)).count(), 1, "{bodies:?}");
}

#[tokio::test]
async fn a_check_keeps_no_client_and_no_shutdown_waiting() {
    let gate = Gate::start(&[], CHECKED, saying("It is Nairobi.")).await;
    let (one, two) = pairs(1).remove(0);
    assert_eq!(asked(&gate, &one).await.0, "miss");
    gate.mock.behave(Behaviour { stall_at_head: true, ..Behaviour::default() });
    assert_eq!(asked(&gate, &two).await, ("hit-semantic".to_owned(), "It is Nairobi.".to_owned()));
    let begun = Instant::now();
    while gate.mock.requests().len() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the live call is never made");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let Gate { app, client, envoy, .. } = gate;
    drop((client, envoy));
    tokio::time::timeout(Duration::from_mins(1), app.drain()).await.unwrap();
}
