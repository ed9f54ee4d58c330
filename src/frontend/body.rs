//! Reads a request body off hyper, under a cap, a deadline and the shared byte budget.

use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

use crate::budget::Held;
use crate::config::Limits;
use crate::door::{Collector, Reader, broke_off, slow};
use crate::error::Error;
use crate::upstream::Pieces;

/// A body that hyper reads.
pub(super) struct FromHyper(pub(super) Incoming);

impl Reader for FromHyper {
    /// A declared length over the cap is refused before a byte is read (so `Expect: 100-continue`
    /// never asks for it).
    async fn read(self, limits: &Limits, held: &mut Held) -> Result<Bytes, Error> {
        let declared = usize::try_from(self.0.size_hint().lower()).unwrap_or(usize::MAX);
        let collector = Collector::new(declared, limits, held)?;
        match timeout(limits.body_timeout, collect(self.0, collector, limits, held)).await {
            Ok(result) => result,
            Err(_) => Err(slow(limits.body_timeout)),
        }
    }

    async fn pieces(self, limits: &Limits, _held: &mut Held) -> Result<(Pieces, Option<usize>), Error> {
        let (cap, patience) = (limits.max_upload, limits.body_timeout);
        let hint = self.0.size_hint();
        let declared = hint.exact().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        if declared.is_some_and(|declared| declared > cap) {
            return Err(Error::too_large(cap));
        }
        let begun = (self.0, 0_usize);
        let pieces = stream::try_unfold(begun, move |(mut body, total)| async move {
            loop {
                let Ok(frame) = timeout(patience, body.frame()).await else { return Err(slow(patience)) };
                let Some(frame) = frame else { return Ok(None) };
                let Ok(data) = frame.map_err(|_| broke_off())?.into_data() else { continue };
                let total = total.saturating_add(data.len());
                if total > cap {
                    return Err(Error::too_large(cap));
                }
                return Ok(Some((data, (body, total))));
            }
        });
        Ok((Box::pin(pieces), declared))
    }
}

async fn collect(
    mut body: Incoming,
    mut collector: Collector,
    limits: &Limits,
    held: &mut Held,
) -> Result<Bytes, Error> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|_| broke_off())?.into_data() {
            collector.push(data, limits, held)?;
        }
    }
    Ok(collector.whole())
}
