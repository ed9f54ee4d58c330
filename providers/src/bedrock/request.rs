//! A chat request as the body of Converse.

use serde_json::{Map, Value, json};

use super::content;
use crate::adapter::{Target, TranslateError, Unsupported};
use crate::anthropic::{self, Generation};
use crate::hub::{ChatRequest, Effort, Format, JSON_TOOL, ToolChoice, by_tool, called, json_tool, legal, parsed};

/// Whether Converse holds a model's answers and arguments to a schema (`outputConfig`).
pub(super) fn schemas(model: &str) -> bool {
    Family::of(model) == Family::Claude && Generation::of(model).schemas_on_bedrock()
}

/// The families whose own parameters are known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Claude,
    Nova,
    GptOss,
    Other,
}

impl Family {
    /// Of a model id, an inference profile or an ARN.
    pub(super) fn of(model: &str) -> Self {
        if model.contains("claude") {
            Self::Claude
        } else if model.contains("nova") {
            Self::Nova
        } else if model.contains("gpt-oss") {
            Self::GptOss
        } else {
            Self::Other
        }
    }
}

/// The body.
pub(super) fn body(request: &ChatRequest<'_>, target: &Target) -> Result<Value, TranslateError> {
    let family = Family::of(&target.model);
    let mut body = Map::new();
    let (system, messages) = content::conversation(request, family == Family::Claude)?;
    body.insert("messages".to_owned(), messages.into());
    if !system.is_empty() {
        body.insert("system".to_owned(), system.into());
    }
    let known = (target.max_output > 0).then_some(target.max_output);
    let max_tokens = request.max_output.or(known);
    let inference = inference(request, family, max_tokens)?;
    if !inference.is_empty() {
        body.insert("inferenceConfig".to_owned(), inference.into());
    }
    let schemas = schemas(&target.model);
    if let Some(form) = output(&request.format, schemas) {
        body.insert("outputConfig".to_owned(), form);
    }
    if let Some(tools) = tools(request, family, schemas)? {
        body.insert("toolConfig".to_owned(), tools);
    }
    let extra = extra(request, target, family, max_tokens);
    if !extra.is_empty() {
        body.insert("additionalModelRequestFields".to_owned(), extra.into());
    }
    if let Some(labels) = request.metadata.and_then(|raw| serde_json::from_str::<Map<String, Value>>(raw.get()).ok())
        && !labels.is_empty()
        && labels.values().all(Value::is_string)
    {
        body.insert("requestMetadata".to_owned(), labels.into());
    }
    if let Some(tier @ ("flex" | "priority")) = request.service_tier.as_deref() {
        body.insert("serviceTier".to_owned(), json!({"type": tier}));
    }
    Ok(body.into())
}

fn inference(
    request: &ChatRequest<'_>,
    family: Family,
    max_tokens: Option<u64>,
) -> Result<Map<String, Value>, TranslateError> {
    let sampling = &request.sampling;
    if let Some(temperature) = sampling.temperature.filter(|temperature| *temperature > 1.0 && family != Family::GptOss)
    {
        let text = format!("`temperature` is {temperature}: this provider takes 0 to 1");
        return Err(Unsupported::field("temperature", text).into());
    }
    let fields: [(&str, Option<Value>); 4] = [
        ("maxTokens", max_tokens.map(Value::from)),
        ("temperature", sampling.temperature.map(Value::from)),
        ("topP", sampling.top_p.map(Value::from)),
        ("stopSequences", (!sampling.stop.is_empty()).then(|| json!(sampling.stop))),
    ];
    let set = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Ok(set.collect())
}

/// The form that the model's text is held to.
fn output(format: &Format<'_>, schemas: bool) -> Option<Value> {
    let Format::JsonSchema(schema) = format else { return None };
    let raw = schema.schema.filter(|_| !by_tool(format, schemas))?;
    let mut form = json!({"name": legal(&schema.name), "schema": raw.get()});
    if let Some(description) = &schema.description {
        form["description"] = description.as_ref().into();
    }
    Some(json!({"textFormat": {"type": "json_schema", "structure": {"jsonSchema": form}}}))
}

fn tools(request: &ChatRequest<'_>, family: Family, schemas: bool) -> Result<Option<Value>, TranslateError> {
    let spec = |name: &str, description: Option<&str>, schema: Value| {
        let mut spec = json!({"name": name, "inputSchema": {"json": schema}});
        if let Some(description) = description.filter(|description| !description.is_empty()) {
            spec["description"] = description.into();
        }
        json!({"toolSpec": spec})
    };
    let earlier = called(request);
    let by_tool = by_tool(&request.format, schemas);
    let none = request.tool_choice == Some(ToolChoice::None);
    let mut tools = Vec::with_capacity(request.tools.len());
    // There is no choice of none: the tools are left out, unless the conversation has called some.
    if !none || !earlier.is_empty() {
        for (index, tool) in request.tools.iter().enumerate() {
            let schema = match tool.parameters {
                Some(raw) => parsed(raw, &format!("tools[{index}].function.parameters"))?,
                None => json!({"type": "object", "properties": {}}),
            };
            let mut spec = spec(&tool.name, tool.description.as_deref(), schema);
            if tool.strict == Some(true) && schemas {
                spec["toolSpec"]["strict"] = true.into();
            }
            tools.push(spec);
            tools.extend(tool.cache.as_ref().map(content::cache_point));
        }
    }
    let mut choice = match &request.tool_choice {
        _ if tools.is_empty() => None,
        None | Some(ToolChoice::None) => None,
        Some(ToolChoice::Auto) => Some(json!({"auto": {}})),
        Some(ToolChoice::Required) => Some(json!({"any": {}})),
        Some(ToolChoice::Named(name)) => Some(json!({"tool": {"name": name}})),
    };
    if by_tool {
        let (description, schema) = json_tool(&request.format)?;
        let alone = tools.is_empty() || none;
        tools.push(spec(JSON_TOOL, Some(&description), schema));
        let named = choice.filter(|choice| choice.get("tool").is_some());
        choice = named.or(Some(if alone { json!({"tool": {"name": JSON_TOOL}}) } else { json!({"any": {}}) }));
    }
    if tools.is_empty() {
        // Without definitions the API takes no conversation in which tools were called.
        tools.extend(earlier.into_iter().map(|name| spec(name, None, json!({"type": "object"}))));
    }
    let config = (!tools.is_empty()).then(|| match choice.filter(|_| !by_model(request, family)) {
        Some(choice) => json!({"tools": tools, "toolChoice": choice}),
        None => json!({"tools": tools}),
    });
    Ok(config)
}

/// Whether the choice among tools is told to the model in its own words: Converse cannot say that one call is enough,
/// and takes no two choices.
fn by_model(request: &ChatRequest<'_>, family: Family) -> bool {
    family == Family::Claude && request.single_tool()
}

/// What only some models know.
fn extra(request: &ChatRequest<'_>, target: &Target, family: Family, max_tokens: Option<u64>) -> Map<String, Value> {
    let mut extra = Map::new();
    match family {
        Family::Claude => {
            if let Some(top_k) = request.sampling.top_k {
                extra.insert("top_k".to_owned(), top_k.into());
            }
            let schemas = schemas(&target.model);
            if by_model(request, family) {
                let choice = anthropic::choice(request, by_tool(&request.format, schemas));
                extra.extend(choice.map(|choice| ("tool_choice".to_owned(), choice)));
            }
            let (generation, mut output) = (Generation::of(&target.model), Map::new());
            let bound = max_tokens.unwrap_or(u64::MAX);
            if let Some(thinking) = anthropic::thinking(request, (generation, schemas), bound, &mut output) {
                extra.insert("thinking".to_owned(), thinking);
                if !output.is_empty() {
                    extra.insert("output_config".to_owned(), output.into());
                }
            }
        }
        Family::Nova => {
            if let Some(top_k) = request.sampling.top_k {
                extra.insert("inferenceConfig".to_owned(), json!({"topK": top_k}));
            }
            if let Some(effort) = request.reasoning.effort.filter(|_| request.reasoning.wanted()) {
                let config = json!({"type": "enabled", "maxReasoningEffort": effort_name(effort)});
                extra.insert("reasoningConfig".to_owned(), config);
            }
        }
        Family::GptOss => {
            if let Some(effort) = request.reasoning.effort {
                extra.insert("reasoning_effort".to_owned(), effort_name(effort).into());
            }
        }
        Family::Other => {}
    }
    extra
}

fn effort_name(effort: Effort) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High | Effort::Xhigh => "high",
    }
}
