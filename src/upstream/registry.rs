//! All targets of the process. What is known of a target outlives reloads that keep its address.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use parking_lot::RwLock;

use super::budget::RetryBudget;
use super::model::{Kept, ModelState};
use super::prefix::PrefixIndex;
use super::target::{Override, ProviderState, TargetState};
use crate::config::{Config, ModelRoute, TargetRoute};
use crate::telemetry::RouteMetrics;

/// The targets, by model and by label.
pub struct Targets {
    metrics: RouteMetrics,
    all: RwLock<All>,
}

#[derive(Default)]
struct All {
    models: HashMap<Arc<str>, Arc<ModelState>>,
    targets: HashMap<Arc<str>, Arc<TargetState>>,
    providers: HashMap<Arc<str>, Arc<ProviderState>>,
}

impl Targets {
    /// None yet: each is known from its first request on.
    pub fn new(metrics: RouteMetrics) -> Self {
        Self { metrics, all: RwLock::default() }
    }

    /// The state of a model's targets.
    pub fn model(&self, route: &Arc<ModelRoute>) -> Arc<ModelState> {
        if let Some(model) = self.all.read().models.get(&route.name)
            && Arc::ptr_eq(&model.route, route)
        {
            return Arc::clone(model);
        }
        let mut all = self.all.write();
        let now = Instant::now();
        let kept = all.models.get(&route.name).map_or_else(|| fresh(now), |model| Arc::clone(&model.kept));
        let targets = route.targets.iter().map(|target| self.target(&mut all, target, now)).collect();
        let model = Arc::new(ModelState { route: Arc::clone(route), targets, kept });
        all.models.insert(Arc::clone(&route.name), Arc::clone(&model));
        model
    }

    fn target(&self, all: &mut All, route: &TargetRoute, now: Instant) -> Arc<TargetState> {
        let known = all.targets.get(&route.label).filter(|state| state.base_url == route.provider.base_url);
        if let Some(state) = known {
            return Arc::clone(state);
        }
        let provider = Arc::clone(all.providers.entry(Arc::clone(&route.provider.name)).or_default());
        let (label, url) = (Arc::clone(&route.label), route.provider.base_url.clone());
        let state = Arc::new(TargetState::new(Arc::clone(&label), url, provider, self.metrics.clone(), now));
        all.targets.insert(label, Arc::clone(&state));
        state
    }

    pub(super) fn metrics(&self) -> &RouteMetrics {
        &self.metrics
    }

    /// What a provider's targets share.
    pub(super) fn provider(&self, name: &Arc<str>) -> Arc<ProviderState> {
        Arc::clone(self.all.write().providers.entry(Arc::clone(name)).or_default())
    }

    /// The target with this label, if the config has it.
    pub fn find(&self, config: &Config, label: &str) -> Option<Arc<TargetState>> {
        let route = config.routes().find(|model| model.targets.iter().any(|target| *target.label == *label))?;
        self.model(route).targets.iter().find(|state| *state.label == *label).map(Arc::clone)
    }

    /// Every target of the config, each once.
    pub fn of(&self, config: &Config) -> Vec<Arc<TargetState>> {
        let mut all: Vec<Arc<TargetState>> =
            config.routes().flat_map(|route| self.model(route).targets.clone()).collect();
        all.sort_by(|a, b| a.label.cmp(&b.label));
        all.dedup_by(|a, b| a.label == b.label);
        all
    }

    /// A config went live: what operators said is forgotten, and so is what it does not name.
    pub fn reloaded(&self, config: &Config) {
        let mut all = self.all.write();
        all.models.retain(|name, _| config.routes().any(|route| route.name == *name));
        let routes = || config.routes().flat_map(|model| &model.targets);
        all.targets.retain(|label, state| {
            routes().any(|route| route.label == *label && route.provider.base_url == state.base_url)
        });
        all.providers.retain(|name, _| config.providers.contains_key(&**name));
        all.targets.values().for_each(|state| state.set_rule(Override::default()));
    }
}

fn fresh(now: Instant) -> Arc<Kept> {
    Arc::new(Kept { budget: RetryBudget::new(now), turn: AtomicU64::new(0), prefix: PrefixIndex::default() })
}
