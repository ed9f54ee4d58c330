//! Chat requests over kept connections, and what they measured.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::Failure;
use crate::policy::{self, MODEL};

/// Words of the prompt: about what a short question with its instructions has.
const PROMPT_WORDS: usize = 120;

/// Sends one kind of request to one server.
#[derive(Clone)]
pub(crate) struct Client {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    target: Arc<Target>,
}

struct Target {
    chat: Uri,
    bearer: HeaderValue,
}

/// What a gateway said, with or without an answer of the model.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    /// How long the request waited for its turn.
    pub(crate) queued: Duration,
    /// Prompt and answer, as the usage says; 0 without one.
    pub(crate) tokens: u64,
}

/// What became of a request.
pub(crate) struct Traced {
    pub(crate) status: StatusCode,
    pub(crate) attempts: u32,
    pub(crate) target: String,
    /// Until the first content of a stream, or all of an answer.
    pub(crate) took: Duration,
    /// Whether it was answered to its end.
    pub(crate) whole: bool,
    pub(crate) body: Vec<u8>,
}

impl Client {
    /// Calls as the client of this name, over as many connections as there are requests at once.
    pub(crate) fn new(addr: SocketAddr, name: &str) -> Result<Self, Failure> {
        Self::build(addr, name, false)
    }

    /// Sends all requests over one HTTP/2 connection.
    pub(crate) fn http2(addr: SocketAddr, name: &str) -> Result<Self, Failure> {
        Self::build(addr, name, true)
    }

    fn build(addr: SocketAddr, name: &str, http2: bool) -> Result<Self, Failure> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        let http = builder.pool_max_idle_per_host(usize::MAX).http2_only(http2).build(connector);
        let target = Target {
            chat: format!("http://{addr}/v1/chat/completions").parse()?,
            bearer: format!("Bearer {}", policy::secret(name)).parse()?,
        };
        Ok(Self { http, target: Arc::new(target) })
    }

    async fn post(&self, body: Bytes) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.chat.clone();
        request.headers_mut().insert(AUTHORIZATION, self.target.bearer.clone());
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(self.http.request(request).await?)
    }

    async fn send(&self, body: Bytes) -> Result<Incoming, Failure> {
        let response = self.post(body).await?;
        if !response.status().is_success() {
            return Err(format!("status {}", response.status()).into());
        }
        Ok(response.into_body())
    }

    /// Sends and reads the reply to its end.
    pub(crate) async fn whole(&self, body: Bytes) -> Result<(), Failure> {
        let mut reply = self.send(body).await?;
        while let Some(frame) = reply.frame().await {
            frame?;
        }
        Ok(())
    }

    /// Sends and reads the reply to its end; what the gateway says of its cache, empty if it has none.
    pub(crate) async fn outcome(&self, body: Bytes) -> Result<String, Failure> {
        let response = self.post(body).await?;
        if !response.status().is_success() {
            return Err(format!("status {}", response.status()).into());
        }
        let told = response.headers().get("x-sluice-cache").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let told = told.to_owned();
        let mut reply = response.into_body();
        while let Some(frame) = reply.frame().await {
            frame?;
        }
        Ok(told)
    }

    /// Sends and reads the reply, whatever its status.
    pub(crate) async fn reply(&self, body: Bytes) -> Result<Reply, Failure> {
        let response = self.post(body).await?;
        let status = response.status();
        let queued = response.headers().get("x-sluice-queue-ms").and_then(|value| value.to_str().ok()?.parse().ok());
        let mut reply = response.into_body();
        let mut text = Vec::new();
        while let Some(frame) = reply.frame().await {
            if let Ok(data) = frame?.into_data() {
                text.extend_from_slice(&data);
            }
        }
        let tokens =
            serde_json::from_slice::<Value>(&text).ok().and_then(|body| body["usage"]["total_tokens"].as_u64());
        let queued = Duration::try_from_secs_f64(queued.unwrap_or(0.0_f64) / 1000.0)?;
        Ok(Reply { status, queued, tokens: tokens.unwrap_or(0) })
    }

    /// Sends and notes who answered, after how many attempts, and when the answer was there: the
    /// first content of a stream, or all of it.
    pub(crate) async fn traced(&self, body: Bytes) -> Result<Traced, Failure> {
        let begin = Instant::now();
        let response = self.post(body).await?;
        let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut traced = Traced {
            status: response.status(),
            attempts: text("x-sluice-attempts").parse().unwrap_or(1),
            target: text("x-sluice-target").to_owned(),
            took: Duration::ZERO,
            whole: false,
            body: Vec::new(),
        };
        let streams =
            response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event"));
        let (mut reply, mut events) = (response.into_body(), Events::default());
        while let Some(frame) = reply.frame().await {
            if let Ok(data) = frame?.into_data() {
                events.take(&data, Instant::now());
                traced.body.extend_from_slice(&data);
            }
        }
        let there = events.arrived.first().copied().filter(|_| streams).unwrap_or_else(Instant::now);
        traced.took = there.saturating_duration_since(begin);
        traced.whole = traced.status == StatusCode::OK && (events.done || !streams);
        Ok(traced)
    }

    /// Sends and notes when each content chunk came. Fails unless the stream ends with `[DONE]`.
    pub(crate) async fn stream(&self, body: Bytes) -> Result<Vec<Instant>, Failure> {
        let mut reply = self.send(body).await?;
        let mut events = Events::default();
        while let Some(frame) = reply.frame().await {
            if let Ok(data) = frame?.into_data() {
                events.take(&data, Instant::now());
            }
        }
        if events.done { Ok(events.arrived) } else { Err("the stream ended early".into()) }
    }

    /// Sends and reads until the first content chunk; the stream stays open.
    pub(crate) async fn open(&self, body: Bytes) -> Result<Incoming, Failure> {
        let mut reply = self.send(body).await?;
        let mut events = Events::default();
        while events.arrived.is_empty() {
            let frame = reply.frame().await.ok_or("the stream ended early")?;
            if let Ok(data) = frame?.into_data() {
                events.take(&data, Instant::now());
            }
        }
        Ok(reply)
    }
}

/// Finds content chunks in a stream whose pieces end anywhere.
#[derive(Default)]
struct Events {
    rest: Vec<u8>,
    arrived: Vec<Instant>,
    done: bool,
}

impl Events {
    fn take(&mut self, data: &[u8], now: Instant) {
        self.rest.extend_from_slice(data);
        let mut begin = 0;
        while let Some(rest) = self.rest.get(begin..) {
            let Some(length) = rest.windows(2).position(|pair| pair == b"\n\n") else { break };
            let event = rest.get(..length).map(String::from_utf8_lossy).unwrap_or_default();
            // The opening chunk carries an empty text.
            if event.contains("\"content\":\"") && !event.contains("\"content\":\"\"") {
                self.arrived.push(now);
            }
            self.done |= event == "data: [DONE]";
            begin += length + 2;
        }
        self.rest.drain(..begin);
    }
}

/// A chat request of the model that every measured server knows.
pub(crate) fn ask(stream: bool, mock: &Value) -> Bytes {
    let prompt = "river ".repeat(PROMPT_WORDS);
    let messages = json!([{"role": "user", "content": prompt}]);
    json!({"model": MODEL, "stream": stream, "messages": messages, "mock": mock}).to_string().into()
}

/// Tokens around the prompt of one user message: three for the message, one for its role, three
/// for the answer's opening.
const FRAME: u64 = 7;

/// A chat request and what its answer will report.
pub(crate) struct Question {
    /// Words of the prompt, a token each.
    pub(crate) words: u32,
    /// The bound that the request states.
    pub(crate) max_tokens: u64,
    /// Tokens of the answer.
    pub(crate) answer: u64,
    /// How long the provider takes.
    pub(crate) service: Duration,
}

impl Question {
    pub(crate) fn body(&self) -> Bytes {
        let Self { words, max_tokens, answer, service } = self;
        let prompt = vec!["river"; *words as usize].join(" ");
        let messages = json!([{"role": "user", "content": prompt}]);
        let mock = json!({"head_ms": service.as_millis(), "tokens": 1,
            "prompt_tokens": u64::from(*words) + FRAME, "completion_tokens": answer});
        json!({"model": MODEL, "max_tokens": max_tokens, "messages": messages, "mock": mock}).to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_found_across_pieces() {
        let text = "data: {\"delta\":{\"content\":\"\"}}\n\ndata: {\"delta\":{\"content\":\" a\"}}\n\ndata: [DONE]\n\n";
        for split in [1, 7, 500] {
            let mut events = Events::default();
            text.as_bytes().chunks(split).for_each(|piece| events.take(piece, Instant::now()));
            assert_eq!((events.arrived.len(), events.done), (1, true));
        }
    }
}
