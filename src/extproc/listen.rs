//! The sockets of the door: TCP and Unix, bound before anything starts.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{Stream, stream};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// After an accept error such as too many open files: leave the kernel time to recover.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// Binds a Unix socket. One that nobody listens on any more is replaced.
pub(super) fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let explain = |error: io::Error, hint: &str| {
        io::Error::new(error.kind(), format!("cannot listen on {}: {error}{hint} (ext_proc.unix)", path.display()))
    };
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(explain(error, "; another program listens there"));
            }
            std::fs::remove_file(path).map_err(|error| explain(error, ""))?;
            UnixListener::bind(path).map_err(|error| explain(error, ""))
        }
        bound => bound.map_err(|error| explain(error, "")),
    }
}

/// Connections over TCP, as they come.
pub(super) fn tcp(listener: TcpListener) -> impl Stream<Item = io::Result<TcpStream>> {
    stream::unfold(listener, |listener| async move {
        let stream = loop {
            match listener.accept().await.and_then(|(stream, _)| stream.set_nodelay(true).map(|()| stream)) {
                Ok(stream) => break stream,
                Err(error) => rest(&error).await,
            }
        };
        Some((Ok(stream), listener))
    })
}

/// Connections over a Unix socket, as they come. The socket's file goes when this is dropped.
pub(super) fn unix(listener: UnixListener, path: PathBuf) -> impl Stream<Item = io::Result<UnixStream>> {
    stream::unfold((listener, SocketFile(path)), |(listener, file)| async move {
        let stream = loop {
            match listener.accept().await {
                Ok((stream, _)) => break stream,
                Err(error) => rest(&error).await,
            }
        };
        Some((Ok(stream), (listener, file)))
    })
}

async fn rest(error: &io::Error) {
    tracing::warn!(%error, "accept failed on the ext_proc listener");
    tokio::time::sleep(ACCEPT_BACKOFF).await;
}

struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // If it is gone already, there is nothing to remove.
        drop(std::fs::remove_file(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_nobody_listens_on_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        drop(bind_unix(&path).unwrap());
        let live = bind_unix(&path).unwrap();
        let error = bind_unix(&path).unwrap_err().to_string();
        assert!(error.contains("another program") && error.contains("ext_proc.unix"), "{error}");
        drop(unix(live, path.clone()));
        assert!(!path.exists());
    }
}
