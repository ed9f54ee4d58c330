//! What the mock does with a request.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Delays, lengths and faults. Times in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fault of its own")]
pub struct Behaviour {
    /// Before the head of the answer.
    pub head_ms: u64,
    /// Before the first content of a stream (or the head of an answer that does not stream).
    pub first_token_ms: u64,
    /// Between content chunks.
    pub token_ms: u64,
    /// Tokens generated; each is one content chunk of a stream. Without it 10, or the request's
    /// `max_tokens` if that is less.
    pub tokens: Option<u64>,
    /// The text to say instead of made-up words; one chunk per word.
    pub text: Option<String>,
    /// Write the stream in pieces of this many bytes, wherever that cuts it.
    pub split: usize,
    /// Report usage.
    pub usage: bool,
    /// Answer with a call of the first tool, if the request has tools.
    pub reply_tool: bool,
    /// Answer with this error status.
    pub status: Option<u16>,
    /// To so many requests of a hundred; the others are answered.
    pub status_percent: u8,
    /// The `code` of that error, instead of the status's own.
    pub code: Option<String>,
    /// Seconds for the `retry-after` of an error status.
    pub retry_after: Option<f64>,
    /// Break the connection.
    pub reset: Option<Reset>,
    /// Fall silent after so many content chunks.
    pub stall_after: Option<u64>,
    /// Send the head and nothing more.
    pub stall_at_head: bool,
    /// End the stream cleanly after so many content chunks, without a finish reason or `[DONE]`.
    pub end_after: Option<u64>,
    /// Send bytes that are no JSON.
    pub malformed: bool,
    /// Put an error event into the stream after so many content chunks.
    pub error_after: Option<u64>,
    /// Claim this content-encoding.
    pub content_encoding: Option<String>,
    /// Simulate a KV cache with room for so many tokens, and report what was read from it.
    pub kv_cache: Option<u64>,
    /// Report these prompt tokens.
    pub prompt_tokens: Option<u64>,
    /// Report these completion tokens.
    pub completion_tokens: Option<u64>,
}

/// Where the connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reset {
    /// Before the head.
    BeforeHead,
    /// After so many content chunks; a whole answer breaks in its middle.
    AfterChunks(u64),
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            head_ms: 0,
            first_token_ms: 0,
            token_ms: 0,
            tokens: None,
            text: None,
            split: 0,
            usage: true,
            reply_tool: false,
            status: None,
            status_percent: 100,
            code: None,
            retry_after: None,
            reset: None,
            stall_after: None,
            stall_at_head: false,
            end_after: None,
            malformed: false,
            error_after: None,
            content_encoding: None,
            kv_cache: None,
            prompt_tokens: None,
            completion_tokens: None,
        }
    }
}

impl Behaviour {
    /// These defaults with the keys of `asked` on top; the error names an unknown key.
    pub(crate) fn with(&self, asked: Option<&Value>) -> Result<Self, String> {
        let Some(Value::Object(asked)) = asked else { return Ok(self.clone()) };
        let mut merged = serde_json::to_value(self).map_err(|error| error.to_string())?;
        if let Value::Object(merged) = &mut merged {
            merged.extend(asked.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        serde_json::from_value(merged).map_err(|error| error.to_string())
    }
}
