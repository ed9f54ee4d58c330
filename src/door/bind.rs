//! Binds the TCP listener of a door.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

/// Binds a listener; the error names the address and what to do.
pub async fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(addr).await.map_err(|error| {
        let hint = if error.kind() == io::ErrorKind::AddrInUse { "; another program listens there" } else { "" };
        io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}{hint}"))
    })
}
