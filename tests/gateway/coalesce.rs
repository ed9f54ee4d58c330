//! Requests that ask the same at once: one call to the provider, an answer for each, whoever leaves, comes late, is slow
//! or is refused.

use std::sync::Arc;
use std::time::Duration;

use rand::seq::SliceRandom;
use reqwest::Response;
use serde_json::{Value, json};
use sluice_mock::Behaviour;
use tokio::task::JoinSet;

use crate::common::{Gate, KEY, events, policy, value};

const CACHE: &str = "cache: {}\n";

fn question(text: &str, stream: bool, mock: &Value) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": text}], "stream": stream, "mock": mock})
}

fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

/// Waits until so many clients read the one call there is.
async fn under_way(gate: &Gate, calls: usize) {
    for _ in 0..500 {
        if gate.gateway().joins.len() == calls && gate.mock.requests().len() >= calls {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{} calls, {} at the provider", gate.gateway().joins.len(), gate.mock.requests().len());
}

async fn metric(gate: &Gate, line: &str) -> u64 {
    let metrics = gate.admin("/metrics").await;
    let found = metrics.lines().find_map(|it| it.strip_prefix(line));
    found.map_or(0, |value| value.trim().parse().unwrap())
}

async fn lookups(gate: &Gate, result: &str) -> u64 {
    metric(gate, &format!("sluice_cache_lookups_total{{model=\"m\",result=\"{result}\"}} ")).await
}

/// Waits until that many look-ups had this result.
async fn looked_up(gate: &Gate, result: &str, count: u64) {
    for _ in 0..500 {
        if lookups(gate, result).await >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} of {count} look-ups were {result}", lookups(gate, result).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_streams_of_which_a_hundred_leave_are_one_call() {
    let gate = Arc::new(Gate::start(&["1000 requests/day per key"], CACHE, Behaviour::default()).await);
    let mut leaves = [false; 300];
    leaves[..100].fill(true);
    leaves.shuffle(&mut rand::rng());
    // Whoever came first leaves in any case.
    let first = gate.chat(question("all at once", true, &json!({"tokens": 60, "token_ms": 50}))).await;
    assert_eq!(header(&first, "x-sluice-cache"), "miss");
    let mut clients = JoinSet::new();
    for leaves in leaves {
        let gate = Arc::clone(&gate);
        clients.spawn(async move {
            let mut response = gate.chat(question("all at once", true, &json!({"tokens": 60, "token_ms": 50}))).await;
            assert_eq!((response.status().as_u16(), header(&response, "x-sluice-cache").as_str()), (200, "hit-exact"));
            if leaves {
                let stay: u64 = rand::random_range(0..1500);
                let reading = async { while response.chunk().await.unwrap().is_some() {} };
                tokio::time::timeout(Duration::from_millis(stay), reading).await.unwrap_err();
                return None;
            }
            Some(response.text().await.unwrap())
        });
    }
    looked_up(&gate, "joined", 20).await;
    drop(first);
    let mut whole = Vec::new();
    while let Some(text) = clients.join_next().await {
        whole.extend(text.unwrap());
    }
    assert_eq!(whole.len(), 200);
    assert!(whole.iter().all(|text| *text == whole[0]), "all are the same");
    assert!(whole[0].ends_with("data: [DONE]\n\n"));
    let said = events(&whole[0]);
    let pieces =
        said.iter().filter(|event| event["choices"][0]["delta"]["content"].as_str().is_some_and(|s| !s.is_empty()));
    assert_eq!(pieces.count(), 60);
    assert_eq!(gate.mock.requests().len(), 1, "one call");
    gate.settled().await;
    assert_eq!((lookups(&gate, "joined").await, lookups(&gate, "miss").await), (300, 1));
    // Not the first one, whose call it was: it has paid.
    assert!(metric(&gate, "sluice_cache_saved_tokens_total{model=\"m\"} ").await >= 200 * 60);
    let levels: Value = serde_json::from_str(&gate.admin("/levels").await).unwrap();
    assert_eq!(levels["limits"][0]["remaining"], json!(999), "the others cost no limit: {levels}");
    assert_eq!(gate.gateway().joins.len(), 0);
    let kept = gate.chat(question("all at once", true, &json!({"tokens": 60, "token_ms": 50}))).await;
    assert_eq!(header(&kept, "x-sluice-cache"), "hit-exact");
    assert_eq!(gate.mock.requests().len(), 1, "the answer was kept although its first client had left");
    assert_eq!(gate.gateway().budget.used(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_answers_are_shared_too() {
    let gate = Arc::new(Gate::start(&[], CACHE, Behaviour::default()).await);
    let body = question("whole", false, &json!({"tokens": 5, "head_ms": 700}));
    let mut clients = JoinSet::new();
    for _ in 0..50 {
        let (gate, body) = (Arc::clone(&gate), body.clone());
        clients.spawn(async move {
            let response = gate.chat(body).await;
            (header(&response, "x-sluice-cache"), header(&response, "age"), response.bytes().await.unwrap())
        });
    }
    let all: Vec<_> = clients.join_all().await;
    assert!(all.iter().all(|(_, _, bytes)| *bytes == all[0].2 && !bytes.is_empty()));
    assert_eq!(all.iter().filter(|(cache, age, _)| cache == "miss" && age.is_empty()).count(), 1);
    assert_eq!(all.iter().filter(|(cache, age, _)| cache == "hit-exact" && age == "0").count(), 49);
    assert_eq!(gate.mock.requests().len(), 1);
}

#[tokio::test]
async fn what_differs_is_not_joined() {
    let gate = Gate::start(&[], "cache: { scope: user }\n", Behaviour::default()).await;
    let slow = json!({"tokens": 40, "token_ms": 40});
    let first = gate.chat(question("mine", true, &slow)).await;
    assert_eq!(header(&first, "x-sluice-cache"), "miss");
    let changed = |name: &str, to: Value| {
        let mut body = question("mine", true, &slow);
        body[name] = to;
        body
    };
    for (name, to) in [
        ("user", json!("another")),
        ("temperature", json!(0.3)),
        ("stream_options", json!({"include_usage": true})),
        ("stream", json!(false)),
    ] {
        assert_eq!(header(&gate.chat(changed(name, to)).await, "x-sluice-cache"), "miss", "{name}");
    }
    for (name, told, cache) in
        [("x-sluice-cache", "refresh", "miss"), ("cache-control", "no-store", "bypass(no-store)")]
    {
        let request = gate.client.post(gate.url("/v1/chat/completions")).bearer_auth(KEY).header(name, told);
        let response = request.body(question("mine", true, &slow).to_string()).send().await.unwrap();
        assert_eq!(header(&response, "x-sluice-cache"), cache, "{told}");
    }
    assert_eq!(gate.mock.requests().len(), 7);
    assert_eq!(header(&gate.chat(question("mine", true, &slow)).await, "x-sluice-cache"), "hit-exact");
    let off = Gate::start(&[], "cache: { coalesce: false }\n", Behaviour::default()).await;
    let _first = off.chat(question("mine", true, &slow)).await;
    assert_eq!(header(&off.chat(question("mine", true, &slow)).await, "x-sluice-cache"), "miss");
}

#[tokio::test]
async fn a_call_that_began_before_a_purge_is_not_joined_after_it() {
    let gate = Gate::start(&[], CACHE, Behaviour::default()).await;
    let body = question("purged", true, &json!({"tokens": 40, "token_ms": 40}));
    let first = gate.chat(body.clone()).await;
    let url = format!("http://{}/cache/purge?key=web", gate.app.admin);
    assert_eq!(gate.client.post(url).send().await.unwrap().status().as_u16(), 200);
    let second = gate.chat(body.clone()).await;
    assert_eq!(header(&second, "x-sluice-cache"), "miss");
    assert_eq!(header(&gate.chat(body).await, "x-sluice-cache"), "hit-exact", "but the next one joins that");
    assert!(first.text().await.unwrap().ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn the_provider_is_cancelled_when_the_last_one_leaves() {
    let gate = Gate::start(&["1M tokens/day per key"], CACHE, Behaviour::default()).await;
    let body = question("leave", true, &json!({"tokens": 2000, "token_ms": 20}));
    let mut first = gate.chat(body.clone()).await;
    let mut second = gate.chat(body).await;
    first.chunk().await.unwrap();
    drop(first);
    for _ in 0..10 {
        assert!(second.chunk().await.unwrap().is_some());
    }
    assert_eq!((gate.mock.open_streams(), gate.gateway().store.open_leases()), (1, 1));
    drop(second);
    gate.settled().await;
    for _ in 0..100 {
        if gate.mock.open_streams() == 0 {
            return assert_eq!(gate.gateway().joins.len(), 0);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the provider still streams a second after its last client left");
}

#[tokio::test]
async fn errors_of_the_provider_are_everybodys() {
    // A delay made on purpose: time for all of them to come.
    let slow = "m: { targets: [mock/gpt-4o-mini], faults: { delay: 1s } }";
    let edit = |text: String| text.replace("m: [mock/gpt-4o-mini]", slow) + CACHE + "allow_faults: true\n";
    let gate = Arc::new(Gate::with(&[], Behaviour::default(), edit).await);
    for stream in [false, true] {
        let body = question(&format!("refused {stream}"), stream, &json!({"status": 400}));
        let before = gate.mock.requests().len();
        let mut clients = JoinSet::new();
        for _ in 0..20 {
            let (gate, body) = (Arc::clone(&gate), body.clone());
            clients.spawn(async move {
                let response = gate.chat(body).await;
                (response.status().as_u16(), value(response).await["error"]["message"].clone())
            });
        }
        let all: Vec<_> = clients.join_all().await;
        assert!(all.iter().all(|answer| *answer == all[0] && answer.0 == 400), "{all:?}");
        assert_eq!(gate.mock.requests().len(), before + 1, "one call, one refusal");
    }
    // One that breaks off in the middle of its answer.
    let body = question("breaks", true, &json!({"tokens": 50, "token_ms": 20, "reset": {"after_chunks": 10}}));
    let mut clients = JoinSet::new();
    for _ in 0..20 {
        let (gate, body) = (Arc::clone(&gate), body.clone());
        clients.spawn(async move { gate.chat(body).await.text().await.unwrap() });
    }
    let all: Vec<_> = clients.join_all().await;
    assert!(all.iter().all(|text| *text == all[0]));
    let last = events(&all[0]).pop().unwrap();
    assert_eq!(last["error"]["code"], "upstream_reset", "{last}");
}

#[tokio::test]
async fn a_request_that_is_refused_does_not_take_the_others_with_it() {
    // The tenant shares answers, but not limits.
    let gate = Gate::with(&["1 requests/day per user"], Behaviour::default(), |text| {
        text.replace("models:\n", "cache: { scope: tenant }\nmodels:\n")
    })
    .await;
    let ask = |user: &str, text: &str| {
        let mut body = question(text, true, &json!({"tokens": 5, "head_ms": 300}));
        body["user"] = json!(user);
        gate.post("/v1/chat/completions", body)
    };
    assert_eq!(ask("poor", "something else").await.unwrap().status().as_u16(), 200);
    let (poor, rich) = tokio::join!(ask("poor", "the same"), ask("rich", "the same"));
    let (poor, rich) = (poor.unwrap(), rich.unwrap());
    assert_eq!(rich.status().as_u16(), 200);
    // Whoever came first: the one without money pays nothing, and is refused only if it would have had to.
    assert!(matches!(poor.status().as_u16(), 200 | 429));
    assert!(rich.text().await.unwrap().ends_with("data: [DONE]\n\n"));
    assert_eq!(gate.mock.requests().len(), 2);
}

/// Rewrites the policy so that its class waits, and waits until that is live.
async fn patient(gate: &Gate, max_wait: &str) {
    let generation = gate.gateway().live.status().generation;
    let text = policy(&[]).replace("max_wait: 0s", &format!("max_wait: {max_wait}"));
    std::fs::write(gate.dir.path().join("policy.yaml"), text).unwrap();
    while gate.gateway().live.status().generation == generation {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn one_at_a_time(text: &str) -> String {
    let text = text.replace("m: [mock/gpt-4o-mini]", "m: { targets: [mock/gpt-4o-mini], concurrent: 1 }");
    format!("{text}{CACHE}limits: {{ queue_comments: 100ms }}\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_who_wait_for_one_call_in_the_queue_hear_of_it_and_its_first_may_leave() {
    let gate = Gate::with(&[], Behaviour::default(), |text| one_at_a_time(&text)).await;
    patient(&gate, "20s").await;
    let busy = gate.chat(question("busy", true, &json!({"tokens": 1000, "token_ms": 20}))).await;
    let body = question("queued", true, &json!({"tokens": 5}));
    let first = gate.chat(body.clone()).await;
    let others = futures_util::future::join_all((0..5).map(|_| gate.chat(body.clone()))).await;
    assert!(others.iter().all(|response| header(response, "content-type") == "text/event-stream"));
    drop(first);
    tokio::time::sleep(Duration::from_millis(250)).await;
    let levels: Value = serde_json::from_str(&gate.admin("/levels").await).unwrap();
    assert_eq!(levels["pools"][0]["waiting"]["standard"], json!(1), "one place for all: {levels}");
    drop(busy);
    for response in others {
        let text = response.text().await.unwrap();
        assert!(text.starts_with(": queued, 0 ahead\n\n") && text.ends_with("data: [DONE]\n\n"), "{text}");
    }
    assert_eq!(gate.mock.requests().len(), 2);
    gate.settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_wait_was_in_vain_is_begun_anew_by_one_of_the_others() {
    let gate = Arc::new(Gate::with(&[], Behaviour::default(), |text| one_at_a_time(&text)).await);
    patient(&gate, "20s").await;
    let busy = gate.chat(question("busy", true, &json!({"tokens": 1000, "token_ms": 20}))).await;
    let body = question("patient", false, &json!({"tokens": 5}));
    // The first one's SDK gives up soon.
    let request = gate.client.post(gate.url("/v1/chat/completions")).bearer_auth(KEY);
    let hasty = request.header("x-sluice-deadline-ms", "600").body(body.to_string()).send();
    let mut first = JoinSet::new();
    first.spawn(hasty);
    looked_up(&gate, "miss", 2).await;
    let mut others = JoinSet::new();
    for _ in 0..5 {
        let (gate, body) = (Arc::clone(&gate), body.clone());
        others.spawn(async move { gate.chat(body).await.status().as_u16() });
    }
    looked_up(&gate, "joined", 5).await;
    assert_eq!(first.join_next().await.unwrap().unwrap().unwrap().status().as_u16(), 429);
    looked_up(&gate, "miss", 3).await;
    drop(busy);
    assert_eq!(others.join_all().await, [200; 5]);
    assert_eq!(gate.mock.requests().len(), 2);
    assert_eq!((lookups(&gate, "miss").await, lookups(&gate, "joined").await), (3, 9), "no stampede");
}

#[tokio::test]
async fn a_deadline_is_its_own_clients() {
    let gate = Gate::start(&[], CACHE, Behaviour::default()).await;
    let body = question("deadline", true, &json!({"tokens": 40, "token_ms": 40}));
    let hasty = |millis: &'static str| {
        let request = gate.client.post(gate.url("/v1/chat/completions")).bearer_auth(KEY);
        request.header("x-sluice-deadline-ms", millis).body(body.to_string()).send()
    };
    let first = hasty("500").await.unwrap();
    let second = gate.chat(body.clone()).await;
    let third = hasty("700").await.unwrap();
    for cut in [first, third] {
        let last = events(&cut.text().await.unwrap()).pop().unwrap();
        assert_eq!(last["error"]["code"], "request_deadline", "{last}");
    }
    assert!(second.text().await.unwrap().ends_with("data: [DONE]\n\n"));
    assert_eq!(gate.mock.requests().len(), 1);
}

/// Envoy takes an answer as fast as it comes: only the HTTP door knows who reads slowly.
mod front {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpSocket;

    use super::*;

    #[tokio::test]
    async fn who_reads_too_slowly_slows_nobody_and_is_told_so() {
        let gate = Gate::start(&[], "cache: { max_entry: 64KiB }\n", Behaviour::default()).await;
        let body = question("long", true, &json!({"tokens": 30_000, "first_token_ms": 300}));
        // It came first, and takes next to nothing.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut slow = socket.connect(gate.listen()).await.unwrap();
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.to_string().len()
        );
        slow.write_all(request.as_bytes()).await.unwrap();
        looked_up(&gate, "miss", 1).await;
        let fast = gate.chat(body.clone()).await;
        assert_eq!(header(&fast, "x-sluice-cache"), "hit-exact");
        let text = fast.text().await.unwrap();
        assert!(text.ends_with("data: [DONE]\n\n"), "the fast one has it all");
        let mut told = Vec::new();
        slow.read_to_end(&mut told).await.unwrap();
        let told = String::from_utf8(told).unwrap();
        assert!(told.contains("\"code\":\"client_too_slow\"") && !told.contains("[DONE]"), "it must be told");
        gate.settled().await;
        assert_eq!((gate.mock.requests().len(), gate.gateway().budget.used()), (1, 0));
        assert_eq!(header(&gate.chat(body).await, "x-sluice-cache"), "miss", "too large to be kept");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shared_streams_survive_a_reload_and_the_drain() {
    let gate = Gate::start(&[], CACHE, Behaviour::default()).await;
    let body = question("drained", true, &json!({"tokens": 40, "token_ms": 40}));
    let first = gate.chat(body.clone()).await;
    let second = gate.chat(body.clone()).await;
    std::fs::write(
        gate.config_path(),
        std::fs::read_to_string(gate.config_path()).unwrap().replace("cache: {}", "cache: { coalesce: false }"),
    )
    .unwrap();
    while gate.gateway().live.status().generation == 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(header(&gate.chat(body).await, "x-sluice-cache"), "miss", "nobody joins any more");
    under_way(&gate, 1).await;
    let Gate { app, envoy: _envoy, mock: _mock, .. } = gate;
    let mut draining = JoinSet::new();
    draining.spawn(app.drain());
    drop(first);
    assert!(second.text().await.unwrap().ends_with("data: [DONE]\n\n"), "cut by the drain");
    draining.join_next().await.unwrap().unwrap();
}
