//! What a model's answer is made of, in the order it is said.

use crate::adapter::Usage;
use crate::error::UpstreamError;
use crate::hub::citation::Citation;

/// Why a model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// It had said everything.
    Stop,
    /// It said one of the client's stop sequences.
    StopSequence,
    /// The bound of its output, or the window of the model.
    Length,
    /// It wants tools to be called.
    ToolCalls,
    /// The provider's filter held it back.
    ContentFilter,
    /// It refused.
    Refusal,
    /// The provider paused a long turn: sent back as it is, it goes on.
    Pause,
}

impl Finish {
    /// OpenAI's `finish_reason`.
    pub fn openai(self) -> &'static str {
        match self {
            Self::Stop | Self::StopSequence | Self::Pause => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter | Self::Refusal => "content_filter",
        }
    }
}

/// One step of an answer. `choice` counts the alternatives of `n` from 0. Strings are borrowed
/// from the provider's bytes; JSON is the provider's own text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event<'a> {
    /// The answer begins. Comes first, once.
    Start {
        /// The provider's id of the answer.
        id: Option<&'a str>,
        /// The model that answers.
        model: Option<&'a str>,
        /// What the prompt costs, where the provider says so before it answers.
        prompt: Option<Usage>,
    },
    /// The text that follows is a passage of its own: what it cites is not cited by the text before.
    Passage {
        /// Which alternative.
        choice: u32,
    },
    /// Text of the answer.
    Text {
        /// Which alternative.
        choice: u32,
        /// More text.
        text: &'a str,
    },
    /// Text that says why the model refuses.
    Refusal {
        /// Which alternative.
        choice: u32,
        /// More text.
        text: &'a str,
    },
    /// Text of the model's reasoning.
    Reasoning {
        /// Which alternative.
        choice: u32,
        /// More text.
        text: &'a str,
    },
    /// The provider's seal on the reasoning since the last seal; must come back with it.
    Signature {
        /// Which alternative.
        choice: u32,
        /// Opaque.
        signature: &'a str,
    },
    /// Reasoning that only the provider can read; must come back as it is.
    Redacted {
        /// Which alternative.
        choice: u32,
        /// Opaque.
        data: &'a str,
    },
    /// The provider's seal on the text so far.
    TextSignature {
        /// Which alternative.
        choice: u32,
        /// Opaque.
        signature: &'a str,
    },
    /// A call of a tool begins.
    Tool {
        /// Which alternative.
        choice: u32,
        /// Counts the calls of the alternative from 0.
        index: u32,
        /// The id that the result must name.
        id: &'a str,
        /// The tool.
        name: &'a str,
        /// The provider's seal on the call.
        signature: Option<&'a str>,
    },
    /// More of the JSON text of a call's arguments.
    Arguments {
        /// Which alternative.
        choice: u32,
        /// Which call.
        index: u32,
        /// A fragment, split anywhere.
        json: &'a str,
    },
    /// Where a passage of the text comes from.
    Citation {
        /// Which alternative.
        choice: u32,
        /// The source.
        citation: &'a Citation,
    },
    /// An alternative is complete.
    Finish {
        /// Which alternative.
        choice: u32,
        /// Why.
        reason: Finish,
        /// The stop sequence that was said, where the provider tells.
        sequence: Option<&'a str>,
    },
    /// What the answer used, final.
    Usage(Usage),
    /// The provider failed in the middle.
    Error(&'a UpstreamError),
    /// The provider said that the answer is over.
    End,
}

/// Takes events.
pub trait Sink {
    /// The next event.
    fn emit(&mut self, event: Event<'_>);
}
