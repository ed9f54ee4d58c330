//! One request of the HTTP door: hyper's request in, hyper's response out.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;

use super::body::FromHyper;
use super::idle::Active;
use super::respond::{self, Outgoing};
use crate::door::{self, Begun, Head};
use crate::pipeline::Gateway;

/// Answers one request. Never fails: an error is an answer too.
pub(super) async fn handle(
    gateway: Arc<Gateway>,
    request: Request<Incoming>,
    active: Active,
) -> Result<Response<Outgoing>, Infallible> {
    let (parts, incoming) = request.into_parts();
    let head = Head { method: parts.method, path: parts.uri.path().to_owned(), headers: parts.headers };
    let reply = match door::begin(&gateway, head, FromHyper(incoming)) {
        Begun::Answered(reply) => reply,
        Begun::Called(mut call) => call.reply().await,
    };
    Ok(respond::response(reply, parts.version, active))
}
