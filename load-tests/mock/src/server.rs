//! The server: requests recorded, answered as their behaviour says.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accounts::Accounts;
use crate::behaviour::Behaviour;
use crate::dispatch;
use crate::inflight::InFlight;
use crate::kvcache::KvCache;
use crate::respond;
use crate::stream::{Paced, Streams};
use crate::tokens;

/// Requests remembered.
const REMEMBERED: usize = 1000;
/// Largest body read.
const BODY_CAP: usize = 64 * 1024 * 1024;

/// A request as it came.
#[derive(Clone, Debug, Serialize)]
pub struct Received {
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers, in order.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: String,
}

/// A mock provider, not started yet.
#[derive(Clone, Debug, Default)]
pub struct Mock {
    defaults: Behaviour,
    forgetful: bool,
}

pub(crate) struct Shared {
    pub(crate) defaults: Mutex<Behaviour>,
    forgetful: bool,
    pub(crate) accounts: Accounts,
    pub(crate) kv_cache: KvCache,
    received: Mutex<VecDeque<Received>>,
    pub(crate) streams: Arc<Streams>,
    in_flight: Arc<InFlight>,
    pub(crate) next_id: AtomicU64,
}

/// A running mock; dropping it stops it and cuts its connections.
pub struct MockHandle {
    addr: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

/// Why a connection is dropped in the middle.
#[derive(Debug)]
pub(crate) struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("broken on demand")
    }
}

impl std::error::Error for Broken {}

impl Mock {
    /// A mock with the default behaviour.
    pub fn new() -> Self {
        Self::default()
    }

    /// A mock that behaves so unless a request asks for something else.
    pub fn with_defaults(defaults: Behaviour) -> Self {
        Self { defaults, forgetful: false }
    }

    /// Does not remember requests: for load.
    #[must_use]
    pub fn forgetful(mut self) -> Self {
        self.forgetful = true;
        self
    }

    /// Starts serving. Errors if the address cannot be bound.
    pub async fn start(self, addr: SocketAddr) -> io::Result<MockHandle> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            defaults: Mutex::new(self.defaults),
            forgetful: self.forgetful,
            accounts: Accounts::default(),
            kv_cache: KvCache::default(),
            received: Mutex::default(),
            streams: Arc::default(),
            in_flight: Arc::default(),
            next_id: AtomicU64::new(1),
        });
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let (accepting, connections) = (Arc::clone(&shared), tasks.clone());
        let stopping = stop.clone();
        tasks.spawn(async move {
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = stopping.cancelled() => return,
                };
                match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(connection(stream, Arc::clone(&accepting), stopping.clone()));
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        });
        Ok(MockHandle { addr, shared, stop })
    }
}

impl MockHandle {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The last requests, oldest first.
    pub fn requests(&self) -> Vec<Received> {
        self.shared.received.lock().iter().cloned().collect()
    }

    /// Streams being sent now.
    pub fn open_streams(&self) -> usize {
        self.shared.streams.open.load(Ordering::Relaxed)
    }

    /// Streams whose reader left before the end.
    pub fn cancelled(&self) -> usize {
        self.shared.streams.cancelled.load(Ordering::Relaxed)
    }

    /// From now on it behaves so unless a request asks for something else.
    pub fn behave(&self, behaviour: Behaviour) {
        *self.shared.defaults.lock() = behaviour;
    }

    /// From now on this API key or token is answered with this status; 200 takes that back.
    pub fn refuse_key(&self, key: &str, status: u16) {
        self.shared.accounts.refuse(key, status);
    }

    /// Returns when the mock has been stopped; that is, never by itself.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }
}

impl Drop for MockHandle {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>, stop: CancellationToken) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let handler = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { answer(&shared, request).await }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    tokio::select! {
        _ = builder.serve_connection(TokioIo::new(stream), handler) => {}
        () = stop.cancelled() => {}
    }
}

#[expect(clippy::disallowed_methods, reason = "`Limited` bounds the body")]
async fn answer(shared: &Shared, request: Request<Incoming>) -> Result<Response<Paced>, Broken> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, BODY_CAP).collect().await.map_err(|_| Broken)?.to_bytes();
    if let Some(response) = operate(shared, &parts, &body) {
        return Ok(response);
    }
    if !shared.forgetful {
        remember(shared, &parts, &body);
    }
    if let Some(response) = tokens::answer(shared, &parts, &body) {
        return Ok(response);
    }
    let flight = (parts.method == Method::POST).then(|| shared.in_flight.enter());
    let mut response = dispatch::answer(shared, &parts, &body).await?;
    response.body_mut().flight = flight;
    Ok(response)
}

/// The mock's own endpoints, for those who steer and question it.
fn operate(shared: &Shared, parts: &http::request::Parts, body: &Bytes) -> Option<Response<Paced>> {
    let ok = |value: &Value| Some(respond::json(StatusCode::OK, value));
    let bad = |message: String| Some(respond::json(StatusCode::BAD_REQUEST, &json!({"error": message})));
    match (&parts.method, parts.uri.path()) {
        (&Method::GET, "/mock/requests") => {
            let all: Vec<Received> = shared.received.lock().iter().cloned().collect();
            ok(&json!(all))
        }
        (&Method::GET, "/inflight") => ok(&shared.in_flight.read()),
        (&Method::GET, "/kv") => ok(&shared.kv_cache.read()),
        (&Method::POST, "/mock/reset") => {
            shared.received.lock().clear();
            ok(&json!({}))
        }
        (&Method::POST, "/mock/behaviour") => match serde_json::from_slice(body) {
            Ok(behaviour) => {
                *shared.defaults.lock() = behaviour;
                ok(&json!({}))
            }
            Err(error) => bad(error.to_string()),
        },
        (&Method::POST, "/mock/keys") => match serde_json::from_slice::<HashMap<String, u16>>(body) {
            Ok(keys) => {
                for (key, status) in &keys {
                    shared.accounts.refuse(key, *status);
                }
                ok(&json!({}))
            }
            Err(error) => bad(error.to_string()),
        },
        _ => None,
    }
}

fn remember(shared: &Shared, parts: &http::request::Parts, body: &Bytes) {
    let header = |(name, value): (&http::HeaderName, &HeaderValue)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let received = Received {
        method: parts.method.to_string(),
        path: parts.uri.to_string(),
        headers: parts.headers.iter().map(header).collect(),
        body: String::from_utf8_lossy(body).into_owned(),
    };
    let mut all = shared.received.lock();
    if all.len() == REMEMBERED {
        all.pop_front();
    }
    all.push_back(received);
}
