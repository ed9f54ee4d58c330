//! A refusal of the store as the error a client understands: what had no room, and when to come
//! back.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use sluice_policies::{Kind, Limit, Unit};
use sluice_providers::Endpoint;

use super::headers;
use super::record::{QUEUED, millis};
use crate::error::{Error, Retry};
use crate::state::{Ask, Cause, Refusal};
use crate::telemetry::Outcome;

/// 429, or 503 when the shared store is needed and gone.
pub(super) fn denied(refusal: &Refusal, ask: &Ask, queued: Option<Duration>, endpoint: Endpoint) -> Error {
    let mut error = match &refusal.cause {
        Cause::Limit { limit, asked } => limited(refusal, limit, *asked),
        Cause::StoreDown(limit) => {
            let message = format!("limit `{}` refuses while the shared store cannot be reached", limit.id);
            let mut error = store_down(&message);
            error.limit = Some(Arc::clone(&limit.id));
            error
        }
        Cause::Busy | Cause::Held | Cause::QueueFull => busy(refusal, ask, queued),
    };
    if let Some(limit) = refusal.retry_after {
        error.retry = Retry::After(limit);
    } else {
        error.retry = Retry::Never;
    }
    error.outcome = Outcome::Denied;
    error.headers = headers::rate_limits(&refusal.seen, endpoint);
    if let Some(queued) = queued {
        error.headers.insert(QUEUED, millis(queued));
    }
    error
}

/// 503: a limit needs the shared store.
pub(super) fn store_down(message: &str) -> Error {
    Error::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "store_unavailable", message)
}

fn limited(refusal: &Refusal, limit: &Arc<Limit>, asked: u64) -> Error {
    let budget = matches!(limit.kind, Kind::Budget(_));
    let (kind, code) = match (budget, limit.unit) {
        (true, _) => ("insufficient_quota", "insufficient_quota"),
        (false, Unit::Requests | Unit::Concurrent) => ("requests", "rate_limit_exceeded"),
        (false, _) => ("tokens", "rate_limit_exceeded"),
    };
    let view = refusal.seen.iter().find(|seen| Arc::ptr_eq(&seen.limit, limit)).map(|seen| &seen.view);
    let remaining = view.map_or(0, |view| view.remaining);
    let when = match refusal.retry_after {
        Some(wait) => format!("try again in {:.3} s", wait.as_secs_f64()),
        None => "it can never pass as it is: ask for fewer output tokens or a smaller prompt".to_owned(),
    };
    let (id, left, amount) = (&limit.id, remaining.max(0), view.map_or(limit.amount, |view| view.amount));
    let message = format!("limit `{id}` refused this request: it asks for {asked}, {left} left of {amount}; {when}");
    let mut error = Error::new(StatusCode::TOO_MANY_REQUESTS, kind, code, message);
    error.limit = Some(Arc::clone(&limit.id));
    error
}

fn busy(refusal: &Refusal, ask: &Ask, queued: Option<Duration>) -> Error {
    let (model, class) = (&ask.pool.name, &ask.class);
    let waited = match queued {
        Some(time) => format!("after {:.1} s in the queue", time.as_secs_f64()),
        None => "and it was not to wait".to_owned(),
    };
    let (code, message) = match &refusal.cause {
        Cause::QueueFull => {
            let message =
                format!("{} requests of class `{}` wait for model `{model}` already", class.max_depth, class.name);
            ("queue_full", message)
        }
        Cause::Held => {
            ("provider_rate_limited", format!("the provider of model `{model}` asked to be left alone for a while"))
        }
        _ if refusal.retry_after.is_none() => {
            let rate = ask.pool.rate.as_ref().map_or(0, |rate| rate.amount);
            ("rate_limit_exceeded", format!("model `{model}` takes {rate} tokens a minute: this request never fits"))
        }
        _ => ("queue_timeout", format!("model `{model}` has no capacity for class `{}` {waited}", class.name)),
    };
    let mut error = Error::new(StatusCode::TOO_MANY_REQUESTS, "requests", code, message);
    error.limit = Some(Arc::from(format!("model {model}")));
    error
}
