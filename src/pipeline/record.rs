//! Phase `record`: every exit of every request passes here once, whatever happened.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sluice_providers::{Call, Field, Usage};
use uuid::Uuid;

use super::admit::Admitted;
use super::attempt::Attempt;
use super::count::Counted;
use super::flight::Close;
use super::identify::Identity;
use super::open::Gateway;
use super::route::Plan;
use crate::config::{Config, Status, TargetRoute};
use crate::error::Error;
use crate::telemetry::{AccessLog, Metrics, Outcome, Record, RequestTrace, Tracing, Tried};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TARGET: HeaderName = HeaderName::from_static("x-sluice-target");
const CACHE: HeaderName = HeaderName::from_static("x-sluice-cache");
pub(super) const MODEL: HeaderName = HeaderName::from_static("x-sluice-model");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-sluice-attempts");
const TRIED: HeaderName = HeaderName::from_static("x-sluice-tried");
/// Says, with the cause, that another model than the one asked for has answered.
pub const FALLBACK: HeaderName = HeaderName::from_static("x-sluice-fallback");
pub(super) const QUEUED: HeaderName = HeaderName::from_static("x-sluice-queue-ms");
const OVERHEAD: HeaderName = HeaderName::from_static("x-sluice-overhead-us");
/// What the cache made of a request that got the answer of another one under way.
pub(super) const JOINED: &str = "joined";
/// The status that nginx made known for a client that left before its answer.
const CLIENT_CLOSED: u16 = 499;

/// Where records go.
pub struct Sinks {
    metrics: Metrics,
    access: AccessLog,
    tracing: Arc<Tracing>,
}

impl Sinks {
    /// Sinks of one gateway.
    pub fn new(metrics: Metrics, access: AccessLog, tracing: Tracing) -> Self {
        Self { metrics, access, tracing: Arc::new(tracing) }
    }

    /// The metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Notes the config that is live and what became of reloads.
    pub fn reloaded(&self, status: &Status) {
        self.metrics.set_generation(status.generation);
        self.metrics.set_reloads(status.reloads_ok, status.reloads_failed);
    }

    /// Writes out what is waiting. Further records are lost.
    pub async fn shutdown(self: &Arc<Self>) {
        let sinks = Arc::clone(self);
        let flushed = tokio::task::spawn_blocking(move || {
            sinks.access.close();
            sinks.tracing.shutdown();
        });
        if let Err(error) = flushed.await {
            tracing::error!(%error, "logs and traces could not be flushed");
        }
    }
}

/// Fills the record of one request, and writes it when dropped: a request that is dropped in the
/// middle is a client that left.
pub struct Recorder {
    sinks: Arc<Sinks>,
    record: Record,
    trace: RequestTrace,
}

impl Recorder {
    /// A request whose head has come. Takes the client's request id if it is a sane one.
    pub fn start(gateway: &Gateway, endpoint: &'static str, headers: &HeaderMap) -> Self {
        let sinks = Arc::clone(&gateway.sinks);
        let given = headers.get(&REQUEST_ID).and_then(|id| id.to_str().ok()).filter(|id| sane(id));
        let id = given.map_or_else(|| Arc::from(format!("req_{}", Uuid::now_v7().simple())), Arc::from);
        let trace = RequestTrace::start(&sinks.tracing, headers);
        sinks.metrics.begin();
        Self { sinks, record: Record::start(id, endpoint), trace }
    }

    /// The id the client sees.
    pub fn request_id(&self) -> &Arc<str> {
        &self.record.request_id
    }

    /// When the request began.
    pub(super) fn started(&self) -> Instant {
        self.record.started
    }

    /// Ends a request that needed no provider.
    pub fn succeed(&mut self, status: StatusCode) {
        self.record.status = status.as_u16();
        self.record.outcome = Outcome::Ok;
    }

    /// Notes the error a request ends with.
    pub fn fail(&mut self, error: &Error) {
        self.record.status = error.status.as_u16();
        self.record.outcome = error.outcome;
        self.record.error = error.code.as_deref().map(str::to_owned);
        self.record.limit.clone_from(&error.limit);
    }

    /// Ends a request with an error, and hands the error on.
    #[must_use]
    pub fn refuse(&mut self, error: Error) -> Error {
        self.fail(&error);
        error
    }

    pub(super) fn identified(&mut self, who: &Identity, call: &Call) {
        self.record.key = Some(Arc::clone(&who.key.name));
        self.record.tenant = Some(Arc::clone(&who.key.tenant));
        self.record.class = Some(Arc::clone(&who.class.name));
        self.record.user =
            who.user.as_deref().map(|user| if like_a_key(user) { "[redacted]" } else { user }.to_owned());
        self.record.stream = call.stream;
    }

    pub(super) fn routed(&mut self, plan: &Plan, call: &Call, config: &Config) {
        self.record.model = Some(Arc::clone(plan.model()));
        if config.telemetry.log_content
            && let Some(messages) = call.raw(Field::Messages)
        {
            self.trace.content(messages);
        }
    }

    /// `off_thread` is when counting began, if it had to wait for a worker.
    pub(super) fn counted(&mut self, counted: &Counted, off_thread: Option<SystemTime>) {
        self.record.counted_input = counted.input;
        self.record.output_bound = counted.output_bound;
        self.record.count_method = Some(counted.method.as_str());
        if let Some(from) = off_thread {
            self.trace.child("count", from, SystemTime::now());
        }
    }

    pub(super) fn admitted(&mut self, decision: &Result<Admitted, Error>, begun: Instant) {
        self.record.admit = begun.elapsed();
        self.trace.waited("admit", self.record.admit);
        let metrics = &self.sinks.metrics;
        match decision {
            Ok(admitted) => {
                self.record.queued = admitted.queued;
                metrics.granted(&admitted.observed);
            }
            Err(error) => {
                if let Some(limit) = &error.limit {
                    metrics.admission(limit, "denied");
                }
            }
        }
    }

    pub(super) fn attempt(&mut self, target: &TargetRoute) {
        self.record.attempts += 1;
        self.record.overhead.get_or_insert_with(|| self.record.started.elapsed());
        self.record.target = Some(Arc::clone(&target.label));
        self.record.provider = Some(Arc::clone(&target.provider.name));
    }

    /// What the cache made of the request.
    pub(super) fn looked_up(&mut self, result: Cow<'static, str>) {
        self.record.cache = Some(result);
    }

    /// The client left before its call had ended; with the error it was told, if it was cut off.
    pub(super) fn left(&mut self, told: Option<&Error>) {
        match told {
            Some(error) => self.fail(error),
            None => self.record.outcome = Outcome::ClientGone,
        }
    }

    /// So many bytes of another request's answer were told.
    pub(super) fn told(&mut self, bytes: usize) {
        self.record.bytes_out += bytes as u64;
    }

    /// Ends a request with an answer from the cache.
    pub(super) fn replayed(&mut self, bytes: usize) {
        self.record.bytes_out = bytes as u64;
        self.succeed(StatusCode::OK);
    }

    pub(super) fn inject(&self, headers: &mut HeaderMap) {
        self.trace.inject(headers);
    }

    pub(super) fn attempt_failed(&mut self, tried: Tried, departed: Option<Instant>) {
        self.sinks.metrics.attempt_failed(&tried.target, &tried.why);
        self.waited(departed);
        self.record.tried.push(tried);
    }

    /// An attempt has something for the client.
    pub(super) fn committed(&mut self, attempt: &Attempt) {
        if let Some(target) = attempt.target() {
            self.record.target = Some(Arc::clone(&target.label));
            self.record.provider = Some(Arc::clone(&target.provider.name));
        }
        self.waited(attempt.left_at());
    }

    fn waited(&self, departed: Option<Instant>) {
        if let Some(departed) = departed {
            self.trace.waited("upstream", departed.elapsed());
        }
    }

    /// What an attempt brought, once it is over.
    pub(super) fn relayed(&mut self, attempt: &Attempt) {
        self.record.bytes_out += attempt.bytes();
        if self.record.first_token.is_none() {
            self.record.first_token = attempt.first_token();
        }
    }

    /// Another model steps in.
    pub(super) fn fell_back(&mut self, cause: &'static str, model: &Arc<str>) {
        self.record.fallback = Some(cause);
        self.record.model = Some(Arc::clone(model));
    }

    /// The stream broke off and went on with another target.
    pub(super) fn continued(&mut self) {
        self.record.continued += 1;
    }

    pub(super) fn answer_headers(&self, headers: &mut HeaderMap) {
        let record = &self.record;
        for (name, value) in [(TARGET, &record.target), (MODEL, &record.model)] {
            if let Some(Ok(value)) = value.as_deref().map(HeaderValue::from_str) {
                headers.insert(name, value);
            }
        }
        // For the client it makes no difference that the answer had not come to its end yet.
        let cache = record.cache.as_deref().map(|cache| if cache == JOINED { "hit-exact" } else { cache });
        if let Some(Ok(cache)) = cache.map(HeaderValue::from_str) {
            headers.insert(CACHE, cache);
        }
        headers.insert(ATTEMPTS, HeaderValue::from(record.attempts));
        if !record.tried.is_empty()
            && let Ok(value) = HeaderValue::from_str(&Tried::line(&record.tried))
        {
            headers.insert(TRIED, value);
        }
        if let Some(cause) = record.fallback {
            headers.insert(FALLBACK, HeaderValue::from_static(cause));
        }
        if let Some(queued) = record.queued {
            headers.insert(QUEUED, millis(queued));
        }
        if let Some(overhead) = record.overhead {
            let overhead = overhead.saturating_sub(record.admit);
            let micros = u64::try_from(overhead.as_micros()).unwrap_or(u64::MAX);
            headers.insert(OVERHEAD, HeaderValue::from(micros));
        }
    }

    /// Whose request this is and where it went; without numbers.
    pub(super) fn whose(&self) -> Tally {
        let Record { tenant, key, model, target, .. } = &self.record;
        Tally {
            tenant: tenant.clone(),
            key: key.clone(),
            model: model.clone(),
            target: target.clone(),
            ..Tally::default()
        }
    }

    pub(super) fn close(&mut self, how: &Close<'_>, usage: &Usage, reported: bool, cost: u64) {
        self.record.tokens = [usage.input, usage.cached_input, usage.cache_write, usage.output, usage.reasoning];
        self.record.usage_reported = reported;
        self.record.cost_micros = cost;
        match how {
            Close::Complete => self.succeed(StatusCode::OK),
            Close::ClientGone => self.record.outcome = Outcome::ClientGone,
            Close::Failed(error) => self.fail(error),
        }
    }
}

/// A request's bill as it stands.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Who pays.
    pub tenant: Option<Arc<str>>,
    /// The name of the key.
    pub key: Option<Arc<str>>,
    /// The public model.
    pub model: Option<Arc<str>>,
    /// `provider/model`.
    pub target: Option<Arc<str>>,
    /// Prompt tokens.
    pub input: u64,
    /// Of them, those that the provider read from its cache.
    pub cached_input: u64,
    /// Tokens of the answer.
    pub output: u64,
    /// Micro-dollars; 0 where no price is known.
    pub cost_micros: u64,
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.record.duration = self.record.started.elapsed();
        if self.record.outcome == Outcome::ClientGone {
            self.record.status = CLIENT_CLOSED;
        }
        self.sinks.metrics.observe(&self.record);
        self.sinks.metrics.end();
        self.sinks.access.log(&self.record);
        self.trace.finish(&self.record);
    }
}

/// Whole milliseconds as a header.
pub(super) fn millis(time: Duration) -> HeaderValue {
    HeaderValue::from(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// Ids end up in logs and headers: short, visible characters only, and no key by mistake.
fn sane(id: &str) -> bool {
    !id.is_empty() && id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_graphic()) && !like_a_key(id)
}

/// Clients do put their key where a user or an id belongs; it must not reach a log from there.
fn like_a_key(text: &str) -> bool {
    text.starts_with("sk-") || text.contains("sk-sluice-")
}
