//! `sluice-mock`: the mock provider as a program, for tests in other languages.

use std::io::{self, Write};
use std::net::SocketAddr;

use sluice_mock::Mock;

#[tokio::main]
async fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let addr: Option<SocketAddr> = match (args.next().as_deref(), args.next()) {
        (None, _) => Some(SocketAddr::from(([127, 0, 0, 1], 9999))),
        (Some("--listen"), Some(addr)) => addr.parse().ok(),
        _ => None,
    };
    let usage = || io::Error::new(io::ErrorKind::InvalidInput, "usage: sluice-mock [--listen 127.0.0.1:9999]");
    let handle = Mock::new().start(addr.ok_or_else(usage)?).await?;
    writeln!(io::stdout(), "listening on {}", handle.addr())?;
    handle.stopped().await;
    Ok(())
}
