//! The store of answers on every kind of server: values, prompts, purges, and the rights it needs.

use std::time::Duration;

use secrecy::SecretString;
use sluice::config::{Redis, RedisMode};
use sluice::state::{AnswerIndex, Answers, Fault, PurgeMark, SharedPrompt};
use tokio::time::Instant;

use crate::servers::{Cluster, Server};
use crate::world::config;

const HOUR: Duration = Duration::from_hours(1);
/// What docs/redis.md says the user needs.
const RIGHTS: &str = "~test:cache:* +get +set +pttl +pexpire +unlink +del +hget +hset +hlen +hincrby +hmget +hgetall \
    +eval +evalsha +time +multi +exec +xadd +xrange +zadd +zcard +zrange +zrangebyscore +zrem";

fn answers(config: &Redis) -> Answers {
    sluice::app::install_crypto();
    Answers::new(config, ("test", 4), sluice::telemetry::SharedCacheMetrics::default()).unwrap()
}

async fn on(server: &Server) -> Answers {
    let answers = answers(&config(&[server.url()], RedisMode::Single));
    answers.connect().await.unwrap();
    answers
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

fn prompt(key: u8, text: &str) -> SharedPrompt {
    SharedPrompt { key: [key; 32], text: text.to_owned() }
}

/// Values and purges, whatever the server can search with.
async fn keeps(answers: &Answers) {
    for key in 0..50 {
        assert_eq!(answers.get(&[key; 32], soon()).await.unwrap(), None);
        answers.set(&[key; 32], &[0, key, 255], HOUR).await.unwrap();
        let (value, left) = answers.get(&[key; 32], soon()).await.unwrap().unwrap();
        assert_eq!(value, [0, key, 255]);
        assert!(left <= HOUR && left > HOUR / 2, "{left:?}");
    }
    answers.unlink(&[7; 32]).await.unwrap();
    assert_eq!(answers.get(&[7; 32], soon()).await.unwrap(), None);

    assert_eq!(answers.mark().await.unwrap(), None);
    let first = answers.purge(PurgeMark::default(), None).await.unwrap();
    assert!(first.epoch != 0 && first.seq == 0);
    let purged = answers.purge(first, Some("{\"tenant\":\"acme\"}")).await.unwrap();
    assert_eq!(purged, PurgeMark { seq: 1, ..first });
    assert_eq!(answers.purge(PurgeMark::default(), None).await.unwrap(), purged, "another replica agrees");
    assert_eq!(answers.mark().await.unwrap(), Some(purged));
    assert_eq!(answers.purges().await.unwrap(), [("{\"tenant\":\"acme\"}".to_owned(), 1)]);
    let ahead = PurgeMark { seq: 2, ..first };
    let lost = answers.purge(ahead, None).await.unwrap();
    assert!(lost.epoch != first.epoch && lost.seq == 0, "a store that knows less than it did begins anew");
    assert!(answers.purges().await.unwrap().is_empty());
}

/// Prompts near a vector, in a partition.
async fn searches(answers: &Answers) {
    let (near, far) = ([1.0, 0.1, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]);
    for partition in 0..20 {
        let shelve = async |prompt: SharedPrompt, vector: &[f32], ttl| {
            answers.shelve(&[partition; 32], &prompt, vector, ttl).await.unwrap();
        };
        let nearest =
            async |count| answers.nearest(&[partition; 32], &[1.0, 0.0, 0.0, 0.0], count, soon()).await.unwrap();
        assert!(nearest(5).await.is_empty());
        shelve(prompt(1, "far – weit"), &far, HOUR).await;
        shelve(prompt(2, "near"), &near, HOUR).await;
        shelve(prompt(2, "near"), &near, HOUR).await;
        assert_eq!(nearest(1).await, [prompt(2, "near")]);
        assert_eq!(nearest(5).await, [prompt(2, "near"), prompt(1, "far – weit")]);
        answers.unshelve(&[partition; 32], &prompt(2, "near")).await.unwrap();
        assert_eq!(nearest(5).await, [prompt(1, "far – weit")]);
    }
    // What has had its time makes room, though a vector set knows no time.
    let partition = [99; 32];
    answers.shelve(&partition, &prompt(1, "brief"), &near, Duration::from_millis(1)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    answers.shelve(&partition, &prompt(2, "long"), &near, HOUR).await.unwrap();
    assert_eq!(answers.nearest(&partition, &near, 5, soon()).await.unwrap(), [prompt(2, "long")]);
}

async fn streams(answers: &Answers) {
    let page = answers.prompts_after("").await.unwrap();
    assert!(page.prompts.is_empty() && page.last.is_none() && !page.more);
    let many = 510_usize;
    for index in 0..many {
        let key = u8::try_from(index % 200).unwrap();
        answers.shelve(&[3; 32], &prompt(key, &format!("prompt {index}")), &[], HOUR).await.unwrap();
    }
    let first = answers.prompts_after("").await.unwrap();
    assert!(first.more);
    let second = answers.prompts_after(&first.last.unwrap()).await.unwrap();
    assert!(!second.more);
    let all: Vec<_> = first.prompts.into_iter().chain(second.prompts).collect();
    assert_eq!(all.len(), many);
    for (index, streamed) in all.iter().enumerate() {
        assert_eq!((streamed.partition, &streamed.prompt.text), ([3; 32], &format!("prompt {index}")));
        assert!(streamed.left <= HOUR + Duration::from_secs(1) && streamed.left > HOUR / 2, "{:?}", streamed.left);
    }
    assert!(answers.nearest(&[3; 32], &[1.0, 0.0, 0.0, 0.0], 5, soon()).await.unwrap().is_empty());
}

#[tokio::test]
async fn two_replicas_answers_on_a_plain_server() {
    let server = Server::start(&[]);
    let answers = on(&server).await;
    assert_eq!(answers.index(), Some(AnswerIndex::Stream));
    keeps(&answers).await;
    streams(&answers).await;
}

#[tokio::test]
async fn two_replicas_answers_in_a_cluster() {
    let cluster = Cluster::start();
    let answers = answers(&config(&cluster.urls(), RedisMode::Cluster));
    answers.connect().await.unwrap();
    assert_eq!(answers.index(), Some(AnswerIndex::Stream));
    keeps(&answers).await;
    streams(&answers).await;
    assert!(cluster.nodes.iter().all(|node| node.cli(&["dbsize"]) != "0"), "answers are spread over the nodes");
}

#[tokio::test]
async fn two_replicas_answers_with_vector_sets() {
    let server = Server::with_vector_sets();
    let answers = on(&server).await;
    assert_eq!(answers.index(), Some(AnswerIndex::VectorSets));
    keeps(&answers).await;
    searches(&answers).await;
}

#[tokio::test]
async fn two_replicas_answers_with_vector_sets_in_a_cluster() {
    let cluster = Cluster::with_vector_sets();
    let answers = answers(&config(&cluster.urls(), RedisMode::Cluster));
    answers.connect().await.unwrap();
    assert_eq!(answers.index(), Some(AnswerIndex::VectorSets));
    keeps(&answers).await;
    searches(&answers).await;
}

#[tokio::test]
async fn two_replicas_answers_with_ft_search() {
    let server = Server::with_search();
    let answers = on(&server).await;
    assert_eq!(answers.index(), Some(AnswerIndex::Search));
    keeps(&answers).await;
    searches(&answers).await;
    // The index goes with a flush: it is made again.
    server.cli(&["flushall"]);
    let none = answers.nearest(&[1; 32], &[1.0; 4], 1, soon()).await;
    assert_eq!(none.unwrap_err(), Fault::Failed);
    assert_eq!(answers.connect().await.unwrap(), AnswerIndex::Search);
    searches(&answers).await;
}

#[tokio::test]
async fn two_replicas_answers_need_the_rights_that_are_documented() {
    let documented = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/redis.md")).unwrap();
    for right in RIGHTS.split_whitespace().skip(1) {
        assert!(documented.contains(right), "docs/redis.md does not name {right}");
    }
    for (server, search, index) in [
        (Server::start(&[]), "", AnswerIndex::Stream),
        (Server::with_vector_sets(), "+vadd +vsim +vrem", AnswerIndex::VectorSets),
        (Server::with_search(), "+ft.create +ft.search", AnswerIndex::Search),
    ] {
        let mut acl = vec!["acl", "setuser", "cache", "on", ">pw"];
        acl.extend(RIGHTS.split_whitespace().chain(search.split_whitespace()));
        assert_eq!(server.cli(&acl), "OK");
        let user = |password: &str| Redis {
            username: Some("cache".to_owned()),
            password: Some(SecretString::from(password)),
            ..config(&[server.url()], RedisMode::Single)
        };
        assert!(answers(&user("wrong")).connect().await.unwrap_err().contains("redis.password"));
        let answers = answers(&user("pw"));
        assert_eq!(answers.connect().await.unwrap(), index, "{search}");
        keeps(&answers).await;
        match index {
            AnswerIndex::Stream => streams(&answers).await,
            AnswerIndex::VectorSets | AnswerIndex::Search => searches(&answers).await,
        }
    }
}

#[tokio::test]
async fn two_replicas_answers_of_a_server_that_hangs_or_is_gone() {
    let server = Server::start(&[]);
    let answers = on(&server).await;
    answers.set(&[1; 32], b"x", HOUR).await.unwrap();
    server.signal("STOP");
    let begun = Instant::now();
    while answers.index().is_some() {
        let late = answers.get(&[1; 32], Instant::now() + Duration::from_millis(50)).await;
        assert!(matches!(late, Err(Fault::Late | Fault::Down)), "{late:?}");
        assert!(begun.elapsed() < Duration::from_secs(20), "the breaker never opens");
    }
    assert_eq!(answers.get(&[1; 32], soon()).await.unwrap_err(), Fault::Down, "it is not asked any more");
    assert!(answers.connect().await.is_err(), "it is not used before it answers");
    server.signal("CONT");
    answers.connect().await.unwrap();
    assert!(answers.get(&[1; 32], soon()).await.unwrap().is_some());
    drop(server);
    assert_eq!(answers.get(&[1; 32], soon()).await.unwrap_err(), Fault::Failed);
    assert!(answers.index().is_none() && answers.reason().is_some());
}
