//! The service: looks at the first message of a stream and decides what the stream is.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::{Stream, stream};
use http::StatusCode;
use sluice_proto as pb;
use sluice_proto::external_processor_server::ExternalProcessor;
use sluice_proto::processing_request::Request as Asked;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::attempt::{self, Attempt};
use super::head;
use super::pass::Pass;
use super::serve::{self, Served};
use super::steer::{self, Steer};
use crate::config::ExtProcMode;
use crate::door;
use crate::error::Error;
use crate::pipeline::Gateway;

/// Set on a route, in `grpc_initial_metadata`, to use another mode there than the config says.
const MODE: &str = "x-sluice-mode";

/// `envoy` where filters of the clusters translate for each attempt.
const ATTEMPTS: &str = "x-sluice-attempts";

/// How Envoy sends bodies on this stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Modes {
    pub(super) request: pb::BodySendMode,
    pub(super) response: pb::BodySendMode,
}

impl Modes {
    /// Old Envoys do not say: then they are taken to be set up for the gateway.
    fn of(first: &pb::ProcessingRequest) -> Self {
        let Some(config) = &first.protocol_config else {
            let full = pb::BodySendMode::FullDuplexStreamed;
            return Self { request: full, response: pb::BodySendMode::Streamed };
        };
        Self { request: config.request_body_mode(), response: config.response_body_mode() }
    }
}

/// The external processor.
pub(super) struct Processor {
    gateway: Arc<Gateway>,
    mode: ExtProcMode,
    /// One token per open stream.
    streams: TaskTracker,
    /// The drain deadline has passed.
    cut: CancellationToken,
}

impl Processor {
    pub(super) fn new(gateway: Arc<Gateway>, mode: ExtProcMode, streams: TaskTracker, cut: CancellationToken) -> Self {
        Self { gateway, mode, streams, cut }
    }

    async fn begin(&self, request: Request<Streaming<pb::ProcessingRequest>>) -> Result<Kind, Status> {
        let (metadata, _, mut inbound) = request.into_parts();
        let Some(first) = inbound.message().await? else {
            return Err(Status::invalid_argument("the stream ended before its first message"));
        };
        if first.observability_mode {
            let message = "observability_mode is set on the ext_proc filter: nothing would be counted or refused";
            tracing::error!("{message}");
            return Err(Status::failed_precondition(message));
        }
        let modes = Modes::of(&first);
        let Some(Asked::RequestHeaders(headers)) = &first.request else {
            // Envoy answered on its own before the filter saw a request.
            return Ok(Kind::Passes(Pass::new(first, modes, inbound)));
        };
        let ended = headers.end_of_stream;
        let head = head::request(headers.headers.clone());
        if let Some(label) = attempt::target_of(&first) {
            let attempt = Attempt::new(&self.gateway, &head, label, inbound, modes);
            let rest =
                stream::unfold(attempt, |mut attempt| async move { attempt.next().await.map(|next| (next, attempt)) });
            return Ok(Kind::Steers(None, Box::pin(rest)));
        }
        if !door::is_ours(&head.path) {
            return Ok(Kind::Passes(Pass::new(first, modes, inbound)));
        }
        let asked = serve::Asked { modes, ended };
        let mode = self.mode_of(&metadata)?;
        let unfit = match mode {
            ExtProcMode::Serve => serve::unfit(asked),
            ExtProcMode::Steer => steer::unfit(asked),
        };
        if let Some(message) = unfit {
            tracing::error!("{message}");
            return Ok(Kind::Serves(Served::at_once(door::Reply::error(&misconfigured(message), ""))));
        }
        if mode == ExtProcMode::Serve {
            return Ok(Kind::Serves(serve::begin(&self.gateway, head, inbound, asked).await));
        }
        let attempts = metadata.get(ATTEMPTS).is_some_and(|by| by == "envoy");
        let mut steer = Steer::new(&self.gateway, head, inbound, asked, attempts);
        let first = steer.next().await.unwrap_or_else(|| Err(Status::internal("nothing to say")))?;
        let rest = stream::unfold(steer, |mut steer| async move { steer.next().await.map(|next| (next, steer)) });
        Ok(Kind::Steers(Some(first), Box::pin(rest)))
    }

    fn mode_of(&self, metadata: &MetadataMap) -> Result<ExtProcMode, Status> {
        let Some(named) = metadata.get(MODE) else { return Ok(self.mode) };
        let named = named.to_str().unwrap_or_default();
        ExtProcMode::named(named).ok_or_else(|| {
            let message = format!("grpc_initial_metadata {MODE}: `{named}` is not a mode; it is serve or steer");
            tracing::error!("{message}");
            Status::invalid_argument(message)
        })
    }
}

/// 500 for an Envoy that is not set up for what it asks.
fn misconfigured(message: &str) -> Error {
    Error::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "envoy_misconfigured", message)
}

#[tonic::async_trait]
impl ExternalProcessor for Processor {
    type ProcessStream = Outbound;

    /// Returns once the first message is certain or a provider is about to be called, and not before: until then
    /// Envoy's `retry_on` may play the request again to another replica, and after that it must not. Dropped when
    /// the client has left.
    async fn process(&self, request: Request<Streaming<pb::ProcessingRequest>>) -> Result<Response<Outbound>, Status> {
        let open = self.streams.token();
        let kind = tokio::select! {
            kind = self.begin(request) => kind?,
            () = self.cut.cancelled() => return Err(draining()),
        };
        Ok(Response::new(Outbound { kind, cut: Box::pin(self.cut.clone().cancelled_owned()), _open: open }))
    }
}

fn draining() -> Status {
    Status::unavailable("the gateway is stopping (limits.drain_timeout)")
}

/// What a stream turned out to be.
enum Kind {
    Passes(Pass),
    Serves(Served),
    /// What comes first, and the rest.
    Steers(Option<pb::ProcessingResponse>, Rest),
}

type Rest = Pin<Box<dyn Stream<Item = Result<pb::ProcessingResponse, Status>> + Send>>;

/// The answers of one stream. Dropping it is the client leaving.
pub(super) struct Outbound {
    kind: Kind,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _open: TaskTrackerToken,
}

impl Stream for Outbound {
    type Item = Result<pb::ProcessingResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let next = match &mut this.kind {
            Kind::Passes(pass) => pass.poll_next(cx),
            Kind::Serves(served) => served.poll_next(cx),
            Kind::Steers(first, rest) => match first.take() {
                Some(first) => Poll::Ready(Some(Ok(first))),
                None => rest.as_mut().poll_next(cx),
            },
        };
        if next.is_pending() && this.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(draining())));
        }
        next
    }
}
