//! Reads a request body off Envoy's messages, under a cap, a deadline and the shared byte budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use sluice_proto as pb;
use sluice_proto::processing_request::Request as Part;
use tokio::time::timeout;
use tonic::Streaming;

use crate::budget::Held;
use crate::config::Limits;
use crate::door::{Collector, Head, Reader, broke_off, slow};
use crate::error::Error;

/// The length a request declares, 0 if none.
pub(super) fn declared(head: &Head) -> usize {
    let value = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    value.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// A body in pieces, to its end.
pub(super) struct FromEnvoy {
    pub(super) inbound: Streaming<pb::ProcessingRequest>,
    pub(super) declared: usize,
    /// There is none, or all of it has come.
    pub(super) ended: Arc<AtomicBool>,
}

impl Reader for FromEnvoy {
    async fn read(mut self, limits: &Limits, held: &mut Held) -> Result<Bytes, Error> {
        if self.ended.load(Ordering::Acquire) {
            return Ok(Bytes::new());
        }
        let collector = Collector::new(self.declared, limits, held)?;
        let (body, _) = within(collect(&mut self.inbound, collector, limits, held, false), limits).await?;
        self.ended.store(true, Ordering::Release);
        Ok(body)
    }
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With its last piece.
    Piece,
    /// With trailers, which have been read.
    Trailers,
}

/// A body whose stream goes on afterwards.
pub(super) struct Borrowed<'a> {
    pub(super) inbound: &'a mut Streaming<pb::ProcessingRequest>,
    pub(super) declared: usize,
    /// All of it comes in one message.
    pub(super) buffered: bool,
    /// There is none.
    pub(super) ended: bool,
    /// The body and how it ended, once it has.
    pub(super) read: &'a mut Option<(Bytes, End)>,
}

impl Reader for Borrowed<'_> {
    async fn read(self, limits: &Limits, held: &mut Held) -> Result<Bytes, Error> {
        if self.ended {
            return Ok(Bytes::new());
        }
        let collector = Collector::new(self.declared, limits, held)?;
        let read = within(collect(self.inbound, collector, limits, held, self.buffered), limits).await?;
        let body = read.0.clone();
        *self.read = Some(read);
        Ok(body)
    }
}

async fn within(
    reading: impl Future<Output = Result<(Bytes, End), Error>>,
    limits: &Limits,
) -> Result<(Bytes, End), Error> {
    timeout(limits.body_timeout, reading).await.unwrap_or_else(|_| Err(slow(limits.body_timeout)))
}

/// Reads to the end, which is a last piece or trailers: an answer that begins before makes Envoy send the client's
/// own headers upstream. A buffered body is one message; its trailers come only once that is answered.
async fn collect(
    inbound: &mut Streaming<pb::ProcessingRequest>,
    mut collector: Collector,
    limits: &Limits,
    held: &mut Held,
    buffered: bool,
) -> Result<(Bytes, End), Error> {
    loop {
        let message = inbound.message().await.ok().flatten().ok_or_else(broke_off)?;
        match message.request {
            Some(Part::RequestBody(piece)) => {
                collector.push(piece.body, limits, held)?;
                if piece.end_of_stream || buffered {
                    return Ok((collector.whole(), End::Piece));
                }
            }
            Some(Part::RequestTrailers(_)) => return Ok((collector.whole(), End::Trailers)),
            _ => {}
        }
    }
}
