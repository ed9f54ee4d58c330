//! Checks and reads a Messages request as Anthropic does.

use serde_json::Value;

use super::blocks;
use super::render::Anthropic;
use crate::answer::{Asked, Choice, Shape, Tool, words_in};
use crate::format::{Heard, items, stranger};
use crate::refusal::Refusal;

const FIELDS: &[&str] = &[
    "model",
    "max_tokens",
    "messages",
    "system",
    "metadata",
    "stop_sequences",
    "stream",
    "temperature",
    "top_k",
    "top_p",
    "tools",
    "tool_choice",
    "thinking",
    "service_tier",
    "container",
    "mcp_servers",
    "context_management",
    "output_format",
    "output_config",
    "cache_control",
];
/// Of these `count_tokens` knows only some.
const COUNTED: &[&str] = &[
    "model",
    "messages",
    "system",
    "tools",
    "tool_choice",
    "thinking",
    "mcp_servers",
    "context_management",
    "output_format",
    "output_config",
    "cache_control",
];
/// The least budget of thinking.
const LEAST_BUDGET: u64 = 1024;

pub(super) fn read(format: Anthropic, heard: &Heard<'_>) -> Result<Asked, Refusal> {
    let body = &heard.body;
    let model = fields(format, heard)?;
    let Some(bound) = body["max_tokens"].as_u64() else {
        return Err(Refusal::invalid("max_tokens: Field required"));
    };
    if bound == 0 {
        return Err(Refusal::invalid("max_tokens: Input should be greater than or equal to 1"));
    }
    let tools = tools(&body["tools"])?;
    let choice = choice(body, &tools)?;
    let thinks = thinking(body, bound, &choice)?;
    numbers(body, thinks)?;
    blocks::system(&body["system"])?;
    // Adaptive thinking takes turns that do not begin with a thought.
    blocks::messages(&body["messages"], thinks && body["thinking"]["type"] == "enabled")?;
    let last = items(&body["messages"]).last().map(|last| items(&last["content"])).unwrap_or_default();
    Ok(Asked {
        behaviour: heard.behaviour.clone(),
        streams: if format == Anthropic::Api {
            body["stream"] == true
        } else {
            heard.parts.uri.path().to_lowercase().contains("stream")
        },
        choices: 1,
        bound: Some(bound),
        tools,
        choice,
        single: body["tool_choice"]["disable_parallel_tool_use"] == true,
        shape: shape(body),
        thinks,
        answers_tools: last.iter().any(|block| block["type"] == "tool_result"),
        words: words_in(&body["messages"]) + words_in(&body["system"]),
        model,
        body: body.clone(),
    })
}

/// `POST /v1/messages/count_tokens`.
pub(crate) fn count_tokens(heard: &Heard<'_>) -> Result<u64, Refusal> {
    version(heard)?;
    if let Some(name) = stranger(&heard.body, COUNTED) {
        return Err(Refusal::invalid(format!("{name}: Extra inputs are not permitted")));
    }
    tools(&heard.body["tools"])?;
    blocks::messages(&heard.body["messages"], false)?;
    let words = words_in(&heard.body["messages"]) + words_in(&heard.body["system"]) + words_in(&heard.body["tools"]);
    Ok(heard.behaviour.prompt_tokens.unwrap_or(words + 8))
}

fn version(heard: &Heard<'_>) -> Result<(), Refusal> {
    match heard.header("anthropic-version") {
        None => Err(Refusal::invalid("anthropic-version: header is required")),
        Some("2023-06-01" | "2023-01-01" | "2026-10-21") => Ok(()),
        Some(other) => Err(Refusal::invalid(format!("anthropic-version: \"{other}\" is not a valid version"))),
    }
}

/// The fields are those of the API, and model and version are where they belong; the model.
fn fields(format: Anthropic, heard: &Heard<'_>) -> Result<String, Refusal> {
    let body = &heard.body;
    let own = match format {
        Anthropic::Api => None,
        Anthropic::Vertex => Some("vertex-2023-10-16"),
        Anthropic::Bedrock => Some("bedrock-2023-05-31"),
    };
    let extra = |name: &str| Refusal::invalid(format!("{name}: Extra inputs are not permitted"));
    if let Some(version) = own {
        match body["anthropic_version"].as_str() {
            None => return Err(Refusal::invalid("anthropic_version: Field required")),
            Some(given) if given != version => {
                return Err(Refusal::invalid(format!("anthropic_version: Input should be '{version}'")));
            }
            Some(_) => {}
        }
        let known = [FIELDS, &["anthropic_version", "anthropic_beta"]].concat();
        if let Some(name) = stranger(body, &known) {
            return Err(extra(name));
        }
        let streams = format == Anthropic::Bedrock && !body["stream"].is_null();
        if streams || !body["model"].is_null() {
            return Err(extra(if streams { "stream" } else { "model" }));
        }
        return Ok(heard.model.to_owned());
    }
    version(heard)?;
    if let Some(name) = stranger(body, FIELDS) {
        return Err(extra(name));
    }
    body["model"].as_str().map(str::to_owned).ok_or_else(|| Refusal::invalid("model: Field required"))
}

fn tools(tools: &Value) -> Result<Vec<Tool>, Refusal> {
    let mut read = Vec::new();
    for (index, tool) in items(tools).iter().enumerate() {
        // Tools that Anthropic runs itself have a type and no schema.
        if tool["type"].as_str().is_some_and(|kind| kind != "custom") {
            continue;
        }
        let at = |field: &str, text: &str| Refusal::invalid(format!("tools.{index}.custom.{field}: {text}"));
        let known = [
            "name",
            "description",
            "input_schema",
            "type",
            "cache_control",
            "strict",
            "eager_input_streaming",
            "input_examples",
            "defer_loading",
            "allowed_callers",
        ];
        if let Some(name) = stranger(tool, &known) {
            return Err(at(name, "Extra inputs are not permitted"));
        }
        let Some(name) = tool["name"].as_str() else { return Err(at("name", "Field required")) };
        if name.is_empty() || name.len() > 128 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        {
            return Err(at("name", "String should match pattern '^[a-zA-Z0-9_-]{1,128}$'"));
        }
        let schema = &tool["input_schema"];
        if schema.is_null() {
            return Err(at("input_schema", "Field required"));
        }
        if schema["type"] != "object" {
            let text = if schema["type"].is_null() { "Field required" } else { "Input should be 'object'" };
            return Err(at("input_schema.type", text));
        }
        read.push(Tool { name: name.to_owned(), schema: schema.clone() });
    }
    Ok(read)
}

fn choice(body: &Value, tools: &[Tool]) -> Result<Choice, Refusal> {
    let choice = &body["tool_choice"];
    if choice.is_null() {
        return Ok(Choice::Auto);
    }
    if items(&body["tools"]).is_empty() {
        return Err(Refusal::invalid("tool_choice: tool_choice may only be specified while providing tools"));
    }
    match choice["type"].as_str() {
        Some("auto") => Ok(Choice::Auto),
        Some("any") => Ok(Choice::Any),
        Some("none") => Ok(Choice::None),
        Some("tool") => {
            let name = choice["name"].as_str().unwrap_or("");
            if !tools.iter().any(|tool| tool.name == name) {
                return Err(Refusal::invalid(format!("Tool '{name}' not found in provided tools")));
            }
            Ok(Choice::Named(name.to_owned()))
        }
        _ => Err(Refusal::invalid(
            "tool_choice: Input tag found using 'type' does not match any of the expected tags: 'auto', 'any', 'tool', 'none'",
        )),
    }
}

/// Whether the model is to think.
fn thinking(body: &Value, bound: u64, choice: &Choice) -> Result<bool, Refusal> {
    let thinking = &body["thinking"];
    match thinking["type"].as_str() {
        None if thinking.is_null() => return Ok(false),
        Some("disabled") => return Ok(false),
        Some("adaptive") => {}
        Some("enabled") => {
            let Some(budget) = thinking["budget_tokens"].as_u64() else {
                return Err(Refusal::invalid("thinking.enabled.budget_tokens: Field required"));
            };
            if budget < LEAST_BUDGET {
                let text = "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024";
                return Err(Refusal::invalid(text));
            }
            if budget >= bound {
                return Err(Refusal::invalid("`max_tokens` must be greater than `thinking.budget_tokens`."));
            }
        }
        _ => {
            return Err(Refusal::invalid(
                "thinking: Input tag found using 'type' does not match any of the expected tags: 'adaptive', 'disabled', 'enabled'",
            ));
        }
    }
    if matches!(choice, Choice::Any | Choice::Named(_)) {
        return Err(Refusal::invalid("Thinking may not be enabled when tool_choice forces tool use."));
    }
    Ok(true)
}

fn numbers(body: &Value, thinks: bool) -> Result<(), Refusal> {
    for (name, most) in [("temperature", 1.0), ("top_p", 1.0)] {
        if body[name].as_f64().is_some_and(|value| !(0.0..=most).contains(&value)) {
            return Err(Refusal::invalid(format!("{name}: range: 0..1")));
        }
    }
    if thinks && body["temperature"].as_f64().is_some_and(|value| value < 1.0) {
        return Err(Refusal::invalid("`temperature` may only be set to 1 when thinking is enabled."));
    }
    if thinks && !body["top_k"].is_null() {
        return Err(Refusal::invalid("`top_k` must be unset when thinking is enabled."));
    }
    for stop in items(&body["stop_sequences"]) {
        if stop.as_str().is_none_or(|text| text.trim().is_empty()) {
            return Err(Refusal::invalid("stop_sequences: each stop sequence must contain non-whitespace"));
        }
    }
    if let Some(name) = stranger(&body["metadata"], &["user_id"]) {
        return Err(Refusal::invalid(format!("metadata.{name}: Extra inputs are not permitted")));
    }
    Ok(())
}

fn shape(body: &Value) -> Shape {
    let formats = [&body["output_config"]["format"], &body["output_format"]];
    let schema = formats.into_iter().find(|format| format["type"] == "json_schema");
    schema.map_or(Shape::Text, |format| Shape::Schema(format["schema"].clone()))
}
