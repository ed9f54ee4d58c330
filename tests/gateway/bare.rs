//! The real binary on a machine that has next to nothing.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;
use sluice_mock::{Behaviour, Mock};

use crate::binary::Binary;
use crate::common::{KEY, any_port, ask, config_text, policy};

/// Where a machine without certificates has its own.
fn none(file: &Path) -> [(&'static str, &OsStr); 2] {
    std::fs::write(file, "").unwrap();
    [("SSL_CERT_FILE", file.as_os_str()), ("SSL_CERT_DIR", OsStr::new("/nowhere"))]
}

mod front {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_provider_without_tls_needs_no_certificates() {
        sluice::app::install_crypto();
        let mock = Mock::with_defaults(Behaviour::default()).start(any_port()).await.unwrap();
        let nothing = tempfile::tempdir().unwrap();
        let file = nothing.path().join("none.pem");
        let gate = Binary::serve(mock.addr(), none(&file));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{}/v1/chat/completions", gate.listen);
        let answer = client.post(&url).bearer_auth(KEY).body(ask(false, json!({})).to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
    }

    fn with_tls(dir: &Path) -> PathBuf {
        let text = config_text(any_port(), "");
        let far = "providers:\n  far: { kind: openai, base_url: 'https://far.example/v1' }\n";
        std::fs::write(dir.join("policy.yaml"), policy(&["1M tokens/day per key"])).unwrap();
        std::fs::write(dir.join("sluice.yaml"), text.replacen("providers:\n", far, 1)).unwrap();
        dir.join("sluice.yaml")
    }

    /// Only the first request said so, with a 500.
    #[test]
    fn a_provider_with_tls_is_missed_before_its_first_request() {
        let dir = tempfile::tempdir().unwrap();
        let (config, file) = (with_tls(dir.path()), dir.path().join("none.pem"));
        let sluice = |command: &str| {
            let mut sluice = Command::new(env!("CARGO_BIN_EXE_sluice"));
            sluice.args([command, "--config"]).arg(&config).envs(none(&file));
            sluice
        };
        let checked = sluice("check").output().unwrap();
        let told = String::from_utf8(checked.stdout).unwrap();
        let warning = told.lines().find(|line| line.starts_with("warning:")).unwrap_or_else(|| panic!("{told}"));
        assert!(checked.status.success() && warning.contains("providers far:"), "{told}");
        assert!(warning.contains("install ca-certificates"), "{told}");

        let mut serving = sluice("serve").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(serving.stderr.take().unwrap());
        let before_it_serves = |line: &String| !line.contains("\"serving\"");
        let said: Vec<String> = log.lines().map(Result::unwrap).take_while(before_it_serves).collect();
        serving.kill().unwrap();
        serving.wait().unwrap();
        let told = said.iter().any(|line| line.contains("ERROR") && line.contains("providers far:"));
        assert!(told, "{said:?}");
    }
}
