//! `sluice envoy`: the Envoy config that goes with a gateway's.

use std::io::{self, Write};
use std::path::Path;

use crate::app::StartError;
use crate::config::{self, ExtProcMode};
use crate::extproc::envoy::{self, Site};

/// Prints it.
pub(super) fn run(path: &Path, mode: Option<&str>, site: &Site) -> Result<(), StartError> {
    let config = config::load(path, 1)?;
    let configured = config.ext_proc.as_ref().map_or(ExtProcMode::Serve, |door| door.mode);
    let mode = mode.and_then(ExtProcMode::named).unwrap_or(configured);
    io::stdout().write_all(envoy::config(&config, mode, site)?.as_bytes())?;
    Ok(())
}
