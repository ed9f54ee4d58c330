//! OpenTelemetry spans over OTLP: one per request, with a child per phase that waits.
//!
//! Ids are made when the request begins, so that the provider can be told; everything else is
//! written when it has ended. A collector that is down costs a bounded queue and one log line.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, Span, SpanData,
};

use super::record::{Outcome, Record, Tried};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// Spans that may wait for the collector; more are dropped.
const WAITING: usize = 4096;
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where spans go; nowhere, if no collector is configured.
pub struct Tracing {
    on: Option<(SdkTracerProvider, SdkTracer)>,
}

impl Tracing {
    /// Starts exporting to `endpoint`, or to `OTEL_EXPORTER_OTLP_ENDPOINT`; without either nothing
    /// is traced. To be called on the runtime. A collector that cannot be used is logged, never
    /// an error: the gateway serves without it.
    pub fn start(endpoint: Option<&str>, service: &str, sample_percent: u8) -> Self {
        let from_env = || std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").ok().filter(|text| !text.is_empty());
        let Some(endpoint) = endpoint.map(str::to_owned).or_else(from_env) else { return Self { on: None } };
        let exporter =
            SpanExporter::builder().with_tonic().with_endpoint(&endpoint).with_timeout(EXPORT_TIMEOUT).build();
        let exporter = match exporter {
            Ok(exporter) => exporter,
            Err(error) => {
                tracing::error!(%endpoint, %error, "traces are off: the collector's address cannot be used");
                return Self { on: None };
            }
        };
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(WAITING)
            .with_scheduled_delay(Duration::from_secs(1))
            .build();
        let exporter = Reported { inner: exporter, endpoint, failing: Arc::default() };
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
        let ratio = Sampler::TraceIdRatioBased(f64::from(sample_percent) / 100.0);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_sampler(Sampler::ParentBased(Box::new(ratio)))
            .with_resource(Resource::builder().with_service_name(service.to_owned()).build())
            .build();
        let tracer = provider.tracer("sluice");
        Self { on: Some((provider, tracer)) }
    }

    /// Sends what is waiting, for a few seconds at most. Blocks: not for the runtime's threads.
    pub fn shutdown(&self) {
        if let Some((provider, _)) = &self.on
            && let Err(error) = provider.shutdown_with_timeout(EXPORT_TIMEOUT)
        {
            tracing::warn!(%error, "the last spans were not delivered");
        }
    }
}

/// An exporter that logs when its collector goes away and when it is back, and nothing between.
#[derive(Debug)]
struct Reported {
    inner: SpanExporter,
    endpoint: String,
    failing: Arc<AtomicBool>,
}

impl opentelemetry_sdk::trace::SpanExporter for Reported {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.inner.export(batch).await;
        let failed = result.is_err();
        if self.failing.swap(failed, Ordering::Relaxed) != failed {
            match &result {
                Err(error) => {
                    tracing::warn!(endpoint = %self.endpoint, %error, "the trace collector is down; spans are dropped until it is back");
                }
                Ok(()) => tracing::info!(endpoint = %self.endpoint, "the trace collector is back"),
            }
        }
        // Already told: the processor need not.
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// The trace of one request.
pub struct RequestTrace {
    state: State,
}

enum State {
    /// Traces are off: the client's own context goes through as it came.
    Pass {
        parent: Option<HeaderValue>,
        state: Option<HeaderValue>,
    },
    On {
        tracer: SdkTracer,
        span: Box<Span>,
        context: Context,
    },
}

impl RequestTrace {
    /// Begins the span of a request, below the client's if it sent a context (W3C Trace Context).
    pub fn start(tracing: &Tracing, headers: &HeaderMap) -> Self {
        let Some((_, tracer)) = &tracing.on else {
            let (parent, state) = (headers.get(&TRACEPARENT).cloned(), headers.get(&TRACESTATE).cloned());
            return Self { state: State::Pass { parent, state } };
        };
        let parent = TraceContextPropagator::new().extract(&Headers(headers));
        let builder = SpanBuilder::from_name("request").with_kind(SpanKind::Server);
        let span = tracer.build_with_context(builder, &parent);
        let context = Context::new().with_remote_span_context(span.span_context().clone());
        Self { state: State::On { tracer: tracer.clone(), span: Box::new(span), context } }
    }

    /// Tells the provider whose trace this is.
    pub fn inject(&self, headers: &mut HeaderMap) {
        match &self.state {
            State::Pass { parent, state } => {
                for (name, value) in [(TRACEPARENT, parent), (TRACESTATE, state)] {
                    if let Some(value) = value {
                        headers.insert(name, value.clone());
                    }
                }
            }
            State::On { context, .. } => {
                TraceContextPropagator::new().inject_context(context, &mut HeadersMut(headers));
            }
        }
    }

    /// A phase that waited for so long and is over now.
    pub fn waited(&self, name: &'static str, time: Duration) {
        if let State::On { .. } = &self.state {
            let now = SystemTime::now();
            self.child(name, now.checked_sub(time).unwrap_or(now), now);
        }
    }

    /// A phase that waited.
    pub fn child(&self, name: &'static str, from: SystemTime, to: SystemTime) {
        if let State::On { tracer, context, span } = &self.state
            && span.is_recording()
        {
            let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Internal).with_start_time(from);
            tracer.build_with_context(builder, context).end_with_timestamp(to);
        }
    }

    /// The prompt, for operators who switched it on.
    pub fn content(&mut self, messages: &str) {
        if let State::On { span, .. } = &mut self.state {
            span.set_attribute(KeyValue::new("gen_ai.input.messages", messages.to_owned()));
        }
    }

    /// Writes what is known of the request and ends its span.
    pub fn finish(&mut self, record: &Record) {
        let State::On { span, .. } = &mut self.state else { return };
        if !span.is_recording() {
            return;
        }
        let operation = match record.endpoint {
            "/v1/chat/completions" => "chat",
            "/v1/completions" => "text_completion",
            "/v1/embeddings" => "embeddings",
            other => other,
        };
        span.update_name(format!("{operation} {}", record.model.as_deref().unwrap_or("")).trim_end().to_owned());
        span.set_attributes(attributes(record, operation));
        if !matches!(record.outcome, Outcome::Ok | Outcome::ClientGone) {
            let error = record.error.clone().unwrap_or_else(|| record.outcome.as_str().to_owned());
            span.set_attribute(KeyValue::new("error.type", error.clone()));
            if record.status >= 500 {
                span.set_status(Status::error(error));
            }
        }
        span.end();
    }
}

fn attributes(record: &Record, operation: &'static str) -> Vec<KeyValue> {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let mut all = vec![
        KeyValue::new("gen_ai.operation.name", operation),
        KeyValue::new("gen_ai.usage.input_tokens", number(record.tokens[0])),
        KeyValue::new("gen_ai.usage.output_tokens", number(record.tokens[3])),
        KeyValue::new("http.response.status_code", i64::from(record.status)),
        KeyValue::new("sluice.request_id", record.request_id.to_string()),
        KeyValue::new("sluice.outcome", record.outcome.as_str()),
        KeyValue::new("sluice.attempts", i64::from(record.attempts)),
        KeyValue::new("sluice.cost_micros", number(record.cost_micros)),
    ];
    if !record.tried.is_empty() {
        all.push(KeyValue::new("sluice.tried", Tried::line(&record.tried)));
    }
    let named = [
        ("gen_ai.provider.name", &record.provider),
        ("gen_ai.request.model", &record.model),
        ("sluice.target", &record.target),
        ("sluice.key", &record.key),
        ("sluice.tenant", &record.tenant),
        ("sluice.limit", &record.limit),
    ];
    all.extend(named.into_iter().filter_map(|(name, value)| Some(KeyValue::new(name, value.as_ref()?.to_string()))));
    all
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}
