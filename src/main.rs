//! Flags to command; everything else is in the library.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use sluice::commands::{Cli, run};

// Streams are many small buffers of many lifetimes; the system's allocator fragments on them. Huge
// pages are off: with them what was freed stays resident, twice of what is in use.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sluice::app::install_crypto();
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nowhere is left to report to if stderr is closed.
            drop(writeln!(std::io::stderr(), "{error}"));
            ExitCode::FAILURE
        }
    }
}
