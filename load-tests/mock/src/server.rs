//! The server: requests recorded, answered as their behaviour says.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::behaviour::{Behaviour, Reset};
use crate::inflight::InFlight;
use crate::kvcache::KvCache;
use crate::render::{self, Asked};
use crate::stream::{Paced, Streams};

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

struct Shared {
    /// Changed by `POST /mock/behave`.
    defaults: RwLock<Behaviour>,
    kv_cache: KvCache,
    forgetful: bool,
    received: Mutex<VecDeque<Received>>,
    streams: Arc<Streams>,
    in_flight: Arc<InFlight>,
    next_id: AtomicU64,
}

/// A running mock; dropping it stops it and cuts its connections.
pub struct MockHandle {
    addr: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

/// Why a connection is dropped in the middle.
#[derive(Debug)]
struct Broken;

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
            defaults: RwLock::new(self.defaults),
            kv_cache: KvCache::default(),
            forgetful: self.forgetful,
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
    let path = parts.uri.path();
    match (&parts.method, path) {
        (&Method::GET, "/mock/requests") => {
            let all: Vec<Received> = shared.received.lock().iter().cloned().collect();
            return Ok(json_response(StatusCode::OK, &json!(all)));
        }
        (&Method::GET, "/inflight") => return Ok(json_response(StatusCode::OK, &shared.in_flight.read())),
        (&Method::GET, "/kv") => return Ok(json_response(StatusCode::OK, &shared.kv_cache.read())),
        (&Method::POST, "/mock/behave") => {
            let asked = serde_json::from_slice::<Behaviour>(&body);
            return Ok(match asked {
                Ok(behaviour) => {
                    *shared.defaults.write() = behaviour;
                    json_response(StatusCode::OK, &json!({}))
                }
                Err(error) => json_response(StatusCode::BAD_REQUEST, &json!({"error": error.to_string()})),
            });
        }
        (&Method::POST, "/mock/reset") => {
            shared.received.lock().clear();
            return Ok(json_response(StatusCode::OK, &json!({})));
        }
        _ => {}
    }
    if !shared.forgetful {
        remember(shared, &parts, &body);
    }
    let flight = (parts.method == Method::POST).then(|| shared.in_flight.enter());
    let mut response = match (&parts.method, path) {
        (&Method::POST, "/v1/chat/completions") => generate(shared, &body, true).await?,
        (&Method::POST, "/v1/completions") => generate(shared, &body, false).await?,
        (&Method::POST, "/v1/embeddings") => generate_embeddings(shared, &body).await?,
        (&Method::GET, "/v1/models") => {
            let models = ["gpt-4o-mini", "gpt-4o"]
                .map(|id| json!({"id": id, "object": "model", "created": 1, "owned_by": "mock"}));
            json_response(StatusCode::OK, &json!({"object": "list", "data": models}))
        }
        _ => json_response(StatusCode::NOT_FOUND, &render::error(404)),
    };
    response.body_mut().flight = flight;
    Ok(response)
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

/// The request, or the answer that says what is wrong with it.
fn read(shared: &Shared, body: &Bytes, chat: bool) -> Result<Asked, Response<Paced>> {
    let refuse = |message: String| {
        let error =
            json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": null}});
        json_response(StatusCode::BAD_REQUEST, &error)
    };
    // Field by field: one that nests deeper than a `Value` may is skipped, not refused.
    let fields: BTreeMap<String, &RawValue> =
        serde_json::from_slice(body).map_err(|error| refuse(error.to_string()))?;
    let known = fields.into_iter().filter_map(|(name, raw)| Some((name, serde_json::from_str(raw.get()).ok()?)));
    let body = Value::Object(known.collect());
    let behaviour = shared.defaults.read().with(body.get("mock")).map_err(refuse)?;
    Ok(Asked { body, chat, behaviour, cached: 0 })
}

/// Goes through every number of a hundred in a fixed order: shares of faults are exact.
static DICE: AtomicU64 = AtomicU64::new(0);

/// The fault a behaviour asks for before anything is answered.
fn fault(behaviour: &Behaviour) -> Result<Option<Response<Paced>>, Broken> {
    if matches!(behaviour.reset, Some(Reset::BeforeHead)) {
        return Err(Broken);
    }
    let dice = DICE.fetch_add(37, Ordering::Relaxed) % 100;
    let Some(status) = behaviour.status.filter(|_| dice < u64::from(behaviour.status_percent)) else {
        return Ok(None);
    };
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut body = render::error(status);
    if let Some(code) = &behaviour.code {
        body["error"]["code"] = json!(code);
    }
    let mut response = json_response(code, &body);
    if let Some(Ok(value)) = behaviour.retry_after.map(|seconds| HeaderValue::from_str(&seconds.to_string())) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    Ok(Some(response))
}

async fn pause(ms: u64) {
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

async fn generate(shared: &Shared, body: &Bytes, chat: bool) -> Result<Response<Paced>, Broken> {
    let mut asked = match read(shared, body, chat) {
        Ok(asked) => asked,
        Err(refusal) => return Ok(refusal),
    };
    if let Some(response) = fault(&asked.behaviour)? {
        return Ok(response);
    }
    let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
    if let Some(capacity) = asked.behaviour.kv_cache {
        let answer: String = asked.words().collect();
        asked.cached = shared.kv_cache.serve(&asked.body["messages"], &answer, capacity);
    }
    pause(asked.behaviour.head_ms).await;
    let mut response = if asked.streams() {
        let paced = Paced::new(render::events(&asked, id), &asked.behaviour, Arc::clone(&shared.streams));
        let mut response = Response::new(paced);
        let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    } else {
        pause(asked.behaviour.first_token_ms).await;
        if asked.behaviour.malformed {
            let mut response = Response::new(Paced::whole("{\"choices\":[{".to_owned()));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        } else {
            let text = render::whole(&asked, id).to_string();
            let length = HeaderValue::from(text.len());
            let mut response = Response::new(Paced::whole_or_broken(text, &asked.behaviour));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response.headers_mut().insert(header::CONTENT_LENGTH, length);
            response
        }
    };
    response.headers_mut().insert("openai-processing-ms", HeaderValue::from_static("1"));
    if let Some(Ok(encoding)) = asked.behaviour.content_encoding.as_deref().map(HeaderValue::from_str) {
        response.headers_mut().insert(header::CONTENT_ENCODING, encoding);
    }
    Ok(response)
}

async fn generate_embeddings(shared: &Shared, body: &Bytes) -> Result<Response<Paced>, Broken> {
    let asked = match read(shared, body, false) {
        Ok(asked) => asked,
        Err(refusal) => return Ok(refusal),
    };
    if let Some(response) = fault(&asked.behaviour)? {
        return Ok(response);
    }
    pause(asked.behaviour.head_ms + asked.behaviour.first_token_ms).await;
    Ok(json_response(StatusCode::OK, &render::embeddings(&asked)))
}

fn json_response(status: StatusCode, value: &Value) -> Response<Paced> {
    let text = value.to_string();
    let length = HeaderValue::from(text.len());
    let mut response = Response::new(Paced::whole(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CONTENT_LENGTH, length);
    response
}
