//! Requests to one origin, and the connections that wait for the next.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use parking_lot::Mutex;
use tokio::time::timeout;

use super::body::Body;
use super::connect::{Cause, Connector};
use super::link::Link;

/// Idle connections kept, and for how long.
const KEPT: usize = 256;
const KEPT_FOR: Duration = Duration::from_mins(1);

/// Why there is no answer.
#[derive(Debug)]
pub(in crate::upstream) enum Fault {
    /// It is no HTTP request.
    Unsendable(Cause),
    /// No connection in time.
    Slow,
    /// No connection.
    Refused(Cause),
    /// The connection broke off.
    Broke(Cause),
}

/// Sends requests to one origin.
pub(in crate::upstream) struct Client {
    origin: Uri,
    host: HeaderValue,
    connector: Connector,
    connect: Duration,
    idle: Arc<Idle>,
}

impl Client {
    /// A client for the origin of a URL, with a deadline for connecting. Connects to nothing yet.
    pub(in crate::upstream) fn new(url: &str, connect: Duration) -> Result<Self, Cause> {
        let origin: Uri = url.parse()?;
        let host = host(&origin)?;
        let connector = Connector::new(&origin)?;
        Ok(Self { origin, host, connector, connect, idle: Arc::new(Idle::default()) })
    }

    /// Sends a request and waits for the head of the answer. Dropping the future cancels it.
    pub(in crate::upstream) async fn send(
        &self,
        (method, path): (Method, PathAndQuery),
        mut headers: HeaderMap,
        body: reqwest::Body,
    ) -> Result<Response<Body>, Fault> {
        headers.insert(HOST, self.host.clone());
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        let mut request = Request::new(body);
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, path.into(), headers);
        loop {
            let link = match self.idle.take() {
                Some(link) => link,
                // Boxed: seldom needed, and most of the size of this future.
                None => Box::pin(self.open()).await?,
            };
            match link.exchange(request).await {
                Ok((response, link)) => {
                    return Ok(response.map(|incoming| Body::new(incoming, link, Arc::clone(&self.idle))));
                }
                Err(unanswered) => match unanswered.request {
                    // It was closed between two requests.
                    Some(again) => request = again,
                    None => return Err(Fault::Broke(unanswered.cause)),
                },
            }
        }
    }

    async fn open(&self) -> Result<Box<Link>, Fault> {
        let connected = timeout(self.connect, self.connector.connect(&self.origin)).await.map_err(|_| Fault::Slow)?;
        let link = Link::over(connected.map_err(Fault::Refused)?).await.map_err(Fault::Refused)?;
        Ok(Box::new(link))
    }

    /// Closes the connections that were idle for too long or that the provider has closed.
    pub(in crate::upstream) fn tidy(&self) {
        self.idle.tidy(Instant::now());
    }
}

/// What `host` says: a port only where it is not the scheme's own (RFC 9110, section 7.2).
fn host(origin: &Uri) -> Result<HeaderValue, Cause> {
    let authority = origin.authority().ok_or("the URL has no host")?;
    let usual = if origin.scheme_str() == Some("https") { 443 } else { 80 };
    let text = match authority.port_u16() {
        Some(port) if port != usual => format!("{}:{port}", authority.host()),
        _ => authority.host().to_owned(),
    };
    Ok(HeaderValue::try_from(text)?)
}

/// Connections that wait for a request.
#[derive(Default)]
pub(super) struct Idle(Mutex<Vec<(Box<Link>, Instant)>>);

impl Idle {
    /// The one that was used last: the others may be let go one day.
    fn take(&self) -> Option<Box<Link>> {
        loop {
            let (mut link, since) = self.0.lock().pop()?;
            if since.elapsed() < KEPT_FOR && link.is_free() {
                return Some(link);
            }
        }
    }

    /// Keeps a connection whose answer has been read, if it can serve another request.
    pub(super) fn put(&self, mut link: Box<Link>) {
        if !link.is_free() {
            return;
        }
        let mut kept = self.0.lock();
        if kept.len() < KEPT {
            kept.push((link, Instant::now()));
        }
    }

    fn tidy(&self, now: Instant) {
        // The oldest are first. Closing a connection is not for under the lock.
        let gone: Vec<_> = {
            let mut kept = self.0.lock();
            let fresh = |since: &Instant| now.saturating_duration_since(*since) < KEPT_FOR;
            kept.extract_if(.., |(link, since)| !fresh(since) || !link.is_free()).collect()
        };
        drop(gone);
    }
}

#[cfg(test)]
mod tests;
