//! Several providers of the same model behind one gateway, in a folder of their own.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::Failure;
use crate::client::Client;
use crate::fetch::Page;
use crate::policy::{LOAD, MODEL, Policy, ROOMY};
use crate::process::{self, Gateway, Server, Setup};

/// All that a scenario of several targets needs; dropped, it is gone.
pub(crate) struct Rig {
    pub(crate) gateway: Gateway,
    pub(crate) engines: Vec<Server>,
    /// Last: the others write into it.
    _folder: TempDir,
}

impl Rig {
    /// Starts `count` engines `e0`, `e1`, ... that behave so, and a gateway whose model has them as
    /// targets with these settings, such as `balance: p2c`.
    pub(crate) async fn start(binary: &Path, count: usize, behaviour: &Value, settings: &str) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let (mut engines, mut providers, mut targets) = (Vec::new(), String::new(), Vec::new());
        for number in 0..count {
            let engine = process::mock_named(&format!("e{number}"), folder.path())?;
            behave(engine.addr, behaviour).await?;
            writeln!(providers, "  e{number}: {{ kind: openai, base_url: \"http://{}/v1\" }}", engine.addr)?;
            targets.push(format!("e{number}/{MODEL}"));
            engines.push(engine);
        }
        let config = format!("models:\n  {MODEL}: {{ targets: [{}], {settings} }}\n", targets.join(", "));
        let policy =
            Policy { keys: &[(LOAD, "standard")], classes: &["standard: { rank: 1 }"], limits: ROOMY }.text()?;
        let setup = Setup { name: "gateway", config: &config, policy: &policy };
        let gateway = process::sluice_with(binary, &providers, folder.path(), &setup).await?;
        Ok(Self { gateway, engines, _folder: folder })
    }

    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Client::new(self.gateway.server.addr, LOAD)
    }

    /// The address of an engine.
    pub(crate) fn engine(&self, number: usize) -> Result<SocketAddr, Failure> {
        Ok(self.engines.get(number).ok_or("there is no such engine")?.addr)
    }
}

/// Changes what an engine does from now on.
pub(crate) async fn behave(engine: SocketAddr, behaviour: &Value) -> Result<(), Failure> {
    Page::new(engine, "/mock/behaviour")?.post(behaviour).await
}
