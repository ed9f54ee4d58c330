//! `sluice explain`: what would become of a request, from the files alone and with a running gateway.

use std::path::Path;
use std::process::Command;

use crate::common::{Gate, ask};
use serde_json::json;
use sluice_mock::Behaviour;

fn explain(config: &Path, more: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.arg("explain").arg("--config").arg(config).args(["--key", "web", "--model", "m"]).args(more);
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_limits_price_and_targets_and_sends_nothing() {
    let models = "{ targets: [{ target: mock/gpt-4o, priority: 1, zone: far }, mock/gpt-4o-mini], concurrent: 8 }";
    let edit = |text: String| text.replace("[mock/gpt-4o-mini]", models);
    let limits = &["100k tokens/min per key", "9 requests/day per user", "5 tokens/day per key"];
    let gate = Gate::with(limits, Behaviour::default(), edit).await;
    let (ok, text) = explain(&gate.config_path(), &[]);
    assert!(ok, "{text}");
    for part in [
        "key      acme/web (class standard)",
        "model    m: 8 requests at once",
        "tokens   8 in the prompt (exact), at most 4096 in the answer",
        "100k tokens/min per key: asks 4104 of 100000\n",
        "5 tokens/day per key: asks 4104 of 5: it never fits",
        "1. mock/gpt-4o-mini: the only one of its priority (priority 0, weight 1; at most $0.002459)",
        "2. mock/gpt-4o: the only one of its priority (priority 1, weight 1, zone far; at most $0.040980)",
        "price    at most $0.040980",
        "cache    off",
        "no request was sent",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let body = gate.dir.path().join("body.json");
    std::fs::write(
        &body,
        json!({"messages": [{"role": "user", "content": "x"}], "user": "u", "max_tokens": 7}).to_string(),
    )
    .unwrap();
    let (ok, text) = explain(&gate.config_path(), &["--body", body.to_str().unwrap()]);
    assert!(ok && text.contains("9 requests/day per user: asks 1 of 9") && text.contains("at most 7"), "{text}");
    assert!(gate.mock.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_the_cache_would_do() {
    let cache = "cache: { mode: semantic, ttl: 10m, rules: [{ name: none, match: { user: nobody }, mode: off }] }\n";
    let gate = Gate::start(&[], cache, Behaviour::default()).await;
    let said = |body: serde_json::Value| {
        let path = gate.dir.path().join("body.json");
        std::fs::write(&path, body.to_string()).unwrap();
        let (ok, text) = explain(&gate.config_path(), &["--body", path.to_str().unwrap()]);
        assert!(ok, "{text}");
        text.lines().find_map(|line| line.strip_prefix("cache    ")).expect("no line of the cache").to_owned()
    };
    let asked = |text: &str| json!({"messages": [{"role": "user", "content": text}]});
    let rule = "(rule default, shared by key, kept 600 s)";
    assert_eq!(said(asked("What is the capital of Kenya?")), format!("the same request, or one in other words {rule}"));
    let long = said(asked(&"word ".repeat(65)));
    assert_eq!(long, format!("the same request; this one is not looked up in other words {rule}"));
    let mut many = asked("hi");
    many["n"] = json!(2);
    assert_eq!(said(many), "bypass(n)");
    let mut nobody = asked("hi");
    nobody["user"] = json!("nobody");
    assert_eq!(said(nobody), "no rule keeps its answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_gateway_adds_levels_and_health() {
    let gate = Gate::start(&["100k tokens/day per key"], "", Behaviour::default()).await;
    gate.chat(ask(false, json!({}))).await.bytes().await.unwrap();
    gate.settled().await;
    let admin = gate.app.admin.to_string();
    let (ok, text) = explain(&gate.config_path(), &["--admin", &admin]);
    assert!(ok && text.contains("asks 4104 of 100000, 99979 left now"), "{text}");
    assert!(text.contains("; now up, on, 0 under way"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_say_what_there_is() {
    let gate = Gate::start(&[], "", Behaviour::default()).await;
    let (ok, text) = explain(&gate.config_path(), &["--key", "nobody"]);
    assert!(!ok, "{text}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.arg("explain").arg("--config").arg(gate.config_path());
    let output = command.args(["--key", "nobody", "--model", "m"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no key `nobody`; there is acme/web"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.arg("explain").arg("--config").arg(gate.config_path());
    let output = command.args(["--key", "web", "--model", "none"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("it would be refused: 404"));
}
