//! Mode `steer` before the router: the request is counted, admitted and rewritten for its provider, Envoy calls it, and
//! the answer is translated, counted and settled as it comes by.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sluice_proto as pb;
use sluice_proto::body_mutation::Mutation;
use sluice_proto::processing_request::Request as Part;
use sluice_proto::processing_response::Response as Said;
use tonic::{Status, Streaming};

use super::head;
use super::mutation::{self, ENDPOINT, MODEL, TARGET};
use super::pass::{go_on, said};
use super::process::Modes;
use super::read::{Borrowed, End, declared};
use super::serve::{Asked, Served};
use crate::door::{self, Body, Head, Reply};
use crate::drive::Steered;
use crate::error::Error;
use crate::pipeline::Gateway;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Why requests cannot be steered as the filter is configured: the setting to change.
pub(super) fn unfit(asked: Asked) -> Option<&'static str> {
    use pb::BodySendMode::{Buffered, FullDuplexStreamed, Streamed};
    let Modes { request, response } = asked.modes;
    match (request, response) {
        (FullDuplexStreamed, Streamed | FullDuplexStreamed) | (Buffered, Streamed | FullDuplexStreamed | Buffered) => {
            None
        }
        (FullDuplexStreamed | Buffered, _) => Some(
            "Envoy's ext_proc filter must have processing_mode.response_header_mode: SEND and response_body_mode: \
             STREAMED for mode steer; `sluice envoy --mode steer` prints a config",
        ),
        _ if asked.ended => None,
        _ => Some(
            "Envoy's ext_proc filter must have processing_mode.request_body_mode: FULL_DUPLEX_STREAMED (with \
             request_trailer_mode: SEND) or BUFFERED for mode steer: in the other modes the route is chosen before the \
             body is known; `sluice envoy --mode steer` prints a config",
        ),
    }
}

/// One stream of the filter before the router.
pub(super) struct Steer {
    gateway: Arc<Gateway>,
    inbound: Streaming<pb::ProcessingRequest>,
    asked: Asked,
    /// A filter of the cluster translates and signs for each attempt: this one leaves the request as it is.
    attempts: bool,
    queue: VecDeque<pb::ProcessingResponse>,
    phase: Phase,
}

enum Phase {
    /// The head has come, and nothing has been said.
    Fresh(Head),
    /// The body is to come, in one message.
    Reads(Head),
    /// Envoy calls the provider.
    Runs(Box<Running>),
    /// Answered in place of the provider.
    Over,
}

struct Running {
    steered: Steered,
    request_id: Arc<str>,
}

impl Steer {
    pub(super) fn new(
        gateway: &Arc<Gateway>,
        head: Head,
        inbound: Streaming<pb::ProcessingRequest>,
        asked: Asked,
        attempts: bool,
    ) -> Self {
        let phase = Phase::Fresh(head);
        Self { gateway: Arc::clone(gateway), inbound, asked, attempts, queue: VecDeque::new(), phase }
    }

    /// The next message to Envoy. Dropping the future, or this, is the client leaving.
    pub(super) async fn next(&mut self) -> Option<Result<pb::ProcessingResponse, Status>> {
        loop {
            if let Some(message) = self.queue.pop_front() {
                return Some(Ok(message));
            }
            match std::mem::replace(&mut self.phase, Phase::Over) {
                Phase::Over => return None,
                Phase::Fresh(head) if self.buffered() && !self.asked.ended => {
                    self.queue.push_back(said(Said::RequestHeaders(pb::HeadersResponse::default())));
                    self.phase = Phase::Reads(head);
                }
                Phase::Fresh(head) | Phase::Reads(head) => self.admit(head).await,
                Phase::Runs(mut running) => match self.inbound.message().await {
                    Err(status) => return Some(Err(status)),
                    // Envoy has heard an answer to all it said: the one clean end.
                    Ok(None) => return None,
                    Ok(Some(message)) => {
                        if let Err(status) = self.on(&mut running, message) {
                            return Some(Err(status));
                        }
                        if matches!(self.phase, Phase::Over) && !self.ended_here() {
                            self.phase = Phase::Runs(running);
                        }
                    }
                },
            }
        }
    }

    fn buffered(&self) -> bool {
        self.asked.modes.request == pb::BodySendMode::Buffered
    }

    /// The last thing said was an answer in place of the provider's.
    fn ended_here(&self) -> bool {
        self.queue.back().is_some_and(|message| matches!(message.response, Some(Said::ImmediateResponse(_))))
    }

    async fn admit(&mut self, head: Head) {
        let path = head.path.clone();
        let foreign = mutation::foreign(head.headers.keys().map(HeaderName::as_str));
        let mut read = None;
        let reader = Borrowed {
            declared: declared(&head),
            buffered: self.asked.modes.request == pb::BodySendMode::Buffered,
            ended: self.asked.ended,
            inbound: &mut self.inbound,
            read: &mut read,
        };
        let admitted = door::admit(&self.gateway, head, reader).await;
        // Envoy keeps the client's connection after an answer in pieces, which it takes once the request has ended.
        let in_pieces = !self.buffered() && (self.asked.ended || read.is_some());
        let (flight, request_id) = match admitted {
            Ok(admitted) => admitted,
            Err(reply) => return self.at_once(reply, in_pieces),
        };
        match Steered::begin(&self.gateway, flight).await {
            Ok((mut steered, target, mut request)) => {
                let mut headers = pb::HeaderMutation { set_headers: Vec::new(), remove_headers: foreign };
                let (body, end) = read.unwrap_or((Bytes::new(), End::Piece));
                let body = if self.attempts {
                    headers.set_headers.push(head::overwrite(ENDPOINT, path));
                    headers.set_headers.push(head::overwrite("content-type", "application/json"));
                    headers.set_headers.push(head::overwrite("content-length", body.len().to_string()));
                    body
                } else {
                    request.body = request.body.into_bytes().into();
                    let signed = match self.gateway.upstreams.signed(&target.provider, &request).await {
                        Ok(signed) => signed,
                        Err(error) => {
                            let error = steered.refuse(error);
                            return self.at_once(Reply::error(&error, &request_id), in_pieces);
                        }
                    };
                    for_provider(&mut headers, mutation::signed(&target, &signed, request.body.len()));
                    request.body.into_bytes()
                };
                let model = steered.tally().model.map_or_else(String::new, |model| model.to_string());
                headers.set_headers.push(head::overwrite(MODEL, model));
                self.request(headers, body, end, &steered);
                self.phase = Phase::Runs(Box::new(Running { steered, request_id }));
            }
            Err(error) => self.at_once(Reply::error(&error, &request_id), in_pieces),
        }
    }

    /// The request as it goes on.
    fn request(&mut self, headers: pb::HeaderMutation, body: Bytes, end: End, steered: &Steered) {
        let metadata = mutation::metadata(&steered.tally());
        let mut common =
            pb::CommonResponse { header_mutation: Some(headers), clear_route_cache: true, ..Default::default() };
        if self.buffered() {
            common.body_mutation = Some(pb::BodyMutation { mutation: Some(Mutation::Body(body)) });
            self.say(Said::RequestBody(pb::BodyResponse { response: Some(common) }), metadata);
            return;
        }
        self.say(Said::RequestHeaders(pb::HeadersResponse { response: Some(common) }), metadata);
        for piece in mutation::pieces(body, end == End::Piece) {
            self.queue.push_back(said(Said::RequestBody(piece)));
        }
        if end == End::Trailers {
            self.queue.push_back(said(Said::RequestTrailers(pb::TrailersResponse::default())));
        }
    }

    fn say(&mut self, response: Said, metadata: pb::Struct) {
        let message = pb::ProcessingResponse { response: Some(response), ..Default::default() };
        self.queue.push_back(pb::ProcessingResponse { dynamic_metadata: Some(metadata), ..message });
    }

    fn at_once(&mut self, reply: Reply, in_pieces: bool) {
        self.queue.extend(Served::messages(reply, in_pieces));
        self.phase = Phase::Over;
    }

    /// Takes the next part of the answer. An error ends the stream, and Envoy breaks the answer off.
    fn on(&mut self, running: &mut Running, message: pb::ProcessingRequest) -> Result<(), Status> {
        match message.request {
            Some(Part::ResponseHeaders(headers)) => self.on_headers(running, headers),
            Some(Part::ResponseBody(body)) => return self.on_body(running, body.body, body.end_of_stream),
            Some(Part::ResponseTrailers(_)) => return self.on_trailers(running),
            other => {
                // A second end of the request, or its trailers.
                let modes = self.asked.modes;
                let answer = go_on(pb::ProcessingRequest { request: other, ..Default::default() }, modes);
                let unasked = |message: &pb::ProcessingResponse| {
                    modes.request == pb::BodySendMode::FullDuplexStreamed
                        && matches!(message.response, Some(Said::RequestBody(_)))
                };
                self.queue.extend(answer.filter(|message| !unasked(message)));
            }
        }
        Ok(())
    }

    fn on_headers(&mut self, running: &mut Running, headers: pb::HttpHeaders) {
        let (status, came) = head::answered(headers.headers);
        // Set by our filter of the cluster; without one a provider could say anything here.
        let label = came.get(TARGET).filter(|_| self.attempts);
        if let Some(label) = label.and_then(|value| value.to_str().ok()) {
            running.steered.answered_by(label);
        }
        let (shown, mut wanted) = match running.steered.head(status, came.clone()) {
            Ok(head) => head,
            Err(error) => return self.at_once(Reply::error(&error, &running.request_id), false),
        };
        if let Ok(id) = HeaderValue::from_str(&running.request_id) {
            wanted.insert(REQUEST_ID, id);
        }
        if headers.end_of_stream {
            return self.without_body(running, shown, wanted);
        }
        let held = self.asked.modes.response == pb::BodySendMode::Buffered;
        let mut changes = mutation::answer(&came, &wanted);
        if shown != status {
            changes.set_headers.push(head::overwrite(":status", shown.as_str().to_owned()));
        }
        let common = pb::CommonResponse { header_mutation: Some(changes), ..Default::default() };
        let metadata = mutation::metadata(&running.steered.tally());
        let response = Said::ResponseHeaders(pb::HeadersResponse { response: Some(common) });
        let mut message = said(response);
        message.dynamic_metadata = Some(metadata);
        if held && running.steered.streams() {
            // Needs allow_mode_override; without it all comes at once at the end.
            self.asked.modes.response = pb::BodySendMode::Streamed;
            message.mode_override = Some(pb::ProcessingMode {
                response_header_mode: pb::HeaderSendMode::Send.into(),
                response_body_mode: pb::BodySendMode::Streamed.into(),
                ..Default::default()
            });
        }
        self.queue.push_back(message);
    }

    /// An answer that is only a head: what belongs into its body comes in one message instead.
    fn without_body(&mut self, running: &mut Running, status: StatusCode, wanted: HeaderMap) {
        match running.steered.chunk(Bytes::new(), true) {
            Ok(body) => {
                let body = Body::Whole(body.filter(|body| !body.is_empty()));
                self.at_once(Reply { status, headers: wanted, body, close: false, code: None, waiting: None }, false);
            }
            Err(error) => self.at_once(Reply::error(&error, &running.request_id), false),
        }
    }

    fn on_body(&mut self, running: &mut Running, data: Bytes, last: bool) -> Result<(), Status> {
        let bytes = running.steered.chunk(data, last).map_err(broken)?;
        let metadata = mutation::metadata(&running.steered.tally());
        for body in mutation::instead(self.asked.modes.response, bytes, last) {
            self.say(Said::ResponseBody(body), metadata.clone());
        }
        Ok(())
    }

    fn on_trailers(&mut self, running: &mut Running) -> Result<(), Status> {
        let rest = running.steered.chunk(Bytes::new(), true).map_err(broken)?;
        let metadata = mutation::metadata(&running.steered.tally());
        if let Some(rest) = rest.filter(|_| self.asked.modes.response == pb::BodySendMode::FullDuplexStreamed) {
            for body in mutation::pieces(rest, false) {
                self.queue.push_back(said(Said::ResponseBody(body)));
            }
        }
        self.say(Said::ResponseTrailers(pb::TrailersResponse::default()), metadata);
        Ok(())
    }
}

/// What is set anew must not be taken out.
fn for_provider(headers: &mut pb::HeaderMutation, set: Vec<pb::HeaderValueOption>) {
    headers
        .remove_headers
        .retain(|name| !set.iter().any(|option| option.header.as_ref().is_some_and(|header| header.key == *name)));
    headers.set_headers.extend(set);
}

fn broken(error: Error) -> Status {
    Status::internal(error.message)
}
