//! Serves `/healthz`, `/readyz`, `/metrics`, `/config`, `/levels`, `/targets` and `/cache`.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{cache, levels, targets};
use crate::pipeline::Gateway;

/// Whether traffic should be sent here: false while starting and while draining.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Changes what `/readyz` answers.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

const WRITES: &str =
    "only GET is served here, and POST of /targets/provider/model, /cache/purge and /cache/verify/reset\n";

/// The admin listener.
pub struct Admin {
    gateway: Arc<Gateway>,
    readiness: Readiness,
}

impl Admin {
    /// An admin listener for this gateway.
    pub fn new(gateway: Arc<Gateway>, readiness: Readiness) -> Self {
        Self { gateway, readiness }
    }

    /// Serves until `stop`.
    pub async fn run(self, listener: TcpListener, stop: CancellationToken) {
        let this = Arc::new(self);
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "accept failed on the admin listener");
                        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                        continue;
                    }
                },
                () = stop.cancelled() => return,
            };
            let (admin, stop) = (Arc::clone(&this), stop.clone());
            this.gateway.tasks.spawn(async move {
                let handler = service_fn(|request| {
                    let admin = Arc::clone(&admin);
                    async move { Ok::<_, Infallible>(admin.answer(&request).await) }
                });
                let connection =
                    http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), handler);
                tokio::select! {
                    _ = connection => {}
                    () = stop.cancelled() => {}
                }
            });
        }
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if *request.method() == Method::POST {
            // A browser sends it along: no page that an operator looks at may change anything.
            if request.headers().contains_key(header::ORIGIN) {
                return text(StatusCode::FORBIDDEN, "not from a browser\n");
            }
            return self.change(request.uri().path(), request.uri().query().unwrap_or_default()).await;
        }
        if *request.method() != Method::GET {
            return text(StatusCode::METHOD_NOT_ALLOWED, WRITES);
        }
        match request.uri().path() {
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" if self.readiness.get() => text(StatusCode::OK, "ready\n"),
            "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready: starting or draining\n"),
            "/metrics" => self.metrics(),
            "/config" => pretty(&self.config()),
            "/levels" => self.levels().await,
            "/cache" => pretty(&cache::json(&self.gateway)),
            "/targets" => pretty(&targets::json(&self.gateway)),
            _ => text(StatusCode::NOT_FOUND, "there is /healthz /readyz /metrics /config /levels /targets /cache\n"),
        }
    }

    async fn change(&self, path: &str, query: &str) -> Response<Full<Bytes>> {
        let changed = match (path, path.strip_prefix("/targets/")) {
            (_, Some(label)) => targets::change(&self.gateway, label, query).map(|shown| (StatusCode::OK, shown)),
            ("/cache/purge", _) => cache::purge(&self.gateway, query).await,
            ("/cache/verify/reset", _) => cache::reset(&self.gateway, query).map(|shown| (StatusCode::OK, shown)),
            _ => return text(StatusCode::METHOD_NOT_ALLOWED, WRITES),
        };
        match changed {
            Ok((status, shown)) => {
                let mut response = pretty(&shown);
                *response.status_mut() = status;
                response
            }
            Err(message) => text(StatusCode::BAD_REQUEST, format!("{message}\n")),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let metrics = self.gateway.sinks.metrics();
        metrics.set_bytes_in_flight(self.gateway.budget.used());
        let held = self.gateway.cache.size();
        metrics.cache().holds(held.entries, held.bytes);
        let known = self.gateway.cache.watch().all();
        let stands = known.iter().map(|k| (&*k.model, &*k.rules.name, k.upper_bound(), k.off));
        metrics.cache().verify().stand(stands);
        metrics.set_leases_open(self.gateway.store.open_leases());
        let mut response = text(StatusCode::OK, metrics.render());
        let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }

    fn config(&self) -> Value {
        let live = &self.gateway.live;
        let status = live.status();
        json!({
            "generation": status.generation,
            "loaded_at": status.loaded_at,
            "last_error": status.last_error,
            "reloads": { "ok": status.reloads_ok, "failed": status.reloads_failed },
            "overrides": targets::overrides(&self.gateway),
            "config": live.snapshot().redacted,
        })
    }

    async fn levels(&self) -> Response<Full<Bytes>> {
        match self.gateway.store.levels().await {
            Ok(levels) => pretty(&levels::json(levels, self.gateway.store.open_leases())),
            Err(error) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
        }
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn pretty(value: &Value) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::OK, format!("{value:#}\n"));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
