//! What every request shares, and the phases before a provider is dialled, in their order.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::HeaderMap;
use sluice_policies::Key;
use sluice_providers::{Call, Endpoint};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admit::Admitted;
use super::admit::Terms;
use super::count::Counted;
use super::flight::Flight;
use super::identify::Identity;
use super::join::{Asked, Asking};
use super::lookup::{self, Drawn, Keep, Looked, Replay};
use super::offload::Offload;
use super::record::{Recorder, Sinks};
use super::route::Plan;
use super::shared::{JoinKey, Joins};
use super::verify::Check;
use super::waiting::{self, Waiting};
use super::{admit, count, identify, parse, route};
use crate::budget::{Budget, Held};
use crate::cache::Cache;
use crate::config::{Config, Live};
use crate::error::Error;
use crate::state::Store;
use crate::tokens::Counter;
use crate::upstream::{Tail, Targets, Upstreams};

/// What all requests of the process share.
pub struct Gateway {
    /// The config; each request takes one snapshot.
    pub live: Arc<Live>,
    /// Limits and leases.
    pub store: Arc<dyn Store>,
    /// Token counting and its memo.
    pub counter: Arc<Counter>,
    /// Connection pools to providers.
    pub upstreams: Upstreams,
    /// Load and health of every target.
    pub targets: Targets,
    /// Answers kept for the next request that asks the same.
    pub cache: Arc<Cache>,
    /// Calls under way that others may join.
    pub joins: Joins,
    /// Bytes held by all requests.
    pub budget: Budget,
    /// Metrics, access log and traces.
    pub sinks: Arc<Sinks>,
    /// Every task of the process; shutdown waits for them.
    pub tasks: TaskTracker,
    /// Cancelled when the drain is over: what no client waits for ends.
    pub end: CancellationToken,
    /// Where long CPU work goes.
    pub offload: Offload,
}

/// A request as a door hands it over, without its body.
pub struct RequestHead<'a> {
    /// What is called.
    pub endpoint: Endpoint,
    /// The client's headers.
    pub headers: &'a HeaderMap,
    /// The key that `identify::key` found, before the body was read.
    pub key: Arc<Key>,
    /// Told when the request waits in the queue.
    pub waiting: &'a Waiting,
    /// What of the body has not come yet.
    pub tail: Option<Tail>,
}

/// What opening a request leads to.
pub enum Opening {
    /// To a provider.
    Flight(Box<Flight>),
    /// To the answer of another request that asks the same, or to a provider; in any case with [`Asking::alone`].
    Joins(Box<Asking>, JoinKey),
    /// To an answer from the cache; recorded already.
    Replay(Replay),
}

enum Phases {
    Asks(Box<Asked>, Option<Keep>),
    Replay(Replay),
}

impl Gateway {
    /// Runs the phases up to the plan of targets. On an error the request has been recorded and
    /// nothing stays reserved. Dropping the future gives back whatever was reserved.
    pub async fn open(
        self: &Arc<Self>,
        config: Arc<Config>,
        head: RequestHead<'_>,
        body: Bytes,
        held: Held,
        mut recorder: Recorder,
    ) -> Result<Opening, Error> {
        match self.phases(config, head, body, &mut recorder).await {
            Ok(Phases::Asks(asked, keep)) => {
                let asking = Asking { asked, keep, held, recorder };
                match asking.key() {
                    Some(key) => Ok(Opening::Joins(Box::new(asking), key)),
                    None => asking.enter(self).await.map(Opening::Flight),
                }
            }
            Ok(Phases::Replay(mut replay)) => {
                if let Some(check) = &mut replay.check {
                    check.held = Some(held);
                }
                Ok(Opening::Replay(replay))
            }
            Err(error) => Err(recorder.refuse(error)),
        }
    }

    async fn phases(
        self: &Arc<Self>,
        config: Arc<Config>,
        head: RequestHead<'_>,
        body: Bytes,
        recorder: &mut Recorder,
    ) -> Result<Phases, Error> {
        let heavy = body.len() > config.limits.count_off_thread_above;
        let asked = parse::Asked { endpoint: head.endpoint, headers: head.headers, id: recorder.request_id() };
        let call = parse::run(&self.offload, &asked, body, heavy).await?;
        let who = identify::run(head.key, head.headers, &call, &config)?;
        recorder.identified(&who, &call);
        let patience = waiting::patience(head.headers, &who.class, recorder.started())?;
        let waiting = head.waiting.clone();
        let plan = route::run(self, &config, &who, &call, head.headers)?;
        recorder.routed(&plan, &call, &config);
        let keep = match lookup::run(self, &config, &plan, &who, (&call, head.headers), recorder).await? {
            Looked::Hit(mut replay, drawn) => {
                if let Some(drawn) = drawn {
                    let Drawn { found, rules, keep } = *drawn;
                    let config = Arc::clone(&config);
                    replay.check = Some(Box::new(Check { call, who, plan, config, found, rules, keep, held: None }));
                }
                return Ok(Phases::Replay(replay));
            }
            Looked::Miss(keep) => keep,
        };
        let asked = Asked { call, who, plan, config, patience, waiting, tail: head.tail };
        Ok(Phases::Asks(Box::new(asked), keep))
    }

    /// Counts and admits a request to the model of a plan.
    pub(super) async fn admitted(
        self: &Arc<Self>,
        terms: &Terms<'_>,
        call: &Arc<Call>,
        mut plan: Plan,
        who: &Identity,
        recorder: &mut Recorder,
    ) -> Result<(Plan, Counted, Admitted), Error> {
        let heavy = call.body.len() > terms.config.limits.count_off_thread_above;
        let begun = heavy.then(SystemTime::now);
        let counted = count::run(self, call, &plan, who, heavy).await?;
        route::know(self, &mut plan, call, &counted, heavy).await?;
        recorder.counted(&counted, begun);
        let begun = Instant::now();
        let admitted = admit::run(self, terms, who, &plan, &counted).await;
        recorder.admitted(&admitted, begun);
        Ok((plan, counted, admitted?))
    }
}
