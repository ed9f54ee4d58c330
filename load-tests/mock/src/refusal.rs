//! Refusals: the status, headers and body with which each provider says the same no.

use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::behaviour::Reason;

/// Whose errors they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    OpenAi,
    Azure,
    Anthropic,
    Gemini,
    Vertex,
    Bedrock,
    Cohere,
}

/// A no, before it has a format.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) reason: Reason,
    pub(crate) message: String,
    /// The field that is wrong.
    pub(crate) param: Option<String>,
}

impl Refusal {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { status: status(reason), reason, message: message.into(), param: None }
    }

    /// Something in the request is wrong.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Reason::Invalid, message)
    }

    pub(crate) fn param(mut self, param: &str) -> Self {
        self.param = Some(param.to_owned());
        self
    }

    /// What a provider says without being asked anything wrong.
    pub(crate) fn on_demand(dialect: Dialect, reason: Reason) -> Self {
        let text = match (dialect, reason) {
            (Dialect::Anthropic, Reason::Overloaded) => "Overloaded",
            (Dialect::Anthropic, Reason::ContextLength) => "prompt is too long: 250012 tokens > 200000 maximum",
            (Dialect::Gemini | Dialect::Vertex, Reason::Overloaded) => {
                "The model is overloaded. Please try again later."
            }
            (Dialect::Gemini | Dialect::Vertex, Reason::ContextLength) => {
                "The input token count (1250012) exceeds the maximum number of tokens allowed (1048576)."
            }
            (Dialect::Bedrock, Reason::RateLimit) => "Too many tokens, please wait before trying again.",
            (Dialect::Bedrock, Reason::ContextLength) => "Input is too long for requested model.",
            (Dialect::Bedrock, Reason::Overloaded) => "Bedrock is unable to process your request.",
            (Dialect::OpenAi | Dialect::Azure, Reason::ContextLength) => {
                "This model's maximum context length is 128000 tokens. However, your messages resulted in 250012 tokens."
            }
            (Dialect::Azure, Reason::ContentPolicy) => {
                "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
            }
            (Dialect::Gemini | Dialect::Vertex, Reason::RateLimit) | (_, Reason::Quota) => {
                "You exceeded your current quota, please check your plan and billing details."
            }
            _ => return Self::new(reason, format!("mock error {}", status(reason))),
        };
        let mut refusal = Self::new(reason, text);
        if dialect == Dialect::Anthropic && reason == Reason::Overloaded {
            refusal.status = 529;
        }
        refusal
    }

    /// A refusal with this status and the reason it mostly has.
    pub(crate) fn with_status(status: u16) -> Self {
        let reason = match status {
            401 => Reason::Auth,
            403 => Reason::Permission,
            404 => Reason::NotFound,
            413 => Reason::TooLarge,
            429 => Reason::RateLimit,
            503 | 529 => Reason::Overloaded,
            408 | 504 => Reason::Timeout,
            400..=499 => Reason::Invalid,
            _ => Reason::Server,
        };
        Self { status, reason, message: format!("mock error {status}"), param: None }
    }

    /// Status, headers and body as the provider sends them.
    pub(crate) fn render(&self, dialect: Dialect) -> (StatusCode, HeaderMap, Value) {
        let mut headers = HeaderMap::new();
        let mut status = self.status;
        let body = match dialect {
            Dialect::OpenAi => json!({"error": self.openai()}),
            Dialect::Azure => self.azure(),
            Dialect::Anthropic => {
                headers.insert("request-id", HeaderValue::from_static("req_mock"));
                self.anthropic()
            }
            Dialect::Gemini | Dialect::Vertex => {
                status = if self.reason == Reason::Quota { 429 } else { status };
                self.google(dialect)
            }
            Dialect::Bedrock => {
                let (name, code) = self.aws();
                status = if status == self::status(self.reason) { code } else { status };
                headers.insert("x-amzn-requestid", HeaderValue::from_static("00000000-0000-4000-8000-000000000000"));
                headers.insert("x-amzn-errortype", HeaderValue::from_static(name));
                json!({"message": self.message})
            }
            Dialect::Cohere => json!({"id": "mock", "message": self.message}),
        };
        (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), headers, body)
    }

    fn openai(&self) -> Value {
        let (kind, code) = match self.reason {
            Reason::Auth => ("invalid_request_error", Some("invalid_api_key")),
            Reason::NotFound => ("invalid_request_error", Some("model_not_found")),
            Reason::RateLimit => ("requests", Some("rate_limit_exceeded")),
            Reason::Quota => ("insufficient_quota", Some("insufficient_quota")),
            Reason::ContextLength => ("invalid_request_error", Some("context_length_exceeded")),
            Reason::ContentPolicy => ("invalid_request_error", Some("content_policy_violation")),
            Reason::Permission | Reason::TooLarge => ("invalid_request_error", Some("mock_error")),
            Reason::Invalid if self.message.starts_with("mock error") => ("invalid_request_error", Some("mock_error")),
            Reason::Invalid => ("invalid_request_error", None),
            Reason::Overloaded | Reason::Timeout | Reason::Server => ("server_error", Some("mock_error")),
        };
        json!({"message": self.message, "type": kind, "param": self.param, "code": code})
    }

    fn azure(&self) -> Value {
        match self.reason {
            Reason::Auth | Reason::RateLimit => {
                json!({"error": {"code": self.status.to_string(), "message": self.message}})
            }
            Reason::NotFound if self.message == "Resource not found" => {
                json!({"error": {"code": "404", "message": self.message}})
            }
            Reason::NotFound => json!({"error": {"code": "DeploymentNotFound", "message": self.message}}),
            Reason::ContentPolicy => {
                let fine = json!({"filtered": false, "severity": "safe"});
                let filtered = json!({"filtered": true, "severity": "high"});
                json!({"error": {"message": self.message, "type": null, "param": "prompt", "code": "content_filter",
                    "status": 400, "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {
                        "hate": fine, "self_harm": fine, "sexual": fine, "violence": filtered}}}})
            }
            _ => json!({"error": self.openai()}),
        }
    }

    fn anthropic(&self) -> Value {
        let kind = match self.reason {
            Reason::Invalid | Reason::ContextLength | Reason::ContentPolicy | Reason::Quota => "invalid_request_error",
            Reason::Auth => "authentication_error",
            Reason::Permission => "permission_error",
            Reason::NotFound => "not_found_error",
            Reason::TooLarge => "request_too_large",
            Reason::RateLimit => "rate_limit_error",
            Reason::Overloaded => "overloaded_error",
            Reason::Timeout => "timeout_error",
            Reason::Server => "api_error",
        };
        json!({"type": "error", "error": {"type": kind, "message": self.message}, "request_id": "req_mock"})
    }

    fn google(&self, dialect: Dialect) -> Value {
        let (code, status) = match self.reason {
            Reason::Auth if dialect == Dialect::Gemini && self.status == 400 => (400, "INVALID_ARGUMENT"),
            Reason::Invalid | Reason::ContextLength | Reason::ContentPolicy | Reason::TooLarge => {
                (self.status, "INVALID_ARGUMENT")
            }
            Reason::Auth => (self.status, "UNAUTHENTICATED"),
            Reason::Permission => (self.status, "PERMISSION_DENIED"),
            Reason::NotFound => (self.status, "NOT_FOUND"),
            Reason::RateLimit | Reason::Quota => (429, "RESOURCE_EXHAUSTED"),
            Reason::Overloaded => (self.status, "UNAVAILABLE"),
            Reason::Timeout => (self.status, "DEADLINE_EXCEEDED"),
            Reason::Server => (self.status, "INTERNAL"),
        };
        let mut error = json!({"code": code, "message": self.message, "status": status});
        let info = |reason: &str, service: &str| {
            json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com",
                "metadata": {"service": service}}])
        };
        match (self.reason, dialect) {
            (Reason::Auth, Dialect::Gemini) => {
                error["details"] = info("API_KEY_INVALID", "generativelanguage.googleapis.com");
            }
            (Reason::Auth, _) => error["details"] = info("ACCESS_TOKEN_TYPE_UNSUPPORTED", "aiplatform.googleapis.com"),
            (Reason::RateLimit, Dialect::Gemini) => {
                error["details"] = json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}]);
            }
            _ => {}
        }
        json!({"error": error})
    }

    /// The exception's name and its status.
    fn aws(&self) -> (&'static str, u16) {
        match self.reason {
            Reason::Invalid | Reason::ContextLength | Reason::ContentPolicy => ("ValidationException", 400),
            Reason::Auth if self.message.contains("signature") => ("InvalidSignatureException", 403),
            Reason::Auth if self.message.contains("expired") => ("ExpiredTokenException", 403),
            Reason::Auth if self.message.starts_with("Missing") => ("MissingAuthenticationTokenException", 403),
            Reason::Auth => ("UnrecognizedClientException", 403),
            Reason::Permission => ("AccessDeniedException", 403),
            Reason::NotFound => ("ResourceNotFoundException", 404),
            Reason::TooLarge => ("RequestEntityTooLargeException", 413),
            Reason::RateLimit => ("ThrottlingException", 429),
            Reason::Quota => ("ServiceQuotaExceededException", 400),
            Reason::Overloaded => ("ServiceUnavailableException", 503),
            Reason::Timeout => ("ModelTimeoutException", 408),
            Reason::Server => ("InternalServerException", 500),
        }
    }
}

/// The status that most providers give a reason.
fn status(reason: Reason) -> u16 {
    match reason {
        Reason::Invalid | Reason::ContextLength | Reason::ContentPolicy => 400,
        Reason::Auth => 401,
        Reason::Permission => 403,
        Reason::NotFound => 404,
        Reason::TooLarge => 413,
        Reason::RateLimit | Reason::Quota => 429,
        Reason::Overloaded => 503,
        Reason::Timeout => 504,
        Reason::Server => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_says_no_in_its_own_words() {
        let rendered = |dialect, reason| {
            let (status, headers, body) = Refusal::on_demand(dialect, reason).render(dialect);
            (status.as_u16(), headers, body)
        };
        let (status, _, body) = rendered(Dialect::Anthropic, Reason::Overloaded);
        assert_eq!((status, &body["error"]["type"]), (529, &json!("overloaded_error")));
        let (status, _, body) = rendered(Dialect::Gemini, Reason::RateLimit);
        assert_eq!((status, &body["error"]["status"]), (429, &json!("RESOURCE_EXHAUSTED")));
        let (status, headers, body) = rendered(Dialect::Bedrock, Reason::RateLimit);
        assert_eq!((status, headers["x-amzn-errortype"].to_str().unwrap()), (429, "ThrottlingException"));
        assert!(body["message"].is_string());
        let (status, headers, _) = rendered(Dialect::Bedrock, Reason::Auth);
        assert_eq!((status, headers["x-amzn-errortype"].to_str().unwrap()), (403, "UnrecognizedClientException"));
        let (status, _, body) = rendered(Dialect::Azure, Reason::ContentPolicy);
        assert_eq!((status, &body["error"]["code"]), (400, &json!("content_filter")));
        let (_, _, body) = rendered(Dialect::OpenAi, Reason::ContextLength);
        assert_eq!(body["error"]["code"], "context_length_exceeded");
    }
}
