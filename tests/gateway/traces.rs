//! Spans reach a real OTLP receiver; one that is down changes nothing.

use std::net::SocketAddr;
use std::time::Duration;

use crate::common::{Gate, KEY, any_port, ask};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;
use sluice_mock::Behaviour;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

struct Receiver(mpsc::Sender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.send(request.into_inner()).await.map_err(|_| Status::cancelled("done"))?;
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn receiver() -> (SocketAddr, mpsc::Receiver<ExportTraceServiceRequest>, tokio::task::JoinSet<()>) {
    let listener = tokio::net::TcpListener::bind(any_port()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let (sender, spans) = mpsc::channel(16);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let service = TraceServiceServer::new(Receiver(sender));
        tonic::transport::Server::builder().add_service(service).serve(addr).await.unwrap();
    });
    (addr, spans, tasks)
}

fn text(span: &Span, key: &str) -> Option<String> {
    let value = span.attributes.iter().find(|pair| pair.key == key)?.value.as_ref()?.value.clone()?;
    Some(match value {
        Any::StringValue(text) => text,
        Any::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_a_span_below_the_clients_with_its_phases_below_it() {
    let (addr, mut received, _tasks) = receiver().await;
    let extra = format!("telemetry: {{ otlp_endpoint: \"http://{addr}\" }}\n");
    let gate = Gate::start(&["1M tokens/day per key"], &extra, Behaviour::default()).await;
    let request = gate.client.post(gate.url("/v1/chat/completions")).bearer_auth(KEY);
    let request = request.header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let response = request.body(ask(true, json!({"tokens": 3, "prompt_tokens": 9})).to_string()).send().await.unwrap();
    response.bytes().await.unwrap();
    let mut spans = Vec::new();
    while !spans.iter().any(|span: &Span| span.name == "chat m") {
        let batch = tokio::time::timeout(Duration::from_secs(20), received.recv()).await.unwrap().unwrap();
        let scopes = batch.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        spans.extend(scopes.flat_map(|scope| scope.spans));
    }
    let root = spans.iter().find(|span| span.name == "chat m").unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&root.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(hex(&root.parent_span_id), "b7ad6b7169203331");
    for (key, expected) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "mock"),
        ("gen_ai.request.model", "m"),
        ("gen_ai.usage.input_tokens", "9"),
        ("gen_ai.usage.output_tokens", "3"),
        ("http.response.status_code", "200"),
        ("sluice.target", "mock/gpt-4o-mini"),
    ] {
        assert_eq!(text(root, key).as_deref(), Some(expected), "{key}");
    }
    assert_eq!(text(root, "gen_ai.input.messages"), None, "no content unless it is switched on");
    for name in ["admit", "upstream"] {
        let child = spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span {name}"));
        assert_eq!(child.parent_span_id, root.span_id);
    }
    let sent = gate.mock.requests().pop().unwrap();
    let (_, parent) = sent.headers.iter().find(|(name, _)| name == "traceparent").unwrap();
    assert!(parent.starts_with(&format!("00-0af7651916cd43dd8448eb211c80319c-{}", hex(&root.span_id))), "{parent}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_down_changes_nothing() {
    let gate = Gate::start(&[], "telemetry: { otlp_endpoint: \"http://127.0.0.1:1\" }\n", Behaviour::default()).await;
    for _ in 0..50 {
        assert_eq!(gate.chat(ask(false, json!({"tokens": 1}))).await.status(), 200);
    }
    gate.app.drain().await;
}
