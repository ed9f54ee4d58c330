//! Accepts connections, bounded in number, and serves HTTP/1.1 and h2c on each until drained.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::idle::{Activity, IdleStream, Patience};
use super::service;
use crate::config::Limits;
use crate::pipeline::Gateway;

/// After an accept error such as too many open files: leave the kernel time to recover.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
/// Streams one HTTP/2 connection may hold open.
const MAX_H2_STREAMS: u32 = 1000;

/// Binds a listener; the error names the address and what to do.
pub async fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(addr).await.map_err(|error| {
        let hint = if error.kind() == io::ErrorKind::AddrInUse { "; another program listens there" } else { "" };
        io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}{hint}"))
    })
}

/// The accept loop of the public listener.
pub struct Acceptor {
    gateway: Arc<Gateway>,
    listener: TcpListener,
    builder: auto::Builder<TokioExecutor>,
    room: Arc<Semaphore>,
}

impl Acceptor {
    /// Limits of connections and header sizes are those of the config at start; the per-request
    /// ones follow reloads.
    pub fn new(gateway: Arc<Gateway>, listener: TcpListener) -> Self {
        let limits = gateway.live.snapshot().limits.clone();
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            // `IdleStream` keeps the time, see there.
            .header_read_timeout(None)
            .max_buf_size(limits.max_header_bytes.max(8192));
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_H2_STREAMS)
            .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(Some(Duration::from_secs(20)));
        let room = Arc::new(Semaphore::new(limits.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
        Self { gateway, listener, builder, room }
    }

    /// Serves until `stop`, then lets open requests finish up to `limits.drain_timeout`.
    /// Returns how many connections had to be cut.
    pub async fn run(self, stop: CancellationToken) -> usize {
        let graceful = GracefulShutdown::new();
        let cut = CancellationToken::new();
        loop {
            let (stream, permit) = tokio::select! {
                accepted = self.accept() => accepted,
                () = stop.cancelled() => break,
            };
            self.serve(stream, permit, &graceful, &cut);
        }
        drop(self.listener);
        let limits = self.gateway.live.snapshot().limits.clone();
        let open = graceful.count();
        tracing::info!(connections = open, timeout_s = limits.drain_timeout.as_secs(), "draining");
        match tokio::time::timeout(limits.drain_timeout, graceful.shutdown()).await {
            Ok(()) => 0,
            Err(_) => {
                cut.cancel();
                limits.max_connections - self.room.available_permits().min(limits.max_connections)
            }
        }
    }

    async fn accept(&self) -> (TcpStream, OwnedSemaphorePermit) {
        loop {
            let Ok(permit) = Arc::clone(&self.room).acquire_owned().await else { continue };
            match self.listener.accept().await {
                Ok((stream, _)) => return (stream, permit),
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }

    fn serve(
        &self,
        stream: TcpStream,
        permit: OwnedSemaphorePermit,
        graceful: &GracefulShutdown,
        cut: &CancellationToken,
    ) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "nodelay");
        }
        let activity = Activity::default();
        let limits: &Limits = &self.gateway.live.snapshot().limits;
        let patience = Patience { header: limits.header_timeout, idle: limits.idle_timeout };
        let io = TokioIo::new(IdleStream::new(stream, activity.clone(), patience));
        let gateway = Arc::clone(&self.gateway);
        let handler = service_fn(move |request| {
            let gateway = Arc::clone(&gateway);
            let active = activity.begin();
            // Boxed: a connection keeps room for this future for as long as it lives.
            Box::pin(service::handle(gateway, request, active))
        });
        let builder = self.builder.clone();
        let watcher = graceful.watcher();
        let cut = cut.clone();
        self.gateway.tasks.spawn(async move {
            let connection = watcher.watch(builder.serve_connection(io, handler).into_owned());
            tokio::select! {
                // Peers that break off are their own affair; requests are recorded on their own.
                _ = connection => {}
                () = cut.cancelled() => {}
            }
            drop(permit);
        });
    }
}
