//! Opens connections: names, TCP, TLS.

use std::sync::OnceLock;
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;
use tower_service::Service;

/// A peer that is gone without a word is noticed after about a minute.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 3;

/// What TLS trusts: read from the system once, not for each provider.
static TLS: OnceLock<ClientConfig> = OnceLock::new();

/// What a connection runs over.
pub(super) type Io = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Any error of connecting.
pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Connects to one provider.
#[derive(Clone)]
pub(super) struct Connector(HttpsConnector<HttpConnector>);

impl Connector {
    /// For an `https` origin it trusts the certificates that the system trusts, and errors if there are none. Any other
    /// needs none.
    pub(super) fn new(origin: &Uri) -> Result<Self, Cause> {
        let tls = if origin.scheme() == Some(&Scheme::HTTPS) { tls()? } else { nobody() };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_keepalive_interval(Some(KEEPALIVE));
        tcp.set_keepalive_retries(Some(KEEPALIVE_PROBES));
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        Ok(Self(builder.wrap_connector(tcp)))
    }

    /// Connects to the origin of a URL. Dropping the future gives up.
    pub(super) async fn connect(&self, origin: &Uri) -> Result<Io, Cause> {
        // A connector is always ready: it holds nothing.
        self.0.clone().call(origin.clone()).await
    }
}

/// Whether there are certificates to trust; the error says what to do.
pub(crate) fn trusted() -> Result<(), Cause> {
    tls().map(drop)
}

fn tls() -> Result<ClientConfig, Cause> {
    if let Some(known) = TLS.get() {
        return Ok(known.clone());
    }
    let trusting = ClientConfig::builder().with_platform_verifier().map_err(|error| {
        format!("{error}; https needs them: install ca-certificates, or name a file of them in SSL_CERT_FILE")
    })?;
    Ok(TLS.get_or_init(|| trusting.with_no_client_auth()).clone())
}

/// Trusts no certificate.
fn nobody() -> ClientConfig {
    ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth()
}
