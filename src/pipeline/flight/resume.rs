//! A stream that broke off after its first content goes on with the next target: the text so far is
//! the beginning of that target's answer.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use sluice_providers::{Call, Endpoint, Field};

use super::Flight;
use crate::error::Error;
use crate::telemetry::Tried;

/// What makes continuing unsafe: answers that are more than one plain text.
const UNSAFE: [&str; 8] =
    ["tools", "functions", "response_format", "logprobs", "audio", "modalities", "best_of", "reasoning_effort"];
/// The names of the bound of the answer.
const BOUNDS: [&str; 2] = ["max_completion_tokens", "max_tokens"];

impl Flight {
    /// Whether a stream of this request may be continued: the operator wants it, and the answer is
    /// one plain text.
    pub(super) fn continuable(&self) -> bool {
        let Some(call) = self.call.as_ref().filter(|_| self.streams && self.routing().continuation) else {
            return false;
        };
        let plain = call.endpoint == Endpoint::ChatCompletions
            && call.n == 1
            && call.raw(Field::Tools).is_none()
            && call.raw(Field::Functions).is_none()
            && call.raw(Field::ResponseFormat).is_none();
        plain && fields(call).is_some_and(|fields| UNSAFE.iter().all(|name| harmless(fields.get(*name))))
    }

    /// Ends the attempt that broke off, and makes the client's request one that goes on from there.
    /// False if the stream cannot be continued; then nothing is changed.
    pub fn break_off(&mut self, error: &Error) -> bool {
        let (Some(call), Some(attempt)) = (&self.call, &mut self.attempt) else { return false };
        let Some(said) = attempt.said().map(|said| format!("{}{said}", self.said)) else { return false };
        let generated = attempt.generated();
        let Some(next) = continued(call, &said, generated).filter(|_| !said.is_empty()) else { return false };
        let code = error.code.as_deref().unwrap_or("error");
        attempt.blame(super::blame_of(error), code);
        self.recorder.relayed(attempt);
        let tried = Tried { target: attempt.label().to_owned(), why: code.to_owned() };
        self.recorder.attempt_failed(tried, None);
        (self.spent, self.spent_cost) = self.used();
        (self.attempt, self.dialled) = (None, None);
        (self.said, self.call) = (said, Some(Arc::new(next)));
        true
    }

    /// Notes how a continuation ended.
    pub fn continued(&mut self, gateway: &super::super::open::Gateway, ok: bool) {
        gateway.sinks.metrics().routes().continuation(self.plan.model(), if ok { "ok" } else { "failed" });
        self.recorder.continued();
    }
}

fn fields(call: &Call) -> Option<Map<String, Value>> {
    match serde_json::from_slice(&call.body) {
        Ok(Value::Object(fields)) => Some(fields),
        _ => None,
    }
}

fn harmless(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => true,
        Some(Value::Array(items)) => items.iter().all(|item| item == "text"),
        Some(Value::Number(number)) => number.as_u64() == Some(1),
        Some(_) => false,
    }
}

/// The client's request with the text so far as the beginning of the answer.
fn continued(call: &Call, said: &str, generated: u64) -> Option<Call> {
    let mut fields = fields(call)?;
    let Some(Value::Array(messages)) = fields.get_mut("messages") else { return None };
    messages.push(json!({"role": "assistant", "content": said}));
    for name in BOUNDS {
        if let Some(bound) = fields.get(name).and_then(Value::as_u64) {
            let left = bound.checked_sub(generated).filter(|left| *left > 0)?;
            fields.insert(name.to_owned(), Value::from(left));
        }
    }
    let body = serde_json::to_vec(&Value::Object(fields)).ok()?;
    Call::parse(call.endpoint, Bytes::from(body)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(body: &Value) -> Call {
        Call::parse(Endpoint::ChatCompletions, Bytes::from(body.to_string())).unwrap()
    }

    #[test]
    fn the_text_so_far_is_the_beginning_of_the_answer() {
        let first =
            call(&json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 10, "x": 1}));
        let next = continued(&first, "Once", 4).unwrap();
        let body: Value = serde_json::from_slice(&next.body).unwrap();
        assert_eq!(body["messages"][1], json!({"role": "assistant", "content": "Once"}));
        assert_eq!((&body["max_tokens"], &body["x"], next.model.as_str()), (&json!(6), &json!(1), "m"));
        assert!(continued(&first, "Once", 10).is_none(), "it had said all it might");
    }
}
