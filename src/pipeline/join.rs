//! A request that the cache has no answer for: on its way to a provider, or to the answer that another one which asks
//! the same is getting.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sluice_policies::Demand;
use sluice_providers::{Call, Endpoint};
use tokio::time::Instant;

use super::admit::Terms;
use super::charge::{self, Toll};
use super::flight::{Flight, Opened};
use super::headers::name_request;
use super::identify::Identity;
use super::lookup::{Keep, Replay};
use super::open::Gateway;
use super::record::{FALLBACK, JOINED, MODEL, Recorder, Tally};
use super::route::{self, Plan};
use super::shared::{Coming, Entered, Head, JoinKey, Log, Reader};
use super::waiting::{Patience, Waiting};
use crate::budget::Held;
use crate::cache::Found;
use crate::config::Config;
use crate::error::Error;
use crate::telemetry::CacheMetrics;
use crate::upstream::Tail;

/// What of the answer's head another client gets too.
const SHARED: [HeaderName; 3] =
    [header::CONTENT_TYPE, header::CACHE_CONTROL, HeaderName::from_static("x-accel-buffering")];

/// A request before it is counted.
pub(super) struct Asked {
    pub(super) call: Arc<Call>,
    pub(super) who: Identity,
    pub(super) plan: Plan,
    pub(super) config: Arc<Config>,
    pub(super) patience: Patience,
    pub(super) waiting: Waiting,
    pub(super) tail: Option<Tail>,
}

/// A request without an answer yet. Dropping it records a client that left.
pub struct Asking {
    pub(super) asked: Box<Asked>,
    pub(super) keep: Option<Keep>,
    pub(super) held: Held,
    pub(super) recorder: Recorder,
}

/// What joining comes to.
pub enum Enters {
    /// The call is this request's own. With the client's own deadline, which the call does not know of.
    First(Reader, Option<Instant>),
    /// The call is another's.
    Joined(Box<Asking>, Reader),
    /// The cache has the answer by now.
    Replay(Box<Asking>, Box<Found>),
}

impl Asking {
    /// What others must have in common with it to get its answer; `None` if nobody may.
    pub(super) fn key(&self) -> Option<JoinKey> {
        let (ask, stamp) = self.keep.as_ref()?.joins()?;
        let call = &self.asked.call;
        Some(JoinKey { ask, stamp, stream: call.stream, usage: call.include_usage })
    }

    /// What the client called.
    pub fn endpoint(&self) -> Endpoint {
        self.asked.call.endpoint
    }

    /// The client's own deadline.
    pub fn deadline(&self) -> Option<Instant> {
        self.asked.patience.deadline
    }

    /// What the door sees of its wait.
    pub fn waiting(&self) -> &Waiting {
        &self.asked.waiting
    }

    /// Has it admitted for a call of its own. On an error it has been recorded and nothing stays reserved; dropping
    /// the future gives back whatever was reserved.
    pub async fn alone(mut self: Box<Self>, gateway: &Arc<Gateway>) -> Result<Box<Flight>, Error> {
        self.count("miss", gateway);
        self.enter(gateway).await
    }

    /// The same, when what came of the look-up has been counted.
    pub async fn enter(self, gateway: &Arc<Gateway>) -> Result<Box<Flight>, Error> {
        let Self { asked, keep, held, mut recorder } = self;
        match admitted(gateway, *asked, &mut recorder).await {
            Ok(opened) => Ok(Box::new(Flight::new(gateway, opened, keep, held, recorder))),
            Err(error) => Err(recorder.refuse(error)),
        }
    }

    /// Joins the call of another request that asks the same, or begins the one that `begin` makes of this.
    pub fn join(
        self: Box<Self>,
        gateway: &Arc<Gateway>,
        key: JoinKey,
        begin: impl FnOnce(Box<Self>) -> Coming,
    ) -> Enters {
        let (waiting, deadline) = (self.waiting().clone(), self.deadline());
        let entered = gateway.joins.enter(key, &waiting, self, |mut asking| {
            if let Some(found) = asking.keep.as_ref().and_then(Keep::since) {
                // It is told when the lock is open.
                return Err((asking, found));
            }
            asking.count("miss", gateway);
            // Others may stay when this one's time is over.
            asking.asked.patience.deadline = None;
            let room = asking.keep.as_ref().map_or(0, Keep::room);
            let log = Log::new(room, gateway.budget.hold(), asking.asked.config.limits.max_buffered);
            Ok((begin(asking), log))
        });
        match entered {
            Entered::First(reader) => Enters::First(reader, deadline),
            Entered::Joined(mut asking, reader) => {
                asking.count(JOINED, gateway);
                Enters::Joined(asking, reader)
            }
            Entered::Needless((asking, found)) => Enters::Replay(asking, Box::new(found)),
        }
    }

    fn count(&mut self, result: &'static str, gateway: &Gateway) {
        if let Some(keep) = &self.keep {
            keep.count(result, true, &mut self.recorder, gateway.sinks.metrics().cache());
        }
    }

    /// It gets an answer that the cache has by now, if it can pay for it.
    pub async fn replayed(self: Box<Self>, gateway: &Gateway, found: &Found) -> Result<Replay, Error> {
        let Self { asked, keep, mut recorder, .. } = *self;
        let replay = match keep {
            Some(keep) => keep.hit(gateway, (&asked.config, &asked.who), found, &asked.call, &mut recorder).await,
            None => Err(Error::internal("an answer was found for a request that is not looked up")),
        };
        replay.map_err(|error| recorder.refuse(error))
    }

    /// It gets the answer of the call that it joined, if it can pay for it: for what the call has cost so far
    /// at once, for the rest at its end.
    pub async fn answered(mut self: Box<Self>, gateway: &Gateway, call: &Waiting) -> Result<Joined, Error> {
        let made = call.bill().map_or(NOTHING, made);
        let Asked { call, plan, who, config, .. } = &*self.asked;
        let (model, endpoint) = (Arc::clone(plan.model()), call.endpoint);
        match charge::begin(gateway, config, who, &model, &made, endpoint).await {
            Ok((toll, limits)) => {
                let metrics = gateway.sinks.metrics().cache().clone();
                Ok(Joined { recorder: self.recorder, metrics, model, endpoint, toll, limits })
            }
            Err(error) => Err(self.recorder.refuse(error)),
        }
    }

    /// The call that it joined has failed.
    pub fn failed(self: Box<Self>, gateway: &Gateway) -> Joined {
        let (metrics, model) = (gateway.sinks.metrics().cache().clone(), Arc::clone(self.asked.plan.model()));
        let (endpoint, limits) = (self.endpoint(), HeaderMap::new());
        Joined { recorder: self.recorder, metrics, model, endpoint, toll: None, limits }
    }
}

/// Counts and admits a request, to the model that steps in if need be.
async fn admitted(gateway: &Arc<Gateway>, asked: Asked, recorder: &mut Recorder) -> Result<Opened, Error> {
    let Asked { call, who, plan, config, patience, waiting, tail } = asked;
    let (streams, endpoint) = (call.stream, call.endpoint);
    let terms = Terms { config: &config, patience: &patience, waiting: &waiting, streams, endpoint };
    let other = route::Cause::of(&plan);
    let (plan, counted, admitted) = match gateway.admitted(&terms, &call, plan, &who, recorder).await {
        Ok(all) => all,
        Err(error) => {
            let Some((plan, cause)) = other.fallback(gateway, &config, &who, &call, &error) else { return Err(error) };
            recorder.fell_back(cause, plan.model());
            // The prompt is too long for everybody; the budget is this request's own.
            if cause == "budget" {
                waiting.part();
            }
            gateway.admitted(&terms, &call, plan, &who, recorder).await?
        }
    };
    Ok(Opened { call, who, plan, counted, admitted, config, patience, waiting, tail })
}

/// A request that gets the answer of another's call. It spends nothing but what its policy takes for that.
pub struct Joined {
    recorder: Recorder,
    metrics: CacheMetrics,
    model: Arc<str>,
    endpoint: Endpoint,
    /// What it is charged with, if anything.
    toll: Option<Toll>,
    limits: HeaderMap,
}

const NOTHING: Demand = Demand { input: 0, output: 0, cost_micros: 0 };

fn made(bill: &Tally) -> Demand {
    Demand { input: bill.input, output: bill.output, cost_micros: bill.cost_micros }
}

impl Joined {
    /// What the client called.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// The headers of its answer.
    pub fn headers(&self, head: &Head) -> HeaderMap {
        let mut headers = self.limits.clone();
        self.recorder.answer_headers(&mut headers);
        let copied: &[HeaderName] = if head.headers.contains_key(FALLBACK) { &[MODEL, FALLBACK] } else { &[] };
        for name in SHARED.iter().chain(copied) {
            if let Some(value) = head.headers.get(name) {
                headers.insert(name, value.clone());
            }
        }
        name_request(&mut headers, self.endpoint, self.recorder.request_id());
        headers.insert(header::AGE, HeaderValue::from_static("0"));
        headers
    }

    /// So many bytes went to its client.
    pub fn told(&mut self, bytes: usize) {
        self.recorder.told(bytes);
    }

    /// All of the answer went to its client.
    pub fn complete(&mut self, call: &Waiting) {
        self.recorder.succeed(StatusCode::OK);
        if let Some(bill) = call.bill() {
            self.metrics.saved(&self.model, bill.input + bill.output, bill.cost_micros);
            if let Some(toll) = self.toll.take() {
                toll.end(&made(bill));
            }
        }
    }

    /// Its client was told this error.
    pub fn fail(&mut self, error: &Error) {
        self.recorder.fail(error);
    }

    /// The error of the call that it joined, as its own. It has been recorded.
    #[must_use]
    pub fn refuse(mut self, mut error: Error) -> Error {
        error.headers = HeaderMap::new();
        self.recorder.answer_headers(&mut error.headers);
        self.recorder.refuse(error)
    }
}
