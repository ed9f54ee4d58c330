//! No answer leaves its partition, none outlives its purge.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::FutureExt;
use proptest::prelude::*;
use serde_json::json;
use sluice_providers::{Call, Endpoint};

use super::*;
use crate::cache::embed::tests::{Words, rules as with};
use crate::cache::{Delivered, Owner};
use crate::config::CacheScope;

const QUESTIONS: [&str; 6] = [
    "What is the capital of Kenya?",
    "Tell me the capital of Kenya",
    "What is the capital of France?",
    "How do I reverse a list in Python?",
    "How can I reverse a Python list?",
    "reverse a list in python",
];

const MADE: Demand = Demand { input: 3, output: 4, cost_micros: 5 };

fn rules(scope: CacheScope) -> CacheRules {
    CacheRules { semantic: true, scope, max_false_hits: 0.05, ..CacheRules::default() }
}

fn ask(tenant: usize, model: usize, question: usize, rules: &CacheRules) -> Ask {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": QUESTIONS[question]}]});
    let call = Call::parse(Endpoint::ChatCompletions, Bytes::from(body.to_string())).unwrap();
    let owner = Owner { tenant: format!("t{tenant}").into(), key: "k".into(), user: None };
    Ask::of(&call, owner, &format!("m{model}").into(), &["p/m"], rules).unwrap()
}

/// An answer that says whose it is.
fn answer(tenant: usize, model: usize) -> Answer {
    let message = json!({"role": "assistant", "content": format!("t{tenant} m{model}")});
    let value = json!({"id": "c", "model": "m", "choices": [{"message": message, "finish_reason": "stop"}]});
    Answer::of_json(value.to_string().as_bytes()).unwrap()
}

fn purge(cache: &Cache, tenant: usize) -> usize {
    let what = Purge { tenant: Some(format!("t{tenant}")), ..Purge::default() };
    cache.purge(&what).now_or_never().expect("alone, it waits for nothing").entries
}

fn control() -> Control {
    Control::of(&http::HeaderMap::new()).unwrap()
}

/// What is found without asking anybody.
fn find(cache: &Cache, ask: &Ask, control: &Control, rules: &CacheRules) -> Option<Found> {
    cache.find(ask, control, rules, &Words::default()).now_or_never().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]
    #[test]
    fn no_hit_crosses_a_partition(
        operations in prop::collection::vec((0_usize..50, 0_usize..5, 0_usize..6, 0_u8..10), 2500)
    ) {
        let (cache, rules) = (Cache::new(1 << 24), rules(CacheScope::Key));
        let mut hits = 0;
        for (tenant, model, question, what) in operations {
            let ask = ask(tenant, model, question, &rules).since(cache.stamp());
            match what {
                0..4 => cache.keep(ask, answer(tenant, model), MADE, &rules),
                4 => { purge(&cache, tenant); }
                _ => if let Some(found) = find(&cache, &ask, &control(), &rules) {
                    hits += 1;
                    prop_assert_eq!(found.answer.content.as_str(), format!("t{} m{}", tenant, model));
                },
            }
        }
        prop_assert!(hits > 100, "only {} hits: nothing was tried", hits);
    }
}

#[test]
fn other_words_find_the_answer_of_their_own_partition_only() {
    let (cache, rules) = (Cache::new(1 << 20), rules(CacheScope::Key));
    cache.keep(ask(1, 1, 0, &rules), answer(1, 1), MADE, &rules);
    assert_eq!(find(&cache, &ask(1, 1, 0, &rules), &control(), &rules).unwrap().tier, Tier::Exact);
    let other = find(&cache, &ask(1, 1, 1, &rules), &control(), &rules).unwrap();
    assert!(matches!(other.tier, Tier::Semantic(similarity) if similarity > 0.7), "{:?}", other.tier);
    assert!(find(&cache, &ask(1, 1, 2, &rules), &control(), &rules).is_none(), "another country");
    assert!(find(&cache, &ask(2, 1, 1, &rules), &control(), &rules).is_none(), "another tenant");
    assert!(find(&cache, &ask(1, 2, 1, &rules), &control(), &rules).is_none(), "another model");
    let exact = Control { exact: true, ..control() };
    assert!(find(&cache, &ask(1, 1, 1, &rules), &exact, &rules).is_none(), "the client wants no other words");
}

#[test]
fn a_purge_is_complete_when_it_returns() {
    let (cache, rules) = (Cache::new(1 << 20), rules(CacheScope::Key));
    cache.keep(ask(1, 1, 0, &rules), answer(1, 1), MADE, &rules);
    cache.keep(ask(2, 1, 0, &rules), answer(2, 1), MADE, &rules);
    assert_eq!((cache.size().entries, cache.size().partitions), (2, 2));
    assert_eq!(purge(&cache, 1), 1);
    assert!(find(&cache, &ask(1, 1, 0, &rules), &control(), &rules).is_none());
    assert!(find(&cache, &ask(1, 1, 1, &rules), &control(), &rules).is_none());
    assert!(find(&cache, &ask(2, 1, 0, &rules), &control(), &rules).is_some());
    assert_eq!((cache.size().entries, cache.size().partitions), (1, 1));
}

#[test]
fn the_answer_to_a_request_under_way_does_not_outlive_a_purge() {
    let (cache, rules) = (Cache::new(1 << 20), rules(CacheScope::Key));
    let asked = ask(1, 1, 0, &rules).since(cache.stamp());
    purge(&cache, 1);
    cache.keep(asked, answer(1, 1), MADE, &rules);
    assert!(find(&cache, &ask(1, 1, 0, &rules), &control(), &rules).is_none());
    cache.keep(ask(1, 1, 0, &rules).since(cache.stamp()), answer(1, 1), MADE, &rules);
    assert!(find(&cache, &ask(1, 1, 0, &rules), &control(), &rules).is_some());
}

#[test]
fn what_is_too_old_or_too_large_is_not_found() {
    let cache = Cache::new(1 << 20);
    let brief = CacheRules { ttl: Duration::ZERO, ..rules(CacheScope::Key) };
    cache.keep(ask(1, 1, 0, &brief), answer(1, 1), MADE, &brief);
    assert!(find(&cache, &ask(1, 1, 0, &brief), &control(), &brief).is_none());
    let small = CacheRules { max_entry: 16, ..rules(CacheScope::Key) };
    cache.keep(ask(1, 1, 0, &small), answer(1, 1), MADE, &small);
    assert!(find(&cache, &ask(1, 1, 0, &small), &control(), &small).is_none());
}

/// Words that the verifier finds the same question, and whose vectors are not the same.
const SAME: (usize, usize) = (3, 4);

#[tokio::test]
async fn an_embeddings_model_makes_the_shortlist_and_a_partition_of_its_own() {
    let (cache, words) = (Cache::new(1 << 20), Words::default());
    let (own, built_in) = (with("embeddings: { model: p/e }"), rules(CacheScope::Key));
    let asked = ask(1, 1, SAME.0, &own);
    assert!(cache.find(&asked, &control(), &own, &words).await.is_none());
    cache.keep(asked, answer(1, 1), MADE, &own);
    assert_eq!(words.asked().len(), 1, "the vector of the look-up is the one it is kept with");
    let found = cache.find(&ask(1, 1, SAME.1, &own), &control(), &own, &words).await.unwrap();
    assert!(matches!(found.tier, Tier::Semantic(_)), "{:?}", found.tier);
    for question in [SAME.0, SAME.1] {
        assert!(find(&cache, &ask(1, 1, question, &built_in), &control(), &built_in).is_none(), "another embedder");
    }
    let other = with("embeddings: { model: p/e, dimensions: 7 }");
    assert_ne!(ask(1, 1, 0, &other).partition, ask(1, 1, 0, &own).partition);
    assert!(cache.find(&ask(1, 1, 2, &own), &control(), &own, &words).await.is_none(), "the verifier stays");
}

#[tokio::test]
async fn what_is_kept_while_the_embeddings_model_is_down_is_found_exactly_only() {
    let (cache, words) = (Cache::new(1 << 20), Words::default());
    let own = with("embeddings: { model: p/e }");
    words.down.store(true, Ordering::Relaxed);
    let asked = ask(1, 1, SAME.0, &own);
    assert!(cache.find(&asked, &control(), &own, &words).await.is_none());
    cache.keep(asked, answer(1, 1), MADE, &own);
    words.down.store(false, Ordering::Relaxed);
    let found = cache.find(&ask(1, 1, SAME.0, &own), &control(), &own, &words).await.unwrap();
    assert_eq!(found.tier, Tier::Exact);
    assert!(cache.find(&ask(1, 1, SAME.1, &own), &control(), &own, &words).await.is_none());
    let refreshed = ask(1, 1, SAME.0, &own);
    cache.prepare(&refreshed, &own, &words).await;
    cache.keep(refreshed, answer(1, 1), MADE, &own);
    assert!(cache.find(&ask(1, 1, SAME.1, &own), &control(), &own, &words).await.is_some());
}

#[tokio::test]
async fn a_second_opinion_can_only_take_a_hit_away() {
    let (cache, words) = (Cache::new(1 << 20), Words::default());
    let (lax, strict) = (
        with("second_opinion: { model: p/e, min_similarity: 0.1 }"),
        with("second_opinion: { model: p/e, min_similarity: 0.999 }"),
    );
    cache.keep(ask(1, 1, SAME.0, &lax), answer(1, 1), MADE, &lax);
    assert!(cache.find(&ask(1, 1, 2, &lax), &control(), &lax, &words).await.is_none());
    assert_eq!(words.asked().len(), 0, "nobody is asked about what the verifier refuses");
    assert!(cache.find(&ask(1, 1, SAME.1, &lax), &control(), &lax, &words).await.is_some());
    assert!(cache.find(&ask(1, 1, SAME.1, &strict), &control(), &strict, &words).await.is_none());
    assert_eq!(*words.said.lock(), [Some(true), Some(false)]);
}

#[tokio::test]
async fn what_is_purged_while_a_second_opinion_is_asked_is_not_found() {
    let (cache, words) = (Cache::new(1 << 20), Words::default());
    let rules = with("second_opinion: { model: p/e, min_similarity: 0.1 }");
    cache.keep(ask(1, 1, SAME.0, &rules), answer(1, 1), MADE, &rules);
    let asked = ask(1, 1, SAME.1, &rules);
    let look = control();
    let mut found = std::pin::pin!(cache.find(&asked, &look, &rules, &words));
    assert!(found.as_mut().now_or_never().is_none(), "it waits");
    purge(&cache, 1);
    assert!(found.await.is_none());
}

fn later(cache: &Arc<Cache>, tenant: usize, question: usize) {
    say_later(cache, (tenant, question), "short");
}

fn say_later(cache: &Arc<Cache>, (tenant, question): (usize, usize), content: &str) {
    let rules = Arc::new(rules(CacheScope::Key));
    let message = json!({"role": "assistant", "content": content});
    let value = json!({"id": "c", "model": "m", "choices": [{"message": message, "finish_reason": "stop"}]});
    let (ask, bytes) = (ask(tenant, 1, question, &rules).since(cache.stamp()), Bytes::from(value.to_string()));
    let endpoint = Endpoint::ChatCompletions;
    cache.keep_later(Delivered { ask, endpoint, bytes, streamed: false, usage: None, made: MADE, rules });
}

#[tokio::test]
async fn what_is_kept_later_is_found_at_once() {
    let (cache, rules) = (Arc::new(Cache::new(1 << 20)), rules(CacheScope::Key));
    let held = |tenant, question| cache.entries.contains_key(&ask(tenant, 1, question, &rules).key);
    later(&cache, 1, 0);
    assert!(!held(1, 0), "the client comes first");
    let found = find(&cache, &ask(1, 1, 1, &rules), &control(), &rules).unwrap();
    assert!(matches!(found.tier, Tier::Semantic(_)));
    later(&cache, 1, 3);
    later(&cache, 2, 2);
    assert!(cache.kept(&ask(1, 1, 3, &rules)).is_some() && !held(2, 2), "only what is asked for");
    tokio::task::yield_now().await;
    assert!(held(2, 2), "nobody has to ask for it");
    for question in 0..6 {
        later(&cache, 3, question);
    }
    assert_eq!(cache.size().entries, 9);
    later(&cache, 2, 0);
    assert_eq!(purge(&cache, 2), 2, "a purge finds what waits");
}

#[tokio::test]
async fn who_keeps_more_than_may_wait_keeps_it_at_once() {
    let cache = Arc::new(Cache::new(1 << 20));
    let count = || cache.entries.iter().count();
    for tenant in 0..10_000 {
        later(&cache, tenant, 0);
        if count() > 0 {
            assert!(tenant < 16 * 32);
            assert!(count() >= 32, "the shard is emptied at once");
            return;
        }
    }
    panic!("it is kept nowhere");
}

#[tokio::test]
async fn a_long_answer_is_kept_at_once_and_after_what_came_before_it() {
    let (cache, rules) = (Arc::new(Cache::new(1 << 20)), rules(CacheScope::Key));
    let long = "long ".repeat(20_000);
    later(&cache, 1, 0);
    say_later(&cache, (1, 0), &long);
    let content = || cache.kept(&ask(1, 1, 0, &rules)).map(|found| found.answer.content.len());
    assert_eq!(cache.entries.iter().count(), 1);
    assert_eq!(content(), Some(long.len()));
    tokio::task::yield_now().await;
    assert_eq!(content(), Some(long.len()), "the younger stays");
}

#[test]
fn without_a_runtime_it_is_kept_at_once() {
    let cache = Arc::new(Cache::new(1 << 20));
    later(&cache, 1, 0);
    assert_eq!(cache.entries.iter().count(), 1);
}
