//! `sluice serve`, and `sluice` without arguments: the gateway with a simulated provider.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use sluice_mock::{Behaviour, Mock};
use sluice_policies::PolicyFile;

use crate::app::{App, StartError};
use crate::config::{self, Config};
use crate::telemetry::logging;

const DEMO_CONFIG: &str = include_str!("demo.yaml");
const DEMO_POLICY: &str = include_str!("../../policies/examples/demo.yaml");
/// The key whose hash the example policy lists. It opens nothing but the demo.
const DEMO_KEY: &str = "sk-sluice-demo";

/// A provider that joins the demo when its key is in the environment.
struct Known {
    name: &'static str,
    variable: &'static str,
    base_url: &'static str,
    models: &'static [&'static str],
}

const KNOWN: &[Known] = &[
    Known {
        name: "openai",
        variable: "OPENAI_API_KEY",
        base_url: "https://api.openai.com/v1",
        models: &["gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "o4-mini", "text-embedding-3-small"],
    },
    Known {
        name: "anthropic",
        variable: "ANTHROPIC_API_KEY",
        // Anthropic's own OpenAI-compatible endpoint.
        base_url: "https://api.anthropic.com/v1",
        models: &["claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-4-1"],
    },
];

/// Serves the config file at `path` until SIGTERM, reloading it when it changes.
pub(super) async fn run(path: &Path) -> Result<(), StartError> {
    logging::init();
    let config = config::load(path, 1)?;
    let app = App::start(config, Some(path.to_path_buf())).await?;
    tracing::info!(listen = %app.listen, admin = %app.admin, config = %path.display(), "serving");
    app.run().await
}

/// Serves a simulated provider, and the real ones whose keys are in the environment.
pub(super) async fn demo() -> Result<(), StartError> {
    logging::init();
    let behaviour = Behaviour { first_token_ms: 150, token_ms: 25, ..Behaviour::default() };
    let mock = Mock::with_defaults(behaviour).start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let found: Vec<&Known> = KNOWN.iter().filter(|known| present(known.variable)).collect();
    let config = demo_config(mock.addr(), &found)?;
    let app = App::start(config, None).await?;
    io::stdout().write_all(welcome(&app, &found).as_bytes())?;
    app.run().await
}

fn present(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|value| !value.is_empty())
}

fn demo_config(mock: SocketAddr, found: &[&Known]) -> Result<Config, StartError> {
    let mut providers = String::new();
    let mut models = String::new();
    for known in found {
        let Known { name, variable, base_url, .. } = known;
        writeln!(providers, "  {name}: {{ kind: openai, base_url: {base_url}, api_key: \"${{{variable}}}\" }}")?;
        for model in known.models {
            writeln!(models, "  {model}: [{name}/{model}]")?;
        }
    }
    let text = DEMO_CONFIG
        .replace("${SLUICE_DEMO_URL}", &format!("http://{mock}/v1"))
        .replace("models:\n", &format!("{providers}models:\n{models}"));
    let policy = PolicyFile { name: "demo.yaml".to_owned(), text: DEMO_POLICY.to_owned() };
    Ok(config::from_str("demo", &text, &PathBuf::from("."), &[policy], 1)?)
}

fn welcome(app: &App, found: &[&Known]) -> String {
    let listen = app.listen;
    let real = match found.iter().map(|known| known.name).collect::<Vec<_>>().join(" and ").as_str() {
        "" => "To use a real provider: set OPENAI_API_KEY or ANTHROPIC_API_KEY and start again, or write a\n\
               config (see README.md) and run `sluice serve --config sluice.yaml`."
            .to_owned(),
        names => format!(
            "{names} is configured too: ask for one of its models, listed at http://{listen}/v1/models.\n\
             For your own config: `sluice serve --config sluice.yaml` (see README.md)."
        ),
    };
    format!(
        "\nSluice serves on http://{listen} with a simulated provider (model `demo`), limits in memory\n\
         and the policy policies/examples/demo.yaml. Nothing leaves this machine for model `demo`.\n\n\
         Try it:\n\n\
         curl -N http://{listen}/v1/chat/completions -H 'authorization: Bearer {DEMO_KEY}' \
         -H 'content-type: application/json' \
         -d '{{\"model\":\"demo\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'\n\n\
         Levels, metrics and config: http://{admin}/levels /metrics /config. Stop with Ctrl-C.\n\n{real}\n\n",
        admin = app.admin
    )
}
