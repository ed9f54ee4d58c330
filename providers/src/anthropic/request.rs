//! A chat request as the body of `/v1/messages`.

use serde_json::{Map, Value, json};

use super::generation::Generation;
use super::{blocks, tools};
use crate::adapter::{Target, TranslateError, Unsupported};
use crate::hub::{ChatRequest, Effort, Format, Part, Role, ToolChoice, by_tool, parsed};

/// The bound of an answer where neither the client nor the catalog knows one.
const BOUND: u64 = 4096;
/// The least budget of thinking the API takes.
const LEAST_BUDGET: u64 = 1024;

/// The body without `model` and `stream`, which Vertex has no place for. `schemas` says that answers can be held to
/// one.
pub(crate) fn body(
    request: &ChatRequest<'_>,
    target: &Target,
    schemas: bool,
) -> Result<Map<String, Value>, TranslateError> {
    let generation = Generation::of(&target.model);
    let cap = if target.max_output == 0 { BOUND } else { target.max_output };
    let max_tokens = request.max_output.unwrap_or(cap);
    let mut body = Map::new();
    body.insert("max_tokens".to_owned(), max_tokens.into());
    let (system, messages) = blocks::conversation(request)?;
    if !system.is_empty() {
        body.insert("system".to_owned(), system.into());
    }
    body.insert("messages".to_owned(), messages.into());
    tools::write(request, schemas, &mut body)?;
    sampling(request, &mut body)?;
    let mut output = Map::new();
    if let Format::JsonSchema(schema) = &request.format
        && let Some(raw) = schema.schema.filter(|_| !by_tool(&request.format, schemas))
    {
        let schema = parsed(raw, "response_format.json_schema.schema")?;
        output.insert("format".to_owned(), json!({"type": "json_schema", "schema": schema}));
    }
    if let Some(thinking) = thinking(request, (generation, schemas), max_tokens, &mut output) {
        body.insert("thinking".to_owned(), thinking);
    }
    if !output.is_empty() {
        body.insert("output_config".to_owned(), output.into());
    }
    if let Some(user) = &request.user {
        body.insert("metadata".to_owned(), json!({"user_id": user}));
    }
    match request.service_tier.as_deref() {
        Some("auto" | "priority") => body.insert("service_tier".to_owned(), "auto".into()),
        Some("default") => body.insert("service_tier".to_owned(), "standard_only".into()),
        _ => None,
    };
    Ok(body)
}

fn sampling(request: &ChatRequest<'_>, body: &mut Map<String, Value>) -> Result<(), TranslateError> {
    let sampling = &request.sampling;
    if let Some(temperature) = sampling.temperature {
        if temperature > 1.0 {
            let text = format!("`temperature` is {temperature}: this provider takes 0 to 1");
            return Err(Unsupported::field("temperature", text).into());
        }
        body.insert("temperature".to_owned(), temperature.into());
    }
    if let Some(top_p) = sampling.top_p {
        body.insert("top_p".to_owned(), top_p.into());
    }
    if let Some(top_k) = sampling.top_k {
        body.insert("top_k".to_owned(), top_k.into());
    }
    if !sampling.stop.is_empty() {
        body.insert("stop_sequences".to_owned(), json!(sampling.stop));
    }
    Ok(())
}

/// `thinking`, and the effort in `output_config` for models that take one.
pub(crate) fn thinking(
    request: &ChatRequest<'_>,
    (generation, schemas): (Generation, bool),
    max_tokens: u64,
    output: &mut Map<String, Value>,
) -> Option<Value> {
    let asked = &request.reasoning;
    if asked.thinking == Some(false) {
        return Some(json!({"type": "disabled"}));
    }
    // An effort is a hint; a form of the answer is not. The API cannot do both.
    let hint = asked.thinking.is_none() && asked.budget.is_none();
    if !asked.wanted() || (hint && forced(request, schemas)) {
        return None;
    }
    if generation.only_adaptive() || (generation.adaptive() && asked.budget.is_none()) {
        if let Some(effort) = asked.effort {
            output.insert("effort".to_owned(), effort_name(effort, generation).into());
        }
        return Some(if generation.only_adaptive() {
            json!({"type": "adaptive", "display": "summarized"})
        } else {
            json!({"type": "adaptive"})
        });
    }
    let budget = match asked.budget {
        Some(budget) => budget,
        // With a budget the API wants each call of a tool to come with the reasoning before it.
        None if calls_without_reasoning(request) => return None,
        None => asked.effort.unwrap_or(Effort::Medium).budget().min(max_tokens.saturating_sub(1)),
    };
    (budget >= LEAST_BUDGET).then(|| json!({"type": "enabled", "budget_tokens": budget}))
}

fn effort_name(effort: Effort, generation: Generation) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::Xhigh if generation.only_adaptive() => "xhigh",
        Effort::High | Effort::Xhigh => "high",
    }
}

fn forced(request: &ChatRequest<'_>, schemas: bool) -> bool {
    by_tool(&request.format, schemas)
        || matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_)))
}

/// Whether the last turn of the model called tools and its reasoning was not sent back.
fn calls_without_reasoning(request: &ChatRequest<'_>) -> bool {
    let last = request.messages.iter().rfind(|message| message.role == Role::Assistant);
    last.is_some_and(|message| {
        let calls = message.parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
        let reasons = message.parts.iter().any(|part| matches!(part, Part::Thinking { .. } | Part::Redacted(_)));
        calls && !reasons
    })
}
