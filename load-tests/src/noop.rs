//! An external processor that changes nothing: what Envoy's asking alone costs.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use sluice_proto as pb;
use sluice_proto::body_mutation::Mutation;
use sluice_proto::external_processor_server::{ExternalProcessor, ExternalProcessorServer};
use sluice_proto::processing_request::Request as Part;
use sluice_proto::processing_response::Response as Said;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use crate::Failure;

struct Noop;

/// Goes on with everything: full-duplex request bodies are sent back, other parts are left as they are.
struct Echo(Streaming<pb::ProcessingRequest>);

impl Stream for Echo {
    type Item = Result<pb::ProcessingResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0).poll_next(cx).map(|next| next.map(|message| message.map(go_on)))
    }
}

fn go_on(message: pb::ProcessingRequest) -> pb::ProcessingResponse {
    let response = message.request.map(|part| match part {
        Part::RequestHeaders(_) => Said::RequestHeaders(pb::HeadersResponse::default()),
        Part::ResponseHeaders(_) => Said::ResponseHeaders(pb::HeadersResponse::default()),
        Part::RequestBody(body) => {
            let same = pb::StreamedBodyResponse { body: body.body, end_of_stream: body.end_of_stream };
            let mutation = pb::BodyMutation { mutation: Some(Mutation::StreamedResponse(same)) };
            let common = pb::CommonResponse { body_mutation: Some(mutation), ..Default::default() };
            Said::RequestBody(pb::BodyResponse { response: Some(common) })
        }
        Part::ResponseBody(_) => Said::ResponseBody(pb::BodyResponse::default()),
        Part::RequestTrailers(_) => Said::RequestTrailers(pb::TrailersResponse::default()),
        Part::ResponseTrailers(_) => Said::ResponseTrailers(pb::TrailersResponse::default()),
    });
    pb::ProcessingResponse { response, ..Default::default() }
}

#[tonic::async_trait]
impl ExternalProcessor for Noop {
    type ProcessStream = Echo;

    async fn process(&self, request: Request<Streaming<pb::ProcessingRequest>>) -> Result<Response<Echo>, Status> {
        Ok(Response::new(Echo(request.into_inner())))
    }
}

/// Serves on a free port, which it says on stdout.
pub(crate) async fn serve() -> Result<(), Failure> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    let incoming = futures_util::stream::unfold(listener, |listener| async move {
        let accepted = listener.accept().await.and_then(|(stream, _)| stream.set_nodelay(true).map(|()| stream));
        Some((accepted, listener))
    });
    Server::builder().add_service(ExternalProcessorServer::new(Noop)).serve_with_incoming(incoming).await?;
    Ok(())
}
