//! What every request shares, and the phases before a provider is dialled, in their order.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::HeaderMap;
use sluice_policies::Key;
use sluice_providers::Endpoint;
use tokio_util::task::TaskTracker;

use super::admit::Terms;
use super::flight::{Flight, Opened};
use super::offload::Offload;
use super::record::{Recorder, Sinks};
use super::waiting::Waiting;
use super::{admit, count, identify, parse, route};
use crate::budget::{Budget, Held};
use crate::config::{Config, Live};
use crate::error::Error;
use crate::state::Store;
use crate::tokens::Counter;
use crate::upstream::Upstreams;

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
    /// Bytes held by all requests.
    pub budget: Budget,
    /// Metrics, access log and traces.
    pub sinks: Arc<Sinks>,
    /// Every task of the process; shutdown waits for them.
    pub tasks: TaskTracker,
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
    ) -> Result<Flight, Error> {
        match self.phases(config, head, body, &mut recorder).await {
            Ok(opened) => Ok(Flight::new(self, opened, held, recorder)),
            Err(error) => Err(recorder.refuse(error)),
        }
    }

    async fn phases(
        self: &Arc<Self>,
        config: Arc<Config>,
        head: RequestHead<'_>,
        body: Bytes,
        recorder: &mut Recorder,
    ) -> Result<Opened, Error> {
        let heavy = body.len() > config.limits.count_off_thread_above;
        let call = parse::run(&self.offload, head.endpoint, body, heavy, recorder.request_id()).await?;
        let who = identify::run(head.key, head.headers, &call, &config)?;
        recorder.identified(&who, &call);
        let plan = route::run(&config, &who, &call)?;
        recorder.routed(&plan, &call, &config);
        let begun = heavy.then(SystemTime::now);
        let counted = count::run(self, &call, &plan, &who, heavy).await?;
        recorder.counted(&counted, begun);
        let begun = Instant::now();
        let terms = Terms { config: &config, headers: head.headers, waiting: head.waiting, streams: call.stream };
        let admitted = admit::run(self, &terms, &who, &plan, &counted).await;
        recorder.admitted(&admitted, begun);
        let admitted = admitted?;
        Ok(Opened { call, plan, counted, admitted, config })
    }
}
