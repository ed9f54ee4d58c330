//! A request of another API as the body of `/chat/completions`.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::adapter::Quirks;
use super::turns;
use crate::adapter::Target;
use crate::hub::{ChatRequest, Effort, Format, Reasoning, Tool, ToolChoice};

/// The body.
pub(super) fn body(request: &ChatRequest<'_>, stream: bool, target: &Target, quirks: Quirks) -> Value {
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            body.insert(name.to_owned(), value);
        }
    };
    put("model", target.model.as_str().into());
    put("messages", turns::messages(&request.messages).into());
    put(if quirks.max_tokens { "max_tokens" } else { "max_completion_tokens" }, json!(request.max_output));
    if stream {
        put("stream", true.into());
        if quirks.stream_options {
            put("stream_options", json!({"include_usage": true}));
        }
    }
    if !request.tools.is_empty() {
        put("tools", request.tools.iter().map(tool).collect());
        put("tool_choice", request.tool_choice.as_ref().map_or(Value::Null, choice));
        put("parallel_tool_calls", json!(request.parallel_tools));
    }
    put("response_format", format(&request.format));
    let sampling = &request.sampling;
    put("temperature", json!(sampling.temperature));
    put("top_p", json!(sampling.top_p));
    put("top_k", json!(sampling.top_k));
    if !sampling.stop.is_empty() {
        put("stop", json!(sampling.stop));
    }
    put("reasoning_effort", effort(&request.reasoning, &target.model).map_or(Value::Null, Value::from));
    // Longer names of users are refused; they are the client's own, and of no use to a provider.
    put("user", json!(request.user.as_ref().filter(|user| user.len() <= LONGEST_USER)));
    put("metadata", request.metadata.map_or(Value::Null, parsed));
    put("service_tier", json!(request.service_tier));
    Value::Object(body)
}

const LONGEST_USER: usize = 64;

fn parsed(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap_or(Value::Null)
}

fn tool(tool: &Tool<'_>) -> Value {
    let mut function = json!({"name": tool.name});
    if let Some(description) = &tool.description {
        function["description"] = json!(description);
    }
    function["parameters"] = tool.parameters.map_or_else(|| json!({"type": "object", "properties": {}}), parsed);
    if let Some(strict) = tool.strict {
        function["strict"] = strict.into();
    }
    json!({"type": "function", "function": function})
}

fn choice(choice: &ToolChoice<'_>) -> Value {
    match choice {
        ToolChoice::None => "none".into(),
        ToolChoice::Auto => "auto".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Named(name) => json!({"type": "function", "function": {"name": name}}),
    }
}

fn format(format: &Format<'_>) -> Value {
    match format {
        Format::Text => Value::Null,
        Format::JsonObject => json!({"type": "json_object"}),
        Format::JsonSchema(schema) => {
            let mut form = json!({"name": schema.name, "strict": schema.strict});
            if let Some(description) = &schema.description {
                form["description"] = json!(description);
            }
            if let Some(raw) = schema.schema {
                form["schema"] = parsed(raw);
            }
            json!({"type": "json_schema", "json_schema": form})
        }
    }
}

/// An effort that was asked for goes on. A budget of thinking is Anthropic's way, and sent by clients that do not know
/// who answers: only models that are known to think are told.
fn effort(asked: &Reasoning, model: &str) -> Option<&'static str> {
    if asked.thinking == Some(false) {
        return None;
    }
    let named = asked.effort.map(|effort| match effort {
        Effort::None => "none",
        Effort::Minimal => "minimal",
        Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::Xhigh => "xhigh",
    });
    if asked.thinking.is_none() {
        return named;
    }
    let budget = asked.budget.unwrap_or_else(|| Effort::Medium.budget());
    let by_budget = match budget {
        0..=2048 => "low",
        2049..=8192 => "medium",
        _ => "high",
    };
    thinks(model).then(|| named.unwrap_or(by_budget))
}

fn thinks(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    let o_series = name.strip_prefix('o').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    o_series || name.starts_with("gpt-5") || name.starts_with("gpt-oss")
}
