//! `OpenAI` chat completions requests, read leniently into a [`ChatRequest`]: what is unknown is
//! passed over, what is wrong is an error that names the field.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::conversation;
use crate::call::{BadRequest, Call, optional};
use crate::hub::CacheMark;
use crate::hub::request::{ChatRequest, Effort, Format, Reasoning, Sampling, Schema, Tool, ToolChoice, WebSearch};
use crate::text::{Text, some};

/// The top level of the body.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    messages: Vec<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_choice: Option<&'a RawValue>,
    #[serde(borrow)]
    functions: Option<&'a RawValue>,
    #[serde(borrow)]
    function_call: Option<&'a RawValue>,
    #[serde(borrow)]
    parallel_tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    response_format: Option<&'a RawValue>,
    #[serde(borrow)]
    temperature: Option<&'a RawValue>,
    #[serde(borrow)]
    top_p: Option<&'a RawValue>,
    #[serde(borrow)]
    top_k: Option<&'a RawValue>,
    #[serde(borrow)]
    seed: Option<&'a RawValue>,
    #[serde(borrow)]
    frequency_penalty: Option<&'a RawValue>,
    #[serde(borrow)]
    presence_penalty: Option<&'a RawValue>,
    #[serde(borrow)]
    logprobs: Option<&'a RawValue>,
    #[serde(borrow)]
    top_logprobs: Option<&'a RawValue>,
    #[serde(borrow)]
    logit_bias: Option<&'a RawValue>,
    #[serde(borrow)]
    stop: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning_effort: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
    #[serde(borrow)]
    modalities: Option<&'a RawValue>,
    #[serde(borrow)]
    web_search_options: Option<&'a RawValue>,
}

impl<'a> ChatRequest<'a> {
    /// Reads a chat completions request.
    pub(super) fn of_chat(call: &'a Call) -> Result<Self, BadRequest> {
        let top: Body<'a> = serde_json::from_slice(&call.body)
            .map_err(|error| BadRequest::field("messages", format!("`messages` cannot be read: {error}")))?;
        Ok(Self {
            messages: conversation::read(&top.messages)?,
            tools: tools(top.tools)?,
            tool_choice: tool_choice(top.tool_choice)?,
            parallel_tools: optional(top.parallel_tool_calls, "parallel_tool_calls", "true or false")?,
            format: Format::read(top.response_format)?,
            max_output: call.max_output,
            sampling: sampling(&top, call.n)?,
            reasoning: reasoning(&top)?,
            user: call.user.as_deref().map(Cow::Borrowed),
            metadata: some(top.metadata),
            service_tier: optional::<Text<'_>>(top.service_tier, "service_tier", "a string")?.map(|text| text.0),
            audio_output: wants_audio(top.modalities)?,
            web_search: web_search(top.web_search_options)?,
            functions: some(top.functions).is_some() || some(top.function_call).is_some(),
        })
    }
}

fn sampling<'a>(top: &Body<'a>, n: u64) -> Result<Sampling<'a>, BadRequest> {
    let float = |raw, name| optional::<f64>(raw, name, "a number");
    let count = |raw, name| optional::<u64>(raw, name, "a number of 0 or more");
    Ok(Sampling {
        temperature: float(top.temperature, "temperature")?,
        top_p: float(top.top_p, "top_p")?,
        top_k: count(top.top_k, "top_k")?,
        seed: optional(top.seed, "seed", "an integer")?,
        frequency_penalty: float(top.frequency_penalty, "frequency_penalty")?.filter(|penalty| *penalty != 0.0),
        presence_penalty: float(top.presence_penalty, "presence_penalty")?.filter(|penalty| *penalty != 0.0),
        logprobs: optional(top.logprobs, "logprobs", "true or false")?.unwrap_or(false),
        top_logprobs: count(top.top_logprobs, "top_logprobs")?,
        logit_bias: some(top.logit_bias).filter(|raw| raw.get() != "{}"),
        stop: stop(top.stop)?,
        n,
    })
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Stop<'a> {
    One(#[serde(borrow)] Text<'a>),
    Some(#[serde(borrow)] Vec<Text<'a>>),
}

fn stop<'a>(raw: Option<&'a RawValue>) -> Result<Vec<Cow<'a, str>>, BadRequest> {
    Ok(match optional::<Stop<'a>>(raw, "stop", "a string or an array of strings")? {
        None => Vec::new(),
        Some(Stop::One(text)) => vec![text.0],
        Some(Stop::Some(texts)) => texts.into_iter().map(|text| text.0).collect(),
    })
}

#[derive(Deserialize)]
struct WireThinking<'a> {
    #[serde(borrow)]
    r#type: Option<Text<'a>>,
    budget_tokens: Option<u64>,
}

fn reasoning(top: &Body<'_>) -> Result<Reasoning, BadRequest> {
    let effort = optional::<Text<'_>>(top.reasoning_effort, "reasoning_effort", "a string")?;
    let effort = effort.map(|name| {
        Effort::from_name(name.as_str()).ok_or_else(|| {
            let message = format!(
                "`reasoning_effort` must be none, minimal, low, medium, high or xhigh, not `{}`",
                name.as_str()
            );
            BadRequest::field("reasoning_effort", message)
        })
    });
    let thinking = optional::<WireThinking<'_>>(top.thinking, "thinking", "an object with `type`")?;
    let on = thinking.as_ref().and_then(|thinking| match crate::text::str_of(thinking.r#type.as_ref()) {
        "enabled" | "adaptive" => Some(true),
        "disabled" => Some(false),
        _ => None,
    });
    let budget = thinking.and_then(|thinking| thinking.budget_tokens);
    Ok(Reasoning { effort: effort.transpose()?, budget, thinking: on })
}

#[derive(Deserialize)]
struct WireSearch<'a> {
    #[serde(borrow)]
    user_location: Option<&'a RawValue>,
}

fn web_search(raw: Option<&RawValue>) -> Result<Option<WebSearch>, BadRequest> {
    let field = "web_search_options";
    let wire = optional::<WireSearch<'_>>(raw, field, "an object")?;
    Ok(wire.map(|wire| WebSearch::new(field, wire.user_location)))
}

fn wants_audio(raw: Option<&RawValue>) -> Result<bool, BadRequest> {
    let modalities = optional::<Vec<Text<'_>>>(raw, "modalities", "an array of strings")?;
    Ok(modalities.into_iter().flatten().any(|modality| modality.as_str() == "audio"))
}

#[derive(Deserialize)]
struct WireTool<'a> {
    #[serde(borrow)]
    r#type: Option<Text<'a>>,
    #[serde(borrow)]
    function: Option<WireFunction<'a>>,
    cache_control: Option<WireCache>,
}

#[derive(Deserialize)]
struct WireFunction<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
    strict: Option<bool>,
    cache_control: Option<WireCache>,
}

/// Anthropic's mark, also taken in chat requests as an extension.
#[derive(Deserialize)]
pub(crate) struct WireCache {
    pub(crate) ttl: Option<String>,
}

fn tools(raw: Option<&RawValue>) -> Result<Vec<Tool<'_>>, BadRequest> {
    let tools = optional::<Vec<&RawValue>>(raw, "tools", "an array of tools")?.unwrap_or_default();
    tools.into_iter().enumerate().map(|(index, raw)| tool(raw, index)).collect()
}

fn tool(raw: &RawValue, index: usize) -> Result<Tool<'_>, BadRequest> {
    let at = format!("tools[{index}]");
    let wire: WireTool<'_> = serde_json::from_str(raw.get())
        .map_err(|error| BadRequest::field(&at, format!("`{at}` cannot be read: {error}")))?;
    let kind = crate::text::str_of(wire.r#type.as_ref());
    let (Some(function), "function" | "") = (wire.function, kind) else {
        let message = format!("`{at}` is a tool of type `{kind}`: only `function` tools can be translated");
        return Err(BadRequest::field(format!("{at}.type"), message));
    };
    let cache = wire.cache_control.or(function.cache_control);
    Ok(Tool {
        name: Tool::named(function.name, &format!("{at}.function.name"))?,
        description: function.description.map(|text| text.0),
        parameters: some(function.parameters),
        strict: function.strict,
        cache: cache.map(|cache| CacheMark { ttl: cache.ttl }),
    })
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    function: Option<NamedFunction<'a>>,
}

#[derive(Deserialize)]
struct NamedFunction<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

fn tool_choice(raw: Option<&RawValue>) -> Result<Option<ToolChoice<'_>>, BadRequest> {
    let Some(raw) = some(raw) else { return Ok(None) };
    let what = "none, auto, required, or an object that names a function";
    Ok(Some(match raw.get() {
        "\"none\"" => ToolChoice::None,
        "\"auto\"" => ToolChoice::Auto,
        "\"required\"" => ToolChoice::Required,
        _ => match optional::<Named<'_>>(Some(raw), "tool_choice", what)?.and_then(|named| named.function) {
            Some(function) => ToolChoice::Named(function.name.0),
            None => return Err(BadRequest::field("tool_choice", format!("`tool_choice` must be {what}"))),
        },
    }))
}

#[derive(Deserialize)]
struct WireFormat<'a> {
    #[serde(borrow)]
    r#type: Option<Text<'a>>,
    #[serde(borrow)]
    json_schema: Option<WireSchema<'a>>,
    // Other APIs have the same fields without the wrapping.
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
    strict: Option<bool>,
}

impl<'a> WireFormat<'a> {
    fn schema(self) -> Option<WireSchema<'a>> {
        if self.json_schema.is_some() || self.schema.is_none() {
            return self.json_schema;
        }
        // Anthropic's has no name, and is always strict.
        let strict = self.strict.or_else(|| self.name.is_none().then_some(true));
        Some(WireSchema { name: self.name, description: self.description, schema: self.schema, strict })
    }
}

#[derive(Deserialize)]
struct WireSchema<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
    strict: Option<bool>,
}

impl<'a> Format<'a> {
    /// Reads `response_format`.
    pub(crate) fn read(raw: Option<&'a RawValue>) -> Result<Self, BadRequest> {
        let field = "response_format";
        let Some(wire) = optional::<WireFormat<'a>>(raw, field, "an object with `type`")? else {
            return Ok(Self::Text);
        };
        let kind = wire.r#type.clone();
        match (crate::text::str_of(kind.as_ref()), wire.schema()) {
            ("text", _) => Ok(Self::Text),
            ("json_object", _) => Ok(Self::JsonObject),
            ("json_schema", Some(schema)) => Ok(Self::JsonSchema(Schema {
                name: schema.name.map_or(Cow::Borrowed("answer"), |name| name.0),
                description: schema.description.map(|text| text.0),
                schema: some(schema.schema),
                strict: schema.strict.unwrap_or(false),
            })),
            ("json_schema", None) => {
                let field = "response_format.json_schema";
                Err(BadRequest::field(field, format!("`{field}` is missing")))
            }
            (other, _) => {
                let message = format!("`{field}.type` must be text, json_object or json_schema, not `{other}`");
                Err(BadRequest::field(format!("{field}.type"), message))
            }
        }
    }
}
