//! Mode `steer` in a cluster: one stream per attempt, whose request is translated and signed for the target that Envoy
//! has picked. Nothing is kept between attempts, so any replica can do any of them.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, StatusCode, Uri};
use sluice_proto as pb;
use sluice_proto::body_mutation::Mutation;
use sluice_proto::processing_request::Request as Part;
use sluice_proto::processing_response::Response as Said;
use sluice_proto::value::Kind;
use sluice_providers::{Call, Endpoint};
use tonic::{Status, Streaming};

use super::head;
use super::mutation::{self, ENDPOINT, TARGET};
use super::pass::{go_on, said};
use super::process::Modes;
use super::serve::Served;
use crate::config::{Config, TargetRoute};
use crate::door::{Head, Reply};
use crate::error::Error;
use crate::pipeline::Gateway;

/// How attributes name what a host is to us.
const HOST: &str = "xds.upstream_host_metadata";
/// Until Envoy 1.40 at least.
const CRASHES: &str = "Envoy's ext_proc filter in a cluster must have processing_mode.request_body_mode: BUFFERED: with \
                       FULL_DUPLEX_STREAMED there Envoy crashes on bodies over 64 KiB, and in the other modes the \
                       request cannot be translated; `sluice envoy --mode steer --attempts` prints a config";

/// The target of the host that Envoy has picked, if this is a stream of a cluster's filter.
pub(super) fn target_of(first: &pb::ProcessingRequest) -> Option<String> {
    let fields = first.attributes.values().flat_map(|attributes| &attributes.fields);
    let (_, value) = fields.into_iter().find(|(name, _)| name.starts_with(HOST))?;
    match &value.kind {
        Some(Kind::StringValue(label)) => Some(label.clone()),
        _ => Some(String::new()),
    }
}

/// One attempt.
pub(super) struct Attempt {
    gateway: Arc<Gateway>,
    inbound: Streaming<pb::ProcessingRequest>,
    modes: Modes,
    label: String,
    endpoint: Option<Endpoint>,
    /// The headers that are there, those of an attempt before among them.
    present: Vec<String>,
    queue: VecDeque<pb::ProcessingResponse>,
    over: bool,
}

impl Attempt {
    pub(super) fn new(
        gateway: &Arc<Gateway>,
        head: &Head,
        label: String,
        inbound: Streaming<pb::ProcessingRequest>,
        modes: Modes,
    ) -> Self {
        // The path is that of the attempt before, if there was one.
        let asked = head.headers.get(ENDPOINT).and_then(|value| value.to_str().ok());
        let mut attempt = Self {
            gateway: Arc::clone(gateway),
            inbound,
            modes,
            label,
            endpoint: asked.and_then(Endpoint::from_path),
            present: mutation::foreign(head.headers.keys().map(HeaderName::as_str)),
            queue: VecDeque::new(),
            over: false,
        };
        if modes.request == pb::BodySendMode::Buffered {
            attempt.queue.push_back(said(Said::RequestHeaders(pb::HeadersResponse::default())));
        } else {
            tracing::error!("{CRASHES}");
            attempt.refuse(CRASHES);
        }
        attempt
    }

    /// The next message to Envoy.
    pub(super) async fn next(&mut self) -> Option<Result<pb::ProcessingResponse, Status>> {
        loop {
            if let Some(message) = self.queue.pop_front() {
                return Some(Ok(message));
            }
            if self.over {
                return None;
            }
            match self.inbound.message().await {
                Ok(Some(message)) => self.on(message).await,
                Ok(None) => return None,
                Err(status) => return Some(Err(status)),
            }
        }
    }

    async fn on(&mut self, message: pb::ProcessingRequest) {
        match message.request {
            Some(Part::RequestBody(body)) => match self.translated(body.body).await {
                Ok(answer) => self.queue.push_back(said(Said::RequestBody(answer))),
                Err(message) => self.refuse(&message),
            },
            Some(Part::ResponseHeaders(_)) => {
                // Tells the filter before the router who answers.
                let set = vec![head::overwrite(TARGET, self.label.clone())];
                let mutation = pb::HeaderMutation { set_headers: set, remove_headers: Vec::new() };
                let common = pb::CommonResponse { header_mutation: Some(mutation), ..Default::default() };
                let answer = pb::HeadersResponse { response: Some(common) };
                self.queue.push_back(said(Said::ResponseHeaders(answer)));
            }
            _ => self.queue.extend(go_on(message, self.modes)),
        }
    }

    /// The client's request, which comes anew for each attempt, as this target takes it.
    async fn translated(&self, body: Bytes) -> Result<pb::BodyResponse, String> {
        let endpoint = self.endpoint.ok_or_else(|| {
            format!("no header {ENDPOINT}: the filter before the router must have grpc_initial_metadata x-sluice-attempts: envoy")
        })?;
        let call = Call::parse(endpoint, body).map_err(|bad| bad.message)?;
        let config = self.gateway.live.snapshot();
        let target = find(&config, &call.model, &self.label)?;
        let mut request = target.provider.adapter.request(&call, &target.target).map_err(|error| error.to_string())?;
        request.body = request.body.into_bytes().into();
        let signed = self.gateway.upstreams.signed(&target.provider, &request).await.map_err(|error| error.message)?;
        let mut set = mutation::signed(target, &signed, request.body.len());
        let host: Option<Uri> = target.provider.base_url.parse().ok();
        if let Some(authority) = host.as_ref().and_then(Uri::authority) {
            set.push(head::overwrite(":authority", authority.to_string()));
        }
        let set_anew =
            |name: &String| set.iter().any(|option| option.header.as_ref().is_some_and(|header| header.key == *name));
        // The path the client asked for stays, for the attempt after this one.
        let kept = |name: &&String| name.as_str() != ENDPOINT && !set_anew(name);
        let remove = self.present.iter().filter(kept).cloned().collect();
        Ok(pb::BodyResponse {
            response: Some(pb::CommonResponse {
                header_mutation: Some(pb::HeaderMutation { set_headers: set, remove_headers: remove }),
                body_mutation: Some(pb::BodyMutation { mutation: Some(Mutation::Body(request.body.into_bytes())) }),
                ..Default::default()
            }),
        })
    }

    fn refuse(&mut self, message: &str) {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        let error = Error::new(status, "server_error", "envoy_misconfigured", message);
        self.queue.extend(Served::messages(Reply::error(&error, ""), false));
        self.over = true;
    }
}

fn find<'a>(config: &'a Config, model: &str, label: &str) -> Result<&'a TargetRoute, String> {
    let route = config.models.get(model);
    let target = route.and_then(|route| route.targets.iter().find(|target| &*target.label == label));
    target.ok_or_else(|| {
        format!("model `{model}` has no target `{label}`: print Envoy's config anew, it names targets that are gone")
    })
}
