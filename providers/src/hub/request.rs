//! A chat request, typed, whatever API the client speaks.

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::call::BadRequest;
use crate::hub::message::Message;
use crate::text::Text;

/// A tool the model may call.
#[derive(Clone, Debug)]
pub struct Tool<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// What it is for.
    pub description: Option<Cow<'a, str>>,
    /// A JSON schema; `None` for a tool without parameters.
    pub parameters: Option<&'a RawValue>,
    /// The arguments must follow the schema exactly.
    pub strict: Option<bool>,
    /// The prompt up to this tool should be cached.
    pub cache: Option<crate::hub::CacheMark>,
}

impl<'a> Tool<'a> {
    /// The name of a tool, without which it is none.
    pub(crate) fn named(name: Option<Text<'a>>, field: &str) -> Result<Cow<'a, str>, BadRequest> {
        let name = name.filter(|name| !name.as_str().is_empty());
        name.map(|name| name.0).ok_or_else(|| BadRequest::field(field, format!("`{field}` is missing")))
    }
}

/// Whether the model may or must call tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice<'a> {
    /// It may not.
    None,
    /// It may.
    Auto,
    /// It must call one.
    Required,
    /// It must call this one.
    Named(Cow<'a, str>),
}

/// A schema that the answer must follow.
#[derive(Clone, Debug)]
pub struct Schema<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// What it is for.
    pub description: Option<Cow<'a, str>>,
    /// The JSON schema.
    pub schema: Option<&'a RawValue>,
    /// The answer must follow it exactly.
    pub strict: bool,
}

/// The form of the answer.
#[derive(Clone, Debug, Default)]
pub enum Format<'a> {
    /// Text.
    #[default]
    Text,
    /// Some JSON object.
    JsonObject,
    /// JSON that follows a schema.
    JsonSchema(Schema<'a>),
}

impl Format<'_> {
    /// Whether it is anything but text.
    pub fn is_json(&self) -> bool {
        !matches!(self, Self::Text)
    }
}

/// How the next token is chosen.
#[derive(Clone, Debug, Default)]
pub struct Sampling<'a> {
    /// 0 is always the likeliest token.
    pub temperature: Option<f64>,
    /// The share of likely tokens considered.
    pub top_p: Option<f64>,
    /// The number of likely tokens considered.
    pub top_k: Option<u64>,
    /// For answers that can be repeated.
    pub seed: Option<i64>,
    /// Against tokens said often.
    pub frequency_penalty: Option<f64>,
    /// Against tokens said at all.
    pub presence_penalty: Option<f64>,
    /// Return how likely each token was.
    pub logprobs: bool,
    /// And that of so many others.
    pub top_logprobs: Option<u64>,
    /// Changes of single tokens' likelihood.
    pub logit_bias: Option<&'a RawValue>,
    /// Texts that end the answer.
    pub stop: Vec<Cow<'a, str>>,
    /// How many alternatives, at least 1.
    pub n: u64,
}

/// How hard a model should think.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Not at all.
    None,
    /// As little as it can.
    Minimal,
    /// A little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
    /// Very much.
    Xhigh,
}

impl Effort {
    /// The effort by OpenAI's name for it.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "none" => Self::None,
            "minimal" => Self::Minimal,
            "low" => Self::Low,
            "medium" => Self::Medium,
            "high" => Self::High,
            "xhigh" | "max" => Self::Xhigh,
            _ => return None,
        })
    }

    /// Tokens of thinking that the effort allows, for providers that take a number.
    pub fn budget(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Minimal | Self::Low => 1024,
            Self::Medium => 4096,
            Self::High => 16_384,
            Self::Xhigh => 32_768,
        }
    }
}

/// What is asked of the model's thinking. `thinking` is Anthropic's field, also taken in chat
/// requests as an extension.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasoning {
    /// `reasoning_effort`.
    pub effort: Option<Effort>,
    /// `thinking.budget_tokens`.
    pub budget: Option<u64>,
    /// `thinking.type`: `Some(false)` is `disabled`.
    pub thinking: Option<bool>,
}

impl Reasoning {
    /// Whether thinking is asked for, in whatever way.
    pub fn wanted(&self) -> bool {
        match self.thinking {
            Some(on) => on,
            None => self.budget.is_some() || self.effort.is_some_and(|effort| effort > Effort::None),
        }
    }
}

/// A search of the web by the provider itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WebSearch {
    /// The field that asks for it.
    pub field: String,
    /// Roughly where the user is: `country`, `region`, `city` and `timezone`.
    pub location: Option<Map<String, Value>>,
}

impl WebSearch {
    /// The search that a field asks for; `location` is the user's, with what it is wrapped in.
    pub(crate) fn new(field: &str, location: Option<&RawValue>) -> Self {
        let mut location =
            location.and_then(|raw| serde_json::from_str::<Option<Map<String, Value>>>(raw.get()).ok().flatten());
        if let Some(Value::Object(inner)) = location.as_mut().and_then(|location| location.remove("approximate")) {
            location = Some(inner);
        }
        if let Some(location) = &mut location {
            location.retain(|name, value| !value.is_null() && name != "type");
        }
        Self { field: field.to_owned(), location: location.filter(|location| !location.is_empty()) }
    }
}

/// A chat request. Everything borrows from the client's body.
#[derive(Clone, Debug, Default)]
pub struct ChatRequest<'a> {
    /// The conversation, never empty.
    pub messages: Vec<Message<'a>>,
    /// Tools on offer.
    pub tools: Vec<Tool<'a>>,
    /// Whether they may or must be called.
    pub tool_choice: Option<ToolChoice<'a>>,
    /// Whether several may be called at once.
    pub parallel_tools: Option<bool>,
    /// The form of the answer.
    pub format: Format<'a>,
    /// The bound of the answer, tokens.
    pub max_output: Option<u64>,
    /// How tokens are chosen.
    pub sampling: Sampling<'a>,
    /// How hard to think.
    pub reasoning: Reasoning,
    /// The end user, opaque.
    pub user: Option<Cow<'a, str>>,
    /// The client's own labels.
    pub metadata: Option<&'a RawValue>,
    /// `auto`, `default`, `flex`, `priority`, ...
    pub service_tier: Option<Cow<'a, str>>,
    /// Spoken answers are asked for.
    pub audio_output: bool,
    /// The provider's own web search is asked for.
    pub web_search: Option<WebSearch>,
    /// The long retired `functions` and `function_call` are used.
    pub functions: bool,
}

impl ChatRequest<'_> {
    /// Whether at most one tool may be called at once, given that any may.
    pub(crate) fn single_tool(&self) -> bool {
        self.parallel_tools == Some(false) && !self.tools.is_empty() && self.tool_choice != Some(ToolChoice::None)
    }
}
