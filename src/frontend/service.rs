//! One request of the HTTP door: which endpoint, the body, the pipeline, the response.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::json;
use sluice_policies::Key;
use sluice_providers::Endpoint;

use super::body;
use super::idle::Active;
use super::queued::{Coming, Queued};
use super::respond::{self, Outgoing};
use crate::config::Config;
use crate::drive::{self, Answer};
use crate::error::Error;
use crate::pipeline::{Gateway, Recorder, RequestHead, Waiting, identify};

/// What a method and a path ask for.
enum Route {
    Call(Endpoint),
    Models,
    Model(String),
    Unknown,
}

impl Route {
    fn of(method: &Method, path: &str) -> Self {
        if *method == Method::POST {
            return Endpoint::from_path(path).map_or(Self::Unknown, Self::Call);
        }
        if *method != Method::GET {
            return Self::Unknown;
        }
        match path.strip_prefix("/v1/models") {
            Some("") => Self::Models,
            Some(rest) => match rest.strip_prefix('/') {
                // SDKs percent-encode the slash of `vendor/model`.
                Some(id) if !id.is_empty() => Self::Model(percent_decode_str(id).decode_utf8_lossy().into_owned()),
                _ => Self::Unknown,
            },
            None => Self::Unknown,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Call(endpoint) => endpoint.path(),
            Self::Models | Self::Model(_) => "/v1/models",
            Self::Unknown => "other",
        }
    }
}

/// Answers one request. Never fails: an error is an answer too.
pub(super) async fn handle(
    gateway: Arc<Gateway>,
    request: Request<Incoming>,
    active: Active,
) -> Result<Response<Outgoing>, Infallible> {
    let (parts, incoming) = request.into_parts();
    let route = Route::of(&parts.method, parts.uri.path());
    let mut recorder = Recorder::start(&gateway, route.name(), &parts.headers);
    let request_id = Arc::clone(recorder.request_id());
    let config = gateway.live.snapshot();
    let version = parts.version;
    let Route::Call(endpoint) = route else {
        let result = catalog(&config, &route, &parts);
        return Ok(match result {
            Ok(body) => {
                recorder.succeed(StatusCode::OK);
                respond::json(StatusCode::OK, body, &request_id, active)
            }
            Err(error) => {
                recorder.fail(&error);
                respond::error(&error, version, &request_id, active)
            }
        });
    };
    let (waiting, comments) = (Arc::new(Waiting::default()), config.limits.queue_comments);
    let asked = Asked { endpoint, headers: parts.headers, incoming, waiting: Arc::clone(&waiting) };
    let answer = call(gateway, config, asked, recorder);
    // Boxed, so that an answer that is long in coming can go on as the body of the response.
    let mut answer: Coming = Box::pin(answer);
    let outcome = tokio::select! {
        outcome = &mut answer => outcome,
        () = waiting.long() => return Ok(respond::waits(Queued::new(answer, waiting, comments), &request_id, active)),
    };
    Ok(match outcome {
        Ok(answer) => respond::answer(answer, &request_id, active),
        Err(error) => respond::error(&error, version, &request_id, active),
    })
}

/// A call whose body has not been read.
struct Asked {
    endpoint: Endpoint,
    headers: HeaderMap,
    incoming: Incoming,
    waiting: Arc<Waiting>,
}

async fn call(
    gateway: Arc<Gateway>,
    config: Arc<Config>,
    asked: Asked,
    mut recorder: Recorder,
) -> Result<Answer, Error> {
    let Asked { endpoint, headers, incoming, waiting } = asked;
    // The key is looked at before the body: strangers do not get to fill the buffers.
    let key = match identify::key(&headers, &config) {
        Ok(key) => Arc::clone(key),
        Err(error) => return Err(recorder.refuse(error)),
    };
    let mut held = gateway.budget.hold();
    let body = match body::read(incoming, &config.limits, &mut held).await {
        Ok(body) => body,
        Err(error) => return Err(recorder.refuse(error)),
    };
    let head = RequestHead { endpoint, headers: &headers, key, waiting: &waiting };
    let flight = gateway.open(config, head, body, held, recorder).await?;
    drive::run(&gateway, flight).await
}

/// `GET /v1/models` and `/v1/models/{id}`: the models this key may use.
fn catalog(config: &Config, route: &Route, parts: &http::request::Parts) -> Result<Bytes, Error> {
    let unknown = || Error::unknown_path(&parts.method, parts.uri.path());
    if matches!(route, Route::Unknown | Route::Call(_)) {
        return Err(unknown());
    }
    let key: &Key = identify::key(&parts.headers, config)?;
    let entry = |name: &str| json!({"id": name, "object": "model", "created": 0, "owned_by": "sluice"});
    let value = match route {
        Route::Model(id) => {
            let usable = config.models.contains_key(id.as_str()) && key.may_use(id);
            if !usable {
                return Err(Error::unknown_model(id));
            }
            entry(id)
        }
        _ => {
            let data: Vec<_> = config.models.keys().filter(|name| key.may_use(name)).map(|name| entry(name)).collect();
            json!({"object": "list", "data": data})
        }
    };
    serde_json::to_vec(&value).map(Bytes::from).map_err(|error| Error::internal(error.to_string()))
}
