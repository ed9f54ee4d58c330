//! Public models: their targets, and the pool that is their capacity.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_saphyr::Location;
use sluice_policies::{PolicySet, Pool};
use sluice_providers::catalog::Catalog;

use super::compile::{Compiler, Providers};
use super::model::ModelRoute;
use super::raw::{RawConfig, RawCount};
use super::raw_models::{RawLongModel, RawModel, RawTarget};
use super::routing::Routing;

/// Twice a minute's tokens, in thousandths of a second, must be exact.
const MOST_TOKENS: u64 = sluice_policies::EXACT / 120_000;

/// What targets are made of.
pub(super) struct Known<'a> {
    pub(super) raw: &'a RawConfig,
    pub(super) providers: &'a Providers,
    pub(super) catalog: &'a Catalog,
}

/// Where in the file a model stands.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) path: &'a str,
    pub(super) at: &'a Location,
}

impl Compiler {
    pub(super) fn models(
        &mut self,
        raw: &RawConfig,
        providers: &Providers,
        policies: &PolicySet,
        catalog: &Catalog,
    ) -> IndexMap<String, Arc<ModelRoute>> {
        let mut models = IndexMap::new();
        if raw.models.is_empty() {
            self.error(None, "models", "there must be at least one".to_owned());
        }
        let known = Known { raw, providers, catalog };
        for (name, spanned) in &raw.models {
            let path = format!("models.{name}");
            let place = Place { path: &path, at: &spanned.referenced };
            let (targets, long): (&[RawTarget], _) = match &spanned.value {
                RawModel::Targets(targets) => (targets, None),
                RawModel::Long(long) => (&long.targets, Some(&**long)),
            };
            if targets.is_empty() {
                self.error(Some(place.at), &path, "it has no targets; write [provider/model]".to_owned());
            }
            let routes = self.targets(&known, place, targets, long);
            let routing = long.map_or_else(Routing::default, |long| self.routing(&known, place, long));
            let pool = Arc::new(self.pool(name, long, place, policies));
            let name: Arc<str> = Arc::clone(&pool.name);
            models.insert(name.to_string(), Arc::new(ModelRoute { name, pool, targets: routes, routing }));
        }
        models
    }

    fn pool(&mut self, name: &str, long: Option<&RawLongModel>, place: Place<'_>, policies: &PolicySet) -> Pool {
        let reserving = policies.classes().filter(|class| class.reserved > 0);
        let reserved: Vec<_> = reserving.map(|class| (Arc::clone(&class.name), class.reserved)).collect();
        let Some(long) = long else { return Pool::new(name, None, None, reserved) };
        let Place { path, at } = place;
        if let Some(slots) = long.concurrent {
            let kept: u32 = reserved.iter().map(|(_, count)| count).sum();
            if slots == 0 {
                self.error(Some(at), &format!("{path}.concurrent"), "it must be at least 1".to_owned());
            } else if kept >= slots {
                let message = format!("the classes reserve {kept} of its {slots} slots: none is left for the others");
                self.error(Some(at), &format!("{path}.concurrent"), message);
            }
        }
        let tokens = long.tokens_per_minute.as_ref().and_then(|raw| {
            let parsed = match raw {
                RawCount::Number(number) => Ok(*number),
                RawCount::Text(text) => sluice_policies::count(text),
            };
            let checked = parsed.and_then(|count| match count {
                0 => Err("it must be at least 1".to_owned()),
                count if count > MOST_TOKENS => Err(format!("it must be at most {MOST_TOKENS}")),
                count => Ok(count),
            });
            checked.map_err(|message| self.error(Some(at), &format!("{path}.tokens_per_minute"), message)).ok()
        });
        Pool::new(name, long.concurrent, tokens, reserved)
    }
}
