//! What mode `steer` changes of a request and of its answer, as Envoy's mutations.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use sluice_proto as pb;
use sluice_proto::body_mutation::Mutation;
use sluice_proto::value::Kind;

use super::head;
use super::pass::piece;
use crate::config::TargetRoute;
use crate::pipeline::Tally;
use crate::upstream::Signed;

/// Names of our own headers: which provider's cluster, which target, which public model, and the path the client asked
/// for. Routes choose by them, and take them out again.
pub(super) const PROVIDER: &str = "x-sluice-provider";
pub(super) const TARGET: &str = "x-sluice-target";
pub(super) const MODEL: &str = "x-sluice-model";
pub(super) const ENDPOINT: &str = "x-sluice-endpoint";
/// The namespace of dynamic metadata.
const NAMESPACE: &str = "sluice";
/// Envoy asks that one piece of a full-duplex body stays within this.
const PIECE: usize = 64 * 1024;

/// The client's headers that the provider does not get: all but those of Envoy's own working.
pub(super) fn foreign<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let kept = |name: &str| {
        matches!(name, "content-length" | "transfer-encoding" | "x-request-id")
            || name.starts_with(':')
            || name.starts_with("x-envoy-")
            || name.starts_with("x-forwarded-")
    };
    names.filter(|name| !kept(name)).map(str::to_owned).collect()
}

/// The headers of a provider's request: its path, its credentials, its format.
pub(super) fn signed(target: &TargetRoute, signed: &Signed, length: usize) -> Vec<pb::HeaderValueOption> {
    let mut set = head::set(&signed.headers);
    set.push(head::overwrite(":path", signed.path.clone()));
    set.push(head::overwrite("content-length", length.to_string()));
    set.push(head::overwrite(PROVIDER, target.provider.name.to_string()));
    set.push(head::overwrite(TARGET, target.label.to_string()));
    set
}

/// What the client gets of an answer's headers is `wanted`; whatever else `came` is taken out.
pub(super) fn answer(came: &HeaderMap, wanted: &HeaderMap) -> pb::HeaderMutation {
    let gone = |name: &&str| {
        // `date` and `server` are Envoy's; what names the framing is too, but a changed body needs another length.
        !wanted.contains_key(*name) && !matches!(*name, "date" | "server" | "transfer-encoding")
    };
    pb::HeaderMutation {
        set_headers: head::set(wanted),
        remove_headers: came.keys().map(http::HeaderName::as_str).filter(gone).map(str::to_owned).collect(),
    }
}

/// A whole new body as pieces.
pub(super) fn pieces(mut body: Bytes, ends: bool) -> Vec<pb::BodyResponse> {
    let mut all = Vec::with_capacity(body.len() / PIECE + 1);
    while body.len() > PIECE {
        all.push(piece(body.split_to(PIECE), false));
    }
    all.push(piece(body, ends));
    all
}

/// The answer to a piece of a response: other bytes in its place, perhaps none.
pub(super) fn instead(mode: pb::BodySendMode, bytes: Option<Bytes>, last: bool) -> Vec<pb::BodyResponse> {
    if mode == pb::BodySendMode::FullDuplexStreamed {
        return match bytes {
            None if !last => Vec::new(),
            bytes => pieces(bytes.unwrap_or_default(), last),
        };
    }
    let length = (mode == pb::BodySendMode::Buffered).then(|| bytes.as_ref().map_or(0, Bytes::len));
    let mutation = bytes.filter(|bytes| !bytes.is_empty()).map_or(Mutation::ClearBody(true), Mutation::Body);
    let headers = length.map(|length| pb::HeaderMutation {
        set_headers: vec![head::overwrite("content-length", length.to_string())],
        remove_headers: Vec::new(),
    });
    vec![pb::BodyResponse {
        response: Some(pb::CommonResponse {
            header_mutation: headers,
            body_mutation: Some(pb::BodyMutation { mutation: Some(mutation) }),
            ..Default::default()
        }),
    }]
}

/// Dynamic metadata for access logs and for rate limits that count on the way out.
pub(super) fn metadata(tally: &Tally) -> pb::Struct {
    let text = |value: &Option<Arc<str>>| value.as_deref().map(|text| Kind::StringValue(text.to_owned()));
    // Numbers of a Struct are doubles: exact for any bill there is.
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
    let number = |value: u64| Some(Kind::NumberValue(value as f64));
    let fields = [
        ("tenant", text(&tally.tenant)),
        ("key", text(&tally.key)),
        ("model", text(&tally.model)),
        ("target", text(&tally.target)),
        ("input_tokens", number(tally.input)),
        ("output_tokens", number(tally.output)),
        ("total_tokens", number(tally.input + tally.output)),
        ("cost_micros", number(tally.cost_micros)),
    ];
    let fields = fields.into_iter().filter(|(_, kind)| kind.is_some());
    let fields = fields.map(|(name, kind)| (name.to_owned(), pb::Value { kind })).collect();
    let own = pb::Value { kind: Some(Kind::StructValue(pb::Struct { fields })) };
    pb::Struct { fields: BTreeMap::from([(NAMESPACE.to_owned(), own)]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_credentials_do_not_go_on() {
        let names = [":path", "authorization", "x-api-key", "cookie", "x-request-id", "x-envoy-expected-rq-timeout-ms"];
        assert_eq!(foreign(names.into_iter()), ["authorization", "x-api-key", "cookie"]);
    }

    #[test]
    fn a_large_body_goes_in_pieces_and_only_the_last_one_ends() {
        let all = pieces(Bytes::from(vec![b'x'; PIECE * 2 + 1]), true);
        let ends: Vec<_> = all
            .iter()
            .map(|body| match &body.response.as_ref().unwrap().body_mutation.as_ref().unwrap().mutation {
                Some(Mutation::StreamedResponse(piece)) => (piece.body.len(), piece.end_of_stream),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(ends, [(PIECE, false), (PIECE, false), (1, true)]);
    }

    #[test]
    fn nothing_is_sent_in_full_duplex_where_nothing_is_to_say() {
        assert!(instead(pb::BodySendMode::FullDuplexStreamed, None, false).is_empty());
        assert_eq!(instead(pb::BodySendMode::FullDuplexStreamed, None, true).len(), 1);
        assert_eq!(instead(pb::BodySendMode::Streamed, None, false).len(), 1);
    }
}
