//! A client that leaves at any point: the provider is cancelled, the lease settled with what was
//! relayed.

use std::time::Duration;

use crate::common::{Gate, KEY, ask};
use serde_json::{Value, json};
use sluice_mock::Behaviour;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const STREAM: usize = 20;

/// Opens a stream over a raw socket, so that the client can die at any byte.
async fn open(gate: &Gate, mock: Value) -> TcpStream {
    let body = ask(true, mock).to_string();
    let mut socket = TcpStream::connect(gate.listen()).await.unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket
}

async fn read_until(socket: &mut TcpStream, done: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    let mut buffer = [0u8; 4096];
    while !done(&text) {
        let read = socket.read(&mut buffer).await.unwrap();
        assert!(read > 0, "closed early: {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    text
}

async fn all_quiet(gate: &Gate) {
    gate.settled().await;
    for _ in 0..100 {
        if gate.mock.open_streams() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the provider still streams a second after its client left");
}

#[tokio::test]
async fn leaving_at_any_point_settles_within_a_second() {
    let gate = Gate::start(&["1M tokens/day per key"], "", Behaviour::default()).await;
    let slow = json!({"tokens": STREAM, "token_ms": 15, "first_token_ms": 80});
    // Before the head.
    let socket = open(&gate, json!({"head_ms": 5000})).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(gate.gateway().store.open_leases(), 1, "the request is in flight");
    drop(socket);
    all_quiet(&gate).await;
    // After the head, and after each event up to the one before usage.
    for seen in 0..=STREAM {
        let mut socket = open(&gate, slow.clone()).await;
        read_until(&mut socket, |text| text.contains("\r\n\r\n") && text.matches("data: ").count() >= seen).await;
        drop(socket);
        all_quiet(&gate).await;
    }
    assert_eq!(gate.gateway().budget.used(), 0);
}

/// Found in other gateways: the usage chunk never comes when the client hangs up, and nothing is
/// charged.
#[tokio::test]
async fn a_client_that_hangs_up_pays_for_what_it_got() {
    let gate = Gate::start(&["1M tokens/day per key"], "", Behaviour::default()).await;
    let mut socket = open(&gate, json!({"tokens": 1000, "token_ms": 5})).await;
    let text = read_until(&mut socket, |text| text.matches("\"content\":\"").count() > 30).await;
    drop(socket);
    all_quiet(&gate).await;
    let seen = i64::try_from(text.matches("\"content\":\"").count()).unwrap();
    let levels: Value = serde_json::from_str(&gate.admin("/levels").await).unwrap();
    let spent = 1_000_000 - levels["limits"][0]["remaining"].as_i64().unwrap();
    // The prompt is 9 tokens; the gateway may have relayed a few chunks that this side never read.
    assert!(spent >= 9 + seen - 2 && spent <= 9 + seen + 60, "spent {spent}, saw {seen}");
}
