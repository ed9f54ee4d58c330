//! Whose answers are kept, by rule; what a client may ask of the cache; and what hits cost.

use reqwest::Response;
use serde_json::{Value, json};
use sluice_mock::Behaviour;
use sluice_semantic::Semantic;

use crate::common::{Gate, KEY, value};

const ASKED: &str = "What is the capital of Kenya?";
const OTHER_WORDS: &str = "Tell me the capital of Kenya";

fn question(model: &str, text: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": text}], "mock": {"tokens": 5}})
}

/// What the cache made of a request.
fn cached(response: &Response) -> String {
    let header = response.headers().get("x-sluice-cache");
    header.map_or_else(|| "nothing said".to_owned(), |value| value.to_str().unwrap().to_owned())
}

async fn told(gate: &Gate, body: &Value, what: &str) -> Response {
    let request = gate.client.post(gate.url("/v1/chat/completions")).bearer_auth(KEY);
    let request = request.header("content-type", "application/json").header("x-sluice-cache", what);
    request.body(body.to_string()).send().await.unwrap()
}

#[tokio::test]
async fn rules_say_whose_answers_are_kept() {
    let gate = Gate::with(&[], Behaviour::default(), |text| {
        text.replace(
            "  m: [mock/gpt-4o-mini]\n",
            "  m: [mock/gpt-4o-mini]\n  exact: [mock/gpt-4o]\n  none: [mock/o3]\n",
        ) + "cache:\n  rules:\n    - { match: { model: m, tenant: ac*, key: web }, mode: semantic }\n    \
               - { match: { model: none }, mode: off }\n    - { match: { tenant: other }, mode: semantic }\n"
    })
    .await;
    for (model, again, other) in
        [("m", "hit-exact", "hit-semantic"), ("exact", "hit-exact", "miss"), ("none", "nothing said", "nothing said")]
    {
        let first = if model == "none" { "nothing said" } else { "miss" };
        assert_eq!(cached(&gate.chat(question(model, ASKED)).await), first, "{model}");
        assert_eq!(cached(&gate.chat(question(model, ASKED)).await), again, "{model}");
        assert_eq!(cached(&gate.chat(question(model, OTHER_WORDS)).await), other, "{model}");
    }
    let only = told(&gate, &question("none", ASKED), "only").await;
    assert_eq!(only.status().as_u16(), 504, "a model whose answers are not kept has none to give");
    let shown: Value = serde_json::from_str(&gate.admin("/config").await).unwrap();
    let names: Vec<&Value> =
        shown["config"]["cache"]["rules"].as_array().unwrap().iter().map(|rule| &rule["name"]).collect();
    assert_eq!(names, ["rules[0]", "rules[2]", "default"]);
}

/// Two questions that are the same one within a budget of 5 %, and not within one of 0.1 %.
fn doubtful() -> (String, String) {
    let semantic = Semantic::built_in().unwrap();
    let (strict, lax) = (semantic.threshold(0.001), semantic.threshold(0.05));
    let pairs = include_str!("../../semantic/testdata/hard.dev.tsv");
    let pair = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        (fields[3].to_owned(), fields[4].to_owned())
    };
    let between = |(one, two): &(String, String)| {
        let judged = semantic.judge(&semantic.prompt(one), &semantic.prompt(two));
        let near = judged.veto.is_none() && judged.similarity > 0.6 && one != two && !one.contains('\\');
        near && judged.score > lax
            && judged.score <= strict
            && semantic.eligible(one).and(semantic.eligible(two)).is_ok()
    };
    pairs.lines().skip(1).map(pair).find(between).unwrap()
}

#[tokio::test]
async fn a_client_raises_the_threshold_and_never_lowers_it() {
    let gate = Gate::with(&[], Behaviour::default(), |text| {
        text.replace("  m: [mock/gpt-4o-mini]\n", "  m: [mock/gpt-4o-mini]\n  lax: [mock/gpt-4o]\n")
            + "cache:\n  mode: semantic\n  max_false_hits: 0.1%\n  rules: [{ match: { model: lax }, max_false_hits: 5% }]\n"
    })
    .await;
    let (one, two) = doubtful();
    for model in ["m", "lax"] {
        assert_eq!(cached(&gate.chat(question(model, &one)).await), "miss");
    }
    // A miss would keep the answer to the other words too.
    let asked = async |model: &str, what: &str| told(&gate, &question(model, &two), what).await;
    assert_eq!(asked("m", "only, max-false-hits=100%").await.status().as_u16(), 504, "{one:?} {two:?}");
    assert_eq!(asked("lax", "only, max-false-hits=0.1%").await.status().as_u16(), 504, "{one:?} {two:?}");
    assert_eq!(cached(&asked("lax", "only, max-false-hits=5%").await), "hit-semantic");
    assert_eq!(cached(&asked("lax", "only").await), "hit-semantic", "{one:?} {two:?}");
    gate.chat(question("m", ASKED)).await;
    let exact = told(&gate, &question("m", OTHER_WORDS), "max-false-hits=0%").await;
    assert_eq!(cached(&exact), "miss", "no other words keep to a budget of nothing");
    for wrong in ["max-false-hits=lots", "max-false-hits=1", "max-false-hits=-1%", "max-false-hits"] {
        let response = told(&gate, &question("m", ASKED), wrong).await;
        assert_eq!(response.status().as_u16(), 400, "{wrong}");
        let error = value(response).await["error"].clone();
        assert_eq!(error["code"], "invalid_cache_control");
        assert!(error["message"].as_str().unwrap().contains("max-false-hits"), "{error}");
    }
}
