//! The real binary: SIGTERM lets streams finish, settles everything and exits 0.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::common::{KEY, any_port, ask, config_text, policy};
use serde_json::{Value, json};
use sluice_mock::{Behaviour, Mock};

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

mod front {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sigterm_lets_a_stream_finish_and_exits_cleanly() {
        sluice::app::install_crypto();
        let mock = Mock::with_defaults(Behaviour::default()).start(any_port()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("policy.yaml"), policy(&["1M tokens/day per key"])).unwrap();
        let path = dir.path().join("sluice.yaml");
        std::fs::write(&path, config_text(mock.addr(), "")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.args(["serve", "--config"]).arg(&path).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Killed(command.spawn().unwrap());
        let mut log = BufReader::new(child.0.stderr.take().unwrap());
        let access = BufReader::new(child.0.stdout.take().unwrap());
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
        let listen = started["fields"]["listen"].as_str().unwrap().to_owned();

        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{listen}/v1/chat/completions");
        let body = ask(true, json!({"tokens": 30, "token_ms": 30})).to_string();
        let mut response = client.post(&url).bearer_auth(KEY).body(body).send().await.unwrap();
        response.chunk().await.unwrap().unwrap();
        // One that has been opened and says nothing must not hold up the drain.
        let _silent = tokio::net::TcpStream::connect(&listen).await.unwrap();
        let pid = child.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());

        let mut rest = Vec::new();
        while let Some(chunk) = response.chunk().await.unwrap() {
            rest.extend_from_slice(&chunk);
        }
        assert!(rest.ends_with(b"data: [DONE]\n\n"), "the stream was cut by the drain");
        let ended = std::time::Instant::now();
        let status = tokio::task::spawn_blocking(move || child.0.wait().unwrap()).await.unwrap();
        assert_eq!(status.code(), Some(0));
        assert!(ended.elapsed() < std::time::Duration::from_secs(15), "far below the drain timeout of 30 s");
        assert!(client.get(format!("http://{listen}/v1/models")).send().await.is_err(), "it still accepts");
        let logged: Value = serde_json::from_str(&access.lines().next().unwrap().unwrap()).unwrap();
        assert_eq!((logged["outcome"].as_str(), logged["output_tokens"].as_u64()), (Some("ok"), Some(30)));
        let told: Vec<String> = log.lines().map(Result::unwrap).collect();
        assert!(told.iter().any(|line| line.contains("drained") && line.contains("\"leases_open\":0")), "{told:?}");
    }
}
