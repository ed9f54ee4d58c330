//! Accepts connections, bounded in number, and serves HTTP/1.1 and h2c on each until drained.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
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
/// How often a peer that sent less than four bytes is looked at.
const PEEK_AGAIN: Duration = Duration::from_millis(5);
/// Streams one HTTP/2 connection may hold open.
const MAX_H2_STREAMS: u32 = 1000;

/// The accept loop of the public listener.
pub struct Acceptor {
    gateway: Arc<Gateway>,
    listener: TcpListener,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    room: Arc<Semaphore>,
}

impl Acceptor {
    /// Limits of connections and header sizes are those of the config at start; the per-request
    /// ones follow reloads.
    pub fn new(gateway: Arc<Gateway>, listener: TcpListener) -> Self {
        let limits = gateway.live.snapshot().limits.clone();
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            // `IdleStream` keeps the time, see there.
            .header_read_timeout(None)
            .max_buf_size(limits.max_header_bytes.max(8192));
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_H2_STREAMS)
            .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(Some(Duration::from_secs(20)));
        let room = Arc::new(Semaphore::new(limits.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
        Self { gateway, listener, http1, http2, room }
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
            self.serve(stream, permit, &graceful, [&stop, &cut]);
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
        [stop, cut]: [&CancellationToken; 2],
    ) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "nodelay");
        }
        let activity = Activity::default();
        let limits: &Limits = &self.gateway.live.snapshot().limits;
        let patience = Patience { header: limits.header_timeout, idle: limits.idle_timeout };
        let gateway = Arc::clone(&self.gateway);
        let requests = activity.clone();
        let handler = service_fn(move |request| {
            let gateway = Arc::clone(&gateway);
            let active = requests.begin();
            // Boxed: a connection keeps room for this future for as long as it lives.
            Box::pin(service::handle(gateway, request, active))
        });
        let (http1, http2) = (self.http1.clone(), self.http2.clone());
        let (watcher, stop, cut) = (graceful.watcher(), stop.clone(), cut.clone());
        self.gateway.tasks.spawn(async move {
            let serving = async {
                // Decided here and not by hyper-util's `auto`: its look-ahead doubles the buffer
                // that every connection keeps.
                let decided = tokio::select! {
                    decided = speaks_http2(&stream, patience) => decided,
                    // One that has not begun has nothing to finish.
                    () = stop.cancelled() => None,
                };
                let Some(is_http2) = decided else { return };
                let io = TokioIo::new(IdleStream::new(stream, activity, patience, is_http2));
                // Peers that break off are their own affair; requests are recorded on their own.
                if is_http2 {
                    drop(watcher.watch(http2.serve_connection(io, handler)).await);
                } else {
                    drop(watcher.watch(http1.serve_connection(io, handler)).await);
                }
            };
            tokio::select! {
                () = serving => {}
                () = cut.cancelled() => {}
            }
            drop(permit);
        });
    }
}

/// Whether the peer begins with HTTP/2's preface (RFC 9113 section 3.4); `None` if it says nothing
/// in time or leaves. Nothing is consumed.
async fn speaks_http2(stream: &TcpStream, patience: Patience) -> Option<bool> {
    const PREFACE: &[u8] = b"PRI ";
    let decide = async {
        let mut start = [0u8; PREFACE.len()];
        loop {
            let seen = stream.peek(&mut start).await.ok().filter(|seen| *seen > 0)?;
            let seen = start.get(..seen)?;
            if seen.len() == PREFACE.len() || !PREFACE.starts_with(seen) {
                return Some(seen == PREFACE);
            }
            // A peek does not wait for more than there is.
            tokio::time::sleep(PEEK_AGAIN).await;
        }
    };
    tokio::time::timeout(patience.idle, decide).await.ok()?
}
