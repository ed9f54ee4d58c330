//! Whose answers are kept, by rule; what a client may ask of the cache; and what hits cost.

use reqwest::Response;
use serde_json::{Value, json};
use sluice_mock::Behaviour;
use sluice_semantic::Semantic;

use crate::common::{Gate, KEY, value};
use crate::redis::Server;

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
            && sluice_semantic::eligible(one).and(sluice_semantic::eligible(two)).is_ok()
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

#[tokio::test]
async fn what_the_provider_reads_from_its_cache_is_shown_and_priced() {
    let gate = Gate::start(&[], "", Behaviour::default()).await;
    let costs = async |cached: u64| {
        let mut body = question("m", ASKED);
        body["mock"] = json!({"tokens": 5, "prompt_tokens": 1000, "completion_tokens": 5, "cached_tokens": cached});
        let response = gate.chat(body).await;
        let shown = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        (shown("x-sluice-cost"), shown("x-sluice-cached-tokens"))
    };
    // 0.15 dollars for a million, half of it for what was cached, 0.6 for what was generated.
    let (plain, cached) = (costs(0).await, costs(600).await);
    // Where Envoy relays the answer, its head is gone before the cost is known.
    if std::env::var("SLUICE_DOOR").as_deref() != Ok("steer") {
        assert_eq!(plain, (Some("0.000153".to_owned()), None));
        assert_eq!(cached, (Some("0.000108".to_owned()), Some("600".to_owned())));
    }
    gate.counts("sluice_tokens_total{model=\"m\",target=\"mock/gpt-4o-mini\",kind=\"cached_input\"} 600").await;
    gate.counts("sluice_cost_micros_total{model=\"m\",target=\"mock/gpt-4o-mini\"} 261").await;
}

/// What is left of each limit, by the unit in its name.
async fn left(gate: &Gate) -> Vec<(String, i64)> {
    gate.settled().await;
    let levels: Value = serde_json::from_str(&gate.admin("/levels").await).unwrap();
    let row = |row: &Value| (row["limit"].as_str().unwrap().to_owned(), row["remaining"].as_i64().unwrap());
    levels["limits"].as_array().unwrap().iter().map(row).collect()
}

fn header(response: &Response, name: &str) -> i64 {
    response.headers()[name].to_str().unwrap().parse().unwrap()
}

/// A gate whose hits cost so much, with these limits.
async fn costing(hit_cost: &str, limits: &[&str], extra: &str) -> Gate {
    let gate = Gate::start(limits, &format!("cache: {{ mode: semantic }}\n{extra}"), Behaviour::default()).await;
    let path = gate.dir.path().join("policy.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text + &format!("hit_cost: {hit_cost}\n")).unwrap();
    let config = sluice::config::load(&gate.config_path(), 2).unwrap();
    gate.gateway().live.replace(config);
    gate
}

fn counted(text: &str, prompt: u64, answer: u64) -> Value {
    let mut body = question("m", text);
    body["max_tokens"] = json!(200);
    body["mock"] = json!({"tokens": 5, "prompt_tokens": prompt, "completion_tokens": answer});
    body
}

#[tokio::test]
async fn a_hit_is_charged_with_its_part_of_every_limit() {
    let limits = ["10 requests/day per key", "10k tokens/day", "1k output tokens/day", "1 concurrent per key"];
    let gate = costing("25%", &limits, "").await;
    let body = counted(ASKED, 1001, 200);
    assert_eq!(cached(&gate.chat(body.clone()).await), "miss");
    let after = |requests: i64, tokens: i64, output: i64| {
        vec![
            ("acme/10 requests/day per key".to_owned(), requests),
            ("acme/10k tokens/day".to_owned(), tokens),
            ("acme/1k output tokens/day".to_owned(), output),
        ]
    };
    let sorted = |mut rows: Vec<(String, i64)>| {
        rows.sort();
        rows
    };
    assert_eq!(sorted(left(&gate).await), after(9, 8799, 800));
    let hit = gate.chat(body.clone()).await;
    assert_eq!(cached(&hit), "hit-exact");
    // A quarter of the prompt rounded up, and of the answer.
    assert_eq!(header(&hit, "x-ratelimit-remaining-requests"), 8);
    assert_eq!(header(&hit, "x-ratelimit-remaining-tokens"), 750);
    assert_eq!(sorted(left(&gate).await), after(8, 8799 - 251 - 50, 750));
    assert_eq!(cached(&gate.chat(counted(OTHER_WORDS, 1001, 200)).await), "hit-semantic");
    assert_eq!(sorted(left(&gate).await), after(7, 8799 - 2 * 301, 700));
    let metrics = gate.admin("/metrics").await;
    assert!(metrics.contains("sluice_cache_charged_tokens_total{model=\"m\"} 602"), "{metrics}");
    assert!(metrics.contains("sluice_cache_saved_tokens_total{model=\"m\"} 2402"), "{metrics}");
    assert_eq!(gate.mock.requests().len(), 1);
}

#[tokio::test]
async fn a_hit_without_room_is_refused_like_any_request() {
    let gate = costing("full", &["1000 tokens/day per key"], "").await;
    let bounded = counted(ASKED, 300, 150);
    let live = gate.chat(bounded.clone()).await;
    assert_eq!((live.status().as_u16(), cached(&live).as_str()), (200, "miss"));
    gate.settled().await;
    let hit = gate.chat(bounded.clone()).await;
    assert_eq!((cached(&hit).as_str(), header(&hit, "x-ratelimit-remaining-tokens")), ("hit-exact", 100));
    gate.settled().await;
    let refused = gate.chat(bounded.clone()).await;
    assert_eq!(refused.status().as_u16(), 429);
    assert_eq!(refused.headers()["x-should-retry"], "false");
    assert_eq!(refused.headers()["x-sluice-limit"], "acme/1000 tokens/day per key");
    assert_eq!(header(&refused, "x-ratelimit-remaining-tokens"), 100);
    let error = value(refused).await["error"].clone();
    assert_eq!(error["code"], "insufficient_quota");
    assert!(error["message"].as_str().unwrap().contains("asks for 450, 100 left of 1000"), "{error}");
    assert_eq!(left(&gate).await, [("acme/1000 tokens/day per key".to_owned(), 100)], "a refusal takes nothing");
    let metrics = gate.admin("/metrics").await;
    assert!(metrics.contains("sluice_cache_lookups_total{model=\"m\",result=\"denied\"} 1"), "{metrics}");
    assert!(metrics.contains("decision=\"denied\""), "{metrics}");
}

#[tokio::test]
async fn hits_at_once_are_charged_each_and_never_beyond_a_limit() {
    at_once("").await;
}

#[tokio::test]
async fn hits_at_once_are_charged_each_by_redis_too() {
    let redis = Server::start();
    at_once(&format!("redis: {{ url: \"{}\", timeout: 1s }}\n", redis.url())).await;
}

async fn at_once(extra: &str) {
    let gate = costing("full", &["1000 tokens/day per key"], extra).await;
    // Until the shared store is known there are slices.
    while !extra.is_empty() && !gate.admin("/metrics").await.contains("\nsluice_store_up 1") {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let body = counted(ASKED, 50, 50);
    assert_eq!(cached(&gate.chat(body.clone()).await), "miss");
    gate.settled().await;
    let all = (0..30).map(|_| gate.chat(body.clone()));
    let all = futures_util::future::join_all(all).await;
    let ok = all.iter().filter(|response| response.status().as_u16() == 200).count();
    let refused = all.iter().filter(|response| response.status().as_u16() == 429).count();
    let mut told = String::new();
    if let Some(response) = all.into_iter().find(|response| response.status().as_u16() == 429) {
        told = response.text().await.unwrap();
    }
    assert_eq!((ok, refused), (9, 21), "900 tokens are left, and each hit takes 100: {told}");
    assert_eq!(left(&gate).await, [("acme/1000 tokens/day per key".to_owned(), 0)]);
    assert_eq!(gate.mock.requests().len(), 1);
}

#[tokio::test]
async fn requests_that_join_a_call_are_charged_like_hits() {
    let gate = costing("full", &["10k tokens/day per key"], "").await;
    let mut whole = counted("hello there", 50, 50);
    whole["mock"]["first_token_ms"] = json!(400);
    let mut streamed = whole.clone();
    streamed["stream"] = json!(true);
    for (body, remaining) in [(whole, 9700), (streamed, 9400)] {
        let mut body = body;
        body["seed"] = json!(remaining);
        let all = futures_util::future::join_all((0..3).map(|_| gate.chat(body.clone()))).await;
        for response in all {
            assert_eq!(response.status().as_u16(), 200);
            response.bytes().await.unwrap();
        }
        assert_eq!(left(&gate).await, [("acme/10k tokens/day per key".to_owned(), remaining)]);
    }
}

#[tokio::test]
async fn huge_and_broken_prompts_are_no_questions_in_other_words() {
    let gate = Gate::start(&[], "cache: { mode: semantic }\n", Behaviour::default()).await;
    let long = |last: &str| question("m", &format!("{} {last}", "What is the capital of Kenya, please?".repeat(20)));
    assert_eq!(cached(&gate.chat(long("Thanks!")).await), "miss");
    assert_eq!(cached(&gate.chat(long("Thank you!")).await), "miss", "too long to be compared");
    assert_eq!(cached(&gate.chat(long("Thanks!")).await), "hit-exact");
    let mut broken = question("m", "What is it?").to_string().into_bytes();
    let at = broken.windows(7).position(|window| window == b"What is").unwrap();
    broken[at] = 0xff;
    let request = gate.client.post(gate.url("/v1/chat/completions")).bearer_auth(KEY);
    let response = request.header("content-type", "application/json").body(broken).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 400);
    let held: Value = serde_json::from_str(&gate.admin("/cache").await).unwrap();
    assert_eq!(held["entries"], json!(2), "{held}");
}
