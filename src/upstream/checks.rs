//! Active checks: providers that are asked again and again whether they are there.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::pool::{Asker, Upstreams};
use super::registry::Targets;
use super::target::ProviderState;
use crate::config::{Check, Config, Live, Provider};
use crate::telemetry::RouteMetrics;

/// Checks the providers of the live config until `stop`; a reload starts them anew.
pub async fn check(live: &Live, targets: &Targets, upstreams: &Upstreams, stop: CancellationToken) {
    let mut changes = live.subscribe();
    loop {
        let config = live.snapshot();
        let mut checks = start(&config, targets, upstreams);
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
            Some(_) = checks.join_next() => {}
        }
    }
}

fn start(config: &Config, targets: &Targets, upstreams: &Upstreams) -> JoinSet<()> {
    let mut checks = JoinSet::new();
    for provider in config.providers.values() {
        let state = targets.provider(&provider.name);
        let Some(check) = provider.check.clone() else {
            // It may have been down when its checks were taken out of the config.
            state.down.store(false, Ordering::Release);
            continue;
        };
        let (provider, metrics) = (Arc::clone(provider), targets.metrics().clone());
        let asker = upstreams.asker(&provider);
        checks.spawn(async move { watch(&provider, &check, &state, &metrics, asker).await });
    }
    checks
}

async fn watch(provider: &Provider, check: &Check, state: &ProviderState, metrics: &RouteMetrics, asker: Asker) {
    let mut ticks = interval(check.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut good, mut bad) = (0, 0);
    metrics.provider_up(&provider.name, !state.down.load(Ordering::Acquire));
    loop {
        ticks.tick().await;
        if asker.ask(&check.path, check.timeout).await {
            (good, bad) = (good + 1, 0);
        } else {
            (good, bad) = (0, bad + 1);
        }
        let down = state.down.load(Ordering::Acquire);
        let turns = (down && good >= check.rise) || (!down && bad >= check.fall);
        if turns {
            state.down.store(!down, Ordering::Release);
            metrics.provider_up(&provider.name, down);
            tracing::warn!(provider = %provider.name, up = down, path = check.path, "active checks");
        }
    }
}
