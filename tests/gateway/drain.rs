//! The real binary: SIGTERM lets streams finish, settles everything and exits 0.

use std::io::{BufRead, Read};
use std::process::Command;

use crate::binary::Binary;
use crate::common::{KEY, any_port, ask};
use serde_json::{Value, json};
use sluice_mock::{Behaviour, Mock};

mod front {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sigterm_lets_a_stream_finish_and_exits_cleanly() {
        sluice::app::install_crypto();
        let mock = Mock::with_defaults(Behaviour::default()).start(any_port()).await.unwrap();
        let mut gate = Binary::serve(mock.addr(), []);
        let listen = gate.listen.clone();

        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{listen}/v1/chat/completions");
        let body = ask(true, json!({"tokens": 30, "token_ms": 30})).to_string();
        let mut response = client.post(&url).bearer_auth(KEY).body(body).send().await.unwrap();
        response.chunk().await.unwrap().unwrap();
        // One that has been opened and says nothing must not hold up the drain.
        let _silent = tokio::net::TcpStream::connect(&listen).await.unwrap();
        let pid = gate.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());

        let mut rest = Vec::new();
        while let Some(chunk) = response.chunk().await.unwrap() {
            rest.extend_from_slice(&chunk);
        }
        assert!(rest.ends_with(b"data: [DONE]\n\n"), "the stream was cut by the drain");
        let ended = std::time::Instant::now();
        let (mut gate, status) = tokio::task::spawn_blocking(move || {
            let status = gate.child.wait().unwrap();
            (gate, status)
        })
        .await
        .unwrap();
        assert_eq!(status.code(), Some(0));
        assert!(ended.elapsed() < std::time::Duration::from_secs(15), "far below the drain timeout of 30 s");
        assert!(client.get(format!("http://{listen}/v1/models")).send().await.is_err(), "it still accepts");
        let logged: Value = serde_json::from_str(&gate.access.by_ref().lines().next().unwrap().unwrap()).unwrap();
        assert_eq!((logged["outcome"].as_str(), logged["output_tokens"].as_u64()), (Some("ok"), Some(30)));
        let told: Vec<String> = gate.log.by_ref().lines().map(Result::unwrap).collect();
        assert!(told.iter().any(|line| line.contains("drained") && line.contains("\"leases_open\":0")), "{told:?}");
    }
}
