//! The config that is live: swapped whole, under load, and what became of the last reload.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::model::Config;

/// The live config. Reading it is a few nanoseconds and takes no lock.
pub struct Live {
    current: ArcSwap<Config>,
    status: Mutex<Status>,
    changed: watch::Sender<u64>,
}

/// What became of loads and reloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The generation that is live.
    pub generation: u64,
    /// When it went live, seconds since the Unix epoch.
    pub loaded_at: u64,
    /// Why the last reload was refused, unless a good one came after it.
    pub last_error: Option<String>,
    /// Reloads that went live.
    pub reloads_ok: u64,
    /// Reloads that were refused.
    pub reloads_failed: u64,
}

impl Live {
    /// The config a process starts with.
    pub fn new(config: Config) -> Self {
        let generation = config.generation;
        let status = Status { generation, loaded_at: unix_now(), last_error: None, reloads_ok: 0, reloads_failed: 0 };
        Self { current: ArcSwap::from_pointee(config), status: Mutex::new(status), changed: watch::Sender::new(0) }
    }

    /// The config as it is now; it does not change under its holder.
    pub fn snapshot(&self) -> Arc<Config> {
        self.current.load_full()
    }

    /// What became of loads and reloads.
    pub fn status(&self) -> Status {
        self.status.lock().clone()
    }

    /// Makes a config live. Requests under way keep the one they began with.
    pub fn replace(&self, config: Config) {
        {
            let mut status = self.status.lock();
            status.generation = config.generation;
            status.loaded_at = unix_now();
            status.last_error = None;
            status.reloads_ok += 1;
        }
        self.current.store(Arc::new(config));
        self.changed.send_modify(|count| *count += 1);
    }

    /// Notes a reload that was refused; the last good config stays.
    pub fn refuse(&self, error: String) {
        {
            let mut status = self.status.lock();
            status.last_error = Some(error);
            status.reloads_failed += 1;
        }
        self.changed.send_modify(|count| *count += 1);
    }

    /// Wakes after each [`replace`](Self::replace) and [`refuse`](Self::refuse).
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
