//! Keys of providers through a running gateway: turns, rests, and that nobody ever sees one.

use serde_json::json;
use sluice_mock::Behaviour;

use crate::common::{Gate, ask, value};

const KEYS: [&str; 3] = ["upstream-one", "upstream-two", "upstream-three"];

async fn gate() -> Gate {
    let keys = format!("api_keys: [{}]", KEYS.join(", "));
    Gate::with(&[], Behaviour::default(), |text| text.replace("api_key: upstream-secret", &keys)).await
}

/// The keys that the mock was shown, in order.
fn shown(gate: &Gate) -> Vec<String> {
    let key = |request: &sluice_mock::Received| {
        let header = request.headers.iter().find(|(name, _)| name == "authorization");
        header.map(|(_, value)| value.trim_start_matches("Bearer ").to_owned())
    };
    gate.mock.requests().iter().filter_map(key).collect()
}

#[tokio::test]
async fn keys_take_turns_and_a_refused_one_rests() {
    let gate = gate().await;
    for _ in 0..4 {
        assert_eq!(gate.chat(ask(false, json!({}))).await.status(), 200);
    }
    assert_eq!(shown(&gate), ["upstream-one", "upstream-two", "upstream-three", "upstream-one"]);
    // The client never sees that one key has spent its limit and another is wrong.
    gate.mock.refuse_key("upstream-two", 429);
    gate.mock.refuse_key("upstream-three", 401);
    for _ in 0..6 {
        assert_eq!(gate.chat(ask(false, json!({}))).await.status(), 200);
    }
    let shown = shown(&gate);
    assert_eq!(shown[4..7], ["upstream-two", "upstream-three", "upstream-one"]);
    assert!(shown[7..].iter().all(|key| key == "upstream-one"), "{shown:?}");
}

#[tokio::test]
async fn when_every_key_is_refused_the_client_is_told_whose_they_are() {
    let gate = gate().await;
    for key in KEYS {
        gate.mock.refuse_key(key, 401);
    }
    let answer = gate.chat(ask(false, json!({}))).await;
    assert_eq!(answer.status(), 502);
    let body = value(answer).await;
    assert!(body["error"]["message"].as_str().unwrap().contains("the gateway's credentials"), "{body}");
    assert_eq!(gate.mock.requests().len(), 3);
}

#[tokio::test]
async fn no_key_is_in_the_config_dump() {
    let gate = gate().await;
    let shown = gate.admin("/config").await;
    assert!(shown.contains("\"keys\":3") || shown.contains("\"keys\": 3"), "{shown}");
    assert!(KEYS.iter().all(|key| !shown.contains(key)));
}

#[tokio::test]
async fn a_key_may_have_a_header_of_its_own() {
    let edit =
        |text: String| text.replace("api_key: upstream-secret", "api_key: upstream-secret, key_header: X-Api-Key");
    let gate = Gate::with(&[], Behaviour::default(), edit).await;
    assert_eq!(gate.chat(ask(true, json!({}))).await.status(), 200);
    let has = |request: &sluice_mock::Received, header: &str| request.headers.iter().any(|(name, _)| name == header);
    let requests = gate.mock.requests();
    // A port is reused: another test's gateway may still look for its own provider here.
    let ours: Vec<_> = requests.iter().filter(|request| has(request, "x-api-key")).collect();
    assert_eq!(ours.len(), 1);
    assert!(ours[0].headers.iter().any(|(name, value)| name == "x-api-key" && value == "upstream-secret"));
    assert!(!has(ours[0], "authorization"));
}
