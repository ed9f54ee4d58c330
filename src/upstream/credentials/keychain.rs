//! The live credentials of all providers, kept across reloads that do not change them.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use tokio_util::task::TaskTracker;

use super::auth::Auth;
use super::environment::Environment;
use crate::config::{Config, Provider};
use crate::error::Error;

/// Credentials by their fingerprint.
pub(in crate::upstream) struct Keychain {
    live: RwLock<HashMap<[u8; 32], Arc<Auth>>>,
    environment: Environment,
    tasks: TaskTracker,
}

impl Default for Keychain {
    fn default() -> Self {
        Self { live: RwLock::default(), environment: Environment::Process, tasks: TaskTracker::new() }
    }
}

impl Keychain {
    /// The credentials of a provider; their renewal begins with the first request.
    pub(in crate::upstream) fn of(&self, provider: &Provider) -> Result<Arc<Auth>, Error> {
        let key = provider.credentials.fingerprint;
        if let Some(auth) = self.live.read().get(&key) {
            return Ok(Arc::clone(auth));
        }
        let mut live = self.live.write();
        if let Some(auth) = live.get(&key) {
            return Ok(Arc::clone(auth));
        }
        let made = Auth::new(&provider.name, &provider.credentials.identity, &self.environment, &self.tasks)
            .map_err(|message| Error::internal(format!("provider {}: {message}", provider.name)))?;
        Ok(Arc::clone(live.entry(key).or_insert_with(|| Arc::new(made))))
    }

    /// Forgets, and ceases to renew, what the config no longer has.
    pub(in crate::upstream) fn retain(&self, config: &Config) {
        let used: Vec<[u8; 32]> = config.providers.values().map(|provider| provider.credentials.fingerprint).collect();
        self.live.write().retain(|key, _| used.contains(key));
    }
}
