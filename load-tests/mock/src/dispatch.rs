//! One request: who sends it, what it asks, and the answer that its behaviour makes of that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::behaviour::{Behaviour, Reset};
use crate::embeddings;
use crate::format::{Format, Heard};
use crate::media::{self, Transcript};
use crate::refusal::{Dialect, Refusal};
use crate::respond::{self, pause};
use crate::route::{self, Endpoint, Route};
use crate::server::{Broken, Shared};
use crate::stream::Paced;
use crate::{anthropic, bedrock, gemini};

/// Marks a behaviour in text.
const MARK: &str = "[[mock ";

/// Why there is no good answer.
enum Stop {
    Refused(Refusal),
    Broken,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

pub(crate) async fn answer(shared: &Shared, parts: &Parts, body: &Bytes) -> Result<Response<Paced>, Broken> {
    let route = route::find(parts);
    let (errors, mut behaviour) = (route.errors, None);
    match handle(shared, parts, body, &route, &mut behaviour).await {
        Ok(mut response) => {
            respond::usual_headers(errors, response.headers_mut());
            let encoding = behaviour.as_ref().and_then(|behaviour| behaviour.content_encoding.as_deref());
            if let Some(Ok(encoding)) = encoding.map(HeaderValue::from_str) {
                response.headers_mut().insert(header::CONTENT_ENCODING, encoding);
            }
            Ok(response)
        }
        Err(Stop::Refused(refusal)) => Ok(respond::refusal(&refusal, errors, behaviour.as_ref())),
        Err(Stop::Broken) => Err(Broken),
    }
}

async fn handle(
    shared: &Shared,
    parts: &Parts,
    body: &Bytes,
    route: &Route,
    slot: &mut Option<Behaviour>,
) -> Result<Response<Paced>, Stop> {
    if matches!(route.endpoint, Endpoint::Nowhere) {
        let mut refusal = Refusal::with_status(404);
        if route.errors == Dialect::Azure {
            "Resource not found".clone_into(&mut refusal.message);
        }
        return Err(refusal.into());
    }
    if let Err(mut refusal) = shared.accounts.check(route.keys, parts, body) {
        // Claude on Vertex is guarded by Google, which answers in its own format.
        if route.keys != route.errors {
            let (status, _, value) = refusal.render(route.keys);
            return Ok(respond::json(status, &value));
        }
        refusal.param = None;
        return Err(refusal.into());
    }
    if matches!(route.endpoint, Endpoint::Models) {
        let models =
            ["gpt-4o-mini", "gpt-4o"].map(|id| json!({"id": id, "object": "model", "created": 1, "owned_by": "mock"}));
        return Ok(respond::json(StatusCode::OK, &json!({"object": "list", "data": models})));
    }
    let heard = hear(shared, parts, body, route)?;
    let behaviour = slot.insert(heard.behaviour.clone());
    match &route.endpoint {
        Endpoint::Generate(format) => generate(shared, &heard, *format).await,
        Endpoint::Transcriptions => transcribe(shared, &heard).await,
        Endpoint::Speech => {
            let (events, kind) = media::speech(&heard)?;
            fault(behaviour, route.errors)?;
            pause(behaviour.head_ms).await;
            let paced = Paced::new(events, behaviour, Arc::clone(&shared.streams));
            Ok(respond::stream(kind, paced))
        }
        other => {
            let (value, tokens) = whole(other, &heard)?;
            fault(behaviour, route.errors)?;
            pause(behaviour.head_ms + behaviour.first_token_ms).await;
            let mut response = respond::json(StatusCode::OK, &value);
            if route.keys == Dialect::Bedrock {
                response.headers_mut().insert("x-amzn-bedrock-input-token-count", HeaderValue::from(tokens));
            }
            Ok(response)
        }
    }
}

/// The answers that never stream, and the input tokens of Bedrock's.
fn whole(endpoint: &Endpoint, heard: &Heard<'_>) -> Result<(Value, u64), Refusal> {
    let value = match endpoint {
        Endpoint::Embeddings => embeddings::openai(heard),
        Endpoint::Embed { batch } => gemini::embed(heard, *batch)?,
        Endpoint::Predict => gemini::predict(heard)?,
        Endpoint::Invoke => return bedrock::embed(heard),
        Endpoint::CountAnthropic => json!({"input_tokens": anthropic::count_tokens(heard)?}),
        Endpoint::CountGoogle => {
            let count = gemini::count_tokens(heard)?;
            json!({"totalTokens": count, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": count}]})
        }
        Endpoint::Moderations => media::moderations(heard)?,
        Endpoint::Images => media::images(heard)?,
        Endpoint::Rerank => media::rerank(heard)?,
        _ => return Err(Refusal::with_status(404)),
    };
    Ok((value, 0))
}

async fn generate(shared: &Shared, heard: &Heard<'_>, format: &'static dyn Format) -> Result<Response<Paced>, Stop> {
    let mut asked = format.read(heard)?;
    fault(&asked.behaviour, format.dialect())?;
    if let Some(capacity) = asked.behaviour.kv_cache {
        asked.behaviour.cached_tokens = shared.kv_cache.serve(&asked.body["messages"], &asked.said(), capacity);
    }
    let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
    pause(asked.behaviour.head_ms).await;
    if asked.streams {
        let paced = Paced::new(format.events(&asked, id), &asked.behaviour, Arc::clone(&shared.streams));
        return Ok(respond::stream(format.stream_type(), paced));
    }
    pause(asked.behaviour.first_token_ms).await;
    if asked.behaviour.malformed {
        return Ok(respond::bytes(StatusCode::OK, "application/json", Bytes::from_static(b"{\"choices\":[{")));
    }
    let body = Bytes::from(format.whole(&asked, id).to_string());
    let length = HeaderValue::from(body.len());
    let mut response = respond::stream("application/json", Paced::whole_or_broken(body, &asked.behaviour));
    response.headers_mut().insert(header::CONTENT_LENGTH, length);
    Ok(response)
}

async fn transcribe(shared: &Shared, heard: &Heard<'_>) -> Result<Response<Paced>, Stop> {
    let transcript = media::transcribe(heard.parts, heard.raw, &heard.behaviour)?;
    fault(&heard.behaviour, Dialect::OpenAi)?;
    pause(heard.behaviour.head_ms).await;
    Ok(match transcript {
        Transcript::Json(value) => respond::json(StatusCode::OK, &value),
        Transcript::Text(text) => respond::bytes(StatusCode::OK, "text/plain; charset=utf-8", Bytes::from(text)),
        Transcript::Stream(events) => {
            let paced = Paced::new(events, &heard.behaviour, Arc::clone(&shared.streams));
            respond::stream("text/event-stream; charset=utf-8", paced)
        }
    })
}

/// Goes through every number of a hundred in a fixed order: shares of faults are exact.
static DICE: AtomicU64 = AtomicU64::new(0);

/// The fault a behaviour asks for before anything is answered.
fn fault(behaviour: &Behaviour, dialect: Dialect) -> Result<(), Stop> {
    if matches!(behaviour.reset, Some(Reset::BeforeHead)) {
        return Err(Stop::Broken);
    }
    let dice = DICE.fetch_add(37, Ordering::Relaxed) % 100;
    let status = behaviour.status.filter(|_| dice < u64::from(behaviour.status_percent));
    let refusal = behaviour.refuse.map(|reason| Refusal::on_demand(dialect, reason));
    match (refusal, status) {
        (Some(refusal), None) => Err(refusal.into()),
        (Some(refusal), Some(status)) => Err(Refusal { status, ..refusal }.into()),
        (None, Some(status)) => Err(Refusal::with_status(status).into()),
        (None, None) => Ok(()),
    }
}

/// Reads the body and the behaviour it asks for.
fn hear<'a>(shared: &Shared, parts: &'a Parts, raw: &'a Bytes, route: &'a Route) -> Result<Heard<'a>, Refusal> {
    let mut behaviour = shared.defaults.lock().clone();
    let header = parts.headers.get("x-mock").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    if let Some(text) = header {
        behaviour = scripted(&behaviour, &text)?;
    }
    if matches!(route.endpoint, Endpoint::Transcriptions) {
        return Ok(Heard { parts, raw, body: Value::Null, behaviour, model: &route.model });
    }
    // Field by field: one that nests deeper than a `Value` may is skipped, not refused.
    let fields: BTreeMap<String, &RawValue> =
        serde_json::from_slice(raw).map_err(|error| Refusal::invalid(error.to_string()))?;
    let known = fields.into_iter().filter_map(|(name, raw)| Some((name, serde_json::from_str(raw.get()).ok()?)));
    let mut body = Value::Object(known.collect());
    let asked = body.as_object_mut().and_then(|fields| fields.remove("mock"));
    behaviour = behaviour.with(asked.as_ref()).map_err(Refusal::invalid)?;
    if let Ok(text) = std::str::from_utf8(raw)
        && text.contains(MARK)
        && let Some(script) = marked(&body)
    {
        behaviour = scripted(&behaviour, &script)?;
    }
    Ok(Heard { parts, raw, body, behaviour, model: &route.model })
}

fn scripted(behaviour: &Behaviour, text: &str) -> Result<Behaviour, Refusal> {
    let value: Value = serde_json::from_str(text)
        .map_err(|error| Refusal::invalid(format!("the mock's behaviour is not JSON: {error}")))?;
    behaviour.with(Some(&value)).map_err(Refusal::invalid)
}

/// The last behaviour that some text below the value holds.
fn marked(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => {
            let (script, _) = text.rsplit_once(MARK)?.1.split_once("]]")?;
            Some(script.to_owned())
        }
        Value::Array(items) => items.iter().rev().find_map(marked),
        Value::Object(fields) => fields.values().rev().find_map(marked),
        _ => None,
    }
}
