//! Forms with a file: read only as far as the part that names the model, the rest is sent on as it
//! comes. What stands before that part is held, under the caps of every body.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::HeaderMap;
use sluice_providers::FormScanner;

use super::visit::Reader;
use crate::budget::Held;
use crate::config::Limits;
use crate::error::Error;
use crate::upstream::Tail;

/// What has come of a form when its model is known, and the rest.
pub(super) async fn begin(
    body: impl Reader,
    headers: &HeaderMap,
    limits: &Limits,
    held: &mut Held,
) -> Result<(Bytes, Option<Tail>), Error> {
    let mut scanner = FormScanner::new(headers)?;
    let (mut pieces, declared) = body.pieces(limits, held).await?;
    let mut read = BytesMut::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        if !held.grow_to(read.len() + piece.len(), limits.max_buffered) {
            return Err(Error::overloaded());
        }
        read.extend_from_slice(&piece);
        if scanner.look(&read)? {
            let left = declared.map(|declared| declared.saturating_sub(read.len()));
            // Nothing is left: then it may be sent more than once.
            let tail = (left != Some(0)).then(|| Tail::new(pieces, left));
            return Ok((read.freeze(), tail));
        }
    }
    Err(super::broke_off())
}
