//! Sound: passed on while it comes, billed by its text, and never complete when it was cut.

use serde_json::{Value, json};
use sluice_mock::Behaviour;

use crate::common::{Gate, KEY};

/// Twelve characters: at 15 dollars a million, 180 micro-dollars.
const TEXT: &str = "One two six.";
const MICROS: i64 = 180;

async fn gate() -> Gate {
    let limits = &["$1/day per key", "100 requests/day per key"];
    Gate::with(limits, Behaviour::default(), |text| text.replace("m: [mock/gpt-4o-mini]", "tts-1: [mock/tts-1]")).await
}

async fn say(gate: &Gate, mock: Value) -> reqwest::Response {
    let body = json!({"model": "tts-1", "voice": "alloy", "input": TEXT, "mock": mock});
    gate.post("/v1/audio/speech", body).await.unwrap()
}

async fn spent(gate: &Gate) -> i64 {
    gate.settled().await;
    let levels: Value = serde_json::from_str(&gate.admin("/levels").await).unwrap();
    1_000_000 - levels["limits"][0]["remaining"].as_i64().unwrap()
}

/// The mock says each word as a thousand bytes.
fn sound() -> Vec<u8> {
    TEXT.split_whitespace().flat_map(|word| vec![u8::try_from(word.len()).unwrap() | 0x80; 1000]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_arrives_as_it_was_sent_and_is_billed() {
    let gate = gate().await;
    let answer = say(&gate, json!({"token_ms": 20})).await;
    assert_eq!(answer.status(), 200);
    let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("content-type").as_deref(), Some("audio/mpeg"));
    if std::env::var("SLUICE_DOOR").as_deref() != Ok("steer") {
        assert_eq!(header("x-sluice-cost").as_deref(), Some("0.000180"));
    }
    assert_eq!(answer.bytes().await.unwrap(), sound());
    assert_eq!(spent(&gate).await, MICROS);
    assert_eq!(gate.gateway().budget.used(), 0);
}

/// The provider never comes to an end: whoever waited for all of the answer would wait for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_is_heard_while_it_is_made_and_a_client_that_leaves_stops_it() {
    let gate = gate().await;
    let mut answer = say(&gate, json!({"stall_after": 2})).await;
    let mut heard = Vec::new();
    while heard.len() < 2000 {
        heard.extend_from_slice(&answer.chunk().await.unwrap().unwrap());
    }
    assert_eq!(heard, sound()[..2000]);
    assert_eq!((gate.mock.open_streams(), gate.gateway().store.open_leases()), (1, 1));
    drop(answer);
    assert_eq!(spent(&gate).await, MICROS, "the provider bills the text, however much was heard");
    for _ in 0..100 {
        if gate.mock.open_streams() == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the provider still speaks a second after its client left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_that_was_cut_does_not_look_complete() {
    let gate = gate().await;
    let answer = say(&gate, json!({"reset": {"after_chunks": 2}})).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.bytes().await.is_err());
    assert_eq!(spent(&gate).await, MICROS);
}

/// What is about attempts, which Envoy makes itself in `steer`.
mod front {
    use super::*;

    #[tokio::test]
    async fn sound_that_is_cut_before_its_first_byte_is_asked_for_elsewhere() {
        let edit = |text: String| text.replace("m: [mock/gpt-4o-mini]", "tts-1: [mock/tts-1, mock/tts-1-hd]");
        let gate = Gate::with(&[], Behaviour::default(), edit).await;
        let answer = say(&gate, json!({"reset": {"after_chunks": 0}})).await;
        assert_eq!(answer.status(), 502);
        assert_eq!(answer.headers()["x-sluice-attempts"], "2");
        assert_eq!(gate.mock.requests().len(), 2);
    }

    #[tokio::test]
    async fn over_http2_cut_sound_is_a_reset_stream() {
        let gate = gate().await;
        let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
        let body = json!({"model": "tts-1", "voice": "alloy", "input": TEXT, "mock": {"reset": {"after_chunks": 2}}});
        let request = client.post(gate.url("/v1/audio/speech")).bearer_auth(KEY).body(body.to_string());
        let answer = request.header("content-type", "application/json").send().await.unwrap();
        assert!(answer.bytes().await.is_err());
        gate.settled().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transcription_streams_also_if_that_is_said_behind_the_file() {
    // Whoever waited for all of it would wait for ever.
    let stalls = Behaviour { stall_after: Some(2), text: Some("one two three".to_owned()), ..Behaviour::default() };
    let gate = Gate::start(&[], "", stalls).await;
    let part = |rest: &str| format!("--xyz\r\ncontent-disposition: form-data; name={rest}\r\n");
    let file = part("\"file\"; filename=\"a.wav\"\r\ncontent-type: audio/wav\r\n\r\nRIFF0000");
    let body = part("\"model\"\r\n\r\nm") + &file + &part("\"stream\"\r\n\r\ntrue") + "--xyz--\r\n";
    let request = gate.client.post(gate.url("/v1/audio/transcriptions")).bearer_auth(KEY);
    let mut answer =
        request.header("content-type", "multipart/form-data; boundary=xyz").body(body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/event-stream; charset=utf-8");
    let mut heard = Vec::new();
    while !heard.ends_with(b"\"two \"}\n\n") {
        heard.extend_from_slice(&answer.chunk().await.unwrap().expect("it ended"));
    }
    assert_eq!(String::from_utf8(heard).unwrap().matches("transcript.text.delta").count(), 2);
    drop(answer);
    gate.settled().await;
}
