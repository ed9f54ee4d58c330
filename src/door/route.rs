//! What a method and a path ask for, and the answers that need no provider.

use bytes::Bytes;
use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use serde_json::json;
use sluice_policies::Key;
use sluice_providers::Endpoint;

use crate::config::Config;
use crate::error::Error;
use crate::pipeline::identify;

/// What a method and a path ask for.
#[derive(Debug)]
pub enum Route {
    /// A model is called.
    Call(Endpoint),
    /// The models this key may use.
    Models,
    /// One of them.
    Model(String),
    /// Nothing that is served here.
    Unknown,
}

impl Route {
    /// The route of a request; `path` is without its query.
    pub fn of(method: &Method, path: &str) -> Self {
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

    /// Its name in logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Call(endpoint) => endpoint.path(),
            Self::Models | Self::Model(_) => "/v1/models",
            Self::Unknown => "other",
        }
    }
}

/// Whether a path belongs to the gateway, served or not: a door that stands in front of other services too leaves
/// all other paths alone.
pub fn is_ours(path: &str) -> bool {
    path == "/v1" || path.starts_with("/v1/")
}

/// `GET /v1/models` and `/v1/models/{id}`: the models this key may use. Everything else is 404.
pub(super) fn catalog(
    config: &Config,
    route: &Route,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Result<Bytes, Error> {
    if matches!(route, Route::Unknown | Route::Call(_)) {
        return Err(Error::unknown_path(method, path));
    }
    let key: &Key = identify::key(headers, config)?;
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
