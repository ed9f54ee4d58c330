//! Public models: their targets, and the pool that is their capacity.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_saphyr::Location;
use sluice_policies::{PolicySet, Pool};
use sluice_providers::{Target, catalog::Catalog};

use super::compile::{Compiler, Providers};
use super::model::{ModelRoute, TargetRoute};
use super::raw::{RawConfig, RawCount, RawModel};

/// Twice a minute's tokens, in thousandths of a second, must be exact.
const MOST_TOKENS: u64 = sluice_policies::EXACT / 120_000;

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
        for (name, spanned) in &raw.models {
            let (path, at) = (format!("models.{name}"), &spanned.referenced);
            let targets = match &spanned.value {
                RawModel::Targets(targets) => targets,
                RawModel::Long(long) => &long.targets,
            };
            if targets.is_empty() {
                self.error(Some(at), &path, "it has no targets; write [provider/model]".to_owned());
            }
            let mut routes = Vec::new();
            for (index, text) in targets.iter().enumerate() {
                match target(text, raw, providers, catalog) {
                    Ok(route) => routes.extend(route),
                    Err(message) => self.error(Some(at), &format!("{path}[{index}]"), message),
                }
            }
            let pool = Arc::new(self.pool(name, &spanned.value, at, policies));
            let name: Arc<str> = Arc::clone(&pool.name);
            models.insert(name.to_string(), Arc::new(ModelRoute { name, pool, targets: routes }));
        }
        models
    }

    fn pool(&mut self, name: &str, raw: &RawModel, at: &Location, policies: &PolicySet) -> Pool {
        let reserving = policies.classes().filter(|class| class.reserved > 0);
        let reserved: Vec<_> = reserving.map(|class| (Arc::clone(&class.name), class.reserved)).collect();
        let RawModel::Long(long) = raw else { return Pool::new(name, None, None, reserved) };
        let path = format!("models.{name}");
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

/// `Ok(None)`: the provider is written but broken, which is reported where it stands.
fn target(
    text: &str,
    raw: &RawConfig,
    providers: &Providers,
    catalog: &Catalog,
) -> Result<Option<TargetRoute>, String> {
    let named = text.split_once('/').filter(|(provider, model)| !provider.is_empty() && !model.is_empty());
    let Some((name, model)) = named else {
        return Err(format!("`{text}` is not a target; write provider/model"));
    };
    let Some(provider) = providers.get(name) else {
        if raw.providers.contains_key(name) {
            return Ok(None);
        }
        let known = raw.providers.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(format!("unknown provider `{name}`; there is {known}"));
    };
    let known = catalog.target(name, &provider.kind, model);
    Ok(Some(TargetRoute {
        provider: Arc::clone(provider),
        target: Target {
            model: model.to_owned(),
            max_output: if known.known { known.max_output } else { 0 },
            api_version: provider.api_version.clone(),
        },
        model: known,
        label: Arc::from(text),
    }))
}
