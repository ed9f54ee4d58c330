//! Vectors of texts from an embeddings model, by any provider's adapter: one try, under a deadline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use http::StatusCode;
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::json;
use sluice_providers::{Call, Endpoint, Exchange, ResponseHead, TranslateError, UpstreamRequest, Usage};
use tokio::time::timeout;

use super::balance::Why;
use super::blame::Blame;
use super::health::Standing;
use super::model::{Asked, ModelState, Picked};
use super::pool::{Incoming, Upstreams};
use super::target::Serving;
use crate::config::TargetRoute;

/// How long a call may go on for the sake of its connection when nobody waits for it any more.
const LONGEST: Duration = Duration::from_secs(5);
/// Larger answers are not read: two vectors of 4096 numbers are a tenth of it.
const MOST_BYTES: usize = 2 << 20;
/// Longer vectors are none that a model makes.
const MOST_DIMENSIONS: usize = 16_384;

/// What is to be embedded.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'a> {
    /// The texts.
    pub texts: &'a [String],
    /// The length of the vectors, for models that let one choose.
    pub dimensions: Option<u32>,
    /// An answer that takes longer is a fault of the target's.
    pub patience: Duration,
}

/// Vectors, and what they took.
#[derive(Clone, Debug, PartialEq)]
pub struct Vectors {
    /// One for each text, in their order; each of length 1, all of the same dimension.
    pub units: Vec<Arc<[f32]>>,
    /// What the provider says was used, if it says so.
    pub usage: Option<Usage>,
    /// They took longer than there was time for.
    pub late: bool,
}

/// Why there are no vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoVectors {
    /// As many calls are under way as may be.
    #[error("as many calls are under way as may be")]
    Busy,
    /// The target is ejected, rests or is switched off.
    #[error("the target is ejected, rests or is switched off")]
    Ejected,
    /// It took far longer than there was time for.
    #[error("it took far longer than there was time for")]
    Late,
    /// No answer came.
    #[error("no answer came")]
    Unreachable,
    /// The provider answered with an error.
    #[error("the provider answered {0}")]
    Refused(StatusCode),
    /// The answer is not one vector for each text.
    #[error("the answer is not one vector for each text")]
    Unreadable,
    /// The adapter cannot put the texts into a request.
    #[error("the provider has no such request")]
    Unsupported,
}

impl NoVectors {
    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Ejected => "ejected",
            Self::Late => "late",
            Self::Unreachable => "unreachable",
            Self::Refused(_) => "refused",
            Self::Unreadable => "unreadable",
            Self::Unsupported => "unsupported",
        }
    }
}

/// Asks a model's only target for the vectors of texts: in one request, or in one for each text where the provider
/// takes no more. Its health is told how that went; one that is ejected, or as busy as its circuit lets it be, is not
/// asked. Dropping the future cancels the requests.
pub async fn embed(upstreams: &Upstreams, model: &Arc<ModelState>, wanted: Texts<'_>) -> Result<Vectors, NoVectors> {
    match one(upstreams, model, wanted).await {
        Err(NoVectors::Unsupported) if wanted.texts.len() > 1 => {
            let each = wanted.texts.chunks(1).map(|texts| one(upstreams, model, Texts { texts, ..wanted }));
            joined(join_all(each).await)
        }
        done => done,
    }
}

/// Answers to one text each, as if they were one.
fn joined(all: Vec<Result<Vectors, NoVectors>>) -> Result<Vectors, NoVectors> {
    let all = all.into_iter().collect::<Result<Vec<_>, _>>()?;
    let input = all.iter().map(|one| one.usage.map(|usage| usage.input)).sum::<Option<u64>>();
    let late = all.iter().any(|one| one.late);
    let units: Vec<Arc<[f32]>> = all.into_iter().flat_map(|one| one.units).collect();
    let usage = input.map(|input| Usage { input, ..Usage::default() });
    if same_length(&units) { Ok(Vectors { units, usage, late }) } else { Err(NoVectors::Unreadable) }
}

async fn one(upstreams: &Upstreams, model: &Arc<ModelState>, wanted: Texts<'_>) -> Result<Vectors, NoVectors> {
    let target = model.route.targets.first().ok_or(NoVectors::Unsupported)?;
    let call = call(&wanted).ok_or(NoVectors::Unsupported)?;
    let request = target.provider.adapter.request(&call, &target.target).map_err(|_| NoVectors::Unsupported)?;
    let serving = enter(model, wanted.texts)?;
    let begun = Instant::now();
    let mut answer = match timeout(LONGEST.max(wanted.patience), ask(upstreams, target, &call, request)).await {
        Err(_) => Err((NoVectors::Late, Blame::Target)),
        Ok(Ok(vectors)) if vectors.units.len() != wanted.texts.len() => Err((NoVectors::Unreadable, Blame::Target)),
        Ok(answer) => answer,
    };
    if let Ok(vectors) = &mut answer {
        vectors.late = begun.elapsed() > wanted.patience;
    }
    judged(serving, answer)
}

/// Tells the target's health, and says what came of it.
fn judged(mut serving: Serving, answer: Result<Vectors, (NoVectors, Blame)>) -> Result<Vectors, NoVectors> {
    let now = Instant::now();
    match answer {
        Ok(vectors) if vectors.late => {
            serving.fault(now, NoVectors::Late.name());
            Ok(vectors)
        }
        Ok(vectors) => {
            serving.spoke(now);
            serving.success(now);
            Ok(vectors)
        }
        Err((why, blame)) => {
            // Nobody here asks for anything else: what is wrong with this request is wrong with all.
            let blame = if blame == Blame::Nobody { Blame::Target } else { blame };
            serving.blame(now, blame, why.name());
            Err(why)
        }
    }
}

/// A place at the target, if it is to be asked at all.
fn enter(model: &Arc<ModelState>, texts: &[String]) -> Result<Serving, NoVectors> {
    let now = Instant::now();
    let usable = |state: &super::target::TargetState| matches!(state.standing(now), Standing::Up | Standing::Probation);
    if !model.targets.first().is_some_and(|state| usable(state)) {
        return Err(NoVectors::Ejected);
    }
    let bytes: usize = texts.iter().map(String::len).sum();
    let asked = Asked { input: bytes as u64 / 4, able: 1, ..Asked::default() };
    match model.pick(&asked, 0, now) {
        Picked::Go(serving, why) if why != Why::LastResort => Ok(serving),
        Picked::Full(..) => Err(NoVectors::Busy),
        Picked::Go(..) | Picked::Nothing => Err(NoVectors::Ejected),
    }
}

/// The request as a client would send it: adapters translate it as they would a client's.
fn call(wanted: &Texts<'_>) -> Option<Call> {
    let mut body = json!({"model": "embeddings", "input": wanted.texts});
    if let (Some(dimensions), Some(fields)) = (wanted.dimensions, body.as_object_mut()) {
        fields.insert("dimensions".to_owned(), dimensions.into());
    }
    Call::parse(Endpoint::Embeddings, Bytes::from(body.to_string())).ok()
}

async fn ask(
    upstreams: &Upstreams,
    target: &TargetRoute,
    call: &Call,
    request: UpstreamRequest,
) -> Result<Vectors, (NoVectors, Blame)> {
    let unreachable = (NoVectors::Unreachable, Blame::Target);
    let sent = upstreams.send(&target.provider, target.timeouts.connect, request, None);
    let response = sent.await.map_err(|error| {
        tracing::debug!(target_name = %target.label, error = %error.message, "no embedding");
        unreachable
    })?;
    let (head, body) = response.into_parts();
    let read = whole(body).await;
    let (upstream, adapter) = (ResponseHead { status: head.status, headers: &head.headers }, target.provider.adapter);
    if !head.status.is_success() {
        // An error whose body does not come is still an error with a status.
        let error = adapter.error(&upstream, &read.unwrap_or_default());
        return Err((NoVectors::Refused(head.status), Blame::of(&error)));
    }
    let body = read.ok_or(unreachable)?;
    let exchange = Exchange { call, target: &target.target, prompt: 0 };
    let translated = adapter.reply(&upstream, body, &exchange);
    let reply = translated.map_err(|_: TranslateError| (NoVectors::Unreadable, Blame::Target))?;
    let units = units(&reply.body).ok_or((NoVectors::Unreadable, Blame::Target))?;
    Ok(Vectors { units, usage: reply.usage, late: false })
}

/// A body, if it comes whole and is not too large.
async fn whole(mut body: Incoming) -> Option<Bytes> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.ok()?.into_data() else { continue };
        if read.len() + data.len() > MOST_BYTES {
            return None;
        }
        read.extend_from_slice(&data);
    }
    Some(read.freeze())
}

#[derive(Deserialize)]
struct List {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    index: Option<usize>,
    embedding: Vec<f32>,
}

/// The vectors of an answer in `OpenAI`'s form, in the order of the texts.
fn units(body: &[u8]) -> Option<Vec<Arc<[f32]>>> {
    let mut list: List = serde_json::from_slice(body).ok()?;
    if list.data.iter().all(|item| item.index.is_some()) {
        list.data.sort_by_key(|item| item.index);
        let in_order = list.data.iter().enumerate().all(|(at, item)| item.index == Some(at));
        if !in_order {
            return None;
        }
    }
    let units: Option<Vec<_>> = list.data.into_iter().map(|item| unit(item.embedding)).collect();
    units.filter(|units| same_length(units))
}

/// A vector of length 1, if it has a direction.
fn unit(mut vector: Vec<f32>) -> Option<Arc<[f32]>> {
    let square: f64 = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    if vector.len() > MOST_DIMENSIONS || !square.is_normal() {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "a scale, of an f32's precision")]
    let scale = square.sqrt().recip() as f32;
    for x in &mut vector {
        *x *= scale;
    }
    vector.iter().all(|x| x.is_finite()).then(|| vector.into())
}

fn same_length(units: &[Arc<[f32]>]) -> bool {
    units.iter().all(|unit| unit.len() == units.first().map_or(0, |first| first.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_in_the_order_of_their_texts_and_of_length_one() {
        let body = json!({"data": [{"index": 1, "embedding": [0.0, 2.0]}, {"index": 0, "embedding": [3.0, 4.0]}]});
        let units = units(body.to_string().as_bytes()).unwrap();
        assert_eq!(units, [Arc::from([0.6, 0.8]), Arc::from([0.0, 1.0])]);
    }

    #[test]
    fn what_is_no_vector_is_refused() {
        for data in [
            json!([{"index": 0, "embedding": [0.0, 0.0]}]),
            json!([{"index": 0, "embedding": []}]),
            json!([{"index": 0, "embedding": [1e38, 1e39]}]),
            json!([{"index": 0, "embedding": "AACAPw=="}]),
            json!([{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}]),
            json!([{"index": 1, "embedding": [1.0]}]),
            json!([{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 1.0]}]),
        ] {
            let body = json!({"data": data}).to_string();
            assert_eq!(units(body.as_bytes()), None, "{body}");
        }
    }
}
