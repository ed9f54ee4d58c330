//! Phase `lookup`: an answer from the cache instead of a provider's, and what becomes of one that is kept.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sluice_providers::{Call, Usage};

use super::identify::Identity;
use super::open::Gateway;
use super::record::Recorder;
use super::route::Plan;
use crate::cache::{Answer, Ask, Cache, Control, Digest, Found, Owner, Stamp, Tier};
use crate::config::{CacheRules, Config};
use crate::error::Error;
use crate::telemetry::CacheMetrics;

const SIMILARITY: HeaderName = HeaderName::from_static("x-sluice-cache-similarity");

/// What the cache makes of a request.
pub(super) enum Looked {
    /// It has an answer.
    Hit(Replay),
    /// A provider is asked, and its answer kept if there is something to keep it with.
    Miss(Option<Keep>),
}

/// An answer from the cache, with its headers.
pub struct Replay {
    /// All headers but those of the connection.
    pub headers: HeaderMap,
    /// JSON, or the whole stream.
    pub body: Bytes,
}

/// What it takes to keep an answer.
pub(super) struct Keep {
    cache: Arc<Cache>,
    ask: Ask,
    rules: Arc<CacheRules>,
    /// The answer of another request under way will do.
    joins: bool,
    begun: Instant,
    /// By the look-up.
    taken: Duration,
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
    pub(super) fn since(&self, call: &Call, recorder: &mut Recorder, metrics: &CacheMetrics) -> Option<Replay> {
        let found = self.cache.kept(&self.ask).filter(|found| found.age < self.begun.elapsed())?;
        self.count(found.tier.name(), recorder, metrics);
        metrics.saved(&self.ask.model, found.answer.tokens(), found.cost_micros);
        Some(replay(&found, call, recorder))
    }

    /// Notes what came of the look-up.
    pub(super) fn count(&self, result: &'static str, recorder: &mut Recorder, metrics: &CacheMetrics) {
        recorder.looked_up(Cow::Borrowed(result));
        metrics.looked(&self.ask.model, result, self.taken);
    }

    /// Keeps a complete answer of the model that was asked for, if it is one to keep.
    pub(super) fn keep(self, model: &str, bytes: Bytes, streamed: bool, usage: Option<Usage>, cost_micros: u64) {
        if *self.ask.model != *model {
            return;
        }
        let answer = if streamed { Answer::of_events(&bytes, usage) } else { Answer::of_json(bytes) };
        if let Some(answer) = answer {
            self.cache.keep(self.ask, answer, cost_micros, &self.rules);
        }
    }
}

pub(super) async fn run(
    gateway: &Gateway,
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
    let found = if control.read { gateway.cache.find(&ask, &control, rules).await } else { None };
    match found {
        Some(found) => {
            recorder.looked_up(Cow::Borrowed(found.tier.name()));
            metrics.looked(plan.model(), found.tier.name(), begun.elapsed());
            metrics.saved(plan.model(), found.answer.tokens(), found.cost_micros);
            Ok(Looked::Hit(replay(&found, call, recorder)))
        }
        None if control.only => {
            recorder.looked_up(Cow::Borrowed("miss"));
            metrics.looked(plan.model(), "miss", begun.elapsed());
            Err(nothing_kept())
        }
        None => {
            let joins = rules.coalesce && control.read && control.write;
            let (cache, rules, taken) = (Arc::clone(&gateway.cache), Arc::clone(rules), begun.elapsed());
            let keep = Keep { cache, ask, rules, joins, begun, taken };
            if !joins {
                keep.count("miss", recorder, metrics);
            }
            Ok(Looked::Miss(control.write.then_some(keep)))
        }
    }
}

async fn ask(
    gateway: &Gateway,
    (config, rules): (&Config, &Arc<CacheRules>),
    plan: &Plan,
    who: &Identity,
    call: &Arc<Call>,
) -> Result<Result<Ask, &'static str>, Error> {
    let owner = Owner { tenant: Arc::clone(&who.key.tenant), key: Arc::clone(&who.key.name), user: who.user.clone() };
    let (call, route, rules) = (Arc::clone(call), Arc::clone(plan.route()), Arc::clone(rules));
    let (heavy, stamp) = (call.body.len() > config.limits.count_off_thread_above, gateway.cache.stamp());
    let work = move || {
        let targets: Vec<&str> = route.targets.iter().map(|target| &*target.label).collect();
        Ask::of(&call, owner, &route.name, &targets, &rules).map(|ask| ask.since(stamp))
    };
    if heavy { gateway.offload.run(work).await } else { Ok(work()) }
}

fn replay(found: &Found, call: &Call, recorder: &mut Recorder) -> Replay {
    let (kind, body) = if call.stream {
        ("text/event-stream", found.answer.events(call.include_usage))
    } else {
        ("application/json", found.answer.json())
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::AGE, HeaderValue::from(found.age.as_secs()));
    if call.stream {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    }
    if let Tier::Semantic(similarity) = found.tier
        && let Ok(value) = HeaderValue::from_str(&format!("{similarity:.3}"))
    {
        headers.insert(SIMILARITY, value);
    }
    recorder.answer_headers(&mut headers);
    recorder.replayed(body.len());
    Replay { headers, body }
}

/// RFC 9111 section 5.2.1.7.
fn nothing_kept() -> Error {
    let message = "the cache has no answer to this request, and the request allows no other";
    Error::new(StatusCode::GATEWAY_TIMEOUT, "invalid_request_error", "not_cached", message)
}
