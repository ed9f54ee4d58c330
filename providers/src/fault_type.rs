//! The type of an error in Anthropic's words.

use http::StatusCode;

/// Anthropic's `error.type` for a status and OpenAI's `type`.
pub fn anthropic(status: StatusCode, openai: &str) -> &'static str {
    match (status.as_u16(), openai) {
        (529, _) | (_, "overloaded_error") => "overloaded_error",
        (401, _) => "authentication_error",
        (402, _) => "billing_error",
        (403, _) => "permission_error",
        (404, _) => "not_found_error",
        (413, _) => "request_too_large",
        (429, _) => "rate_limit_error",
        (408 | 504, _) => "timeout_error",
        (400..=499, _) => "invalid_request_error",
        _ => "api_error",
    }
}
