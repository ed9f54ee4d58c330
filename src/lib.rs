//! Sluice, an AI inference gateway. Modules in the order a request meets them:
//!
//! [`frontend`] or [`extproc`] accepts it, [`door`] is what they share, [`pipeline`] identifies, parses, counts, admits and routes it,
//! [`drive`] dials through [`upstream`] and relays the answer, [`pipeline`] settles and records.
//! [`cache`] keeps answers, [`state`] decides limits, [`tokens`] counts, [`config`] says what applies, [`telemetry`] tells
//! what happened, [`admin`] shows it, [`app`] wires it all up.

pub mod admin;
pub mod app;
pub mod budget;
pub mod cache;
pub mod commands;
pub mod config;
pub mod door;
pub mod drive;
pub mod error;
pub mod extproc;
pub mod frontend;
pub mod pipeline;
pub mod state;
pub mod telemetry;
pub mod tokens;
pub mod upstream;
