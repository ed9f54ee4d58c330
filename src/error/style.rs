//! An error in the form of the API that the client speaks: as a body, and as the last event of a
//! stream.

use bytes::Bytes;
use serde_json::{Value, json};
use sluice_providers::{Endpoint, anthropic_error_type};

use super::Error;

/// Whose form an error has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// `OpenAI`'s.
    #[default]
    OpenAi,
    /// `OpenAI`'s, with the events of the Responses API.
    Responses,
    /// Anthropic's.
    Anthropic,
}

impl Style {
    /// The form that clients of an endpoint understand.
    pub fn of(endpoint: Endpoint) -> Self {
        match endpoint {
            Endpoint::Messages | Endpoint::CountTokens => Self::Anthropic,
            Endpoint::Responses => Self::Responses,
            _ => Self::OpenAi,
        }
    }
}

impl Error {
    /// The error in the form that clients of an endpoint understand.
    #[must_use]
    pub fn for_client_of(mut self, endpoint: Endpoint) -> Self {
        self.style = Style::of(endpoint);
        self
    }

    /// The body; where an API has a place for the request's id it says it, unless it is empty.
    pub fn to_body(&self, request_id: &str) -> Bytes {
        if let Some(body) = self.body.as_ref().filter(|body| self.style != Style::Anthropic || is_anthropic(body)) {
            return body.clone();
        }
        let value = match self.style {
            Style::Anthropic if request_id.is_empty() => json!({"type": "error", "error": self.anthropic()}),
            Style::Anthropic => json!({"type": "error", "error": self.anthropic(), "request_id": request_id}),
            Style::OpenAi | Style::Responses => json!({"error": self.openai()}),
        };
        Bytes::from(value.to_string())
    }

    /// The error as the last event of a stream whose status has been sent already.
    pub fn to_event(&self) -> Bytes {
        self.event(self.style)
    }

    /// The same, in the form that clients of an endpoint understand.
    pub fn event_for(&self, endpoint: Endpoint) -> Bytes {
        self.event(Style::of(endpoint))
    }

    fn event(&self, style: Style) -> Bytes {
        let (name, body) = match style {
            Style::OpenAi => (None, self.to_body("")),
            Style::Anthropic => {
                (Some("error"), Bytes::from(json!({"type": "error", "error": self.anthropic()}).to_string()))
            }
            Style::Responses => {
                let mut value = self.openai();
                // Its number is not known here; clients stop at it, whatever it is.
                (value["type"], value["sequence_number"]) = ("error".into(), 0.into());
                (Some("error"), Bytes::from(value.to_string()))
            }
        };
        let mut event = Vec::with_capacity(body.len() + 32);
        if let Some(name) = name {
            event.extend_from_slice(format!("event: {name}\n").as_bytes());
        }
        // A provider's body may be pretty-printed: every line of an event needs its own prefix.
        for line in body.split(|byte| *byte == b'\n' || *byte == b'\r').filter(|line| !line.is_empty()) {
            event.extend_from_slice(b"data: ");
            event.extend_from_slice(line);
            event.push(b'\n');
        }
        event.push(b'\n');
        Bytes::from(event)
    }

    fn openai(&self) -> Value {
        json!({"message": self.message, "type": self.kind, "param": self.param, "code": self.code})
    }

    fn anthropic(&self) -> Value {
        json!({"type": anthropic_error_type(self.status, &self.kind), "message": self.message})
    }
}

/// Whether a provider's error is in Anthropic's form.
fn is_anthropic(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|body| body["type"] == "error" && body["error"].is_object())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_is_openai_shaped_and_escaped() {
        let error = Error::unknown_model("a\"b\n");
        let value: Value = serde_json::from_slice(&error.to_body("req_1")).unwrap();
        assert_eq!(value["error"]["code"], "model_not_found");
        assert_eq!(value["error"]["param"], "model");
        assert!(value["error"]["message"].as_str().unwrap().contains("a\"b\n"));
    }

    #[test]
    fn clients_of_messages_get_anthropics_form_whatever_the_provider_said() {
        let mut error = Error::unknown_model("m").for_client_of(Endpoint::Messages);
        error.body = Some(Bytes::from_static(b"{\"error\":{\"message\":\"x\"}}"));
        let value: Value = serde_json::from_slice(&error.to_body("req_1")).unwrap();
        assert_eq!((&value["type"], &value["request_id"]), (&json!("error"), &json!("req_1")));
        assert_eq!(value["error"]["type"], "not_found_error");
        assert!(error.to_event().starts_with(b"event: error\ndata: {"));
        error.body = Some(Bytes::from_static(b"{\"type\":\"error\",\"error\":{\"type\":\"x\"}}"));
        assert_eq!(Some(error.to_body("req_1")), error.body);
    }

    #[test]
    fn a_pretty_printed_provider_error_stays_one_event() {
        let mut error = Error::internal("x");
        error.body = Some(Bytes::from_static(b"{\n  \"error\": {}\r\n}\n"));
        assert_eq!(error.to_event(), Bytes::from_static(b"data: {\ndata:   \"error\": {}\ndata: }\n\n"));
    }
}
