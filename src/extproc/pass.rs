//! Requests that are not the gateway's, and phases that begin without a request: everything goes on as it came.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use sluice_proto as pb;
use sluice_proto::body_mutation::Mutation;
use sluice_proto::processing_request::Request as Asked;
use sluice_proto::processing_response::Response as Said;
use tonic::{Status, Streaming};

use super::mutation::{ENDPOINT, MODEL, PROVIDER, TARGET};
use super::process::Modes;

const OURS: [&str; 4] = [PROVIDER, TARGET, MODEL, ENDPOINT];

/// Answers each message with "go on".
pub(super) struct Pass {
    inbound: Streaming<pb::ProcessingRequest>,
    modes: Modes,
    first: Option<pb::ProcessingRequest>,
}

impl Pass {
    /// `first` has been read off the stream already.
    pub(super) fn new(first: pb::ProcessingRequest, modes: Modes, inbound: Streaming<pb::ProcessingRequest>) -> Self {
        Self { inbound, modes, first: Some(first) }
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<pb::ProcessingResponse, Status>>> {
        loop {
            let message = match self.first.take() {
                Some(first) => first,
                None => match Pin::new(&mut self.inbound).poll_next(cx) {
                    Poll::Ready(Some(Ok(message))) => message,
                    Poll::Ready(Some(Err(status))) => return Poll::Ready(Some(Err(status))),
                    // Envoy has heard an answer to all it said: the one clean end.
                    Poll::Ready(None) => return Poll::Ready(None),
                    Poll::Pending => return Poll::Pending,
                },
            };
            if let Some(answer) = go_on(message, self.modes) {
                return Poll::Ready(Some(Ok(answer)));
            }
        }
    }
}

/// The answer that changes nothing.
pub(super) fn go_on(message: pb::ProcessingRequest, modes: Modes) -> Option<pb::ProcessingResponse> {
    let response = match message.request? {
        Asked::RequestHeaders(headers) => Said::RequestHeaders(without_ours(&headers)),
        Asked::ResponseHeaders(_) => Said::ResponseHeaders(pb::HeadersResponse::default()),
        Asked::RequestBody(body) => Said::RequestBody(unchanged(body, modes.request)),
        Asked::ResponseBody(body) => Said::ResponseBody(unchanged(body, modes.response)),
        Asked::RequestTrailers(_) => Said::RequestTrailers(pb::TrailersResponse::default()),
        Asked::ResponseTrailers(_) => Said::ResponseTrailers(pb::TrailersResponse::default()),
    };
    Some(said(response))
}

pub(super) fn said(response: Said) -> pb::ProcessingResponse {
    pb::ProcessingResponse { response: Some(response), ..Default::default() }
}

/// Routes to providers are chosen by headers that only the gateway may set: a client's own are taken out, and the route
/// is chosen again.
fn without_ours(headers: &pb::HttpHeaders) -> pb::HeadersResponse {
    let keys = headers.headers.iter().flat_map(|map| &map.headers).map(|header| &header.key);
    let forged: Vec<String> = keys.filter(|key| OURS.contains(&key.as_str())).cloned().collect();
    if forged.is_empty() {
        return pb::HeadersResponse::default();
    }
    let mutation = pb::HeaderMutation { set_headers: Vec::new(), remove_headers: forged };
    let common = pb::CommonResponse { header_mutation: Some(mutation), clear_route_cache: true, ..Default::default() };
    pb::HeadersResponse { response: Some(common) }
}

/// In full duplex Envoy keeps nothing: what is to go on must be sent back.
fn unchanged(body: pb::HttpBody, mode: pb::BodySendMode) -> pb::BodyResponse {
    if mode == pb::BodySendMode::FullDuplexStreamed {
        piece(body.body, body.end_of_stream)
    } else {
        pb::BodyResponse::default()
    }
}

/// A piece of a full-duplex body.
pub(super) fn piece(body: bytes::Bytes, end_of_stream: bool) -> pb::BodyResponse {
    let streamed = pb::StreamedBodyResponse { body, end_of_stream };
    let mutation = pb::BodyMutation { mutation: Some(Mutation::StreamedResponse(streamed)) };
    pb::BodyResponse { response: Some(pb::CommonResponse { body_mutation: Some(mutation), ..Default::default() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_duplex_body_is_sent_back_and_others_are_not() {
        let body = pb::HttpBody { body: "abc".into(), end_of_stream: true };
        let message = |request| pb::ProcessingRequest { request: Some(request), ..Default::default() };
        let modes = Modes { request: pb::BodySendMode::FullDuplexStreamed, response: pb::BodySendMode::Streamed };
        let said = go_on(message(Asked::RequestBody(body.clone())), modes).unwrap().response.unwrap();
        assert_eq!(said, Said::RequestBody(piece("abc".into(), true)));
        let said = go_on(message(Asked::ResponseBody(body)), modes).unwrap().response.unwrap();
        assert_eq!(said, Said::ResponseBody(pb::BodyResponse::default()));
    }
}
