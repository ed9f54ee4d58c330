//! What the binary can do: one file per command, and the flags that pick it.

mod check;
mod cli;
mod envoy;
mod explain;
mod key;
mod levels;
mod models;
mod serve;

pub use cli::{Cli, run};
