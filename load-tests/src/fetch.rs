//! Small pages over kept connections: readiness, the gateway's levels, the mock's counters.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::Failure;

/// One page, to be read again and again.
#[derive(Clone)]
pub(crate) struct Page {
    http: legacy::Client<HttpConnector, Empty<Bytes>>,
    uri: Uri,
}

impl Page {
    pub(crate) fn new(addr: SocketAddr, path: &str) -> Result<Self, Failure> {
        let http = legacy::Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { http, uri: format!("http://{addr}{path}").parse()? })
    }

    async fn get(&self) -> Result<(StatusCode, Vec<u8>), Failure> {
        let request = Request::get(self.uri.clone()).body(Empty::new())?;
        let mut response = self.http.request(request).await?;
        let mut body = Vec::new();
        while let Some(frame) = response.body_mut().frame().await {
            if let Ok(data) = frame?.into_data() {
                body.extend_from_slice(&data);
            }
        }
        Ok((response.status(), body))
    }

    /// Posts JSON to it; errors unless it answers 200.
    pub(crate) async fn post(&self, body: &Value) -> Result<(), Failure> {
        let http: legacy::Client<HttpConnector, Full<Bytes>> =
            legacy::Client::builder(TokioExecutor::new()).build_http();
        let request = Request::post(self.uri.clone()).body(Full::new(Bytes::from(body.to_string())))?;
        let status = http.request(request).await?.status();
        if status == StatusCode::OK { Ok(()) } else { Err(format!("{}: status {status}", self.uri).into()) }
    }

    /// Whether it answers 200 at the moment.
    pub(crate) async fn is_there(&self) -> bool {
        self.get().await.is_ok_and(|(status, _)| status == StatusCode::OK)
    }

    async fn body(&self) -> Result<Vec<u8>, Failure> {
        let (status, body) = self.get().await?;
        if status == StatusCode::OK { Ok(body) } else { Err(format!("{}: status {status}", self.uri).into()) }
    }

    pub(crate) async fn json(&self) -> Result<Value, Failure> {
        Ok(serde_json::from_slice(&self.body().await?)?)
    }

    /// The value of a metric, named with its labels.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64, Failure> {
        let page = String::from_utf8(self.body().await?)?;
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.ok_or_else(|| format!("{} has no {name}", self.uri))?;
        Ok(value.parse()?)
    }
}
