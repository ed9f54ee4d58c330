//! Mode `serve`: the request comes to its end, the gateway answers, Envoy passes the answer on as it comes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, header::CONTENT_LENGTH};
use sluice_proto as pb;
use sluice_proto::processing_request::Request as Part;
use sluice_proto::processing_response::Response as Said;
use sluice_proto::streamed_immediate_response::Response as Streamed;
use tokio::time::timeout;
use tonic::Streaming;

use super::head;
use super::pass::said;
use super::process::Modes;
use crate::budget::Held;
use crate::config::Limits;
use crate::door::{self, Begun, Collector, Head, Reader, Reply, broke_off, slow};
use crate::error::Error;
use crate::pipeline::Gateway;

/// Envoy asks that one piece of a streamed answer stays within this.
const PIECE: usize = 64 * 1024;

/// Why requests cannot be served as the filter is configured: the setting to change.
pub(super) fn unfit(asked: Asked) -> Option<&'static str> {
    if asked.ended || asked.modes.request == pb::BodySendMode::FullDuplexStreamed {
        return None;
    }
    Some(
        "Envoy's ext_proc filter must have processing_mode.request_body_mode: FULL_DUPLEX_STREAMED and \
         request_trailer_mode: SEND for mode serve; `sluice envoy --mode serve` prints a config",
    )
}

/// Begins a request. Returns when its answer has come, or when it has been let in.
pub(super) async fn begin(
    gateway: &Arc<Gateway>,
    head: Head,
    inbound: Streaming<pb::ProcessingRequest>,
    asked: Asked,
) -> Served {
    let declared = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let declared = declared.and_then(|text| text.parse().ok()).unwrap_or(0);
    let ended = Arc::new(AtomicBool::new(asked.ended));
    let streams = asked.modes.request == pb::BodySendMode::FullDuplexStreamed;
    let begun = door::begin(gateway, head, FromEnvoy { inbound, declared, ended: Arc::clone(&ended) });
    let first = match begun {
        Begun::Answered(reply) => State::Begins(reply),
        Begun::Called(mut call) => match call.admitted().await {
            Some(reply) => State::Begins(reply),
            None => State::Coming(Box::pin(async move { call.reply().await })),
        },
    };
    Served { state: first, in_pieces: streams && ended.load(Ordering::Acquire) }
}

/// What Envoy said of the request beside its head.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) modes: Modes,
    /// It has no body.
    pub(super) ended: bool,
}

/// A request body as Envoy sends it.
struct FromEnvoy {
    inbound: Streaming<pb::ProcessingRequest>,
    declared: usize,
    /// There is none, or all of it has come.
    ended: Arc<AtomicBool>,
}

impl Reader for FromEnvoy {
    async fn read(self, limits: &Limits, held: &mut Held) -> Result<Bytes, Error> {
        if self.ended.load(Ordering::Acquire) {
            return Ok(Bytes::new());
        }
        let collector = Collector::new(self.declared, limits, held)?;
        let body = match timeout(limits.body_timeout, collect(self.inbound, collector, limits, held)).await {
            Ok(result) => result?,
            Err(_) => return Err(slow(limits.body_timeout)),
        };
        self.ended.store(true, Ordering::Release);
        Ok(body)
    }
}

/// Reads to the end, which is a last piece or trailers: an answer that begins before makes Envoy send the client's
/// own headers upstream.
async fn collect(
    mut inbound: Streaming<pb::ProcessingRequest>,
    mut collector: Collector,
    limits: &Limits,
    held: &mut Held,
) -> Result<Bytes, Error> {
    loop {
        let message = inbound.message().await.ok().flatten().ok_or_else(broke_off)?;
        match message.request {
            Some(Part::RequestBody(piece)) => {
                collector.push(piece.body, limits, held)?;
                if piece.end_of_stream {
                    break;
                }
            }
            Some(Part::RequestTrailers(_)) => break,
            _ => {}
        }
    }
    Ok(collector.whole())
}

/// An answer as messages to Envoy.
pub(super) struct Served {
    state: State,
    /// Envoy takes an answer in pieces: it keeps the client's connection open after one, unlike after an answer in one
    /// message, and it accepts any status. Only once the request has come to its end.
    in_pieces: bool,
}

enum State {
    Coming(Pin<Box<dyn Future<Output = Reply> + Send>>),
    /// Its headers are next.
    Begins(Reply),
    Flows(door::Body, Bytes),
    Over,
}

impl Served {
    /// An answer in one message.
    pub(super) fn at_once(reply: Reply) -> Self {
        Self { state: State::Begins(reply), in_pieces: false }
    }

    /// The next message. After the last one Envoy is told that the answer is complete, never before.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<pb::ProcessingResponse>> {
        loop {
            match &mut self.state {
                State::Over => return Poll::Ready(None),
                State::Coming(coming) => match coming.as_mut().poll(cx) {
                    Poll::Ready(reply) => self.state = State::Begins(reply),
                    Poll::Pending => return Poll::Pending,
                },
                State::Begins(_) => return Poll::Ready(self.headers()),
                State::Flows(body, rest) => {
                    if rest.is_empty() {
                        match body.poll_next(cx) {
                            Poll::Pending => return Poll::Pending,
                            Poll::Ready(Some(bytes)) => *rest = bytes,
                            Poll::Ready(None) => {
                                self.state = State::Over;
                                return Poll::Ready(Some(piece(Bytes::new(), true)));
                            }
                        }
                        continue;
                    }
                    let next = rest.split_to(rest.len().min(PIECE));
                    return Poll::Ready(Some(piece(next, false)));
                }
            }
        }
    }

    fn headers(&mut self) -> Option<pb::ProcessingResponse> {
        let State::Begins(mut reply) = std::mem::replace(&mut self.state, State::Over) else { return None };
        let mut last = Bytes::new();
        if let door::Body::Whole(body) = &mut reply.body {
            last = body.take().unwrap_or_default();
            if !self.in_pieces {
                return Some(immediate(&reply, last));
            }
            reply.headers.insert(CONTENT_LENGTH, HeaderValue::from(last.len()));
        }
        let headers = head::response(reply.status, &reply.headers);
        self.state = State::Flows(reply.body, last);
        let begins = pb::HttpHeaders { headers: Some(headers), end_of_stream: false };
        Some(streamed(Streamed::HeadersResponse(begins)))
    }
}

fn streamed(response: Streamed) -> pb::ProcessingResponse {
    said(Said::StreamedImmediateResponse(pb::StreamedImmediateResponse { response: Some(response) }))
}

fn piece(body: Bytes, end_of_stream: bool) -> pb::ProcessingResponse {
    streamed(Streamed::BodyResponse(pb::StreamedBodyResponse { body, end_of_stream }))
}

/// An answer in one message, allowed at every moment and in every mode.
fn immediate(reply: &Reply, body: Bytes) -> pb::ProcessingResponse {
    let mutation = pb::HeaderMutation { set_headers: head::set(&reply.headers), remove_headers: Vec::new() };
    said(Said::ImmediateResponse(pb::ImmediateResponse {
        status: Some(pb::HttpStatus { code: i32::from(reply.status.as_u16()) }),
        headers: Some(mutation),
        body,
        details: format!("sluice_{}", reply.code.as_deref().unwrap_or("answer")),
    }))
}
