//! One HTTP client, and so one set of connections, per provider; kept across reloads that do not
//! change how it connects.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use parking_lot::RwLock;
use sluice_providers::UpstreamRequest;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::body;
use super::credentials::{Auth, Keychain, Verdict};
use super::http1::{self, Fault};
use super::outgoing::{Outgoing, root};
use super::tail::Tail;
use crate::config::{Config, Provider};
use crate::error::Error;

/// The body of a provider's answer. Dropping it cancels the request: an HTTP/1.1 connection is
/// closed, an HTTP/2 stream reset.
pub enum Incoming {
    /// Over HTTP/1.1.
    #[expect(private_interfaces, reason = "read through `http_body::Body` alone")]
    Http1(http1::Body),
    /// Over HTTP/2.
    Http2(reqwest::Body),
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        match self.get_mut() {
            Self::Http1(body) => Pin::new(body).poll_frame(cx),
            Self::Http2(body) => Pin::new(body).poll_frame(cx).map_err(Cause::from),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// How often idle connections are looked at.
const TIDY: Duration = Duration::from_secs(10);

/// What a pool depends on beside the base URL: anything else may change under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Terms {
    connect: Duration,
    http2: bool,
}

/// Connections to one provider.
#[derive(Clone)]
enum Client {
    Http1(Arc<http1::Client>),
    Http2(reqwest::Client),
}

/// The pools of all providers.
#[derive(Default)]
pub struct Upstreams {
    /// By base URL.
    pools: RwLock<HashMap<String, Vec<(Terms, Client)>>>,
    keychain: Keychain,
}

impl Upstreams {
    /// Sends a request and waits for the head of the answer. No deadline but `connect`, that of
    /// connecting: the caller has its own. A request whose key is refused is sent again with another
    /// key, if there is one that does not rest. What `tail` brings is sent after the request's body,
    /// as it comes. Dropping the future cancels the request.
    pub async fn send(
        &self,
        provider: &Provider,
        connect: Duration,
        request: UpstreamRequest,
        tail: Option<Tail>,
    ) -> Result<Response<Incoming>, Error> {
        let client = self.client(provider, connect)?;
        let auth = self.keychain.of(provider)?;
        // A signature is over one slice, and the client sends again what an HTTP/2 peer refused only if it is one.
        let whole = auth.signs() || provider.http2;
        // What is sent as it comes can be sent once.
        let tries = if tail.is_some() { 1 } else { auth.tries() };
        let (mut request, mut tail) = (Some(request), tail);
        for left in (0..tries).rev() {
            let next = if left == 0 { request.take() } else { request.clone() };
            let Some(mut next) = next else { break };
            let body = std::mem::take(&mut next.body);
            let (body, length) = match tail.take() {
                Some(tail) => tail.after(body),
                None => (body::of(body, whole), None),
            };
            let mut outgoing = Outgoing::new(provider, next, body, length);
            let used = outgoing.sign(&auth).await.map_err(|why| no_credentials(provider, &why))?;
            let response = client.send(outgoing).await.map_err(|fault| explain(provider, connect, &fault))?;
            let verdict = auth.judge(&provider.name, used, response.status(), response.headers());
            if left == 0 || verdict == Verdict::Keep {
                return Ok(response);
            }
        }
        Err(no_credentials(provider, "there is no usable key"))
    }

    /// A request as the provider takes it, for one that somebody else sends: its path with the query, and its headers,
    /// credentials among them. Which key an answer belongs to is not learned: none is rested for a refusal.
    pub async fn signed(&self, provider: &Provider, request: &UpstreamRequest) -> Result<Signed, Error> {
        let auth = self.keychain.of(provider)?;
        let mut outgoing = Outgoing::new(provider, request.clone(), request.body.clone().into_bytes().into(), None);
        outgoing.sign(&auth).await.map_err(|why| no_credentials(provider, &why))?;
        let path = outgoing.path().map_err(|why| unsendable(provider, &why))?;
        Ok(Signed { path: path.as_str().to_owned(), headers: outgoing.headers })
    }

    /// What asks a provider, over its own pool, whether it is there.
    pub(super) fn asker(&self, provider: &Arc<Provider>) -> Asker {
        let client = self.client(provider, provider.timeouts.connect).ok();
        Asker { client, auth: self.keychain.of(provider).ok(), provider: Arc::clone(provider) }
    }

    /// Forgets the pools that the config no longer uses; their open streams go on.
    pub fn retain(&self, config: &Config) {
        let used = |url: &str, terms: Terms| {
            config.routes().flat_map(|model| &model.targets).any(|target| {
                target.provider.base_url == url && Terms::of(&target.provider, target.timeouts.connect) == terms
            })
        };
        self.pools.write().retain(|url, clients| {
            clients.retain(|(terms, _)| used(url, *terms));
            !clients.is_empty()
        });
        self.keychain.retain(config);
    }

    /// Closes connections that have been idle for too long, again and again until `stop`.
    pub async fn tidy(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(sleep(TIDY)).await.is_some() {
            let clients: Vec<_> =
                self.pools.read().values().flatten().filter_map(|(_, client)| client.http1()).collect();
            for client in clients {
                client.tidy();
            }
        }
    }

    fn client(&self, provider: &Provider, connect: Duration) -> Result<Client, Error> {
        let (url, terms) = (&provider.base_url, Terms::of(provider, connect));
        let find = |clients: &Vec<(Terms, Client)>| {
            clients.iter().find(|(known, _)| *known == terms).map(|(_, client)| client.clone())
        };
        if let Some(client) = self.pools.read().get(url).and_then(find) {
            return Ok(client);
        }
        let client = Client::new(url, terms)
            .map_err(|error| Error::internal(format!("provider {} cannot be called: {error}", provider.name)))?;
        let mut pools = self.pools.write();
        let clients = pools.entry(url.clone()).or_default();
        Ok(find(clients).unwrap_or_else(|| {
            clients.push((terms, client.clone()));
            client
        }))
    }
}

impl Terms {
    fn of(provider: &Provider, connect: Duration) -> Self {
        Self { connect, http2: provider.http2 }
    }
}

impl Client {
    fn new(url: &str, terms: Terms) -> Result<Self, Cause> {
        // One HTTP/2 connection carries all streams, and the ones over the peer's limit queue
        // unseen: HTTP/1.1 unless asked for.
        if !terms.http2 {
            return Ok(Self::Http1(Arc::new(http1::Client::new(url, terms.connect)?)));
        }
        let builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .connect_timeout(terms.connect);
        let secure = url.starts_with("https:");
        // Without TLS there is nobody to trust.
        let builder = if secure { builder } else { builder.http2_prior_knowledge().tls_certs_only([]) };
        Ok(Self::Http2(builder.build()?))
    }

    async fn send(&self, mut request: Outgoing) -> Result<Response<Incoming>, Fault> {
        match self {
            Self::Http1(client) => {
                let (to, headers, body) = request.into_parts().map_err(|why| Fault::Unsendable(why.into()))?;
                Ok(client.send(to, headers, body).await?.map(Incoming::Http1))
            }
            Self::Http2(client) => {
                let request = request.take().map_err(|why| Fault::Unsendable(why.into()))?;
                let response = client.execute(request).await.map_err(of_reqwest)?;
                Ok(Response::from(response).map(Incoming::Http2))
            }
        }
    }

    fn http1(&self) -> Option<Arc<http1::Client>> {
        if let Self::Http1(client) = self { Some(Arc::clone(client)) } else { None }
    }
}

fn of_reqwest(error: reqwest::Error) -> Fault {
    match (error.is_connect(), error.is_timeout()) {
        (true, true) => Fault::Slow,
        (true, false) => Fault::Refused(error.into()),
        (false, _) => Fault::Broke(error.into()),
    }
}

/// A provider's request without its body.
pub struct Signed {
    /// Path and query.
    pub path: String,
    /// All headers; they hold secrets.
    pub headers: HeaderMap,
}

/// Asks one provider whether it is there.
pub(super) struct Asker {
    client: Option<Client>,
    auth: Option<Arc<Auth>>,
    provider: Arc<Provider>,
}

impl Asker {
    /// Whether a path of the provider's root answers well in time.
    pub(super) async fn ask(&self, path: &str, patience: Duration) -> bool {
        let (Some(client), Some(auth), provider) = (&self.client, &self.auth, &self.provider) else { return false };
        let mut request = Outgoing::get(format!("{}{path}", root(&provider.base_url)), provider.headers.clone());
        let asked = async {
            request.sign(auth).await.ok()?;
            client.send(request).await.ok()
        };
        let answered = timeout(patience, asked).await.ok().flatten();
        answered.is_some_and(|response| response.status().as_u16() < 400)
    }
}

fn no_credentials(provider: &Provider, why: &str) -> Error {
    Error::upstream("no_credentials", format!("provider {}: no credentials: {why}", provider.name))
}

fn unsendable(provider: &Provider, why: &dyn std::fmt::Display) -> Error {
    Error::internal(format!("provider {}: the request cannot be sent: {why}", provider.name))
}

/// Says what failed without the URL's query or any header.
fn explain(provider: &Provider, connect: Duration, fault: &Fault) -> Error {
    let name = &provider.name;
    match fault {
        Fault::Unsendable(why) => unsendable(provider, why),
        Fault::Slow => {
            let after = connect.as_secs_f32();
            let message = format!("provider {name}: no connection within {after} s (timeouts.connect)");
            Error::deadline("connect_timeout", message)
        }
        Fault::Refused(cause) => {
            Error::upstream("connect_failed", format!("provider {name}: cannot connect: {}", deepest(&**cause)))
        }
        Fault::Broke(cause) => {
            let cause = deepest(&**cause);
            let message = format!("provider {name}: the connection broke off before an answer: {cause}");
            Error::upstream("upstream_reset", message)
        }
    }
}

fn deepest<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause
}
