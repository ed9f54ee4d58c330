//! What this replica knows of the shared levels: the start of its slices in an outage, and what a
//! store that lost everything is restored from.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_policies::{Kind, Level, Limit, UnixMillis};

use crate::telemetry::StoreMetrics;

/// Buckets not asked for this long are not kept fresh, and rates are forgotten.
const IDLE: Duration = Duration::from_mins(1);
/// Most buckets remembered; with more, idle rates go first.
const MOST: usize = 200_000;

/// One shared bucket, as it was when last heard of.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) limit: Arc<Limit>,
    pub(super) level: Level,
    /// When this was true.
    heard: Instant,
    /// When a request last needed it.
    asked: Instant,
}

/// All of them.
#[derive(Default)]
pub(super) struct Mirror {
    levels: HashMap<String, Known>,
    /// Limits whose bound has been told.
    told: HashSet<Arc<str>>,
}

impl Mirror {
    /// Notes the level of a decision.
    pub(super) fn note(&mut self, scope: &str, limit: &Arc<Limit>, level: Level) {
        let now = Instant::now();
        match self.levels.get_mut(scope) {
            Some(known) => {
                *known = Known { limit: Arc::clone(limit), level, heard: now, asked: now };
            }
            None => {
                self.make_room();
                let known = Known { limit: Arc::clone(limit), level, heard: now, asked: now };
                self.levels.insert(scope.to_owned(), known);
            }
        }
    }

    /// Tells what slices may overshoot each limit by, once per limit.
    pub(super) fn tell_bound(&mut self, limit: &Arc<Limit>, slice_percent: u8, metrics: &StoreMetrics) {
        if self.told.contains(&limit.id) {
            return;
        }
        self.told.insert(Arc::clone(&limit.id));
        let full = match limit.kind {
            Kind::Rate { burst, .. } => burst,
            Kind::Budget(_) | Kind::Concurrent => limit.amount,
        };
        metrics.slice_bound(&limit.id, full.saturating_mul(u64::from(slice_percent)) / 100);
    }

    pub(super) fn get(&self, scope: &str) -> Option<Known> {
        self.levels.get(scope).cloned()
    }

    /// Buckets in use that were last heard of longer ago than `age`, and how old the oldest is.
    pub(super) fn stale(&self, age: Duration, most: usize) -> (Vec<String>, Duration) {
        let used = self.levels.iter().filter(|(_, known)| known.asked.elapsed() < IDLE);
        let mut oldest = Duration::ZERO;
        let mut stale = Vec::new();
        for (scope, known) in used {
            let elapsed = known.heard.elapsed();
            oldest = oldest.max(elapsed);
            if elapsed >= age && stale.len() < most {
                stale.push(scope.clone());
            }
        }
        (stale, oldest)
    }

    /// Notes what a look found; a bucket that is not there is at rest.
    pub(super) fn refresh(&mut self, scope: &str, level: Option<Level>, now: UnixMillis) {
        if let Some(known) = self.levels.get_mut(scope) {
            known.level = level.unwrap_or_else(|| known.limit.new_level(now));
            known.heard = Instant::now();
        }
    }

    /// Budgets, which must survive the store's loss of memory: rates refill by themselves.
    pub(super) fn budgets(&self) -> Vec<(String, Known)> {
        let budgets = self.levels.iter().filter(|(_, known)| matches!(known.limit.kind, Kind::Budget(_)));
        budgets.map(|(scope, known)| (scope.clone(), known.clone())).collect()
    }

    /// Forgets what would not be missed.
    pub(super) fn sweep(&mut self, now: UnixMillis) {
        self.levels.retain(|_, known| {
            let budget = matches!(known.limit.kind, Kind::Budget(_));
            known.asked.elapsed() < IDLE || (budget && !known.level.is_idle(&known.limit, now))
        });
    }

    fn make_room(&mut self) {
        if self.levels.len() >= MOST {
            self.levels.retain(|_, known| {
                matches!(known.limit.kind, Kind::Budget(_)) || known.asked.elapsed() < Duration::from_secs(5)
            });
        }
        if self.levels.len() >= MOST {
            self.levels.clear();
            tracing::warn!(most = MOST, "too many buckets to remember: slices of an outage would start full");
        }
    }
}
