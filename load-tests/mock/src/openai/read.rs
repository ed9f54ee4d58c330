//! Reads chat and legacy completion requests, and refuses what OpenAI would.

use serde_json::Value;

use super::OpenAi;
use crate::answer::{Asked, Choice, Shape, Tool, words_in};
use crate::format::{Heard, items};
use crate::refusal::Refusal;

const ROLES: [&str; 6] = ["system", "developer", "user", "assistant", "tool", "function"];

pub(super) fn read(format: OpenAi, heard: &Heard<'_>) -> Result<Asked, Refusal> {
    let body = &heard.body;
    let model = if format.azure { heard.model } else { body["model"].as_str().unwrap_or("") };
    let bound = bound(body, model)?;
    if format.chat {
        messages(&body["messages"])?;
    }
    if body["temperature"].as_f64().is_some_and(|value| !(0.0..=2.0).contains(&value)) {
        let message = format!(
            "Invalid 'temperature': decimal out of range. Expected a value between 0 and 2, but got {} instead.",
            body["temperature"]
        );
        return Err(Refusal::invalid(message).param("temperature"));
    }
    let choices = body["n"].as_u64().unwrap_or(1).max(1);
    Ok(Asked {
        behaviour: heard.behaviour.clone(),
        model: model.to_owned(),
        streams: body["stream"] == true,
        choices: usize::try_from(choices).unwrap_or(1),
        bound,
        tools: items(&body["tools"]).iter().map(tool).collect(),
        choice: choice(body)?,
        single: body["parallel_tool_calls"] == false,
        shape: shape(&body["response_format"]),
        thinks: false,
        answers_tools: items(&body["messages"]).last().is_some_and(|last| last["role"] == "tool"),
        words: [&body["messages"], &body["prompt"], &body["input"]].into_iter().map(words_in).sum(),
        body: body.clone(),
    })
}

fn bound(body: &Value, model: &str) -> Result<Option<u64>, Refusal> {
    let reasons = ["o1", "o3", "o4", "gpt-5"].iter().any(|family| model.starts_with(family));
    if reasons && !body["max_tokens"].is_null() {
        let message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
        return Err(Refusal::invalid(message).param("max_tokens"));
    }
    let bounds = ["max_completion_tokens", "max_tokens"].map(|name| (name, &body[name]));
    if let Some((name, value)) = bounds.iter().find(|(_, value)| value.as_i64().is_some_and(|value| value < 1)) {
        let message =
            format!("Invalid '{name}': integer below minimum value. Expected a value >= 1, but got {value} instead.");
        return Err(Refusal::invalid(message).param(name));
    }
    Ok(bounds.iter().find_map(|(_, value)| value.as_u64()))
}

/// Roles are known, and every tool message answers a call of the assistant before it.
fn messages(messages: &Value) -> Result<(), Refusal> {
    let Some(messages) = messages.as_array() else {
        return Err(Refusal::invalid("Missing required parameter: 'messages'.").param("messages"));
    };
    if messages.is_empty() {
        let message =
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.";
        return Err(Refusal::invalid(message).param("messages"));
    }
    let mut open: Vec<&str> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or("");
        if !ROLES.contains(&role) {
            let text = format!(
                "Invalid value: '{role}'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'."
            );
            return Err(Refusal::invalid(text).param(&format!("messages[{index}].role")));
        }
        if role == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or("");
            let Some(at) = open.iter().position(|open| *open == id) else {
                let text = "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.";
                return Err(Refusal::invalid(text).param(&format!("messages.[{index}].role")));
            };
            open.swap_remove(at);
            continue;
        }
        unanswered(&open, index)?;
        open = items(&message["tool_calls"]).iter().filter_map(|call| call["id"].as_str()).collect();
    }
    unanswered(&open, messages.len())
}

fn unanswered(open: &[&str], index: usize) -> Result<(), Refusal> {
    if open.is_empty() {
        return Ok(());
    }
    let text = format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. \
         The following tool_call_ids did not have response messages: {}",
        open.join(", ")
    );
    Err(Refusal::invalid(text).param(&format!("messages.[{}].role", index.saturating_sub(1))))
}

fn tool(tool: &Value) -> Tool {
    // Responses has the function's fields beside its type.
    let function = if tool["function"].is_object() { &tool["function"] } else { tool };
    Tool { name: function["name"].as_str().unwrap_or("").to_owned(), schema: function["parameters"].clone() }
}

pub(super) fn tools(tools: &Value) -> Vec<Tool> {
    items(tools).iter().map(tool).filter(|tool| !tool.name.is_empty()).collect()
}

pub(super) fn choice(body: &Value) -> Result<Choice, Refusal> {
    let asked = &body["tool_choice"];
    if !asked.is_null() && items(&body["tools"]).is_empty() && *asked != "none" {
        let message = "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.";
        return Err(Refusal::invalid(message).param("tool_choice"));
    }
    Ok(match asked {
        Value::String(text) if text == "none" => Choice::None,
        Value::String(text) if text == "required" => Choice::Any,
        Value::Object(_) => {
            let name = asked["function"]["name"].as_str().or_else(|| asked["name"].as_str());
            name.map_or(Choice::Auto, |name| Choice::Named(name.to_owned()))
        }
        _ => Choice::Auto,
    })
}

fn shape(format: &Value) -> Shape {
    match format["type"].as_str() {
        Some("json_object") => Shape::Object,
        Some("json_schema") => Shape::Schema(format["json_schema"]["schema"].clone()),
        _ => Shape::Text,
    }
}
