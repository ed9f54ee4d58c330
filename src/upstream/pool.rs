//! One HTTP client, and so one connection pool, per provider; kept across reloads that do not
//! change how it connects.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Response, header};
use parking_lot::RwLock;
use sluice_providers::UpstreamRequest;

use super::body;
use super::credentials::{Auth, Keychain, Verdict};
use super::tail::Tail;
use crate::config::{Config, Provider};
use crate::error::Error;

/// The body of a provider's answer. Dropping it cancels the request: an HTTP/1.1 connection is
/// closed, an HTTP/2 stream reset.
pub type Incoming = reqwest::Body;

/// Idle connections kept per host, and for how long.
const IDLE_CONNECTIONS: usize = 256;
const IDLE_FOR: Duration = Duration::from_mins(1);

/// What a pool depends on: anything else may change under it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct PoolKey {
    base_url: String,
    connect: Duration,
    http2: bool,
}

impl PoolKey {
    fn of(provider: &Provider, connect: Duration) -> Self {
        Self { base_url: provider.base_url.clone(), connect, http2: provider.http2 }
    }
}

/// The pools of all providers.
#[derive(Default)]
pub struct Upstreams {
    pools: RwLock<HashMap<PoolKey, reqwest::Client>>,
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
        let client = self.pool(provider, connect)?;
        let auth = self.keychain.of(provider)?;
        let url = format!("{}/{}", provider.base_url, request.path);
        // A signature is over one slice, and the client sends again what an HTTP/2 peer refused only if it is one.
        let whole = auth.signs() || provider.http2;
        // What is sent as it comes can be sent once.
        let tries = if tail.is_some() { 1 } else { auth.tries() };
        let (mut request, mut tail) = (Some(request), tail);
        for left in (0..tries).rev() {
            let next = if left == 0 { request.take() } else { request.clone() };
            let Some(UpstreamRequest { method, mut headers, body, .. }) = next else { break };
            let (body, length) = match tail.take() {
                Some(tail) => tail.after(body),
                None => (body::of(body, whole), None),
            };
            headers.extend(length.map(|length| (header::CONTENT_LENGTH, length.into())));
            let built = wire(client.request(method, &url).headers(headers).body(body), provider);
            let mut wire = built.map_err(|error| explain(provider, connect, &error))?;
            let used = auth.apply(&mut wire).await.map_err(|why| no_credentials(provider, &why))?;
            let response = client.execute(wire).await.map_err(|error| explain(provider, connect, &error))?;
            let verdict = auth.judge(&provider.name, used, response.status(), response.headers());
            if left == 0 || verdict == Verdict::Keep {
                return Ok(response.into());
            }
        }
        Err(no_credentials(provider, "there is no usable key"))
    }

    /// A request as the provider takes it, for one that somebody else sends: its path with the query, and its headers,
    /// credentials among them. Which key an answer belongs to is not learned: none is rested for a refusal.
    pub async fn signed(&self, provider: &Provider, request: &UpstreamRequest) -> Result<Signed, Error> {
        let client = self.pool(provider, provider.timeouts.connect)?;
        let auth = self.keychain.of(provider)?;
        let url = format!("{}/{}", provider.base_url, request.path);
        let builder = client.request(request.method.clone(), url).headers(request.headers.clone());
        let built = wire(builder.body(request.body.clone().into_bytes()), provider);
        let mut wire = built.map_err(|error| explain(provider, provider.timeouts.connect, &error))?;
        auth.apply(&mut wire).await.map_err(|why| no_credentials(provider, &why))?;
        let query = wire.url().query().map(|query| format!("?{query}")).unwrap_or_default();
        Ok(Signed { path: format!("{}{query}", wire.url().path()), headers: wire.headers().clone() })
    }

    /// What asks a provider, over its own pool, whether it is there.
    pub(super) fn asker(&self, provider: &Arc<Provider>) -> Asker {
        let client = self.pool(provider, provider.timeouts.connect).ok();
        Asker { client, auth: self.keychain.of(provider).ok(), provider: Arc::clone(provider) }
    }

    /// Forgets the pools that the config no longer uses; their open streams go on.
    pub fn retain(&self, config: &Config) {
        let targets = || config.models.values().flat_map(|model| &model.targets);
        let used: Vec<PoolKey> =
            targets().map(|target| PoolKey::of(&target.provider, target.timeouts.connect)).collect();
        self.pools.write().retain(|key, _| used.contains(key));
        self.keychain.retain(config);
    }

    fn pool(&self, provider: &Provider, connect: Duration) -> Result<reqwest::Client, Error> {
        let key = PoolKey::of(provider, connect);
        if let Some(client) = self.pools.read().get(&key) {
            return Ok(client.clone());
        }
        let client = build(&key)
            .map_err(|error| Error::internal(format!("no HTTP client for provider {}: {error}", provider.name)))?;
        Ok(self.pools.write().entry(key).or_insert(client).clone())
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
    client: Option<reqwest::Client>,
    auth: Option<Arc<Auth>>,
    provider: Arc<Provider>,
}

impl Asker {
    /// Whether a path of the provider's root answers well in time.
    pub(super) async fn ask(&self, path: &str, patience: Duration) -> bool {
        let (Some(client), Some(auth), provider) = (&self.client, &self.auth, &self.provider) else { return false };
        let root = root(&provider.base_url);
        let request = client.get(format!("{root}{path}")).headers(provider.headers.clone()).timeout(patience);
        let Ok(mut request) = request.build() else { return false };
        if auth.apply(&mut request).await.is_err() {
            return false;
        }
        client.execute(request).await.is_ok_and(|response| response.status().as_u16() < 400)
    }
}

/// Scheme and authority of a URL.
fn root(url: &str) -> &str {
    let from = url.find("://").map_or(0, |at| at + 3);
    let end = url.get(from..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| from + at);
    url.get(..end).unwrap_or(url)
}

fn build(key: &PoolKey) -> reqwest::Result<reqwest::Client> {
    let builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .connect_timeout(key.connect)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .pool_idle_timeout(IDLE_FOR);
    let builder = match (key.http2, key.base_url.starts_with("https:")) {
        // One HTTP/2 connection carries all streams, and the ones over the peer's limit queue
        // unseen: HTTP/1.1 unless asked for.
        (false, _) => builder.http1_only(),
        (true, true) => builder,
        (true, false) => builder.http2_prior_knowledge(),
    };
    builder.build()
}

/// A request as it goes out, but for the credentials.
fn wire(builder: reqwest::RequestBuilder, provider: &Provider) -> reqwest::Result<reqwest::Request> {
    builder.headers(provider.headers.clone()).header(header::ACCEPT_ENCODING, "identity").build()
}

fn no_credentials(provider: &Provider, why: &str) -> Error {
    Error::upstream("no_credentials", format!("provider {}: no credentials: {why}", provider.name))
}

/// Says what failed without the URL's query or any header.
fn explain(provider: &Provider, connect: Duration, error: &reqwest::Error) -> Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let name = &provider.name;
    if error.is_connect() && error.is_timeout() {
        let after = connect.as_secs_f32();
        let message = format!("provider {name}: no connection within {after} s (timeouts.connect)");
        return Error::deadline("connect_timeout", message);
    }
    if error.is_connect() {
        return Error::upstream("connect_failed", format!("provider {name}: cannot connect: {cause}"));
    }
    Error::upstream("upstream_reset", format!("provider {name}: the connection broke off before an answer: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_of_an_address_has_no_path() {
        for (url, expected) in
            [("http://a:1/v1", "http://a:1"), ("https://b", "https://b"), ("http://c/x/y", "http://c")]
        {
            assert_eq!(root(url), expected);
        }
    }
}
