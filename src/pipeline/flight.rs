//! Phase `relay`: one admitted request on its way through its targets, and what the answer says.
//!
//! The response side is synchronous: bytes in, bytes out, nothing awaited, no store asked. A
//! flight that is dropped is a client that left, and settles as one.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use sluice_providers::{
    Call, ResponseHead, StreamOut, StreamTranslator, TranslateError, UpstreamError, UpstreamRequest, Usage,
};
use tokio_util::task::TaskTracker;

use super::admit::Admitted;
use super::count::Counted;
use super::headers;
use super::open::Gateway;
use super::record::{Recorder, Tally};
use super::route::Plan;
use super::settle::{self, Output};
use crate::budget::Held;
use crate::config::{Config, TargetRoute, Timeouts};
use crate::error::Error;
use crate::state::Store;

/// A provider that asks for more is asked again after this.
const LONGEST_HOLD: Duration = Duration::from_mins(10);

/// What `Gateway::open` hands to a flight.
pub(super) struct Opened {
    pub(super) call: Arc<Call>,
    pub(super) plan: Plan,
    pub(super) counted: Counted,
    pub(super) admitted: Admitted,
    pub(super) config: Arc<Config>,
}

/// How a flight ended.
#[derive(Debug)]
pub enum Close<'a> {
    /// The answer was relayed to its end.
    Complete,
    /// The client left before the end.
    ClientGone,
    /// The provider, a deadline or the gateway ended it with this error.
    Failed(&'a Error),
}

/// One admitted request until it is settled and recorded.
pub struct Flight {
    /// Let go once a stream has begun: it holds the body, and the body the buffer it was read into.
    call: Option<Arc<Call>>,
    streams: bool,
    plan: Plan,
    counted: Counted,
    /// Taken by `close`: a flight without it is closed.
    admitted: Option<Admitted>,
    recorder: Recorder,
    config: Arc<Config>,
    /// The index of the target being tried; `None` before the first.
    at: Option<usize>,
    translator: Option<Box<dyn StreamTranslator>>,
    out: StreamOut,
    output: Output,
    /// The provider may have read the prompt: it is charged even if no usage ever comes.
    dialled: bool,
    usage: Option<Usage>,
    held: Option<Held>,
    store: Arc<dyn Store>,
    tasks: TaskTracker,
}

impl Flight {
    pub(super) fn new(gateway: &Arc<Gateway>, opened: Opened, held: Held, recorder: Recorder) -> Self {
        let tokenizer = opened.plan.targets().first().map(|target| target.model.tokenizer);
        Self {
            output: Output::new(Arc::clone(&gateway.counter), tokenizer),
            streams: opened.call.stream,
            call: Some(opened.call),
            plan: opened.plan,
            counted: opened.counted,
            admitted: Some(opened.admitted),
            recorder,
            config: opened.config,
            at: None,
            translator: None,
            out: StreamOut::default(),
            dialled: false,
            usage: None,
            held: Some(held),
            store: Arc::clone(&gateway.store),
            tasks: gateway.tasks.clone(),
        }
    }

    /// Whether the client asked for a stream.
    pub fn streams(&self) -> bool {
        self.streams
    }

    /// The config the request began with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The next target and the request for it, built from the client's own; `None` when all have
    /// been tried. Nothing of an earlier attempt is carried over.
    pub fn next_target(&mut self) -> Option<Result<(TargetRoute, UpstreamRequest), Error>> {
        let index = self.at.map_or(0, |at| at + 1);
        let target = self.plan.targets().get(index)?.clone();
        let call = self.call.as_ref()?;
        self.at = Some(index);
        self.dialled = false;
        self.recorder.attempt(&target);
        let built = target.provider.adapter.request(call, &target.target);
        let mut request = match built {
            Ok(request) => request,
            Err(error) => return Some(Err(Error::internal(format!("the request could not be translated: {error}")))),
        };
        self.recorder.inject(&mut request.headers);
        Some(Ok((target, request)))
    }

    /// Whether a further target is left.
    pub fn has_next(&self) -> bool {
        self.at.map_or(0, |at| at + 1) < self.plan.targets().len()
    }

    /// The target being tried, or the one that answers.
    pub fn target(&self) -> Option<&TargetRoute> {
        self.plan.targets().get(self.at?)
    }

    /// Notes that the target of this label answers, where whoever calls it has moved on by itself. A label that the
    /// model does not have changes nothing.
    pub fn answered_by(&mut self, label: &str) {
        let index = self.plan.targets().iter().position(|target| &*target.label == label);
        if let Some(index) = index.filter(|index| self.at != Some(*index)) {
            self.at = Some(index);
            if let Some(target) = self.plan.targets().get(index) {
                self.recorder.attempt(target);
            }
        }
    }

    /// Who is charged what so far. The tokens of an answer under way are an estimate.
    pub fn tally(&self) -> Tally {
        let running = || Usage { input: self.counted.input, output: self.output.so_far(), ..Usage::default() };
        let usage = self.usage.unwrap_or_else(running);
        let mut tally = self.recorder.whose();
        tally.input = usage.input;
        tally.output = usage.output;
        tally.cost_micros = settle::cost(self.target(), &usage);
        tally
    }

    /// The deadlines of the target being tried.
    pub fn timeouts(&self) -> Timeouts {
        self.target().map_or_else(Timeouts::default, |target| target.provider.timeouts.clone())
    }

    /// Marks the moment the request leaves for the provider.
    pub fn departed(&mut self) {
        self.dialled = true;
        self.recorder.departed();
    }

    /// Notes an attempt that failed before anything was sent to the client: it cost nothing.
    pub fn attempt_failed(&mut self, kind: &str) {
        self.dialled = false;
        self.recorder.attempt_failed(kind);
    }

    /// The last target's provider asked to be left alone: requests of this model wait in the queue
    /// meanwhile instead of burning attempts.
    pub fn leave_alone(&self, wait: Duration) {
        let (store, pool) = (Arc::clone(&self.store), Arc::clone(self.plan.pool()));
        let wait = wait.min(LONGEST_HOLD);
        self.tasks.spawn(async move {
            if let Err(error) = store.hold(&pool, wait).await {
                tracing::warn!(model = %pool.name, %error, "the pool could not be held");
            }
        });
    }

    /// What a provider's error status means.
    pub fn refused(&self, head: &ResponseHead<'_>, body: &[u8]) -> Option<UpstreamError> {
        Some(self.target()?.provider.adapter.error(head, body))
    }

    /// The whole answer of a call that does not stream.
    pub fn reply(&mut self, head: &ResponseHead<'_>, body: Bytes) -> Result<Bytes, TranslateError> {
        let (Some(target), Some(call)) = (self.target(), &self.call) else { return Ok(body) };
        let reply = target.provider.adapter.reply(head, body, call)?;
        self.usage = reply.usage;
        if self.usage.is_none() {
            self.output.push(&reply.text);
        }
        self.recorder.first_token();
        self.recorder.relayed(reply.body.len());
        Ok(reply.body)
    }

    /// Prepares for a stream. The request body and its share of the byte budget are let go.
    pub fn begin_stream(&mut self) {
        if let (Some(target), Some(call)) = (self.target(), &self.call) {
            self.translator = Some(target.provider.adapter.stream(call));
        }
        self.call = None;
        self.held = None;
    }

    /// Translates one chunk of the provider's stream; `None` when nothing is to be sent yet. Bytes
    /// that belong together come as one.
    pub fn chunk(&mut self, input: Bytes) -> Result<Option<Bytes>, TranslateError> {
        let Some(translator) = &mut self.translator else { return Ok(Some(input)) };
        translator.push(input, &mut self.out)?;
        Ok(self.drain())
    }

    /// Ends the provider's stream: what was held back, or the error that it ended too early.
    pub fn finish(&mut self) -> Result<Option<Bytes>, TranslateError> {
        let Some(translator) = &mut self.translator else { return Ok(None) };
        translator.finish(&mut self.out)?;
        Ok(self.drain())
    }

    /// True once the model has begun to say something.
    pub fn has_content(&self) -> bool {
        self.out.content
    }

    /// True once the provider said that the stream is over.
    pub fn is_done(&self) -> bool {
        self.out.done
    }

    /// The error event the provider put into its stream, if any.
    pub fn take_stream_error(&mut self) -> Option<UpstreamError> {
        self.out.error.take()
    }

    fn drain(&mut self) -> Option<Bytes> {
        if self.out.content {
            self.recorder.first_token();
        }
        self.output.push(&self.out.text);
        self.out.text.clear();
        if let Some(usage) = self.out.usage {
            self.usage = Some(usage);
        }
        let bytes = match self.out.frames.len() {
            0 => return None,
            1 => self.out.frames.pop()?,
            _ => {
                let total = self.out.frames.iter().map(Bytes::len).sum();
                let mut joined = BytesMut::with_capacity(total);
                self.out.frames.drain(..).for_each(|frame| joined.extend_from_slice(&frame));
                joined.freeze()
            }
        };
        self.recorder.relayed(bytes.len());
        Some(bytes)
    }

    /// The headers that go with an answer from the current target.
    pub fn answer_headers(&self) -> HeaderMap {
        let seen = self.admitted.as_ref().map(|admitted| admitted.seen.as_slice()).unwrap_or_default();
        let mut headers = headers::rate_limits(seen);
        self.recorder.answer_headers(&mut headers);
        headers
    }

    /// Settles the lease and records the request, once; later calls do nothing. Returns the cost
    /// in micro-dollars the first time.
    pub fn close(&mut self, how: &Close<'_>) -> Option<u64> {
        let admitted = self.admitted.take()?;
        let from_provider = self.usage.is_some();
        let usage = settle::usage(self.usage, self.dialled, &self.counted, &mut self.output);
        let cost = settle::cost(self.target(), &usage);
        admitted.lease.settle(settle::demand(&usage, cost));
        self.translator = None;
        self.held = None;
        self.recorder.close(how, &usage, from_provider, cost);
        Some(cost)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.close(&Close::ClientGone);
    }
}
