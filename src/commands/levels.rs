//! `sluice levels`: limits, debts, leases and queues of a running gateway.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::Value;

use crate::admin;
use crate::app::StartError;

/// Prints the levels of the gateway at `addr`, again every `every` if that is given.
pub(super) async fn run(addr: &str, json: bool, every: Option<u64>) -> Result<(), StartError> {
    loop {
        let body = admin::fetch(addr, "/levels").await?;
        let text = if json {
            String::from_utf8_lossy(&body).into_owned()
        } else {
            admin::table(&serde_json::from_slice::<Value>(&body)?)
        };
        let mut out = io::stdout().lock();
        if every.is_some() && !json {
            // Clear the screen and go to its corner (ECMA-48).
            out.write_all(b"\x1b[2J\x1b[H")?;
        }
        out.write_all(text.as_bytes())?;
        out.flush()?;
        drop(out);
        let Some(seconds) = every else { return Ok(()) };
        tokio::time::sleep(Duration::from_secs(seconds.max(1))).await;
    }
}
