//! The `ext_proc` door without an Envoy: messages in orders that are hard to get one to send, TLS, sockets, health.

use std::time::Duration;

use crate::common::{Gate, KEY, ask};
use serde_json::{Value, json};
use sluice_mock::Behaviour;
use sluice_proto as pb;
use sluice_proto::external_processor_client::ExternalProcessorClient;
use sluice_proto::processing_request::Request as Part;
use sluice_proto::processing_response::Response as Said;
use sluice_proto::streamed_immediate_response::Response as Streamed;
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

async fn gate() -> Gate {
    let edit = |text: String| text + "ext_proc: { listen: 127.0.0.1:0 }\n";
    Gate::alone(&["1M tokens/day per key"], Behaviour::default(), edit).await
}

async fn channel(gate: &Gate) -> Channel {
    let addr = gate.app.ext_proc.unwrap();
    Endpoint::from_shared(format!("http://{addr}")).unwrap().connect().await.unwrap()
}

/// One stream: what to send, and what has come.
struct Talk {
    send: mpsc::Sender<pb::ProcessingRequest>,
    receive: Streaming<pb::ProcessingResponse>,
}

fn message(request: Part) -> pb::ProcessingRequest {
    let config = pb::ProtocolConfiguration {
        request_body_mode: pb::BodySendMode::FullDuplexStreamed.into(),
        response_body_mode: pb::BodySendMode::Streamed.into(),
        ..Default::default()
    };
    pb::ProcessingRequest { request: Some(request), protocol_config: Some(config), ..Default::default() }
}

fn headers(path: &str, ended: bool) -> pb::ProcessingRequest {
    let pair = |key: &str, value: String| pb::HeaderValue {
        key: key.to_owned(),
        value: String::new(),
        raw_value: value.into(),
    };
    let headers = vec![
        pair(":method", if ended { "GET" } else { "POST" }.to_owned()),
        pair(":path", path.to_owned()),
        pair("authorization", format!("Bearer {KEY}")),
    ];
    let headers = Some(pb::HeaderMap { headers });
    message(Part::RequestHeaders(pb::HttpHeaders { headers, end_of_stream: ended }))
}

fn body(text: &str, ended: bool) -> pb::ProcessingRequest {
    let body = pb::HttpBody { body: bytes::Bytes::copy_from_slice(text.as_bytes()), end_of_stream: ended };
    message(Part::RequestBody(body))
}

/// Sends these messages; the stream stays open as long as `send` lives.
async fn begin(channel: Channel, messages: Vec<pb::ProcessingRequest>) -> Result<Talk, Status> {
    let (send, requests) = mpsc::channel(16);
    for message in messages {
        send.send(message).await.unwrap();
    }
    let requests = futures_util::stream::unfold(requests, |mut requests| async move {
        requests.recv().await.map(|message| (message, requests))
    });
    let receive = ExternalProcessorClient::new(channel).process(requests).await?.into_inner();
    Ok(Talk { send, receive })
}

impl Talk {
    /// The whole streamed answer: its status and its body. Panics unless it ends as complete.
    async fn streamed(&mut self) -> (String, String) {
        let (mut status, mut text) = (String::new(), String::new());
        loop {
            let message = self.receive.message().await.unwrap().expect("ended without an end of stream");
            let Some(Said::StreamedImmediateResponse(part)) = message.response else { panic!("{message:?}") };
            match part.response.unwrap() {
                Streamed::HeadersResponse(head) => {
                    let first = head.headers.unwrap().headers.remove(0);
                    assert_eq!(first.key, ":status");
                    status = String::from_utf8(first.raw_value.to_vec()).unwrap();
                }
                Streamed::BodyResponse(piece) => {
                    text.push_str(std::str::from_utf8(&piece.body).unwrap());
                    if piece.end_of_stream {
                        break;
                    }
                }
                Streamed::TrailersResponse(_) => panic!("trailers"),
            }
        }
        assert!(self.receive.message().await.unwrap().is_none(), "nothing after the end");
        (status, text)
    }
}

#[tokio::test]
async fn an_end_that_comes_twice_is_one_request() {
    let gate = gate().await;
    let request = ask(true, json!({"tokens": 3})).to_string();
    let (one, two) = request.split_at(20);
    let messages = vec![
        headers("/v1/chat/completions", false),
        body(one, false),
        body(two, false),
        body("", true),
        body("", true),
    ];
    let mut talk = begin(channel(&gate).await, messages).await.unwrap();
    talk.send.send(body("", true)).await.unwrap();
    let (status, text) = talk.streamed().await;
    assert_eq!(status, "200");
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert_eq!(gate.mock.requests().len(), 1);
    gate.settled().await;
}

#[tokio::test]
async fn trailers_end_a_body() {
    let gate = gate().await;
    let trailers = message(Part::RequestTrailers(pb::HttpTrailers::default()));
    let request = body(&ask(false, json!({"tokens": 3})).to_string(), false);
    let mut talk =
        begin(channel(&gate).await, vec![headers("/v1/chat/completions", false), request, trailers]).await.unwrap();
    assert_eq!(talk.streamed().await.0, "200");
}

/// Envoy would let a request through whose stream ends cleanly and unanswered.
#[tokio::test]
async fn a_stream_that_breaks_off_never_ends_cleanly_without_an_answer() {
    let gate = gate().await;
    let nothing = begin(channel(&gate).await, Vec::new());
    let nothing = async {
        let talk = nothing.await;
        drop(talk);
    };
    drop(tokio::time::timeout(Duration::from_millis(50), nothing).await);
    let Talk { send, mut receive } =
        begin_ended(channel(&gate).await, vec![headers("/v1/chat/completions", false), body("{", false)]).await;
    drop(send);
    let answer = receive.message().await.unwrap().expect("an answer");
    let Some(Said::ImmediateResponse(answer)) = answer.response else { panic!("{answer:?}") };
    assert_eq!(answer.status.unwrap().code, 400);
    let empty = ExternalProcessorClient::new(channel(&gate).await).process(futures_util::stream::empty()).await;
    assert_eq!(empty.unwrap_err().code(), Code::InvalidArgument);
    assert!(gate.mock.requests().is_empty());
}

/// Sends these messages and half-closes.
async fn begin_ended(channel: Channel, messages: Vec<pb::ProcessingRequest>) -> Talk {
    let (send, _) = mpsc::channel(1);
    let requests = futures_util::stream::iter(messages);
    let receive = ExternalProcessorClient::new(channel).process(requests).await.unwrap().into_inner();
    Talk { send, receive }
}

/// Envoy's own answers (a redirect, a 413) show their response without a request before it.
#[tokio::test]
async fn a_response_without_a_request_goes_on() {
    let gate = gate().await;
    let response = message(Part::ResponseHeaders(pb::HttpHeaders::default()));
    let mut talk = begin(channel(&gate).await, vec![response]).await.unwrap();
    let said = talk.receive.message().await.unwrap().unwrap().response.unwrap();
    assert_eq!(said, Said::ResponseHeaders(pb::HeadersResponse::default()));
    let rest = pb::HttpBody { body: "x".into(), end_of_stream: true };
    talk.send.send(message(Part::ResponseBody(rest))).await.unwrap();
    let said = talk.receive.message().await.unwrap().unwrap().response.unwrap();
    assert_eq!(said, Said::ResponseBody(pb::BodyResponse::default()));
}

#[tokio::test]
async fn a_filter_that_only_observes_is_refused() {
    let gate = gate().await;
    let mut first = headers("/v1/chat/completions", false);
    first.observability_mode = true;
    let status = begin(channel(&gate).await, vec![first]).await.err().unwrap();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("observability_mode"), "{status}");
}

#[tokio::test]
async fn a_mode_that_does_not_exist_is_named() {
    let gate = gate().await;
    let stream = futures_util::stream::iter(vec![headers("/v1/models", true)]);
    let mut request = tonic::Request::new(stream);
    request.metadata_mut().insert("x-sluice-mode", "observe".parse().unwrap());
    let status = ExternalProcessorClient::new(channel(&gate).await).process(request).await.unwrap_err();
    assert!(status.message().contains("`observe`"), "{status}");
}

#[tokio::test]
async fn a_unix_socket_serves_and_is_gone_afterwards() {
    let edit = |text: String| text + "ext_proc: { unix: door.sock }\n";
    let gate = Gate::alone(&[], Behaviour::default(), edit).await;
    let path = gate.dir.path().join("door.sock");
    assert_eq!(gate.app.ext_proc, None);
    let channel = Endpoint::from_shared(format!("unix:{}", path.display())).unwrap().connect().await.unwrap();
    let mut talk = begin(channel, vec![headers("/v1/models", true)]).await.unwrap();
    let (status, text) = talk.streamed().await;
    let models: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status.as_str(), models["data"][0]["id"].as_str()), ("200", Some("m")));
    drop(talk);
    let Gate { app, .. } = gate;
    app.drain().await;
    assert!(!path.exists());
}

/// A drain waits for the streams of requests, refuses new ones, and tells health checks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_lets_streams_finish_and_health_says_so() {
    use tonic_health::pb::health_client::HealthClient;
    use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
    let gate = gate().await;
    let channel = channel(&gate).await;
    let mut health = HealthClient::new(channel.clone());
    let serving = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(serving.status(), ServingStatus::Serving);
    let mut watched = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let request = body(&ask(true, json!({"tokens": 20, "token_ms": 30})).to_string(), true);
    let mut talk = begin(channel.clone(), vec![headers("/v1/chat/completions", false), request]).await.unwrap();
    talk.receive.message().await.unwrap().unwrap();
    let Gate { app, mock, .. } = gate;
    let mut draining = tokio::task::JoinSet::new();
    draining.spawn(app.drain());
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    let (_, text) = talk.streamed().await;
    assert!(text.ends_with("data: [DONE]\n\n"), "cut: {text}");
    draining.join_next().await.unwrap().unwrap();
    assert_eq!(mock.requests().len(), 1);
    assert!(begin(channel, vec![headers("/v1/models", true)]).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_in_the_queue_or_in_the_middle_settles() {
    let edit = |text: String| {
        text.replace("m: [mock/gpt-4o-mini]", "m: { targets: [mock/gpt-4o-mini], concurrent: 1 }")
            + "ext_proc: { listen: 127.0.0.1:0 }\n"
    };
    let gate = Gate::alone(&[], Behaviour::default(), edit).await;
    let patient = crate::common::policy(&[]).replace("max_wait: 0s", "max_wait: 20s");
    std::fs::write(gate.dir.path().join("policy.yaml"), patient).unwrap();
    while gate.gateway().live.status().generation == 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let channel = channel(&gate).await;
    let request = |tokens| body(&ask(true, json!({"tokens": tokens, "token_ms": 20})).to_string(), true);
    let open = |tokens| begin(channel.clone(), vec![headers("/v1/chat/completions", false), request(tokens)]);
    let mut first = open(1000).await.unwrap();
    first.receive.message().await.unwrap().unwrap();
    // Nothing is said while it waits, not even that the call was accepted: Envoy may take it to another replica.
    assert!(tokio::time::timeout(Duration::from_millis(200), open(3)).await.is_err());
    // That it has left is heard of before its turn comes.
    let queued = async || {
        let levels = gate.gateway().store.levels().await.unwrap();
        levels.pools.iter().flat_map(|pool| &pool.waiting).any(|(_, waiting)| *waiting > 0)
    };
    while queued().await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(first);
    gate.settled().await;
    assert_eq!(gate.mock.requests().len(), 1, "who left did not reach the provider");
}
