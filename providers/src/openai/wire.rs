//! The parts of OpenAI's JSON that the gateway reads, borrowed where possible.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::adapter::Usage;
use crate::text::Text;

/// `usage` of any endpoint.
#[derive(Clone, Copy, Deserialize)]
pub(super) struct WireUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    /// What every API but chat, completions and embeddings calls them.
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    total_tokens: Option<u64>,
    /// `DeepSeek`'s name for cached tokens.
    prompt_cache_hit_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    input_tokens_details: Option<PromptDetails>,
    output_tokens_details: Option<CompletionDetails>,
    /// Of sound that is billed by its length.
    seconds: Option<f64>,
}

#[derive(Clone, Copy, Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
    /// `OpenRouter`'s extension, and ours.
    cache_write_tokens: Option<u64>,
}

#[derive(Clone, Copy, Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl From<WireUsage> for Usage {
    /// `prompt_tokens` counts cached tokens too. `completion_tokens` counts reasoning, except where
    /// the total says that reasoning stands beside it (xAI).
    fn from(wire: WireUsage) -> Self {
        let prompt = wire.prompt_tokens_details.or(wire.input_tokens_details);
        let prompt = prompt.as_ref();
        let cached = prompt.and_then(|details| details.cached_tokens).or(wire.prompt_cache_hit_tokens);
        let reasoning = wire.completion_tokens_details.or(wire.output_tokens_details);
        let reasoning = reasoning.and_then(|details| details.reasoning_tokens).unwrap_or(0);
        let input = wire.prompt_tokens.or(wire.input_tokens).unwrap_or(0);
        let said = wire.completion_tokens.or(wire.output_tokens).unwrap_or(0);
        let beside = input.saturating_add(said).saturating_add(reasoning);
        let apart = reasoning > 0 && wire.total_tokens == Some(beside);
        Self {
            input,
            cached_input: cached.unwrap_or(0),
            cache_write: prompt.and_then(|details| details.cache_write_tokens).unwrap_or(0),
            output: if apart { said.saturating_add(reasoning) } else { said },
            reasoning,
            units: whole_number(wire.seconds.unwrap_or(0.0)),
        }
    }
}

/// Units begun; nobody is billed for more than a year of seconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped and rounded first")]
fn whole_number(number: f64) -> u64 {
    number.ceil().clamp(0.0, 31_536_000.0) as u64
}

/// What a rerank was billed for, in Cohere's words.
#[derive(Deserialize)]
struct Billed {
    billed_units: Option<BilledUnits>,
}

#[derive(Deserialize)]
struct BilledUnits {
    #[serde(rename = "search_units")]
    searches: Option<f64>,
    input_tokens: Option<f64>,
    output_tokens: Option<f64>,
}

/// The usage in `meta.billed_units`.
pub(super) fn billed(meta: Option<&RawValue>) -> Option<Usage> {
    let units = serde_json::from_str::<Billed>(meta?.get()).ok()?.billed_units?;
    let count = |number: Option<f64>| whole_number(number.unwrap_or(0.0));
    Some(Usage {
        input: count(units.input_tokens),
        output: count(units.output_tokens),
        units: count(units.searches),
        ..Usage::default()
    })
}

/// A whole answer. `choices` and `output` stay raw: they are looked into only where usage is missing.
#[derive(Deserialize)]
pub(super) struct Whole<'a> {
    pub(super) usage: Option<WireUsage>,
    #[serde(borrow)]
    pub(super) meta: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) output: Option<&'a RawValue>,
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
    pub(super) index: Option<u32>,
    #[serde(borrow)]
    delta: Option<Said<'a>>,
    #[serde(borrow)]
    message: Option<Said<'a>>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) finish_reason: Option<Text<'a>>,
}

/// What a model said.
#[derive(Deserialize)]
pub(super) struct Said<'a> {
    #[serde(borrow)]
    pub(super) content: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) refusal: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) reasoning_content: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) reasoning: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) tool_calls: Option<Vec<ToolCall<'a>>>,
    #[serde(borrow)]
    function_call: Option<Function<'a>>,
    #[serde(borrow)]
    pub(super) annotations: Option<Vec<&'a RawValue>>,
}

/// A call of a tool, or a piece of one.
#[derive(Deserialize)]
pub(super) struct ToolCall<'a> {
    pub(super) index: Option<u32>,
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) function: Option<Function<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Function<'a> {
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) arguments: Option<Text<'a>>,
}

impl<'a> Choice<'a> {
    /// What is new: Perplexity repeats in each chunk's message all that was said before.
    pub(super) fn said(&self) -> Option<&Said<'a>> {
        self.delta.as_ref().or(self.message.as_ref())
    }

    /// Whether the model has stopped.
    pub(super) fn is_finished(&self) -> bool {
        self.finish_reason.is_some()
    }

    /// Appends what the model said.
    pub(super) fn read(&self, out: &mut String) {
        push(self.text.as_ref(), out);
        if let Some(said) = self.said() {
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

/// The text of a whole response's items.
pub(super) fn text_of_items(output: Option<&RawValue>, out: &mut String) {
    #[derive(Deserialize)]
    struct Item<'a> {
        #[serde(borrow)]
        content: Option<Vec<Part<'a>>>,
        #[serde(borrow)]
        summary: Option<Vec<Part<'a>>>,
        #[serde(borrow)]
        name: Option<Text<'a>>,
        #[serde(borrow)]
        arguments: Option<Text<'a>>,
    }
    #[derive(Deserialize)]
    struct Part<'a> {
        #[serde(borrow)]
        text: Option<Text<'a>>,
    }
    let items = output.and_then(|raw| serde_json::from_str::<Vec<Item<'_>>>(raw.get()).ok());
    for item in items.iter().flatten() {
        push(item.name.as_ref(), out);
        push(item.arguments.as_ref(), out);
        item.content.iter().chain(&item.summary).flatten().for_each(|part| push(part.text.as_ref(), out));
    }
}
