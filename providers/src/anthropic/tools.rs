//! Tools, the choice among them, and JSON answers where they are made by a tool.

use serde_json::{Map, Value, json};

use super::blocks::cache_control;
use crate::adapter::TranslateError;
use crate::hub::{ChatRequest, JSON_TOOL, ToolChoice, WebSearch, by_tool, called, json_tool, parsed};

/// Writes `tools` and `tool_choice`.
pub(super) fn write(
    request: &ChatRequest<'_>,
    schemas: bool,
    body: &mut Map<String, Value>,
) -> Result<(), TranslateError> {
    let mut tools = Vec::with_capacity(request.tools.len());
    for (index, tool) in request.tools.iter().enumerate() {
        let schema = match tool.parameters {
            Some(raw) => parsed(raw, &format!("tools[{index}].function.parameters"))?,
            None => json!({"type": "object", "properties": {}}),
        };
        let mut wire = json!({"name": tool.name, "input_schema": schema});
        if let Some(description) = &tool.description {
            wire["description"] = description.as_ref().into();
        }
        if tool.strict == Some(true) && schemas {
            wire["strict"] = true.into();
        }
        if let Some(mark) = &tool.cache {
            wire["cache_control"] = cache_control(mark);
        }
        tools.push(wire);
    }
    tools.extend(request.web_search.as_ref().map(web_search));
    let by_tool = by_tool(&request.format, schemas);
    let mut choice = choice(request, by_tool);
    if by_tool {
        let (description, schema) = json_tool(&request.format)?;
        tools.push(json!({"name": JSON_TOOL, "description": description, "input_schema": schema}));
    }
    if tools.is_empty() {
        // Without definitions the API takes no conversation in which tools were called.
        tools = earlier(request);
        choice = (!tools.is_empty()).then(|| json!({"type": "none"}));
    }
    if !tools.is_empty() {
        body.insert("tools".to_owned(), tools.into());
    }
    if let Some(choice) = choice {
        body.insert("tool_choice".to_owned(), choice);
    }
    Ok(())
}

/// The choice; `by_tool` says that answers are made by the JSON tool.
pub(crate) fn choice(request: &ChatRequest<'_>, by_tool: bool) -> Option<Value> {
    let single = request.single_tool();
    let none = request.tool_choice == Some(ToolChoice::None);
    let alone = none || (request.tools.is_empty() && request.web_search.is_none());
    let mut choice = match request.tool_choice.as_ref().filter(|_| !request.tools.is_empty()) {
        _ if by_tool && alone => json!({"type": "tool", "name": JSON_TOOL}),
        Some(ToolChoice::Named(name)) => json!({"type": "tool", "name": name}),
        // The model calls the client's tools or answers, but does not chat.
        _ if by_tool => json!({"type": "any"}),
        None if !single => return None,
        None | Some(ToolChoice::Auto) => json!({"type": "auto"}),
        Some(ToolChoice::None) => return Some(json!({"type": "none"})),
        Some(ToolChoice::Required) => json!({"type": "any"}),
    };
    if single {
        choice["disable_parallel_tool_use"] = true.into();
    }
    Some(choice)
}

/// The search that the API does itself.
fn web_search(search: &WebSearch) -> Value {
    let mut tool = json!({"type": "web_search_20250305", "name": "web_search"});
    if let Some(location) = &search.location {
        tool["user_location"] = json!({"type": "approximate"});
        for (name, value) in location {
            tool["user_location"][name] = value.clone();
        }
    }
    tool
}

/// The tools that the conversation has called, as far as they can be told.
fn earlier(request: &ChatRequest<'_>) -> Vec<Value> {
    called(request).into_iter().map(|name| json!({"name": name, "input_schema": {"type": "object"}})).collect()
}
