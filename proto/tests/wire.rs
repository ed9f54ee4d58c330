//! What this crate writes, a full copy of Envoy's messages reads, and the other way round.
#![expect(clippy::unwrap_used, reason = "a test that cannot decode must fail")]

use std::collections::HashMap;
use std::fmt::Debug;

use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction as TheirAction;
use envoy_types::pb::envoy::extensions::filters::http::ext_proc::v3 as filter;
use envoy_types::pb::envoy::service::ext_proc::v3 as theirs;
use envoy_types::pb::envoy::r#type::v3 as kinds;
use envoy_types::pb::google::protobuf as wkt;
use prost::Message;
use sluice_proto as ours;
use sluice_proto::header_value_option::HeaderAppendAction as OurAction;

/// Both write the same bytes, and each reads back what the other wrote.
fn same<A, B>(our: &A, their: &B)
where
    A: Message + Default + PartialEq + Debug,
    B: Message + Default + PartialEq + Debug,
{
    let (a, b) = (our.encode_to_vec(), their.encode_to_vec());
    assert_eq!(a, b, "{our:?}\n{their:?}");
    assert_eq!(&A::decode(b.as_slice()).unwrap(), our);
    assert_eq!(&B::decode(a.as_slice()).unwrap(), their);
}

fn our_headers() -> ours::HeaderMap {
    let value = |key: &str, raw: &'static [u8]| ours::HeaderValue {
        key: key.to_owned(),
        value: String::new(),
        raw_value: Bytes::from_static(raw),
    };
    let text = ours::HeaderValue { key: "b".to_owned(), value: "text".to_owned(), raw_value: Bytes::new() };
    ours::HeaderMap { headers: vec![value(":status", b"200"), text] }
}

fn their_headers() -> core::HeaderMap {
    let value = |key: &str, value: &str, raw: &[u8]| core::HeaderValue {
        key: key.to_owned(),
        value: value.to_owned(),
        raw_value: raw.to_vec(),
    };
    core::HeaderMap { headers: vec![value(":status", "", b"200"), value("b", "text", b"")] }
}

fn our_struct() -> ours::Struct {
    let number = ours::Value { kind: Some(ours::value::Kind::NumberValue(2.5)) };
    ours::Struct { fields: [("n".to_owned(), number)].into() }
}

fn their_struct() -> wkt::Struct {
    let number = wkt::Value { kind: Some(wkt::value::Kind::NumberValue(2.5)) };
    wkt::Struct { fields: HashMap::from([("n".to_owned(), number)]) }
}

#[test]
fn every_request_is_read() {
    use ours::processing_request::Request as Our;
    use theirs::processing_request::Request as Their;
    let (our_head, their_head) = (
        ours::HttpHeaders { headers: Some(our_headers()), end_of_stream: true },
        theirs::HttpHeaders { headers: Some(their_headers()), attributes: HashMap::new(), end_of_stream: true },
    );
    let our_body = ours::HttpBody { body: Bytes::from_static(b"abc"), end_of_stream: true };
    let their_body = theirs::HttpBody { body: b"abc".to_vec(), end_of_stream: true, ..Default::default() };
    let our_trailers = ours::HttpTrailers { trailers: Some(our_headers()) };
    let their_trailers = theirs::HttpTrailers { trailers: Some(their_headers()) };
    let pairs = [
        (Our::RequestHeaders(our_head.clone()), Their::RequestHeaders(their_head.clone())),
        (Our::ResponseHeaders(our_head), Their::ResponseHeaders(their_head)),
        (Our::RequestBody(our_body.clone()), Their::RequestBody(their_body.clone())),
        (Our::ResponseBody(our_body), Their::ResponseBody(their_body)),
        (Our::RequestTrailers(our_trailers.clone()), Their::RequestTrailers(their_trailers.clone())),
        (Our::ResponseTrailers(our_trailers), Their::ResponseTrailers(their_trailers)),
    ];
    for (our, their) in pairs {
        let our = ours::ProcessingRequest {
            request: Some(our),
            attributes: HashMap::from([("envoy.filters.http.ext_proc".to_owned(), our_struct())]),
            observability_mode: true,
            protocol_config: Some(ours::ProtocolConfiguration {
                request_body_mode: ours::BodySendMode::FullDuplexStreamed.into(),
                response_body_mode: ours::BodySendMode::Grpc.into(),
                send_body_without_waiting_for_header_response: true,
            }),
        };
        let their = theirs::ProcessingRequest {
            request: Some(their),
            attributes: HashMap::from([("envoy.filters.http.ext_proc".to_owned(), their_struct())]),
            observability_mode: true,
            protocol_config: Some(theirs::ProtocolConfiguration {
                request_body_mode: filter::processing_mode::BodySendMode::FullDuplexStreamed.into(),
                response_body_mode: filter::processing_mode::BodySendMode::Grpc.into(),
                send_body_without_waiting_for_header_response: true,
            }),
            ..Default::default()
        };
        same(&our, &their);
    }
}

#[test]
fn fields_that_are_left_out_do_no_harm() {
    let full = theirs::ProcessingRequest {
        request: Some(theirs::processing_request::Request::RequestBody(theirs::HttpBody {
            body: b"abc".to_vec(),
            end_of_stream_without_message: true,
            drain_complete: true,
            ..Default::default()
        })),
        metadata_context: Some(core::Metadata {
            filter_metadata: HashMap::from([("envoy.lb".to_owned(), their_struct())]),
            ..Default::default()
        }),
        ..Default::default()
    };
    let read = ours::ProcessingRequest::decode(full.encode_to_vec().as_slice()).unwrap();
    let Some(ours::processing_request::Request::RequestBody(body)) = read.request else { panic!("{read:?}") };
    assert_eq!(body.body.as_ref(), b"abc");
}

fn our_mutation() -> ours::HeaderMutation {
    let set = ours::HeaderValueOption {
        header: our_headers().headers.pop(),
        append_action: OurAction::OverwriteIfExistsOrAdd.into(),
    };
    ours::HeaderMutation { set_headers: vec![set], remove_headers: vec!["authorization".to_owned()] }
}

fn their_mutation() -> theirs::HeaderMutation {
    let set = core::HeaderValueOption {
        header: their_headers().headers.pop(),
        append_action: TheirAction::OverwriteIfExistsOrAdd.into(),
        ..Default::default()
    };
    theirs::HeaderMutation { set_headers: vec![set], remove_headers: vec!["authorization".to_owned()] }
}

fn our_common(body: ours::body_mutation::Mutation) -> ours::CommonResponse {
    ours::CommonResponse {
        status: ours::common_response::ResponseStatus::ContinueAndReplace.into(),
        header_mutation: Some(our_mutation()),
        body_mutation: Some(ours::BodyMutation { mutation: Some(body) }),
        clear_route_cache: true,
    }
}

fn their_common(body: theirs::body_mutation::Mutation) -> theirs::CommonResponse {
    theirs::CommonResponse {
        status: theirs::common_response::ResponseStatus::ContinueAndReplace.into(),
        header_mutation: Some(their_mutation()),
        body_mutation: Some(theirs::BodyMutation { mutation: Some(body) }),
        clear_route_cache: true,
        ..Default::default()
    }
}

type Pair = (ours::processing_response::Response, theirs::processing_response::Response);

fn our_piece() -> ours::StreamedBodyResponse {
    ours::StreamedBodyResponse { body: Bytes::from_static(b"x"), end_of_stream: true }
}

fn their_piece() -> theirs::StreamedBodyResponse {
    theirs::StreamedBodyResponse { body: b"x".to_vec(), end_of_stream: true, ..Default::default() }
}

/// Every kind of answer that lets a request or a response go on, ours and theirs.
fn going_on() -> Vec<Pair> {
    use ours::body_mutation::Mutation as OurBody;
    use ours::processing_response::Response as Our;
    use theirs::body_mutation::Mutation as TheirBody;
    use theirs::processing_response::Response as Their;
    let our_head = |body| ours::HeadersResponse { response: Some(our_common(body)) };
    let their_head = |body| theirs::HeadersResponse { response: Some(their_common(body)) };
    let our_body = |body| ours::BodyResponse { response: Some(our_common(body)) };
    let their_body = |body| theirs::BodyResponse { response: Some(their_common(body)) };
    let our_end = ours::TrailersResponse { header_mutation: Some(our_mutation()) };
    let their_end = theirs::TrailersResponse { header_mutation: Some(their_mutation()) };
    vec![
        (
            Our::RequestHeaders(our_head(OurBody::Body(Bytes::from_static(b"b")))),
            Their::RequestHeaders(their_head(TheirBody::Body(b"b".to_vec()))),
        ),
        (
            Our::ResponseHeaders(our_head(OurBody::ClearBody(true))),
            Their::ResponseHeaders(their_head(TheirBody::ClearBody(true))),
        ),
        (
            Our::RequestBody(our_body(OurBody::StreamedResponse(our_piece()))),
            Their::RequestBody(their_body(TheirBody::StreamedResponse(their_piece()))),
        ),
        (
            Our::ResponseBody(our_body(OurBody::StreamedResponse(our_piece()))),
            Their::ResponseBody(their_body(TheirBody::StreamedResponse(their_piece()))),
        ),
        (Our::RequestTrailers(our_end.clone()), Their::RequestTrailers(their_end.clone())),
        (Our::ResponseTrailers(our_end), Their::ResponseTrailers(their_end)),
    ]
}

/// Every kind of answer that ends a request, ours and theirs.
fn ending() -> Vec<Pair> {
    use ours::processing_response::Response as Our;
    use ours::streamed_immediate_response::Response as OurStreamed;
    use theirs::processing_response::Response as Their;
    use theirs::streamed_immediate_response::Response as TheirStreamed;
    let streamed = |our, their| {
        (
            Our::StreamedImmediateResponse(ours::StreamedImmediateResponse { response: Some(our) }),
            Their::StreamedImmediateResponse(theirs::StreamedImmediateResponse { response: Some(their) }),
        )
    };
    let our_head = ours::HttpHeaders { headers: Some(our_headers()), end_of_stream: true };
    let their_head = theirs::HttpHeaders { headers: Some(their_headers()), end_of_stream: true, ..Default::default() };
    vec![
        (
            Our::ImmediateResponse(ours::ImmediateResponse {
                status: Some(ours::HttpStatus { code: 429 }),
                headers: Some(our_mutation()),
                body: Bytes::from_static(b"{}"),
                details: "why".to_owned(),
            }),
            Their::ImmediateResponse(theirs::ImmediateResponse {
                status: Some(kinds::HttpStatus { code: kinds::StatusCode::TooManyRequests.into() }),
                headers: Some(their_mutation()),
                body: b"{}".to_vec(),
                details: "why".to_owned(),
                ..Default::default()
            }),
        ),
        streamed(OurStreamed::HeadersResponse(our_head), TheirStreamed::HeadersResponse(their_head)),
        streamed(OurStreamed::BodyResponse(our_piece()), TheirStreamed::BodyResponse(their_piece())),
        streamed(OurStreamed::TrailersResponse(our_headers()), TheirStreamed::TrailersResponse(their_headers())),
    ]
}

#[test]
fn every_answer_is_read() {
    use filter::processing_mode::{BodySendMode, HeaderSendMode};
    for (our, their) in going_on().into_iter().chain(ending()) {
        let our = ours::ProcessingResponse {
            response: Some(our),
            dynamic_metadata: Some(our_struct()),
            mode_override: Some(ours::ProcessingMode {
                request_header_mode: ours::HeaderSendMode::Send.into(),
                response_header_mode: ours::HeaderSendMode::Skip.into(),
                request_body_mode: ours::BodySendMode::Buffered.into(),
                response_body_mode: ours::BodySendMode::Streamed.into(),
                request_trailer_mode: ours::HeaderSendMode::Send.into(),
                response_trailer_mode: ours::HeaderSendMode::Skip.into(),
            }),
            override_message_timeout: Some(ours::Duration { seconds: 3, nanos: 4 }),
        };
        let their = theirs::ProcessingResponse {
            response: Some(their),
            dynamic_metadata: Some(their_struct()),
            mode_override: Some(filter::ProcessingMode {
                request_header_mode: HeaderSendMode::Send.into(),
                response_header_mode: HeaderSendMode::Skip.into(),
                request_body_mode: BodySendMode::Buffered.into(),
                response_body_mode: BodySendMode::Streamed.into(),
                request_trailer_mode: HeaderSendMode::Send.into(),
                response_trailer_mode: HeaderSendMode::Skip.into(),
            }),
            override_message_timeout: Some(wkt::Duration { seconds: 3, nanos: 4 }),
            ..Default::default()
        };
        same(&our, &their);
    }
}

#[test]
fn the_path_of_the_service_is_envoys() {
    assert_eq!(ours::external_processor_server::SERVICE_NAME, theirs::external_processor_server::SERVICE_NAME);
}
