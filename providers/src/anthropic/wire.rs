//! The parts of Anthropic's JSON that are read, borrowed where possible.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::adapter::Usage;
use crate::text::Text;

/// Any event of a stream.
#[derive(Deserialize)]
pub(super) struct WireEvent<'a> {
    #[serde(borrow)]
    pub(super) r#type: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) message: Option<WireMessage<'a>>,
    pub(super) index: Option<u32>,
    #[serde(borrow)]
    pub(super) content_block: Option<WireBlock<'a>>,
    #[serde(borrow)]
    pub(super) delta: Option<WireDelta<'a>>,
    pub(super) usage: Option<WireUsage>,
}

/// A whole answer, and the beginning of a streamed one.
#[derive(Deserialize)]
pub(super) struct WireMessage<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) model: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) content: Vec<WireBlock<'a>>,
    #[serde(borrow)]
    pub(super) stop_reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) stop_sequence: Option<Text<'a>>,
    pub(super) usage: Option<WireUsage>,
}

/// A content block, whole or about to begin.
#[derive(Deserialize)]
pub(super) struct WireBlock<'a> {
    #[serde(borrow)]
    pub(super) r#type: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) thinking: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) signature: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) data: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) input: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) citations: Option<Vec<&'a RawValue>>,
}

/// A piece of a block, or of the message itself.
#[derive(Deserialize)]
pub(super) struct WireDelta<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) thinking: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) signature: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) partial_json: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) citation: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) stop_reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) stop_sequence: Option<Text<'a>>,
}

/// `usage`, cumulative in streams.
#[derive(Clone, Copy, Default, Deserialize)]
pub(super) struct WireUsage {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    output_tokens_details: Option<OutputDetails>,
    server_tool_use: Option<ServerTools>,
}

#[derive(Clone, Copy, Deserialize)]
struct OutputDetails {
    thinking_tokens: Option<u64>,
}

/// What the API's own tools did.
#[derive(Clone, Copy, Deserialize)]
struct ServerTools {
    web_search_requests: Option<u64>,
}

impl WireUsage {
    /// Takes over what a later report says.
    pub(super) fn update(&mut self, later: Self) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.cache_creation_input_tokens = later.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens = later.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
        self.output_tokens_details = later.output_tokens_details.or(self.output_tokens_details);
        self.server_tool_use = later.server_tool_use.or(self.server_tool_use);
    }
}

impl From<WireUsage> for Usage {
    /// `input_tokens` is what was neither read from nor written to the cache.
    fn from(wire: WireUsage) -> Self {
        let (read, written) =
            (wire.cache_read_input_tokens.unwrap_or(0), wire.cache_creation_input_tokens.unwrap_or(0));
        Self {
            input: wire.input_tokens.unwrap_or(0).saturating_add(read).saturating_add(written),
            cached_input: read,
            cache_write: written,
            output: wire.output_tokens.unwrap_or(0),
            reasoning: wire.output_tokens_details.and_then(|details| details.thinking_tokens).unwrap_or(0),
            units: wire.server_tool_use.and_then(|tools| tools.web_search_requests).unwrap_or(0),
        }
    }
}
