//! Reloads the config when a file it was read from changes, and on SIGHUP.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use secrecy::ExposeSecret;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::live::Live;
use super::load::load;
use super::model::{Config, Redis};

/// Editors and config maps write in several steps: wait for the last.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// Watches until `cancel`. Folders are watched, not files: editors replace files, and config maps
/// swap a link in the folder.
pub async fn watch(live: Arc<Live>, path: PathBuf, cancel: CancellationToken) {
    // One slot is enough: a change that finds it full is covered by the reload to come.
    let (changed, mut changes) = mpsc::channel::<()>(1);
    let mut watcher = match notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let reads_only = event.as_ref().is_ok_and(|event| event.kind.is_access());
        if !reads_only {
            // Full: see above. Closed: the watch has ended.
            changed.try_send(()).unwrap_or_default();
        }
    }) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::error!(%error, "cannot watch the config; it is reloaded on SIGHUP only");
            None
        }
    };
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => {
            tracing::error!(%error, "cannot listen for SIGHUP; the config is not reloaded");
            return;
        }
    };
    let mut watched = BTreeSet::new();
    loop {
        let known = watched.len();
        if let Some(watcher) = &mut watcher {
            follow(watcher, &live.snapshot(), &mut watched);
        }
        if watched.len() > known {
            // Something may have changed between reading it and watching it.
            reload(&live, &path, false).await;
        }
        let forced = tokio::select! {
            Some(()) = changes.recv() => false,
            Some(()) = hangup.recv() => true,
            () = cancel.cancelled() => return,
        };
        tokio::time::sleep(DEBOUNCE).await;
        while changes.try_recv().is_ok() {}
        reload(&live, &path, forced).await;
    }
}

/// Watches the folders of everything the config was read from.
fn follow(watcher: &mut RecommendedWatcher, config: &Config, watched: &mut BTreeSet<PathBuf>) {
    for source in &config.sources {
        let parent = source.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        for folder in [Some(parent), Some(source.as_path()).filter(|source| source.is_dir())].into_iter().flatten() {
            if watched.contains(folder) {
                continue;
            }
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    watched.insert(folder.to_path_buf());
                }
                Err(error) => tracing::warn!(folder = %folder.display(), %error, "cannot watch"),
            }
        }
    }
}

async fn reload(live: &Live, path: &Path, forced: bool) {
    let now = live.snapshot();
    let (path, generation) = (path.to_path_buf(), now.generation + 1);
    let loaded = tokio::task::spawn_blocking(move || load(&path, generation)).await;
    let outcome = match loaded {
        Ok(Ok(config)) => fixed(&now, &config).map(|()| config),
        Ok(Err(errors)) => Err(errors.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match outcome {
        // A file that was touched, or that the config does not read.
        Ok(config) if config.fingerprint == now.fingerprint && !forced && live.status().last_error.is_none() => {}
        Ok(config) => {
            tracing::info!(generation = config.generation, "config reloaded");
            live.replace(config);
        }
        Err(error) if live.status().last_error.as_deref() == Some(&error) && !forced => {}
        Err(error) => {
            tracing::error!(%error, generation = now.generation, "config refused; the last good one stays live");
            live.refuse(error);
        }
    }
}

/// What only a restart can change.
fn fixed(now: &Config, next: &Config) -> Result<(), String> {
    for (name, before, after) in [("listen", now.listen, next.listen), ("admin", now.admin, next.admin)] {
        if before != after {
            return Err(format!("{name}: changing {before} to {after} needs a restart"));
        }
    }
    if !same_redis(now.redis.as_ref(), next.redis.as_ref()) {
        return Err("redis: changing it needs a restart".to_owned());
    }
    Ok(())
}

fn same_redis(now: Option<&Redis>, next: Option<&Redis>) -> bool {
    let (Some(now), Some(next)) = (now, next) else { return now.is_none() && next.is_none() };
    let urls = |redis: &Redis| redis.urls.iter().map(|url| url.expose_secret().to_owned()).collect::<Vec<_>>();
    let password = |redis: &Redis| redis.password.as_ref().map(|password| password.expose_secret().to_owned());
    let rest = |redis: &Redis| {
        let Redis { mode, username, ca, prefix, timeout, lease, slice_percent, .. } = redis.clone();
        (mode, username, ca, prefix, timeout, lease, slice_percent)
    };
    urls(now) == urls(next) && password(now) == password(next) && rest(now) == rest(next)
}
