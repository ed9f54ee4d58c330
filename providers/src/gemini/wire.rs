//! The parts of Gemini's JSON that are read, borrowed where possible.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::adapter::Usage;
use crate::text::Text;

/// A whole answer, or one piece of a stream.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireAnswer<'a> {
    #[serde(borrow)]
    pub(super) candidates: Option<Vec<WireCandidate<'a>>>,
    #[serde(borrow)]
    pub(super) prompt_feedback: Option<WireFeedback<'a>>,
    pub(super) usage_metadata: Option<WireUsage>,
    #[serde(borrow)]
    pub(super) model_version: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) response_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireFeedback<'a> {
    #[serde(borrow)]
    pub(super) block_reason: Option<Text<'a>>,
}

/// One alternative.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireCandidate<'a> {
    pub(super) index: Option<u32>,
    #[serde(borrow)]
    pub(super) content: Option<WireContent<'a>>,
    #[serde(borrow)]
    pub(super) finish_reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) grounding_metadata: Option<WireGrounding<'a>>,
    #[serde(borrow)]
    pub(super) citation_metadata: Option<WireCitations<'a>>,
}

#[derive(Deserialize)]
pub(super) struct WireContent<'a> {
    #[serde(borrow)]
    pub(super) parts: Option<Vec<WirePart<'a>>>,
}

/// A part of an alternative.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WirePart<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    pub(super) thought: Option<bool>,
    #[serde(borrow)]
    pub(super) thought_signature: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) function_call: Option<WireCall<'a>>,
}

#[derive(Deserialize)]
pub(super) struct WireCall<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) args: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireGrounding<'a> {
    #[serde(borrow)]
    pub(super) grounding_chunks: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    pub(super) grounding_supports: Option<Vec<WireSupport<'a>>>,
    #[serde(borrow)]
    pub(super) web_search_queries: Option<Vec<&'a RawValue>>,
}

/// Which chunks a passage rests on.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireSupport<'a> {
    #[serde(borrow)]
    pub(super) segment: Option<WireSegment<'a>>,
    pub(super) grounding_chunk_indices: Option<Vec<usize>>,
}

/// A passage, in bytes of its part; a start of 0 is left out.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireSegment<'a> {
    pub(super) start_index: Option<usize>,
    pub(super) end_index: Option<usize>,
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
}

/// AI Studio and Vertex name the list differently.
#[derive(Deserialize)]
pub(super) struct WireCitations<'a> {
    #[serde(borrow, alias = "citationSources")]
    pub(super) citations: Option<Vec<&'a RawValue>>,
}

/// `usageMetadata`, cumulative in streams.
#[derive(Clone, Copy, Deserialize)]
pub(super) struct WireUsage {
    #[serde(rename = "promptTokenCount")]
    prompt: Option<u64>,
    #[serde(rename = "cachedContentTokenCount")]
    cached: Option<u64>,
    #[serde(rename = "candidatesTokenCount")]
    candidates: Option<u64>,
    #[serde(rename = "thoughtsTokenCount")]
    thoughts: Option<u64>,
    #[serde(rename = "toolUsePromptTokenCount")]
    tools: Option<u64>,
}

impl From<WireUsage> for Usage {
    /// The prompt's count includes what was cached; what was said does not include thoughts.
    fn from(wire: WireUsage) -> Self {
        let thoughts = wire.thoughts.unwrap_or(0);
        let tools = wire.tools.unwrap_or(0);
        Self {
            input: wire.prompt.unwrap_or(0).saturating_add(tools),
            cached_input: wire.cached.unwrap_or(0),
            cache_write: 0,
            output: wire.candidates.unwrap_or(0).saturating_add(thoughts),
            reasoning: thoughts,
            ..Self::default()
        }
    }
}
