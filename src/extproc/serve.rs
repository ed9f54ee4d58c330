//! Mode `serve`: the request comes to its end, the gateway answers, Envoy passes the answer on as it comes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use sluice_proto as pb;
use sluice_proto::processing_request::Request as Asked;
use sluice_proto::processing_response::Response as Said;
use sluice_proto::streamed_immediate_response::Response as Streamed;
use tokio::time::timeout;
use tonic::Streaming;

use super::head;
use super::pass::said;
use crate::budget::Held;
use crate::config::Limits;
use crate::door::{self, Begun, Call, Collector, Head, Reader, Reply, broke_off, slow};
use crate::error::Error;
use crate::pipeline::Gateway;

/// Envoy asks that one piece of a streamed answer stays within this.
const PIECE: usize = 64 * 1024;

/// Why requests cannot be served as the filter is configured: the setting to change.
pub(super) fn unfit(modes: super::process::Modes, ended: bool) -> Option<&'static str> {
    if ended || modes.request == pb::BodySendMode::FullDuplexStreamed {
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
    ended: bool,
) -> Served {
    let declared = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let declared = declared.and_then(|text| text.parse().ok()).unwrap_or(0);
    match door::begin(gateway, head, FromEnvoy { inbound, declared, ended }) {
        Begun::Answered(reply) => Served::whole(reply),
        Begun::Called(mut call) => match call.admitted().await {
            Some(reply) => Served::of(reply),
            None => Served::coming(call),
        },
    }
}

/// A request body as Envoy sends it.
struct FromEnvoy {
    inbound: Streaming<pb::ProcessingRequest>,
    declared: usize,
    /// There is none.
    ended: bool,
}

impl Reader for FromEnvoy {
    async fn read(self, limits: &Limits, held: &mut Held) -> Result<Bytes, Error> {
        if self.ended {
            return Ok(Bytes::new());
        }
        let collector = Collector::new(self.declared, limits, held)?;
        match timeout(limits.body_timeout, collect(self.inbound, collector, limits, held)).await {
            Ok(result) => result,
            Err(_) => Err(slow(limits.body_timeout)),
        }
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
            Some(Asked::RequestBody(piece)) => {
                collector.push(piece.body, limits, held)?;
                if piece.end_of_stream {
                    break;
                }
            }
            Some(Asked::RequestTrailers(_)) => break,
            _ => {}
        }
    }
    Ok(collector.whole())
}

/// An answer as messages to Envoy.
pub(super) struct Served {
    state: State,
}

enum State {
    Coming(Pin<Box<dyn Future<Output = Reply> + Send>>),
    /// Its headers are next.
    Begins(Reply),
    Flows(door::Body, Bytes),
    Over,
}

impl Served {
    /// An answer that is all there, at any moment of the request.
    pub(super) fn whole(reply: Reply) -> Self {
        Self { state: State::Begins(reply) }
    }

    fn of(reply: Reply) -> Self {
        Self { state: State::Begins(reply) }
    }

    fn coming(mut call: Call) -> Self {
        Self { state: State::Coming(Box::pin(async move { call.reply().await })) }
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
        let State::Begins(reply) = std::mem::replace(&mut self.state, State::Over) else { return None };
        if let door::Body::Whole(body) = reply.body {
            return Some(immediate(reply.status.as_u16(), &reply.headers, body.unwrap_or_default(), reply.code));
        }
        let headers = head::response(reply.status, &reply.headers);
        self.state = State::Flows(reply.body, Bytes::new());
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
fn immediate(status: u16, headers: &http::HeaderMap, body: Bytes, code: Option<String>) -> pb::ProcessingResponse {
    let mutation = pb::HeaderMutation { set_headers: head::set(headers), remove_headers: Vec::new() };
    said(Said::ImmediateResponse(pb::ImmediateResponse {
        status: Some(pb::HttpStatus { code: i32::from(status) }),
        headers: Some(mutation),
        body,
        details: format!("sluice_{}", code.as_deref().unwrap_or("answer")),
    }))
}
