//! Phase `relay`: one admitted request on its way through its targets, and what the answer says.
//!
//! The response side is synchronous: bytes in, bytes out, nothing awaited, no store asked. A
//! flight that is dropped is a client that left, and settles as one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use sluice_policies::Demand;
use sluice_providers::{Call, Endpoint, Support, TranslateError, UpstreamError, Usage};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::admit::Admitted;
use super::attempt::Attempt;
use super::count::Counted;
use super::headers;
use super::identify::Identity;
use super::lookup::Keep;
use super::open::Gateway;
use super::record::{Recorder, Tally};
use super::route::Plan;
use super::settle;
use super::waiting::{Patience, Waiting};
use crate::budget::Held;
use crate::config::{Config, Routing, TargetRoute};
use crate::error::Error;
use crate::state::Store;
use crate::upstream::{Blame, Tail};

mod hedge;
mod next;
mod resume;

pub use hedge::Hedge;
pub use next::Next;

/// A provider that asks for more is asked again after this.
const LONGEST_HOLD: Duration = Duration::from_mins(10);

/// What `Gateway::open` hands to a flight.
pub(super) struct Opened {
    pub(super) call: Arc<Call>,
    pub(super) who: Identity,
    pub(super) plan: Plan,
    pub(super) counted: Counted,
    pub(super) admitted: Admitted,
    pub(super) config: Arc<Config>,
    pub(super) patience: Patience,
    pub(super) waiting: Waiting,
    pub(super) tail: Option<Tail>,
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

/// The rest of the client's body.
enum Rest {
    /// All has come.
    None,
    /// It can be sent.
    Here(Tail),
    /// It has been sent: no other target can get it.
    Gone,
}

impl Rest {
    /// The rest for one attempt, if there is one; `Err` if it has been sent before.
    fn take(&mut self) -> Result<Option<Tail>, ()> {
        match std::mem::replace(self, Self::Gone) {
            Self::None => {
                *self = Self::None;
                Ok(None)
            }
            Self::Here(tail) => Ok(Some(tail)),
            Self::Gone => Err(()),
        }
    }
}

/// One admitted request until it is settled and recorded.
pub struct Flight {
    /// Let go once a stream has spoken, unless it may have to be continued.
    call: Option<Arc<Call>>,
    streams: bool,
    endpoint: Endpoint,
    who: Identity,
    plan: Plan,
    counted: Counted,
    /// Taken by `close`: a flight without it is closed.
    admitted: Option<Admitted>,
    recorder: Recorder,
    config: Arc<Config>,
    patience: Patience,
    waiting: Waiting,
    /// Targets that were tried, a bit each, since the model was last changed.
    tried: u64,
    attempts: u32,
    /// The attempt whose answer the client gets.
    attempt: Option<Attempt>,
    /// What attempts before it have used, when a stream was continued.
    spent: Usage,
    spent_cost: u64,
    /// The target a request is on its way to: it may have read the prompt, which is charged even if
    /// no usage ever comes.
    dialled: Option<usize>,
    /// The text of broken streams, where they are continued.
    said: String,
    held: Option<Held>,
    tail: Rest,
    /// The answer is to be kept.
    keep: Option<Keep>,
    store: Arc<dyn Store>,
    tasks: TaskTracker,
}

impl Flight {
    pub(super) fn new(
        gateway: &Arc<Gateway>,
        opened: Opened,
        keep: Option<Keep>,
        held: Held,
        recorder: Recorder,
    ) -> Self {
        Self {
            streams: opened.call.stream,
            endpoint: opened.call.endpoint,
            call: Some(opened.call),
            who: opened.who,
            plan: opened.plan,
            counted: opened.counted,
            admitted: Some(opened.admitted),
            recorder,
            config: opened.config,
            patience: opened.patience,
            waiting: opened.waiting,
            tried: 0,
            attempts: 0,
            attempt: None,
            spent: Usage::default(),
            spent_cost: 0,
            dialled: None,
            said: String::new(),
            held: Some(held),
            tail: opened.tail.map_or(Rest::None, Rest::Here),
            keep,
            store: Arc::clone(&gateway.store),
            tasks: gateway.tasks.clone(),
        }
    }

    /// What the client called.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// The answer that needs no provider, if this is one: how many tokens a prompt has. Closes the flight.
    pub fn answer_here(&mut self) -> Option<(HeaderMap, Bytes)> {
        let input = self.counted.asked?;
        let native =
            |target: &TargetRoute| target.provider.adapter.declares().endpoint(Endpoint::CountTokens) == Support::AsIs;
        if self.plan.targets().iter().all(native) {
            return None;
        }
        let mut headers = self.answer_headers();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.close(&Close::Complete);
        Some((headers, Bytes::from(format!("{{\"input_tokens\":{input}}}"))))
    }

    /// Whether the client asked for a stream.
    pub fn streams(&self) -> bool {
        self.streams
    }

    /// The config the request began with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How the model's requests are routed.
    pub fn routing(&self) -> &Routing {
        &self.plan.route().routing
    }

    /// The public name of the model that answers.
    pub fn model(&self) -> &Arc<str> {
        self.plan.model()
    }

    /// When the client's own deadline is over.
    pub fn deadline(&self) -> Option<Instant> {
        self.patience.deadline
    }

    /// What tells the door that the answer takes long.
    pub fn waiting(&self) -> &Waiting {
        &self.waiting
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

    /// An attempt has something for the client: it is the one. The request body and its share of
    /// the byte budget are let go if the answer streams.
    pub fn commit(&mut self, mut attempt: Attempt) {
        self.recorder.committed(&attempt);
        if attempt.relays() {
            attempt.let_go();
            self.held = None;
            if attempt.said().is_none() {
                self.call = None;
            }
        }
        self.attempt = Some(attempt);
    }

    /// Translates one chunk of the provider's stream; `None` when nothing is to be sent yet. Bytes
    /// that belong together come as one.
    pub fn chunk(&mut self, input: Bytes) -> Result<Option<Bytes>, TranslateError> {
        match &mut self.attempt {
            Some(attempt) => attempt.chunk(input),
            None => Ok(Some(input)),
        }
    }

    /// Ends the provider's stream: what was held back, or the error that it ended too early.
    pub fn finish(&mut self) -> Result<Option<Bytes>, TranslateError> {
        self.attempt.as_mut().map_or(Ok(None), Attempt::finish)
    }

    /// What was translated before an error stopped the translator.
    pub fn rest(&mut self) -> Option<Bytes> {
        self.attempt.as_mut().and_then(Attempt::rest)
    }

    /// True once the model has begun to say something.
    pub fn has_content(&self) -> bool {
        self.attempt.as_ref().is_some_and(Attempt::has_content)
    }

    /// True once the provider said that the stream is over.
    pub fn is_done(&self) -> bool {
        self.attempt.as_ref().is_some_and(Attempt::is_done)
    }

    /// The error event the provider put into its stream, if any.
    pub fn take_stream_error(&mut self) -> Option<UpstreamError> {
        self.attempt.as_mut().and_then(Attempt::take_stream_error)
    }

    /// Who is charged what so far. The tokens of an answer under way are an estimate.
    pub fn tally(&self) -> Tally {
        let prompt = Usage { input: self.counted.input, ..Usage::default() };
        let (usage, target) = match &self.attempt {
            Some(attempt) => {
                let running = Usage { output: attempt.so_far(), ..prompt };
                (self.counted.with_units(attempt.usage().unwrap_or(running)), attempt.target())
            }
            None => (prompt, self.dialled.and_then(|index| self.plan.route().targets.get(index))),
        };
        let usage = self.spent.plus(&usage);
        let cost_micros = self.spent_cost + settle::cost(target, &usage);
        let Usage { input, cached_input, output, .. } = usage;
        Tally { input, cached_input, output, cost_micros, ..self.recorder.whose() }
    }

    /// Notes that whoever calls the provider has moved on to this attempt's target by itself.
    pub fn moved(&mut self, attempt: &Attempt) {
        if let Some(target) = attempt.target() {
            self.recorder.attempt(target);
        }
    }

    /// The headers that go with an answer from the current target.
    pub fn answer_headers(&self) -> HeaderMap {
        let seen = self.admitted.as_ref().map(|admitted| admitted.seen.as_slice()).unwrap_or_default();
        let mut headers = headers::rate_limits(seen, self.endpoint);
        self.recorder.answer_headers(&mut headers);
        headers::name_request(&mut headers, self.endpoint, self.recorder.request_id());
        headers
    }

    /// Settles the lease and records the request, once; later calls do nothing. Returns the cost
    /// in micro-dollars the first time.
    pub fn close(&mut self, how: &Close<'_>) -> Option<u64> {
        let admitted = self.admitted.take()?;
        let from_provider = self.attempt.as_ref().is_some_and(|attempt| attempt.usage().is_some());
        let (usage, cost) = self.used();
        if let (Close::Complete, Some(keep)) = (how, self.keep.take()) {
            self.kept(keep, settle::demand(&usage, cost));
        }
        admitted.lease.settle(settle::demand(&usage, cost));
        if let Some(attempt) = &mut self.attempt {
            self.recorder.relayed(attempt);
            match how {
                Close::Complete => attempt.succeeded(),
                Close::ClientGone => attempt.blame(Blame::Nobody, "client_gone"),
                Close::Failed(error) => attempt.blame(blame_of(error), error.code.as_deref().unwrap_or("error")),
            }
            attempt.over();
        }
        self.held = None;
        self.recorder.close(how, &usage, from_provider, cost);
        if let Some(told) = self.waiting.left() {
            self.recorder.left(told.as_ref());
        }
        if let Close::Failed(error) = how {
            self.waiting.failed(error);
        }
        let Usage { input, cached_input, output, .. } = usage;
        self.waiting.settled(Tally { input, cached_input, output, cost_micros: cost, ..self.recorder.whose() });
        Some(cost)
    }

    /// Gives a complete answer of one attempt to the cache.
    fn kept(&mut self, keep: Keep, made: Demand) {
        let usage = self.attempt.as_ref().and_then(Attempt::usage);
        let answer = self.attempt.as_mut().and_then(Attempt::take_answer);
        if let Some(answer) = answer.filter(|_| self.said.is_empty()) {
            keep.keep(self.plan.model(), answer, self.streams, usage, made);
        }
    }

    /// What the answer has used, with the price at the target that served it, micro-dollars.
    fn used(&mut self) -> (Usage, u64) {
        let (usage, target) = match (&mut self.attempt, self.dialled) {
            (Some(attempt), _) => {
                let reported = attempt.usage();
                let prompt = Usage { input: self.counted.input, ..Usage::default() };
                let usage = reported.unwrap_or_else(|| Usage { output: attempt.generated(), ..prompt });
                (usage, attempt.target())
            }
            (None, Some(index)) => {
                let usage = Usage { input: self.counted.input, ..Usage::default() };
                (usage, self.plan.route().targets.get(index))
            }
            (None, None) => return (self.spent, self.spent_cost),
        };
        let usage = self.counted.with_units(usage);
        (self.spent.plus(&usage), self.spent_cost + settle::cost(target, &usage))
    }
}

/// Whose fault it is that a stream ended with this error after its first content.
fn blame_of(error: &Error) -> Blame {
    match error.code.as_deref() {
        // A long answer, or a client in a hurry.
        Some("total_timeout" | "request_deadline" | "fault_injected") => Blame::Nobody,
        _ => Blame::Target,
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.close(&Close::ClientGone);
    }
}
