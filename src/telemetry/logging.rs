//! The process log on stderr: text at a terminal, JSON elsewhere.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// Starts logging at `SLUICE_LOG`, else `RUST_LOG`, else `info`. Later calls do nothing.
pub fn init() {
    let wanted = std::env::var("SLUICE_LOG").or_else(|_| std::env::var("RUST_LOG"));
    let filter = EnvFilter::try_new(wanted.unwrap_or_default())
        .ok()
        .filter(|filter| !filter.to_string().is_empty())
        .unwrap_or_else(|| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let result = if io::stderr().is_terminal() { builder.try_init() } else { builder.json().try_init() };
    // The only error is that logging has been started.
    drop(result);
}
