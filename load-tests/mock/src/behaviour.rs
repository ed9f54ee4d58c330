//! What the mock does with a request.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Delays, lengths and faults. Times in milliseconds.
#[expect(clippy::struct_excessive_bools, reason = "independent switches of a script")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
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
    /// Seconds for the `retry-after` of an error status.
    pub retry_after: Option<f64>,
    /// Break the connection.
    pub reset: Option<Reset>,
    /// Fall silent after so many content chunks.
    pub stall_after: Option<u64>,
    /// Send the head and nothing more.
    pub stall_at_head: bool,
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
    /// Answer with these tool calls, after `text` if that is given.
    pub calls: Vec<ToolCall>,
    /// Pages of the web that the text cites, told in the format's own way.
    pub sources: Vec<Source>,
    /// Think this before the answer, in the format's own way; each word is a token.
    pub reasoning: Option<String>,
    /// Prompt tokens to report as read from a cache.
    pub cached_tokens: u64,
    /// Prompt tokens to report as written to a cache.
    pub cache_write_tokens: u64,
    /// Why the answer ends, where that is not what its content says.
    pub finish: Option<Finish>,
    /// Refuse the request for this reason, with the provider's own status and body.
    pub refuse: Option<Reason>,
    /// Leave out what begins a stream, so that content comes first.
    pub no_start: bool,
    /// Leave out what ends a stream; the connection ends well.
    pub no_end: bool,
    /// Make the content checksums of a binary stream wrong.
    pub bad_crc: bool,
    /// Seconds for which the token endpoints issue credentials.
    pub token_seconds: u64,
    /// Put so many bytes of text into the first text event of a stream.
    pub pad_event: usize,
}

/// A call of a tool by the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// The tool.
    pub name: String,
    /// Its arguments, an object.
    #[serde(default)]
    pub arguments: Value,
}

/// A page of the web.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Where it is.
    pub url: String,
    /// Its title.
    pub title: String,
    /// What it says, where the format can tell.
    #[serde(default)]
    pub quote: String,
}

/// Why an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// It is complete, or a stop sequence came.
    Stop,
    /// `max_tokens` were generated.
    Length,
    /// The model waits for results of tools.
    ToolCalls,
    /// The provider's filter cut it.
    ContentFilter,
}

/// Why a provider refuses a request; each has its own status, type and text in each format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Something in the request is wrong.
    Invalid,
    /// No key, or a wrong one.
    Auth,
    /// The key may not do this.
    Permission,
    /// No such model or path.
    NotFound,
    /// The body is too large.
    TooLarge,
    /// Too many requests or tokens now.
    RateLimit,
    /// Nothing is left of what was paid.
    Quota,
    /// The prompt is longer than the model's context.
    ContextLength,
    /// The prompt is not allowed.
    ContentPolicy,
    /// The provider is out of capacity.
    Overloaded,
    /// The model took too long.
    Timeout,
    /// Something broke.
    Server,
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
            retry_after: None,
            reset: None,
            stall_after: None,
            stall_at_head: false,
            malformed: false,
            error_after: None,
            content_encoding: None,
            kv_cache: None,
            prompt_tokens: None,
            completion_tokens: None,
            calls: Vec::new(),
            sources: Vec::new(),
            reasoning: None,
            cached_tokens: 0,
            cache_write_tokens: 0,
            finish: None,
            refuse: None,
            no_start: false,
            no_end: false,
            bad_crc: false,
            token_seconds: 3600,
            pad_event: 0,
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
