//! Phase `route`: the model's targets, in the order of the config.

use std::sync::Arc;

use sluice_policies::Pool;
use sluice_providers::Call;

use super::identify::Identity;
use crate::config::{Config, ModelRoute, TargetRoute};
use crate::error::Error;

/// The targets a request may go to, best first. Never empty.
#[derive(Debug)]
pub(super) struct Plan {
    route: Arc<ModelRoute>,
}

impl Plan {
    /// The public name of the model.
    pub(super) fn model(&self) -> &Arc<str> {
        &self.route.name
    }

    /// Where it queues.
    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.route.pool
    }

    /// The ordered targets.
    pub(super) fn targets(&self) -> &[TargetRoute] {
        &self.route.targets
    }
}

pub(super) fn run(config: &Config, who: &Identity, call: &Call) -> Result<Plan, Error> {
    // One answer for "not configured" and "not yours": a key must not learn what others use.
    let route = config.models.get(call.model.as_str()).filter(|_| who.key.may_use(&call.model));
    let route = Arc::clone(route.ok_or_else(|| Error::unknown_model(&call.model))?);
    let supported = route.targets.first().map(|target| target.provider.adapter.supports(call, &target.target));
    match supported {
        Some(Ok(())) => Ok(Plan { route }),
        Some(Err(unsupported)) => Err(unsupported.into()),
        None => Err(Error::unknown_model(&call.model)),
    }
}
