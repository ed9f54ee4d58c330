//! A Messages request, read into the hub: what is unknown and cannot matter is passed over, what
//! would change the answer is an error that names the field.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::content;
use crate::call::{BadRequest, Call, optional};
use crate::hub::{
    CacheMark, ChatRequest, Effort, Format, Message, Reasoning, Role, Sampling, Tool, ToolChoice, WebSearch, WireCache,
};
use crate::text::{Text, some, str_of};

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    messages: Vec<&'a RawValue>,
    #[serde(borrow)]
    system: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_choice: Option<&'a RawValue>,
    #[serde(borrow)]
    temperature: Option<&'a RawValue>,
    #[serde(borrow)]
    top_p: Option<&'a RawValue>,
    #[serde(borrow)]
    top_k: Option<&'a RawValue>,
    #[serde(borrow)]
    stop_sequences: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    output_config: Option<&'a RawValue>,
    #[serde(borrow)]
    output_format: Option<&'a RawValue>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
    #[serde(borrow)]
    container: Option<&'a RawValue>,
    #[serde(borrow)]
    mcp_servers: Option<&'a RawValue>,
}

/// Reads the request of a call of `/v1/messages`.
pub(crate) fn request(call: &Call) -> Result<ChatRequest<'_>, BadRequest> {
    let body: Body<'_> = serde_json::from_slice(&call.body)
        .map_err(|error| BadRequest::field("messages", format!("`messages` cannot be read: {error}")))?;
    for (name, raw) in [("container", body.container), ("mcp_servers", body.mcp_servers)] {
        if some(raw).is_some_and(|raw| raw.get() != "[]") {
            let message = format!("`{name}` works with Anthropic's own API only: this model is served by another");
            return Err(BadRequest::field(name, message));
        }
    }
    let mut messages = Vec::with_capacity(body.messages.len() + 1);
    if let Some(raw) = some(body.system) {
        let parts = content::system(raw)?;
        messages.push(Message { role: Role::System, name: None, parts, text_signature: None, index: 0 });
    }
    content::conversation(&body.messages, &mut messages)?;
    let (tools, web_search) = tools(body.tools)?;
    let (tool_choice, parallel_tools) = choice(body.tool_choice)?;
    let output = optional::<OutputConfig<'_>>(body.output_config, "output_config", "an object")?;
    let form = output.as_ref().and_then(|output| output.format).or(body.output_format);
    let format = Format::read(form).map_err(|bad| renamed(&bad, "output_config.format"))?;
    Ok(ChatRequest {
        messages,
        tools,
        tool_choice,
        parallel_tools,
        format,
        max_output: call.max_output,
        sampling: sampling(&body)?,
        reasoning: reasoning(&body, output.as_ref())?,
        user: call.user.as_deref().map(Cow::Borrowed),
        service_tier: tier(body.service_tier)?,
        web_search,
        ..ChatRequest::default()
    })
}

/// The field where this API has it.
fn renamed(bad: &BadRequest, field: &str) -> BadRequest {
    let message = bad.message.replace("response_format", field);
    BadRequest { message, param: Some(field.to_owned()), code: bad.code }
}

fn sampling<'a>(body: &Body<'a>) -> Result<Sampling<'a>, BadRequest> {
    let stop = optional::<Vec<Text<'a>>>(body.stop_sequences, "stop_sequences", "an array of strings")?;
    Ok(Sampling {
        temperature: optional(body.temperature, "temperature", "a number")?,
        top_p: optional(body.top_p, "top_p", "a number")?,
        top_k: optional(body.top_k, "top_k", "a number of 0 or more")?,
        stop: stop.into_iter().flatten().map(|text| text.0).collect(),
        n: 1,
        ..Sampling::default()
    })
}

fn tier<'a>(raw: Option<&'a RawValue>) -> Result<Option<Cow<'a, str>>, BadRequest> {
    let tier = optional::<Text<'a>>(raw, "service_tier", "a string")?;
    // `auto` is the default of every provider, and what it means is not the same.
    Ok(tier.filter(|tier| tier.as_str() == "standard_only").map(|_| Cow::Borrowed("default")))
}

#[derive(Deserialize)]
struct OutputConfig<'a> {
    #[serde(borrow)]
    format: Option<&'a RawValue>,
    #[serde(borrow)]
    effort: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Thinking<'a> {
    #[serde(borrow)]
    r#type: Option<Text<'a>>,
    budget_tokens: Option<u64>,
}

fn reasoning(body: &Body<'_>, output: Option<&OutputConfig<'_>>) -> Result<Reasoning, BadRequest> {
    let thinking = optional::<Thinking<'_>>(body.thinking, "thinking", "an object with `type`")?;
    let on = thinking.as_ref().and_then(|thinking| match str_of(thinking.r#type.as_ref()) {
        "enabled" | "adaptive" => Some(true),
        "disabled" => Some(false),
        _ => None,
    });
    let effort = output.and_then(|output| output.effort.as_ref()).map(|name| {
        let read = Effort::from_name(name.as_str());
        read.ok_or_else(|| {
            let field = "output_config.effort";
            BadRequest::field(field, format!("`{field}` must be low, medium, high or max, not `{}`", name.as_str()))
        })
    });
    let effort = effort.transpose()?.filter(|_| on != Some(false));
    Ok(Reasoning { effort, budget: thinking.and_then(|thinking| thinking.budget_tokens), thinking: on })
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
    input_schema: Option<&'a RawValue>,
    strict: Option<bool>,
    cache_control: Option<WireCache>,
    #[serde(borrow)]
    user_location: Option<&'a RawValue>,
    #[serde(borrow)]
    allowed_domains: Option<&'a RawValue>,
    #[serde(borrow)]
    blocked_domains: Option<&'a RawValue>,
}

/// The tools, and the search of the web, which every provider does in its own way.
fn tools(raw: Option<&RawValue>) -> Result<(Vec<Tool<'_>>, Option<WebSearch>), BadRequest> {
    let wires = optional::<Vec<WireTool<'_>>>(raw, "tools", "an array of tools")?.unwrap_or_default();
    let (mut tools, mut search) = (Vec::with_capacity(wires.len()), None);
    for (index, wire) in wires.into_iter().enumerate() {
        if str_of(wire.r#type.as_ref()).starts_with("web_search_") {
            search = Some(web_search(&wire, index)?);
        } else {
            tools.push(tool(wire, index)?);
        }
    }
    Ok((tools, search))
}

fn web_search(wire: &WireTool<'_>, index: usize) -> Result<WebSearch, BadRequest> {
    for (name, raw) in [("allowed_domains", wire.allowed_domains), ("blocked_domains", wire.blocked_domains)] {
        if some(raw).is_some_and(|raw| raw.get() != "[]") {
            let field = format!("tools[{index}].{name}");
            let message = format!("`{field}`: this model's provider cannot keep its search to some domains");
            return Err(BadRequest::field(field, message));
        }
    }
    Ok(WebSearch::new(&format!("tools[{index}]"), wire.user_location))
}

fn tool(wire: WireTool<'_>, index: usize) -> Result<Tool<'_>, BadRequest> {
    let kind = str_of(wire.r#type.as_ref());
    if !matches!(kind, "custom" | "") {
        let field = format!("tools[{index}].type");
        let message = format!("`{field}` is `{kind}`: tools that Anthropic runs itself cannot be translated");
        return Err(BadRequest::field(field, message));
    }
    Ok(Tool {
        name: Tool::named(wire.name, &format!("tools[{index}].name"))?,
        description: wire.description.map(|text| text.0),
        parameters: some(wire.input_schema),
        strict: wire.strict,
        cache: wire.cache_control.map(|cache| CacheMark { ttl: cache.ttl }),
    })
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    r#type: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    disable_parallel_tool_use: Option<bool>,
}

/// The choice, and whether several tools may be called at once.
fn choice(raw: Option<&RawValue>) -> Result<(Option<ToolChoice<'_>>, Option<bool>), BadRequest> {
    let what = "an object whose `type` is auto, any, tool or none";
    let Some(choice) = optional::<Choice<'_>>(raw, "tool_choice", what)? else { return Ok((None, None)) };
    let parallel = choice.disable_parallel_tool_use.filter(|disabled| *disabled).map(|_| false);
    let read = match (str_of(choice.r#type.as_ref()), choice.name) {
        ("auto", _) => ToolChoice::Auto,
        ("any", _) => ToolChoice::Required,
        ("none", _) => ToolChoice::None,
        ("tool", Some(name)) => ToolChoice::Named(name.0),
        _ => return Err(BadRequest::field("tool_choice", format!("`tool_choice` must be {what}"))),
    };
    Ok((Some(read), parallel))
}
