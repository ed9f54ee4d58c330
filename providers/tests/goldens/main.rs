//! Every case through every adapter, compared with what was found right before. One file format:
//! the input, a line of dashes, the expected output. `UPDATE_GOLDENS=1` writes what comes out.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot run must fail")]

mod answers;
mod aws;
mod dialects;
mod docs;
mod files;
mod merge;
mod requests;
mod splits;
