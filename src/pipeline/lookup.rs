//! Phase `lookup`: an answer from the cache instead of a provider's, and what becomes of one that is kept.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sluice_policies::Demand;
use sluice_providers::{Call, Endpoint, Usage};

use super::charge;
use super::embed::Embeddings;
use super::headers;
use super::identify::Identity;
use super::open::Gateway;
use super::record::Recorder;
use super::route::Plan;
use super::verify::Check;
use crate::cache::{Ask, Cache, Control, Delivered, Digest, Found, Owner, Stamp, Tier};
use crate::config::{CacheRules, Config, ModelRoute};
use crate::error::Error;
use crate::telemetry::CacheMetrics;

/// A miss of a request whose other words would have been looked up, had they not been wrong too often.
const OVER_BUDGET: &str = "miss(over-budget)";
const SIMILARITY: HeaderName = HeaderName::from_static("x-sluice-cache-similarity");

/// What the cache makes of a request.
pub(super) enum Looked {
    /// It has an answer, which may have been drawn to be checked.
    Hit(Replay, Option<Box<Drawn>>),
    /// A provider is asked, and its answer kept if there is something to keep it with.
    Miss(Option<Keep>),
}

/// An answer from the cache, with its headers.
pub struct Replay {
    /// All headers but those of the connection.
    pub headers: HeaderMap,
    /// JSON, or the whole stream.
    pub body: Bytes,
    /// The call that says whether it was right.
    pub check: Option<Box<Check>>,
}

/// A hit that is to be checked.
pub(super) struct Drawn {
    pub(super) found: Found,
    pub(super) rules: Arc<CacheRules>,
    pub(super) keep: Option<Keep>,
}

/// What it takes to keep an answer.
pub(super) struct Keep {
    cache: Arc<Cache>,
    ask: Ask,
    rules: Arc<CacheRules>,
    endpoint: Endpoint,
    /// The answer of another request under way will do.
    joins: bool,
    begun: Instant,
    /// By the look-up.
    taken: Duration,
    /// Other words were not looked up, because they were wrong too often.
    off: bool,
}

impl Keep {
    /// Bytes of an answer beyond which it is not kept.
    pub(super) fn room(&self) -> usize {
        self.rules.max_entry
    }

    /// Who may share an answer that is on its way, if anybody.
    pub(super) fn joins(&self) -> Option<(Digest, Stamp)> {
        self.joins.then_some((self.ask.key, self.ask.stamp))
    }

    /// An answer that was kept after the cache had been asked: its call is no longer there to be joined.
    pub(super) fn since(&self) -> Option<Found> {
        self.cache.kept(&self.ask).filter(|found| found.age < self.begun.elapsed())
    }

    /// Tells a request an answer that was found, if it can pay for it.
    pub(super) async fn hit(
        &self,
        gateway: &Gateway,
        (config, who): (&Config, &Identity),
        found: &Found,
        call: &Call,
        recorder: &mut Recorder,
    ) -> Result<Replay, Error> {
        let (model, made) = (&self.ask.model, &found.made);
        let metrics = gateway.sinks.metrics().cache();
        let charged = charge::hit(gateway, config, who, model, made, call.endpoint).await;
        self.count(found.tier.name(), charged.is_ok(), recorder, metrics);
        let replay = replay(found, call, charged?, recorder);
        metrics.saved(model, made.input.saturating_add(made.output), made.cost_micros);
        Ok(replay)
    }

    /// Notes what came of the look-up, and whether the client may have it.
    pub(super) fn count(&self, result: &'static str, paid: bool, recorder: &mut Recorder, metrics: &CacheMetrics) {
        let told = if self.off && self.ask.text.is_some() && result == "miss" { OVER_BUDGET } else { result };
        recorder.looked_up(Cow::Borrowed(told));
        metrics.looked(&self.ask.model, if paid { result } else { "denied" }, self.taken);
    }

    /// Keeps a complete answer of the model that was asked for, if it is one to keep.
    pub(super) fn keep(self, model: &str, bytes: Bytes, streamed: bool, usage: Option<Usage>, made: Demand) {
        let Self { cache, ask, rules, endpoint, .. } = self;
        if *ask.model == *model {
            cache.keep_later(Delivered { ask, endpoint, bytes, streamed, usage, made, rules });
        }
    }
}

pub(super) async fn run(
    gateway: &Arc<Gateway>,
    config: &Config,
    plan: &Plan,
    who: &Identity,
    asked: (&Arc<Call>, &HeaderMap),
    recorder: &mut Recorder,
) -> Result<Looked, Error> {
    let (call, headers) = asked;
    let Some(policy) = &config.cache else { return Ok(Looked::Miss(None)) };
    let begun = Instant::now();
    let metrics = gateway.sinks.metrics().cache();
    let control = Control::of(headers)
        .map_err(|why| Error::invalid("invalid_cache_control", format!("header x-sluice-cache: {why}")))?;
    let Some(rules) = policy.rules_for(&who.subject(plan.model())) else {
        return if control.only { Err(nothing_kept()) } else { Ok(Looked::Miss(None)) };
    };
    // An answer that was wrong too often is one to the same words only.
    let off = rules.semantic && gateway.cache.watch().is_off(plan.model(), rules);
    let control = Control { exact: control.exact || off, ..control };
    let wanted = control.read || control.write;
    let ask = if wanted { ask(gateway, (config, rules), plan, who, call).await? } else { Err("no-store") };
    let ask = match ask {
        Ok(ask) => ask,
        Err(_) if control.only => return Err(nothing_kept()),
        Err(why) => {
            recorder.looked_up(Cow::Owned(format!("bypass({why})")));
            metrics.looked(plan.model(), "bypass", begun.elapsed());
            return Ok(Looked::Miss(None));
        }
    };
    let embeddings = Embeddings(gateway);
    let found = if control.read {
        gateway.cache.find(&ask, &control, rules, &embeddings).await
    } else {
        gateway.cache.prepare(&ask, rules, &embeddings).await;
        None
    };
    let (taken, joins) = (begun.elapsed(), rules.coalesce && control.read && control.write);
    let (cache, rules) = (Arc::clone(&gateway.cache), Arc::clone(rules));
    let keep = Keep { cache, ask, rules, endpoint: call.endpoint, joins, begun, taken, off };
    if let Some(found) = found {
        let replay = keep.hit(gateway, (config, who), &found, call, recorder).await?;
        return Ok(Looked::Hit(replay, drawn(found, keep, control.write)));
    }
    if !joins || control.only {
        keep.count("miss", true, recorder, metrics);
    }
    if control.only { Err(nothing_kept()) } else { Ok(Looked::Miss(control.write.then_some(keep))) }
}

/// Whether a hit is checked is drawn by lot.
fn drawn(found: Found, keep: Keep, write: bool) -> Option<Box<Drawn>> {
    let sample = keep.rules.verify_sample;
    let drawn = matches!(found.tier, Tier::Semantic(_)) && sample > 0.0 && rand::random::<f64>() < sample;
    drawn.then(|| Box::new(Drawn { found, rules: Arc::clone(&keep.rules), keep: write.then_some(keep) }))
}

async fn ask(
    gateway: &Gateway,
    (config, rules): (&Config, &Arc<CacheRules>),
    plan: &Plan,
    who: &Identity,
    call: &Arc<Call>,
) -> Result<Result<Ask, &'static str>, Error> {
    let owner = who.owner();
    let (call, route, rules) = (Arc::clone(call), Arc::clone(plan.route()), Arc::clone(rules));
    let (heavy, stamp) = (call.body.len() > config.limits.count_off_thread_above, gateway.cache.stamp());
    let work = move || asked(&call, owner, &route, &rules).map(|ask| ask.since(stamp));
    if heavy { gateway.offload.run(work).await } else { Ok(work()) }
}

/// What a request asks under these rules; an error is why the cache has no part in it.
pub(super) fn asked(call: &Call, owner: Owner, route: &ModelRoute, rules: &CacheRules) -> Result<Ask, &'static str> {
    let targets: Vec<&str> = route.targets.iter().map(|target| &*target.label).collect();
    Ask::of(call, owner, &route.name, &targets, rules)
}

fn replay(found: &Found, call: &Call, mut headers: HeaderMap, recorder: &mut Recorder) -> Replay {
    let kind = if call.stream { "text/event-stream" } else { "application/json" };
    let body = found.answer.tell(call.stream, call.include_usage);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::AGE, HeaderValue::from(found.age.as_secs()));
    if call.stream {
        headers::stream_on(&mut headers);
    }
    if let Tier::Semantic(similarity) = found.tier
        && let Ok(value) = HeaderValue::from_str(&format!("{similarity:.3}"))
    {
        headers.insert(SIMILARITY, value);
    }
    recorder.answer_headers(&mut headers);
    headers::name_request(&mut headers, call.endpoint, recorder.request_id());
    recorder.replayed(body.len());
    Replay { headers, body, check: None }
}

/// RFC 9111 section 5.2.1.7.
fn nothing_kept() -> Error {
    let message = "the cache has no answer to this request, and the request allows no other";
    Error::new(StatusCode::GATEWAY_TIMEOUT, "invalid_request_error", "not_cached", message)
}
