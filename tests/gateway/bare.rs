//! The real binary on a machine that has next to nothing.

use std::ffi::OsStr;

use serde_json::json;
use sluice_mock::{Behaviour, Mock};

use crate::binary::Binary;
use crate::common::{KEY, any_port, ask};

mod front {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_provider_without_tls_needs_no_certificates() {
        sluice::app::install_crypto();
        let mock = Mock::with_defaults(Behaviour::default()).start(any_port()).await.unwrap();
        let nothing = tempfile::tempdir().unwrap();
        let file = nothing.path().join("none.pem");
        std::fs::write(&file, "").unwrap();
        let none = [("SSL_CERT_FILE", file.as_os_str()), ("SSL_CERT_DIR", OsStr::new("/nowhere"))];
        let gate = Binary::serve(mock.addr(), none);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{}/v1/chat/completions", gate.listen);
        let answer = client.post(&url).bearer_auth(KEY).body(ask(false, json!({})).to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
    }
}
