//! One request from its head to its answer, whichever door it came through.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Method, StatusCode};
use sluice_providers::Endpoint;

use super::form;
use super::queued::{Coming, Queued};
use super::reply::Reply;
use super::route::{Route, catalog};
use crate::budget::Held;
use crate::config::{Config, Limits};
use crate::drive::{self, Answer, Payload};
use crate::error::Error;
use crate::pipeline::{Asking, Flight, Gateway, JoinKey, Opening, Recorder, RequestHead, Waiting, identify};
use crate::upstream::Pieces;

/// The head of a request.
pub struct Head {
    /// Its method.
    pub method: Method,
    /// Its path without the query.
    pub path: String,
    /// Its headers, without pseudo headers.
    pub headers: HeaderMap,
}

/// Reads a request body whole. It is only asked once the key is known: strangers do not get to fill the buffers.
pub trait Reader: Send {
    /// Reads to the end, under `limits` and the budget behind `held`. Dropping the future stops reading.
    fn read(self, limits: &Limits, held: &mut Held) -> impl Future<Output = Result<Bytes, Error>> + Send;

    /// The body of a form piece by piece, under `limits.max_upload` and with a deadline for each piece; and its length, if the
    /// client declared it. A door that cannot answer before the body has ended reads it whole.
    fn pieces(
        self,
        limits: &Limits,
        held: &mut Held,
    ) -> impl Future<Output = Result<(Pieces, Option<usize>), Error>> + Send
    where
        Self: Sized,
    {
        async {
            let limits = Limits { max_body: limits.max_upload, ..limits.clone() };
            let whole = self.read(&limits, held).await?;
            let length = whole.len();
            let pieces: Pieces = Box::pin(stream::once(async { Ok(whole) }));
            Ok((pieces, Some(length)))
        }
    }
}

/// A request whose head has been judged.
pub enum Begun {
    /// It needed no body and no provider.
    Answered(Reply),
    /// A model is called.
    Called(Call),
}

/// A call on its way. Dropping it is the client leaving.
pub struct Call {
    /// Boxed, so that an answer that is long in coming can go on as the body of the response.
    coming: Option<Coming>,
    waiting: Arc<Waiting>,
    comments: Duration,
    request_id: Arc<str>,
}

impl Call {
    /// The answer, or, for a stream that waits long in the queue, one that begins with comments. To be awaited to
    /// its end once.
    pub async fn reply(&mut self) -> Reply {
        let Some(coming) = &mut self.coming else {
            return Reply::error(&Error::internal("the answer has been taken already"), &self.request_id);
        };
        let outcome = tokio::select! {
            outcome = coming => Some(outcome),
            () = self.waiting.long() => None,
        };
        let mut reply = match (outcome, self.coming.take()) {
            (None, Some(coming)) => {
                let queued = Queued::new(coming, Arc::clone(&self.waiting), self.comments);
                Reply::queued(queued, &self.request_id)
            }
            (Some(outcome), _) => Reply::of(outcome, &self.request_id),
            (None, None) => Reply::error(&Error::internal("the answer is lost"), &self.request_id),
        };
        reply.waiting = Some(Arc::clone(&self.waiting));
        reply
    }

    /// Resolves when the call is let in and a provider is about to be dialled, or when its answer has come before
    /// that. From here on a repetition of the request would be a second call.
    pub async fn admitted(&mut self) -> Option<Reply> {
        let waiting = Arc::clone(&self.waiting);
        tokio::select! {
            biased;
            reply = self.reply() => Some(reply),
            () = waiting.admitted() => None,
        }
    }
}

/// Begins a request. Never fails: an error is an answer too.
pub fn begin(gateway: &Arc<Gateway>, head: Head, body: impl Reader + 'static) -> Begun {
    let visit = match Visit::start(gateway, head) {
        Ok(visit) => visit,
        Err(reply) => return Begun::Answered(reply),
    };
    let (waiting, comments) = (Arc::clone(&visit.waiting), visit.config.limits.queue_comments);
    let request_id = Arc::clone(visit.recorder.request_id());
    let gateway = Arc::clone(gateway);
    let coming: Coming = Box::pin(async move {
        let endpoint = visit.endpoint;
        let answer = match visit.open(&gateway, body).await? {
            Opened::Flight(flight) => drive::run(&gateway, flight).await,
            Opened::Joins(asking, key) => drive::share(&gateway, asking, key).await,
            Opened::Answer(answer) => Ok(answer),
        };
        answer.map_err(|error| error.for_client_of(endpoint))
    });
    Begun::Called(Call { coming: Some(coming), waiting, comments, request_id })
}

/// Lets a call in whose provider somebody else calls; with the request's id. An answer in its place is an error, or
/// needed no provider. Dropping the future is the client leaving.
pub async fn admit(gateway: &Arc<Gateway>, head: Head, body: impl Reader) -> Result<(Flight, Arc<str>), Reply> {
    let visit = Visit::start(gateway, head)?;
    let request_id = Arc::clone(visit.recorder.request_id());
    match visit.open(gateway, body).await {
        Ok(Opened::Flight(flight)) => Ok((*flight, request_id)),
        // What somebody else relays cannot be shared.
        Ok(Opened::Joins(asking, _)) => {
            let endpoint = asking.endpoint();
            match asking.alone(gateway).await {
                Ok(flight) => Ok((*flight, request_id)),
                Err(error) => Err(Reply::error(&error.for_client_of(endpoint), &request_id)),
            }
        }
        Ok(Opened::Answer(answer)) => Err(Reply::of(Ok(answer), &request_id)),
        Err(error) => Err(Reply::error(&error, &request_id)),
    }
}

/// What a call that was let in comes to.
enum Opened {
    /// A provider is asked.
    Flight(Box<Flight>),
    /// A provider is asked, unless it is being asked the same already.
    Joins(Box<Asking>, JoinKey),
    /// None needs to be: the answer is stored, or the gateway's own.
    Answer(Answer),
}

/// An answer that no provider gave.
fn whole(headers: HeaderMap, body: Bytes) -> Answer {
    Answer { status: StatusCode::OK, headers, payload: Payload::Whole(body) }
}

/// A call whose body has not been read.
struct Visit {
    endpoint: Endpoint,
    headers: HeaderMap,
    config: Arc<Config>,
    waiting: Arc<Waiting>,
    recorder: Recorder,
}

impl Visit {
    /// What needs no provider is answered here.
    fn start(gateway: &Arc<Gateway>, head: Head) -> Result<Self, Reply> {
        let route = Route::of(&head.method, &head.path);
        let mut recorder = Recorder::start(gateway, route.name(), &head.headers);
        let config = gateway.live.snapshot();
        let Route::Call(endpoint) = route else {
            let result = catalog(&config, &route, &head.method, &head.path, &head.headers);
            let request_id = Arc::clone(recorder.request_id());
            return Err(match result {
                Ok(body) => {
                    recorder.succeed(StatusCode::OK);
                    Reply::json(StatusCode::OK, body, &request_id)
                }
                Err(error) => {
                    recorder.fail(&error);
                    Reply::error(&error, &request_id)
                }
            });
        };
        Ok(Self { endpoint, headers: head.headers, config, waiting: Arc::new(Waiting::default()), recorder })
    }

    /// Errors are in the form that the client understands.
    async fn open(self, gateway: &Arc<Gateway>, body: impl Reader) -> Result<Opened, Error> {
        let endpoint = self.endpoint;
        self.opened(gateway, body).await.map_err(|error| error.for_client_of(endpoint))
    }

    async fn opened(self, gateway: &Arc<Gateway>, body: impl Reader) -> Result<Opened, Error> {
        let Self { endpoint, headers, config, waiting, mut recorder } = self;
        let key = match identify::key(&headers, &config) {
            Ok(key) => Arc::clone(key),
            Err(error) => return Err(recorder.refuse(error)),
        };
        let mut held = gateway.budget.hold();
        let read = if endpoint.is_form() {
            form::begin(body, &headers, &config.limits, &mut held).await
        } else {
            body.read(&config.limits, &mut held).await.map(|body| (body, None))
        };
        let (body, tail) = match read {
            Ok(read) => read,
            Err(error) => return Err(recorder.refuse(error)),
        };
        let head = RequestHead { endpoint, headers: &headers, key, waiting: &waiting, tail };
        let mut flight = match gateway.open(config, head, body, held, recorder).await? {
            Opening::Flight(flight) => flight,
            Opening::Joins(asking, key) => return Ok(Opened::Joins(asking, key)),
            Opening::Replay(replay) => {
                if let Some(check) = replay.check {
                    drive::verify(gateway, check);
                }
                return Ok(Opened::Answer(whole(replay.headers, replay.body)));
            }
        };
        waiting.let_in();
        Ok(match flight.answer_here() {
            Some((headers, body)) => Opened::Answer(whole(headers, body)),
            None => Opened::Flight(flight),
        })
    }
}
