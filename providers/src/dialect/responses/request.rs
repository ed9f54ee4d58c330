//! A Responses request, read into the hub: what needs a memory or tools of OpenAI's is an error
//! that names the field.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::items;
use crate::call::{BadRequest, Call, Field, optional};
use crate::hub::{ChatRequest, Effort, Format, Message, Part, Reasoning, Role, Sampling, Tool, ToolChoice, WebSearch};
use crate::text::{Text, some, str_of};

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    instructions: Option<&'a RawValue>,
    #[serde(borrow)]
    previous_response_id: Option<&'a RawValue>,
    #[serde(borrow)]
    conversation: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_choice: Option<&'a RawValue>,
    #[serde(borrow)]
    parallel_tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    temperature: Option<&'a RawValue>,
    #[serde(borrow)]
    top_p: Option<&'a RawValue>,
    #[serde(borrow)]
    top_logprobs: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
    #[serde(borrow)]
    safety_identifier: Option<&'a RawValue>,
}

/// Reads the request of a call of `/v1/responses`.
pub(crate) fn request(call: &Call) -> Result<ChatRequest<'_>, BadRequest> {
    let body: Body<'_> = serde_json::from_slice(&call.body)
        .map_err(|error| BadRequest::field("input", format!("the request cannot be read: {error}")))?;
    stored(&body)?;
    let mut messages = Vec::new();
    if let Some(text) = optional::<Text<'_>>(body.instructions, "instructions", "a string")? {
        let parts = vec![Part::Text(text.0)];
        messages.push(Message { role: Role::System, name: None, parts, text_signature: None, index: 0 });
    }
    if let Some(raw) = some(body.input) {
        items::read(raw, &mut messages)?;
    }
    let (tools, web_search) = tools(body.tools)?;
    let safety = optional::<Text<'_>>(body.safety_identifier, "safety_identifier", "a string")?;
    let user = call.user.as_deref().map(Cow::Borrowed).or(safety.map(|text| text.0));
    Ok(ChatRequest {
        messages,
        tools,
        tool_choice: choice(body.tool_choice)?,
        parallel_tools: optional(body.parallel_tool_calls, "parallel_tool_calls", "true or false")?,
        format: format(call)?,
        max_output: call.max_output,
        sampling: Sampling {
            temperature: optional(body.temperature, "temperature", "a number")?,
            top_p: optional(body.top_p, "top_p", "a number")?,
            n: 1,
            ..Sampling::default()
        },
        reasoning: reasoning(body.reasoning)?,
        user,
        metadata: some(body.metadata).filter(|raw| raw.get() != "{}"),
        service_tier: tier(body.service_tier)?,
        web_search,
        ..ChatRequest::default()
    })
}

/// What only a provider that keeps responses can do.
fn stored(body: &Body<'_>) -> Result<(), BadRequest> {
    for (name, raw, instead) in [
        ("previous_response_id", body.previous_response_id, "send the whole conversation in `input`"),
        ("conversation", body.conversation, "send the whole conversation in `input`"),
        ("prompt", body.prompt, "send the prompt itself in `instructions` and `input`"),
    ] {
        if some(raw).is_some() {
            let message = format!("`{name}`: this model's provider stores no responses; {instead}");
            return Err(BadRequest::field(name, message));
        }
    }
    if optional::<u64>(body.top_logprobs, "top_logprobs", "a number of 0 or more")?.is_some_and(|most| most > 0) {
        let message = "`top_logprobs` cannot be translated for this model's provider";
        return Err(BadRequest::field("top_logprobs", message));
    }
    Ok(())
}

fn tier<'a>(raw: Option<&'a RawValue>) -> Result<Option<Cow<'a, str>>, BadRequest> {
    let tier = optional::<Text<'a>>(raw, "service_tier", "a string")?;
    Ok(tier.filter(|tier| tier.as_str() != "auto").map(|tier| tier.0))
}

fn format(call: &Call) -> Result<Format<'_>, BadRequest> {
    let raw = call.raw(Field::ResponseFormat).and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    Format::read(raw).map_err(|bad| {
        let message = bad.message.replace("response_format", "text.format");
        BadRequest { message, param: Some("text.format".to_owned()), ..bad }
    })
}

#[derive(Deserialize)]
struct WireReasoning<'a> {
    #[serde(borrow)]
    effort: Option<Text<'a>>,
}

fn reasoning(raw: Option<&RawValue>) -> Result<Reasoning, BadRequest> {
    let wire = optional::<WireReasoning<'_>>(raw, "reasoning", "an object")?;
    let effort = wire.and_then(|wire| wire.effort).map(|name| {
        let read = Effort::from_name(name.as_str());
        read.ok_or_else(|| {
            let text = "must be none, minimal, low, medium, high or xhigh";
            let message = format!("`reasoning.effort` {text}, not `{}`", name.as_str());
            BadRequest::field("reasoning.effort", message)
        })
    });
    Ok(Reasoning { effort: effort.transpose()?, ..Reasoning::default() })
}

#[derive(Deserialize)]
struct WireTool<'a> {
    #[serde(borrow)]
    r#type: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
    strict: Option<bool>,
    #[serde(borrow)]
    user_location: Option<&'a RawValue>,
    #[serde(borrow)]
    filters: Option<&'a RawValue>,
}

/// The tools, and the search of the web, which every provider does in its own way.
fn tools(raw: Option<&RawValue>) -> Result<(Vec<Tool<'_>>, Option<WebSearch>), BadRequest> {
    let wires = optional::<Vec<WireTool<'_>>>(raw, "tools", "an array of tools")?.unwrap_or_default();
    let (mut tools, mut search) = (Vec::with_capacity(wires.len()), None);
    for (index, wire) in wires.into_iter().enumerate() {
        if !str_of(wire.r#type.as_ref()).starts_with("web_search") {
            tools.push(tool(wire, index)?);
            continue;
        }
        if some(wire.filters).is_some() {
            let field = format!("tools[{index}].filters");
            let message = format!("`{field}`: this model's provider cannot filter what its search finds");
            return Err(BadRequest::field(field, message));
        }
        search = Some(WebSearch::new(&format!("tools[{index}]"), wire.user_location));
    }
    Ok((tools, search))
}

fn tool(wire: WireTool<'_>, index: usize) -> Result<Tool<'_>, BadRequest> {
    let kind = str_of(wire.r#type.as_ref());
    if kind != "function" {
        let field = format!("tools[{index}].type");
        let message = format!("`{field}` is `{kind}`: this model's provider has only tools of type `function`");
        return Err(BadRequest::field(field, message));
    }
    Ok(Tool {
        name: Tool::named(wire.name, &format!("tools[{index}].name"))?,
        description: wire.description.map(|text| text.0),
        parameters: some(wire.parameters),
        strict: wire.strict,
        cache: None,
    })
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    r#type: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
}

fn choice(raw: Option<&RawValue>) -> Result<Option<ToolChoice<'_>>, BadRequest> {
    let Some(raw) = some(raw) else { return Ok(None) };
    let what = "none, auto, required, or an object that names a function";
    Ok(Some(match raw.get() {
        "\"none\"" => ToolChoice::None,
        "\"auto\"" => ToolChoice::Auto,
        "\"required\"" => ToolChoice::Required,
        _ => match optional::<Named<'_>>(Some(raw), "tool_choice", what)? {
            Some(Named { r#type: Some(kind), name: Some(name) }) if kind.as_str() == "function" => {
                ToolChoice::Named(name.0)
            }
            _ => return Err(BadRequest::field("tool_choice", format!("`tool_choice` must be {what}"))),
        },
    }))
}
