//! Two caches on one store of answers, over random operations: no answer leaves its partition, none
//! outlives its purge.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use sluice::cache::{Answer, Ask, Cache, Control, Found, Owner, Purge};
use sluice::config::{CacheRules, CacheScope, RedisMode};
use sluice_policies::Demand;
use sluice_providers::{Call, Endpoint};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::servers::Server;
use crate::world::config;

const QUESTIONS: [&str; 4] = [
    "What is the capital of Kenya?",
    "Tell me the capital of Kenya",
    "What is the capital of France?",
    "How do I reverse a list in Python?",
];
const OPERATIONS: usize = 2000;
const NOTHING: Demand = Demand { input: 0, output: 0, cost_micros: 0 };

/// Two replicas, working until dropped.
struct Fleet {
    caches: [Arc<Cache>; 2],
    rules: CacheRules,
    _work: JoinSet<()>,
}

impl Fleet {
    async fn start(server: &Server) -> Self {
        sluice::app::install_crypto();
        let redis = config(&[server.url()], RedisMode::Single);
        let metrics = sluice::telemetry::SharedCacheMetrics::default();
        // Little memory: much must come from the server.
        let caches = [(); 2].map(|()| Arc::new(Cache::shared(40_000, &redis, &metrics).unwrap()));
        let mut work = JoinSet::new();
        for cache in &caches {
            let cache = Arc::clone(cache);
            work.spawn(async move { cache.work(CancellationToken::new()).await });
        }
        let rules =
            CacheRules { semantic: true, scope: CacheScope::Tenant, max_false_hits: 0.05, ..CacheRules::default() };
        let fleet = Self { caches, rules, _work: work };
        for cache in &fleet.caches {
            until(async || cache.sharing().unwrap().down.is_none() && cache.stamp() != Cache::new(0).stamp()).await;
        }
        fleet
    }

    fn ask(&self, replica: usize, tenant: usize, model: usize, question: usize) -> Ask {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": QUESTIONS[question]}]});
        let call = Call::parse(Endpoint::ChatCompletions, Bytes::from(body.to_string())).unwrap();
        let owner = Owner { tenant: format!("t{tenant}").into(), key: "k".into(), user: None };
        let stamp = self.caches[replica].stamp();
        Ask::of(&call, owner, &format!("m{model}").into(), &["p/m"], &self.rules).unwrap().since(stamp)
    }

    async fn find(&self, replica: usize, ask: &Ask) -> Option<Found> {
        let control = Control::of(&http::HeaderMap::new()).unwrap();
        self.caches[replica].find(ask, &control, &self.rules, &()).await
    }
}

async fn until(is: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !is().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "it never comes");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// An answer that says whose it is, and in which operation it was asked for.
fn answer(tenant: usize, model: usize, operation: usize) -> Answer {
    let message = json!({"role": "assistant", "content": format!("t{tenant} m{model} {operation}")});
    let value = json!({"id": "c", "model": "m", "choices": [{"message": message, "finish_reason": "stop"}]});
    Answer::of(Endpoint::ChatCompletions, value.to_string().as_bytes(), false, None).unwrap()
}

/// When an answer was asked for, which is this tenant's and model's.
fn operation(found: &Found, tenant: usize, model: usize) -> usize {
    let body: serde_json::Value = serde_json::from_slice(&found.answer.tell(false, false)).unwrap();
    let text = body["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    text.strip_prefix(&format!("t{tenant} m{model} "))
        .unwrap_or_else(|| panic!("t{tenant} m{model} got {text}"))
        .parse()
        .unwrap()
}

/// What was purged, and by whom: the tenant's answers of operations before.
type Purged = HashMap<usize, [usize; 2]>;

async fn random(server: &Server) {
    let fleet = Fleet::start(server).await;
    let mut random = StdRng::seed_from_u64(7);
    let (mut purged, mut hits, mut under_way): (Purged, usize, Vec<_>) = (Purged::new(), 0, Vec::new());
    for now in 1..=OPERATIONS {
        let (replica, tenant, model) =
            (random.random_range(0..2), random.random_range(0..50), random.random_range(0..5));
        let ask = fleet.ask(replica, tenant, model, random.random_range(0..QUESTIONS.len()));
        match random.random_range(0..20) {
            // Some are answered at once, some much later, whatever was purged meanwhile.
            0..7 => fleet.caches[replica].keep(ask, answer(tenant, model, now), NOTHING, &fleet.rules),
            7 => under_way.push((replica, ask, answer(tenant, model, now))),
            8 => {
                for (replica, ask, answer) in under_way.drain(..) {
                    fleet.caches[replica].keep(ask, answer, NOTHING, &fleet.rules);
                }
            }
            9 => {
                let what = Purge { tenant: Some(format!("t{tenant}")), ..Purge::default() };
                assert_eq!(fleet.caches[replica].purge(&what).await.shared, Some(true));
                purged.entry(tenant).or_default()[replica] = now;
            }
            _ => {
                let Some(found) = fleet.find(replica, &ask).await else { continue };
                hits += 1;
                let of = operation(&found, tenant, model);
                let least = purged.get(&tenant).map_or(0, |by| by[replica]);
                assert!(of >= least, "t{tenant}: {of} was purged at {least} by {replica}");
            }
        }
    }
    assert!(hits > 100, "only {hits} hits: nothing was tried");
    // A moment later every replica knows of every purge.
    for (tenant, by) in purged {
        for replica in 0..2 {
            for model in 0..5 {
                for question in 0..QUESTIONS.len() {
                    until(async || {
                        let ask = fleet.ask(replica, tenant, model, question);
                        let found = fleet.find(replica, &ask).await;
                        found.is_none_or(|found| operation(&found, tenant, model) >= by[0].max(by[1]))
                    })
                    .await;
                }
            }
        }
    }
}

#[tokio::test]
async fn two_replicas_at_random_with_a_stream() {
    random(&Server::start(&[])).await;
}

#[tokio::test]
async fn two_replicas_at_random_with_vector_sets() {
    random(&Server::with_vector_sets()).await;
}

#[tokio::test]
async fn two_replicas_at_random_with_ft_search() {
    random(&Server::with_search()).await;
}

#[tokio::test]
async fn two_replicas_one_of_which_stops_share_what_it_had_to_write() {
    let server = Server::start(&[]);
    let fleet = Fleet::start(&server).await;
    let redis = config(&[server.url()], RedisMode::Single);
    let metrics = sluice::telemetry::SharedCacheMetrics::default();
    let (leaving, stop) = (Arc::new(Cache::shared(1 << 20, &redis, &metrics).unwrap()), CancellationToken::new());
    let mut work = JoinSet::new();
    let (cache, stopped) = (Arc::clone(&leaving), stop.clone());
    work.spawn(async move { cache.work(stopped).await });
    until(async || leaving.stamp() == fleet.caches[0].stamp()).await;
    // No two of one partition ask the same.
    let asks: Vec<(usize, Ask)> =
        (0..5).flat_map(|model| [0, 2, 3].map(|question| (model, fleet.ask(0, 1, model, question)))).collect();
    for (index, (model, ask)) in asks.iter().enumerate() {
        leaving.keep(ask.clone(), answer(1, *model, index), NOTHING, &fleet.rules);
    }
    stop.cancel();
    work.join_all().await;
    for (index, (model, ask)) in asks.iter().enumerate() {
        let found = fleet.find(1, ask).await.expect("it had been kept");
        assert_eq!(operation(&found, 1, *model), index);
    }
    assert_eq!(leaving.sharing().unwrap().written, 15);
}
