//! The gRPC server: the external processor and its health, on the sockets of the config, until drained.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use secrecy::ExposeSecret;
use sluice_proto::external_processor_server::ExternalProcessorServer;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::server::Router;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};

use super::listen;
use super::process::Processor;
use crate::config::{ExtProc, ServerTls};
use crate::door;
use crate::pipeline::Gateway;

/// Streams on one connection. Envoy keeps one connection per worker thread.
const MAX_STREAMS: u32 = 100_000;
/// What may be on its way unread on one stream (Envoy sends pieces of up to 1 MiB), and on a connection of thousands.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Around the body in a message that carries it whole.
const ENVELOPE: usize = 1 << 20;
const KEEPALIVE: Duration = Duration::from_secs(20);
const KEEPALIVE_PATIENCE: Duration = Duration::from_secs(10);
/// Time for the last bytes of the last stream to reach Envoy.
const FLUSH: Duration = Duration::from_secs(1);

/// Sockets that are bound and do not serve yet.
pub struct Bound {
    config: ExtProc,
    tcp: Option<TcpListener>,
    unix: Option<(UnixListener, PathBuf)>,
    tls: Option<ServerTlsConfig>,
}

/// Binds what the config asks for; the error names the address and what to do.
pub async fn bind(config: &ExtProc) -> Result<Bound, Box<dyn std::error::Error + Send + Sync>> {
    let tls = config.tls.as_ref().map(tls);
    if let Some(tls) = &tls {
        // The server would only say so when it starts.
        Server::builder().tls_config(tls.clone()).map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            format!("ext_proc.tls: the certificates cannot be used: {error}: {cause}")
        })?;
    }
    let tcp = match config.listen {
        Some(addr) => Some(door::bind(addr).await?),
        None => None,
    };
    let unix = match &config.unix {
        Some(path) => Some((listen::bind_unix(path)?, path.clone())),
        None => None,
    };
    Ok(Bound { config: config.clone(), tcp, unix, tls })
}

fn tls(config: &ServerTls) -> ServerTlsConfig {
    let identity = Identity::from_pem(&config.cert, config.key.expose_secret());
    let tls = ServerTlsConfig::new().identity(identity);
    match &config.client_ca {
        Some(ca) => tls.client_ca_root(Certificate::from_pem(ca)),
        None => tls,
    }
}

impl Bound {
    /// Where Envoy reaches it over TCP.
    pub fn addr(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves until `stop`, then lets open streams finish up to `limits.drain_timeout`. New ones are refused
    /// meanwhile, health says `NOT_SERVING`. Returns how many streams had to be cut.
    pub async fn run(self, gateway: Arc<Gateway>, stop: CancellationToken) -> usize {
        let (streams, cut) = (TaskTracker::new(), CancellationToken::new());
        let (health, health_service) = health_reporter();
        health.set_serving::<ExternalProcessorServer<Processor>>().await;
        let processor = Processor::new(Arc::clone(&gateway), self.config.mode, streams.clone(), cut.clone());
        let largest = {
            let limits = &gateway.live.snapshot().limits;
            limits.max_body.max(limits.max_upload).saturating_add(ENVELOPE)
        };
        let service = ExternalProcessorServer::new(processor)
            .max_decoding_message_size(largest)
            .max_encoding_message_size(usize::MAX);
        let router = |tls: Option<ServerTlsConfig>| {
            Some(builder(tls)?.add_service(service.clone()).add_service(health_service.clone()))
        };
        let tcp = self.tcp.and_then(|listener| Some(on_tcp(router(self.tls.clone())?, listener, stop.clone())));
        let unix = self.unix.and_then(|(listener, path)| Some(on_unix(router(None)?, listener, path, stop.clone())));
        let serving = async { tokio::join!(join_all(tcp), join_all(unix)) };
        let mut serving = Box::pin(serving);
        tokio::select! {
            _ = &mut serving => return 0,
            () = stop.cancelled() => {}
        }
        not_serving(&health).await;
        streams.close();
        let deadline = gateway.live.snapshot().limits.drain_timeout;
        let finished = tokio::time::timeout(deadline, async {
            tokio::select! {
                _ = &mut serving => true,
                // Watchers of health never end by themselves: the streams of requests are what counts.
                () = streams.wait() => false,
            }
        });
        let open = match finished.await {
            Ok(true) => return 0,
            Ok(false) => 0,
            Err(_) => streams.len(),
        };
        cut.cancel();
        drop(tokio::time::timeout(FLUSH, serving).await);
        open
    }
}

async fn not_serving(health: &HealthReporter) {
    health.set_not_serving::<ExternalProcessorServer<Processor>>().await;
    health.set_service_status("", ServingStatus::NotServing).await;
}

/// Windows and keepalive for thousands of streams on few connections.
fn builder(tls: Option<ServerTlsConfig>) -> Option<Server> {
    let server = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_PATIENCE));
    match tls {
        // `bind` has tried them.
        Some(tls) => server.tls_config(tls).ok(),
        None => Some(server),
    }
}

async fn on_tcp(router: Router, listener: TcpListener, stop: CancellationToken) {
    let served = router.serve_with_incoming_shutdown(listen::tcp(listener), stop.cancelled_owned()).await;
    failed(served);
}

async fn on_unix(router: Router, listener: UnixListener, path: PathBuf, stop: CancellationToken) {
    let served = router.serve_with_incoming_shutdown(listen::unix(listener, path), stop.cancelled_owned()).await;
    failed(served);
}

fn failed(served: Result<(), tonic::transport::Error>) {
    if let Err(error) = served {
        tracing::error!(%error, "the ext_proc server failed");
    }
}
