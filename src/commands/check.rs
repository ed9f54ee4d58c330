//! `sluice check`: is this config right?

use std::io::{self, Write};
use std::path::Path;

use sluice_policies::PolicySet;

use crate::app::StartError;
use crate::config;
use crate::upstream::untrusted;

/// Loads everything as `serve` would, and says what it found.
pub(super) fn run(path: &Path) -> Result<(), StartError> {
    let config = config::load(path, 1)?;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{}: ok: {} providers, {} models, {} keys, {} limits",
        path.display(),
        config.providers.len(),
        config.models.len(),
        config.policies.keys().count(),
        config.policies.limits().count()
    )?;
    if let Some(message) = untrusted(&config) {
        writeln!(out, "warning: on this machine no request would reach {message}")?;
    }
    for model in config.models.values() {
        for target in model.targets.iter().filter(|target| !target.model.known) {
            writeln!(
                out,
                "note: {}: {} is not in the catalog: counted by ratio, without a price, so cost limits do not see it",
                model.name, target.label
            )?;
        }
    }
    Ok(())
}

/// Prints the JSON Schema of the config or of a policy file.
pub(super) fn schema(which: &str) -> Result<(), StartError> {
    let schema = if which == "policy" { PolicySet::schema() } else { config::schema() };
    writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&schema)?)?;
    Ok(())
}
