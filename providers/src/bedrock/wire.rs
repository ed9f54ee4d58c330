//! The parts of Converse's JSON that are read, borrowed where possible.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::adapter::Usage;
use crate::text::Text;

/// A whole answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireAnswer<'a> {
    #[serde(borrow)]
    pub(super) output: WireOutput<'a>,
    #[serde(borrow)]
    pub(super) stop_reason: Text<'a>,
    pub(super) usage: Option<WireUsage>,
}

#[derive(Deserialize)]
pub(super) struct WireOutput<'a> {
    #[serde(borrow)]
    pub(super) message: WireMessage<'a>,
}

#[derive(Deserialize)]
pub(super) struct WireMessage<'a> {
    #[serde(borrow, default)]
    pub(super) content: Vec<WireBlock<'a>>,
}

/// A block, whole.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireBlock<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) tool_use: Option<WireTool<'a>>,
    #[serde(borrow)]
    pub(super) reasoning_content: Option<WireReasoning<'a>>,
    #[serde(borrow)]
    pub(super) citations_content: Option<WireCited<'a>>,
}

#[derive(Deserialize)]
pub(super) struct WireCited<'a> {
    #[serde(borrow)]
    pub(super) content: Option<Vec<WireText<'a>>>,
    #[serde(borrow)]
    pub(super) citations: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
pub(super) struct WireText<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
}

/// A call: its beginning, a piece of its input, or all of it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireTool<'a> {
    #[serde(borrow)]
    pub(super) tool_use_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    /// A string in pieces, an object as a whole.
    #[serde(borrow)]
    pub(super) input: Option<&'a RawValue>,
}

/// Reasoning, whole or a piece of it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireReasoning<'a> {
    #[serde(borrow)]
    pub(super) reasoning_text: Option<WireSealed<'a>>,
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) signature: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) redacted_content: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct WireSealed<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) signature: Option<Text<'a>>,
}

/// Any event of a stream.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireEvent<'a> {
    pub(super) content_block_index: Option<u32>,
    #[serde(borrow)]
    pub(super) start: Option<WireStart<'a>>,
    #[serde(borrow)]
    pub(super) delta: Option<WireDelta<'a>>,
    #[serde(borrow)]
    pub(super) stop_reason: Option<Text<'a>>,
    pub(super) usage: Option<WireUsage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireStart<'a> {
    #[serde(borrow)]
    pub(super) tool_use: Option<WireTool<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireDelta<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) tool_use: Option<WireTool<'a>>,
    #[serde(borrow)]
    pub(super) reasoning_content: Option<WireReasoning<'a>>,
    #[serde(borrow)]
    pub(super) citation: Option<&'a RawValue>,
}

/// `usage`.
#[derive(Clone, Copy, Deserialize)]
pub(super) struct WireUsage {
    #[serde(rename = "inputTokens")]
    input: Option<u64>,
    #[serde(rename = "outputTokens")]
    output: Option<u64>,
    #[serde(rename = "cacheReadInputTokens")]
    read: Option<u64>,
    #[serde(rename = "cacheWriteInputTokens")]
    written: Option<u64>,
}

impl From<WireUsage> for Usage {
    /// `inputTokens` is what was neither read from nor written to the cache.
    fn from(wire: WireUsage) -> Self {
        let (read, written) = (wire.read.unwrap_or(0), wire.written.unwrap_or(0));
        Self {
            input: wire.input.unwrap_or(0).saturating_add(read).saturating_add(written),
            cached_input: read,
            cache_write: written,
            output: wire.output.unwrap_or(0),
            reasoning: 0,
            ..Self::default()
        }
    }
}
