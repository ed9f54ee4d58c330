//! A provider, a Redis, and gateways that share both, in a folder of their own.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::Failure;
use crate::client::Client;
use crate::fetch::Page;
use crate::policy::Policy;
use crate::process::{self, Gateway, Server, Setup};
use crate::redis::Redis;

/// More than a second and its jitter.
const TICK: Duration = Duration::from_millis(1500);

/// All that a scenario needs; dropped, it is gone.
pub(crate) struct Fleet {
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) redis: Redis,
    pub(crate) mock: Server,
    /// Last: the others write into it.
    folder: TempDir,
}

impl Fleet {
    /// Starts `gateways` gateways with the same policy, and with `models` in their config.
    pub(crate) async fn start(
        binary: &Path,
        gateways: u16,
        models: &str,
        policy: &Policy<'_>,
    ) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let redis = Redis::start(folder.path()).await?;
        let mock = process::mock(folder.path())?;
        let (config, policy) = (format!("{models}{}", redis.config()), policy.text()?);
        let mut fleet = Self { gateways: Vec::new(), redis, mock, folder };
        for number in 1..=gateways {
            let name = format!("gateway-{number}");
            let setup = Setup { name: &name, config: &config, policy: &policy };
            let gateway = process::sluice(binary, fleet.mock.addr, fleet.folder.path(), &setup).await?;
            fleet.gateways.push(gateway);
        }
        fleet.acquainted().await?;
        Ok(fleet)
    }

    /// Waits until each gateway has counted the others, which it does once a second.
    async fn acquainted(&self) -> Result<(), Failure> {
        tokio::time::sleep(TICK).await;
        for gateway in &self.gateways {
            let levels = Page::new(gateway.admin, "/levels")?.json().await?;
            if levels["replicas"].as_u64() != Some(self.gateways.len() as u64) {
                return Err(format!("{} knows of {} gateways", gateway.server.name, levels["replicas"]).into());
            }
        }
        Ok(())
    }

    /// A client of this name for each gateway.
    pub(crate) fn clients(&self, name: &str) -> Result<Vec<Client>, Failure> {
        self.gateways.iter().map(|gateway| Client::new(gateway.server.addr, name)).collect()
    }
}
