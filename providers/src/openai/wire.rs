//! The parts of OpenAI's JSON that the gateway reads, borrowed where possible.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::adapter::Usage;

/// A string that borrows when it has no escapes, also inside an `Option`.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// `usage` of any endpoint.
#[derive(Clone, Copy, Deserialize)]
pub(super) struct WireUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Clone, Copy, Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
}

#[derive(Clone, Copy, Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl From<WireUsage> for Usage {
    /// `prompt_tokens` counts cached tokens too, as `completion_tokens` does reasoning.
    fn from(wire: WireUsage) -> Self {
        let cached = wire.prompt_tokens_details.and_then(|details| details.cached_tokens);
        let reasoning = wire.completion_tokens_details.and_then(|details| details.reasoning_tokens);
        Self {
            input: wire.prompt_tokens.unwrap_or(0),
            cached_input: cached.unwrap_or(0),
            cache_write: 0,
            output: wire.completion_tokens.unwrap_or(0),
            reasoning: reasoning.unwrap_or(0),
        }
    }
}

/// A whole answer. `choices` stays raw: it is looked into only where usage is missing.
#[derive(Deserialize)]
pub(super) struct Whole<'a> {
    pub(super) usage: Option<WireUsage>,
    #[serde(borrow)]
    pub(super) choices: Option<&'a RawValue>,
}

/// One chunk of a stream.
#[derive(Deserialize)]
pub(super) struct Chunk<'a> {
    #[serde(borrow)]
    pub(super) choices: Option<Vec<Choice<'a>>>,
    pub(super) usage: Option<WireUsage>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

/// One choice, of a chunk, a whole chat answer or a legacy completion.
#[derive(Deserialize)]
pub(super) struct Choice<'a> {
    #[serde(borrow)]
    delta: Option<Said<'a>>,
    #[serde(borrow)]
    message: Option<Said<'a>>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
}

/// What a model said.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    content: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<ToolCall<'a>>>,
    #[serde(borrow)]
    function_call: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct ToolCall<'a> {
    #[serde(borrow)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<Text<'a>>,
}

impl Choice<'_> {
    /// Whether the model has stopped.
    pub(super) fn is_finished(&self) -> bool {
        self.finish_reason.is_some()
    }

    /// Appends what the model said.
    pub(super) fn read(&self, out: &mut String) {
        push(self.text.as_ref(), out);
        for said in [&self.delta, &self.message].into_iter().flatten() {
            push(said.content.as_ref(), out);
            push(said.refusal.as_ref(), out);
            push(said.reasoning_content.as_ref(), out);
            push(said.reasoning.as_ref(), out);
            let tools = said.tool_calls.iter().flatten().filter_map(|call| call.function.as_ref());
            for function in tools.chain(said.function_call.as_ref()) {
                push(function.name.as_ref(), out);
                push(function.arguments.as_ref(), out);
            }
        }
    }
}

fn push(text: Option<&Text<'_>>, out: &mut String) {
    if let Some(text) = text {
        out.push_str(&text.0);
    }
}

/// The text of a whole answer's choices; shapes that are not known count as nothing.
pub(super) fn text_of(choices: Option<&RawValue>, out: &mut String) {
    let choices = choices.and_then(|raw| serde_json::from_str::<Vec<Choice<'_>>>(raw.get()).ok());
    choices.iter().flatten().for_each(|choice| choice.read(out));
}
