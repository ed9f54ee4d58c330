//! The request to a provider that speaks Messages itself: the client's own bytes and headers.

use http::{HeaderName, HeaderValue};
use serde_json::Value;

use crate::adapter::{Target, UpstreamRequest};
use crate::body::Body;
use crate::call::{Call, Endpoint};
use crate::openai::OpenAi;
use crate::openai::request::splice;

const VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// The request, with nothing changed but the model's name.
pub(crate) fn native(call: &Call, target: &Target) -> UpstreamRequest {
    let path = if call.endpoint == Endpoint::CountTokens { "messages/count_tokens" } else { "messages" };
    let mut request = OpenAi::post(path.to_owned(), body(call, target));
    request.headers.extend(call.passed.clone());
    request.headers.entry(VERSION).or_insert(HeaderValue::from_static("2023-06-01"));
    request
}

fn body(call: &Call, target: &Target) -> Body {
    if call.model == target.model {
        return call.body.clone().into();
    }
    splice(call, vec![(call.model_span.clone(), Value::from(target.model.as_str()).to_string())])
}
