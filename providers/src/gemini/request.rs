//! A chat request as the body of `generateContent`.

use serde_json::{Map, Value, json};

use super::contents::{self, Style};
use super::generation::Generation;
use crate::adapter::{TranslateError, Unsupported};
use crate::call::{Call, Field};
use crate::hub::{ChatRequest, Effort, Format, JSON_TOOL, ToolChoice, called, json_tool, parsed};

/// The least budget of thoughts of models that cannot do without.
const LEAST_BUDGET: u64 = 128;

/// Before Gemini 3 an answer is JSON or calls tools, not either: beside tools the answer is made
/// by one more of them.
pub(super) fn json_by_tool(call: &Call, model: &str) -> bool {
    let raw = call.raw(Field::ResponseFormat).and_then(|text| serde_json::from_str(text).ok());
    let tools = call.raw(Field::Tools).is_some_and(|tools| tools.contains('{'));
    tools && Format::read(raw).is_ok_and(|format| format.is_json()) && !Generation::of(model).levels()
}

fn by_tool(request: &ChatRequest<'_>, generation: Generation) -> bool {
    request.format.is_json() && !request.tools.is_empty() && !generation.levels()
}

/// The body.
pub(super) fn body(request: &ChatRequest<'_>, model: &str, ids: bool) -> Result<Value, TranslateError> {
    let style = Style { generation: Generation::of(model), ids };
    let mut body = Map::new();
    let (system, contents) = contents::conversation(request, style)?;
    if !system.is_empty() {
        body.insert("systemInstruction".to_owned(), json!({"parts": system}));
    }
    body.insert("contents".to_owned(), contents.into());
    tools(request, style.generation, &mut body)?;
    let mut config = sampling(request);
    if !by_tool(request, style.generation) {
        format(&request.format, &mut config)?;
    }
    if let Some(thinking) = thinking(request, model, style.generation) {
        config.insert("thinkingConfig".to_owned(), thinking);
    }
    if !config.is_empty() {
        body.insert("generationConfig".to_owned(), config.into());
    }
    Ok(body.into())
}

fn tools(
    request: &ChatRequest<'_>,
    generation: Generation,
    body: &mut Map<String, Value>,
) -> Result<(), TranslateError> {
    if let Some(search) = &request.web_search {
        // The API searches or calls functions; before Gemini 3 it searches or answers in JSON.
        if !request.tools.is_empty() || (request.format.is_json() && !generation.levels()) {
            let text = format!("`{}`: this provider cannot search the web beside tools or JSON answers", search.field);
            return Err(Unsupported::field(search.field.as_str(), text).into());
        }
        body.insert("tools".to_owned(), json!([{"googleSearch": {}}]));
        return Ok(());
    }
    let by_tool = by_tool(request, generation);
    let mut functions = Vec::with_capacity(request.tools.len());
    for (index, tool) in request.tools.iter().enumerate() {
        let mut function = json!({"name": tool.name});
        if let Some(description) = &tool.description {
            function["description"] = description.as_ref().into();
        }
        if let Some(raw) = tool.parameters {
            function["parametersJsonSchema"] = parsed(raw, &format!("tools[{index}].function.parameters"))?;
        }
        functions.push(function);
    }
    let mut choice = request.tool_choice.clone();
    if by_tool {
        let (description, schema) = json_tool(&request.format)?;
        functions.push(json!({"name": JSON_TOOL, "description": description, "parametersJsonSchema": schema}));
        choice = match choice {
            Some(ToolChoice::None) => Some(ToolChoice::Named(JSON_TOOL.into())),
            Some(ToolChoice::Named(name)) => Some(ToolChoice::Named(name)),
            _ => Some(ToolChoice::Required),
        };
    }
    if functions.is_empty() {
        functions = called(request).into_iter().map(|name| json!({"name": name})).collect();
        choice = Some(ToolChoice::None);
    }
    if functions.is_empty() {
        return Ok(());
    }
    body.insert("tools".to_owned(), json!([{"functionDeclarations": functions}]));
    let config = match choice {
        None => return Ok(()),
        Some(ToolChoice::Auto) => json!({"mode": "AUTO"}),
        Some(ToolChoice::None) => json!({"mode": "NONE"}),
        Some(ToolChoice::Required) => json!({"mode": "ANY"}),
        Some(ToolChoice::Named(name)) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
    };
    body.insert("toolConfig".to_owned(), json!({"functionCallingConfig": config}));
    Ok(())
}

fn sampling(request: &ChatRequest<'_>) -> Map<String, Value> {
    let sampling = &request.sampling;
    let mut config = Map::new();
    let fields: [(&str, Option<Value>); 9] = [
        ("temperature", sampling.temperature.map(Value::from)),
        ("topP", sampling.top_p.map(Value::from)),
        ("topK", sampling.top_k.map(Value::from)),
        ("seed", sampling.seed.map(Value::from)),
        ("maxOutputTokens", request.max_output.map(Value::from)),
        ("candidateCount", (sampling.n > 1).then(|| sampling.n.into())),
        ("presencePenalty", sampling.presence_penalty.map(Value::from)),
        ("frequencyPenalty", sampling.frequency_penalty.map(Value::from)),
        ("stopSequences", (!sampling.stop.is_empty()).then(|| json!(sampling.stop))),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            config.insert(name.to_owned(), value);
        }
    }
    config
}

fn format(format: &Format<'_>, config: &mut Map<String, Value>) -> Result<(), TranslateError> {
    if format.is_json() {
        config.insert("responseMimeType".to_owned(), "application/json".into());
    }
    if let Format::JsonSchema(schema) = format
        && let Some(raw) = schema.schema
    {
        let schema = parsed(raw, "response_format.json_schema.schema")?;
        config.insert("responseJsonSchema".to_owned(), schema);
    }
    Ok(())
}

fn thinking(request: &ChatRequest<'_>, model: &str, generation: Generation) -> Option<Value> {
    let asked = &request.reasoning;
    let off = asked.thinking == Some(false) || asked.effort == Some(Effort::None);
    if !off && !asked.wanted() {
        return None;
    }
    if generation.budgets() {
        let budget = match (off, asked.budget) {
            (true, _) if model.contains("pro") => LEAST_BUDGET,
            (true, _) => 0,
            (false, Some(budget)) => budget,
            (false, None) => asked.effort.unwrap_or(Effort::Medium).budget(),
        };
        return Some(json!({"thinkingBudget": budget, "includeThoughts": !off}));
    }
    if !generation.levels() {
        return None;
    }
    let effort = asked.effort.unwrap_or(if off { Effort::None } else { Effort::High });
    let level = match effort {
        Effort::None | Effort::Minimal if model.contains("flash") => "minimal",
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High | Effort::Xhigh => "high",
    };
    Some(json!({"thinkingLevel": level, "includeThoughts": !off}))
}
