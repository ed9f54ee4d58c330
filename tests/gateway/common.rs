//! A gateway and a mock provider inside the test's own process, reached over real sockets: through the HTTP door, or,
//! with `SLUICE_DOOR=envoy` or `steer`, through a real Envoy and the `ext_proc` door.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sluice::app::App;
use sluice::config::{self, ExtProcMode};
use sluice::extproc::envoy::{self, Site};
use sluice::pipeline::Gateway;
use sluice_mock::{Behaviour, Mock, MockHandle};
use tempfile::TempDir;

use crate::envoy::Envoy;

/// The secret of the key `web` in every test policy, and its SHA-256.
pub(crate) const KEY: &str = "sk-sluice-demo";

/// A running gateway in front of a running mock provider.
pub(crate) struct Gate {
    /// Stops before the gateway does.
    pub(crate) envoy: Option<Envoy>,
    pub(crate) app: App,
    pub(crate) mock: MockHandle,
    pub(crate) dir: TempDir,
    pub(crate) client: reqwest::Client,
}

/// A policy with the key [`KEY`] and these limits.
pub(crate) fn policy(limits: &[&str]) -> String {
    use sha2::{Digest, Sha256};
    let digest: String = Sha256::digest(KEY).iter().map(|byte| format!("{byte:02x}")).collect();
    let limits: String = limits.iter().map(|limit| format!("  - {limit}\n")).collect();
    let limits = if limits.is_empty() { String::new() } else { format!("limits:\n{limits}") };
    // What does not fit is refused: tests of the queue bring their own classes.
    format!(
        "tenant: acme\nkeys:\n  - {{ name: web, key: \"sha256:{digest}\" }}\n\
         classes:\n  standard: {{ rank: 1, max_wait: 0s }}\n{limits}"
    )
}

impl Gate {
    /// Starts both with these limits; `extra` is added to the config as it is.
    pub(crate) async fn start(limits: &[&str], extra: &str, behaviour: Behaviour) -> Self {
        Self::with(limits, behaviour, |text| format!("{text}{extra}")).await
    }

    /// Starts both with the config that `edit` makes of the usual one.
    pub(crate) async fn with(limits: &[&str], behaviour: Behaviour, edit: impl FnOnce(String) -> String) -> Self {
        if let Some(mode) = door() {
            return Self::in_mode(mode, (limits, behaviour), edit, |config| config).await;
        }
        Self::alone(limits, behaviour, edit).await
    }

    /// The same with an Envoy in front, whose printed config `edit_envoy` may change.
    pub(crate) async fn behind_envoy(
        limits: &[&str],
        behaviour: Behaviour,
        edit: impl FnOnce(String) -> String,
        edit_envoy: impl FnOnce(String) -> String,
    ) -> Self {
        Self::in_mode(ExtProcMode::Serve, (limits, behaviour), edit, edit_envoy).await
    }

    /// The same in any mode.
    pub(crate) async fn in_mode(
        mode: ExtProcMode,
        (limits, behaviour): (&[&str], Behaviour),
        edit: impl FnOnce(String) -> String,
        edit_envoy: impl FnOnce(String) -> String,
    ) -> Self {
        let named = if mode == ExtProcMode::Steer { "steer" } else { "serve" };
        let door = |text: String| edit(text) + &format!("ext_proc: {{ listen: 127.0.0.1:0, mode: {named} }}\n");
        let mut gate = Self::alone(limits, behaviour, door).await;
        let site = gate.site();
        let config = envoy::config(&gate.gateway().live.snapshot(), mode, &site).unwrap();
        gate.envoy = Some(Envoy::start(gate.dir.path(), &edit_envoy(config)).await);
        gate
    }

    /// An Envoy on any port in front of this gateway.
    pub(crate) fn site(&self) -> Site {
        let gateways = self.app.ext_proc.iter().map(ToString::to_string).collect();
        Site { listen: any_port(), admin: any_port(), attempts: false, gateways }
    }

    /// Starts both, and no Envoy.
    pub(crate) async fn alone(limits: &[&str], behaviour: Behaviour, edit: impl FnOnce(String) -> String) -> Self {
        sluice::app::install_crypto();
        let mock = Mock::with_defaults(behaviour).start(any_port()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("policy.yaml"), policy(limits)).unwrap();
        let path = dir.path().join("sluice.yaml");
        std::fs::write(&path, edit(config_text(mock.addr(), ""))).unwrap();
        let config = config::load(&path, 1).unwrap_or_else(|errors| panic!("{errors}"));
        let app = App::start(config, Some(path)).await.unwrap();
        Self { envoy: None, app, mock, dir, client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    /// Where clients connect: to the gateway, or to the Envoy in front of it.
    pub(crate) fn listen(&self) -> SocketAddr {
        self.envoy.as_ref().map_or(self.app.listen, |envoy| envoy.addr)
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.dir.path().join("sluice.yaml")
    }

    pub(crate) fn gateway(&self) -> &Arc<Gateway> {
        self.app.gateway()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listen())
    }

    /// Posts a chat completion.
    pub(crate) async fn chat(&self, body: Value) -> reqwest::Response {
        self.post("/v1/chat/completions", body).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> reqwest::Result<reqwest::Response> {
        let request = self.client.post(self.url(path)).bearer_auth(KEY);
        request.header("content-type", "application/json").body(body.to_string()).send().await
    }

    pub(crate) async fn admin(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.app.admin);
        self.client.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// Waits until no lease is open, for at most a second.
    pub(crate) async fn settled(&self) {
        for _ in 0..100 {
            if self.gateway().store.open_leases() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} leases are still open after a second", self.gateway().store.open_leases());
    }

    /// Waits until a metric says so: where Envoy relays the answer, its client may have it before it is counted.
    pub(crate) async fn counts(&self, line: &str) {
        for _ in 0..100 {
            if self.admin("/metrics").await.lines().any(|told| told == line) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no {line} after a second in {}", self.admin("/metrics").await);
    }
}

/// The mode of the Envoy that the tests of this run go through; none for the HTTP door.
fn door() -> Option<ExtProcMode> {
    match std::env::var("SLUICE_DOOR").as_deref() {
        Ok("envoy") => Some(ExtProcMode::Serve),
        Ok("steer") => Some(ExtProcMode::Steer),
        _ => None,
    }
}

/// A config with one provider, the mock, behind the model `m`.
pub(crate) fn config_text(mock: SocketAddr, extra: &str) -> String {
    format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nproviders:\n  \
         mock: {{ kind: openai, base_url: \"http://{mock}/v1\", api_key: upstream-secret }}\n\
         models:\n  m: [mock/gpt-4o-mini]\npolicies: policy.yaml\n{extra}"
    )
}

pub(crate) fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// A chat request for the model `m`, with the mock's behaviour.
pub(crate) fn ask(stream: bool, mock: impl Into<Value>) -> Value {
    let mock: Value = mock.into();
    json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "hello there"}], "mock": mock})
}

/// The JSON of an answer.
pub(crate) async fn value(response: reqwest::Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

/// The JSON of every `data:` event but `[DONE]`.
pub(crate) fn events(text: &str) -> Vec<Value> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
}
