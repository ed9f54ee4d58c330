//! No answer leaves its partition, none outlives its purge.

use bytes::Bytes;
use futures_util::FutureExt;
use proptest::prelude::*;
use serde_json::json;
use sluice_providers::{Call, Endpoint};

use super::*;
use crate::cache::Owner;
use crate::config::CacheScope;

const QUESTIONS: [&str; 6] = [
    "What is the capital of Kenya?",
    "Tell me the capital of Kenya",
    "What is the capital of France?",
    "How do I reverse a list in Python?",
    "How can I reverse a Python list?",
    "reverse a list in python",
];

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
    Answer::of_json(Bytes::from(value.to_string())).unwrap()
}

fn purge(cache: &Cache, tenant: usize) -> usize {
    let what = Purge { tenant: Some(format!("t{tenant}")), ..Purge::default() };
    cache.purge(&what).now_or_never().expect("alone, it waits for nothing").entries
}

fn control() -> Control {
    Control::of(&http::HeaderMap::new()).unwrap()
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
                0..4 => cache.keep(ask, answer(tenant, model), 0, &rules),
                4 => { purge(&cache, tenant); }
                _ => if let Some(found) = cache.find_here(&ask, &control(), &rules) {
                    hits += 1;
                    prop_assert_eq!(found.answer.content, format!("t{} m{}", tenant, model));
                },
            }
        }
        prop_assert!(hits > 100, "only {} hits: nothing was tried", hits);
    }
}

#[test]
fn other_words_find_the_answer_of_their_own_partition_only() {
    let (cache, rules) = (Cache::new(1 << 20), rules(CacheScope::Key));
    cache.keep(ask(1, 1, 0, &rules), answer(1, 1), 0, &rules);
    assert_eq!(cache.find_here(&ask(1, 1, 0, &rules), &control(), &rules).unwrap().tier, Tier::Exact);
    let other = cache.find_here(&ask(1, 1, 1, &rules), &control(), &rules).unwrap();
    assert!(matches!(other.tier, Tier::Semantic(similarity) if similarity > 0.7), "{:?}", other.tier);
    assert!(cache.find_here(&ask(1, 1, 2, &rules), &control(), &rules).is_none(), "another country");
    assert!(cache.find_here(&ask(2, 1, 1, &rules), &control(), &rules).is_none(), "another tenant");
    assert!(cache.find_here(&ask(1, 2, 1, &rules), &control(), &rules).is_none(), "another model");
    let exact = Control { exact: true, ..control() };
    assert!(cache.find_here(&ask(1, 1, 1, &rules), &exact, &rules).is_none(), "the client wants no other words");
}

#[test]
fn a_purge_is_complete_when_it_returns() {
    let (cache, rules) = (Cache::new(1 << 20), rules(CacheScope::Key));
    cache.keep(ask(1, 1, 0, &rules), answer(1, 1), 0, &rules);
    cache.keep(ask(2, 1, 0, &rules), answer(2, 1), 0, &rules);
    assert_eq!((cache.size().entries, cache.size().partitions), (2, 2));
    assert_eq!(purge(&cache, 1), 1);
    assert!(cache.find_here(&ask(1, 1, 0, &rules), &control(), &rules).is_none());
    assert!(cache.find_here(&ask(1, 1, 1, &rules), &control(), &rules).is_none());
    assert!(cache.find_here(&ask(2, 1, 0, &rules), &control(), &rules).is_some());
    assert_eq!((cache.size().entries, cache.size().partitions), (1, 1));
}

#[test]
fn the_answer_to_a_request_under_way_does_not_outlive_a_purge() {
    let (cache, rules) = (Cache::new(1 << 20), rules(CacheScope::Key));
    let asked = ask(1, 1, 0, &rules).since(cache.stamp());
    purge(&cache, 1);
    cache.keep(asked, answer(1, 1), 0, &rules);
    assert!(cache.find_here(&ask(1, 1, 0, &rules), &control(), &rules).is_none());
    cache.keep(ask(1, 1, 0, &rules).since(cache.stamp()), answer(1, 1), 0, &rules);
    assert!(cache.find_here(&ask(1, 1, 0, &rules), &control(), &rules).is_some());
}

#[test]
fn what_is_too_old_or_too_large_is_not_found() {
    let cache = Cache::new(1 << 20);
    let brief = CacheRules { ttl: Duration::ZERO, ..rules(CacheScope::Key) };
    cache.keep(ask(1, 1, 0, &brief), answer(1, 1), 0, &brief);
    assert!(cache.find_here(&ask(1, 1, 0, &brief), &control(), &brief).is_none());
    let small = CacheRules { max_entry: 16, ..rules(CacheScope::Key) };
    cache.keep(ask(1, 1, 0, &small), answer(1, 1), 0, &small);
    assert!(cache.find_here(&ask(1, 1, 0, &small), &control(), &small).is_none());
}
