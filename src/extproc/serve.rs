//! Mode `serve`: the request comes to its end, the gateway answers, Envoy passes the answer on as it comes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, header::CONTENT_LENGTH};
use sluice_proto as pb;
use sluice_proto::processing_response::Response as Said;
use sluice_proto::streamed_immediate_response::Response as Streamed;
use tonic::{Status, Streaming};

use super::head;
use super::mutation;
use super::pass::said;
use super::process::Modes;
use super::read::{FromEnvoy, declared};
use crate::door::{self, Begun, Head, Reply};
use crate::pipeline::{Gateway, Waiting};

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
    let declared = declared(&head);
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
    Served { state: first, in_pieces: streams && ended.load(Ordering::Acquire), waiting: None }
}

/// What Envoy said of the request beside its head.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) modes: Modes,
    /// It has no body.
    pub(super) ended: bool,
}

/// An answer as messages to Envoy.
pub(super) struct Served {
    state: State,
    /// Envoy takes an answer in pieces: it keeps the client's connection open after one, unlike after an answer in one
    /// message, and it accepts any status. Only once the request has come to its end.
    in_pieces: bool,
    /// Has the bill once the answer is complete.
    waiting: Option<Arc<Waiting>>,
}

enum State {
    Coming(Pin<Box<dyn Future<Output = Reply> + Send>>),
    /// Its headers are next.
    Begins(Reply),
    Flows(door::Body, Bytes),
    Over,
}

impl Served {
    /// An answer in one message, at any moment and in any mode.
    pub(super) fn at_once(reply: Reply) -> Self {
        Self { state: State::Begins(reply), in_pieces: false, waiting: None }
    }

    /// A whole answer as all its messages; in pieces only where the request has come to its end.
    pub(super) fn messages(reply: Reply, in_pieces: bool) -> Vec<pb::ProcessingResponse> {
        let mut served = Self { state: State::Begins(reply), in_pieces, waiting: None };
        let mut all = Vec::new();
        // What is whole is never pending.
        let mut cx = Context::from_waker(std::task::Waker::noop());
        while let Poll::Ready(Some(Ok(message))) = served.poll_next(&mut cx) {
            all.push(message);
        }
        all
    }

    /// The next message. After the last one Envoy is told that the answer is complete, never before. An error makes
    /// Envoy break the answer off.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<pb::ProcessingResponse, Status>>> {
        loop {
            match &mut self.state {
                State::Over => return Poll::Ready(None),
                State::Coming(coming) => match coming.as_mut().poll(cx) {
                    Poll::Ready(reply) => self.state = State::Begins(reply),
                    Poll::Pending => return Poll::Pending,
                },
                State::Begins(_) => return Poll::Ready(self.headers().map(Ok)),
                State::Flows(body, rest) => {
                    if rest.is_empty() {
                        match body.poll_next(cx) {
                            Poll::Pending => return Poll::Pending,
                            Poll::Ready(Some(Ok(bytes))) => *rest = bytes,
                            Poll::Ready(Some(Err(broken))) => {
                                self.state = State::Over;
                                return Poll::Ready(Some(Err(Status::aborted(broken.to_string()))));
                            }
                            Poll::Ready(None) => {
                                self.state = State::Over;
                                return Poll::Ready(Some(Ok(self.billed(piece(Bytes::new(), true)))));
                            }
                        }
                        continue;
                    }
                    let next = rest.split_to(rest.len().min(PIECE));
                    return Poll::Ready(Some(Ok(piece(next, false))));
                }
            }
        }
    }

    fn headers(&mut self) -> Option<pb::ProcessingResponse> {
        let State::Begins(mut reply) = std::mem::replace(&mut self.state, State::Over) else { return None };
        self.waiting = reply.waiting.take();
        let mut last = Bytes::new();
        if let door::Body::Whole(body) = &mut reply.body {
            last = body.take().unwrap_or_default();
            if !self.in_pieces {
                return Some(self.billed(immediate(&reply, last)));
            }
            reply.headers.insert(CONTENT_LENGTH, HeaderValue::from(last.len()));
        }
        let headers = head::response(reply.status, &reply.headers);
        self.state = State::Flows(reply.body, last);
        let begins = pb::HttpHeaders { headers: Some(headers), end_of_stream: false };
        Some(streamed(Streamed::HeadersResponse(begins)))
    }
}

impl Served {
    /// For Envoy's access log.
    fn billed(&self, mut message: pb::ProcessingResponse) -> pb::ProcessingResponse {
        let bill = self.waiting.as_ref().and_then(|waiting| waiting.bill());
        message.dynamic_metadata = bill.map(mutation::metadata);
        message
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
