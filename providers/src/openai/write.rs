//! A request of a client that speaks another API, as a chat completions request.

use serde_json::{Map, Value, json};

use super::adapter::Quirks;
use super::turns;
use crate::adapter::{Target, TranslateError};
use crate::call::Call;
use crate::hub::{ChatRequest, Effort, Format, Tool, ToolChoice, parsed};

/// The body.
pub(super) fn body(
    request: &ChatRequest<'_>,
    call: &Call,
    target: &Target,
    quirks: Quirks,
) -> Result<Value, TranslateError> {
    let mut body = Map::new();
    body.insert("model".to_owned(), target.model.as_str().into());
    body.insert("messages".to_owned(), turns::messages(&request.messages).into());
    if call.stream {
        body.insert("stream".to_owned(), true.into());
        if quirks.stream_options {
            body.insert("stream_options".to_owned(), json!({"include_usage": true}));
        }
    }
    let bound = if quirks.max_tokens { "max_tokens" } else { "max_completion_tokens" };
    let sampling = &request.sampling;
    let fields: [(&str, Option<Value>); 15] = [
        (bound, request.max_output.map(Value::from)),
        ("temperature", sampling.temperature.map(Value::from)),
        ("top_p", sampling.top_p.map(Value::from)),
        ("top_k", sampling.top_k.map(Value::from)),
        ("seed", sampling.seed.map(Value::from)),
        ("frequency_penalty", sampling.frequency_penalty.map(Value::from)),
        ("presence_penalty", sampling.presence_penalty.map(Value::from)),
        ("n", (sampling.n > 1).then(|| sampling.n.into())),
        ("logprobs", sampling.logprobs.then(|| true.into())),
        ("top_logprobs", sampling.top_logprobs.map(Value::from)),
        ("stop", (!sampling.stop.is_empty()).then(|| json!(sampling.stop))),
        ("reasoning_effort", effort(request, target).map(Value::from)),
        // Longer names are refused; they are the client's own, and of no use to a provider.
        ("user", request.user.as_deref().filter(|user| user.len() <= LONGEST_USER).map(Value::from)),
        ("service_tier", request.service_tier.as_deref().map(Value::from)),
        ("response_format", format(&request.format)?),
    ];
    body.extend(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    if let Some(raw) = sampling.logit_bias {
        body.insert("logit_bias".to_owned(), parsed(raw, "logit_bias")?);
    }
    if let Some(raw) = request.metadata {
        body.insert("metadata".to_owned(), parsed(raw, "metadata")?);
    }
    if let Some(search) = &request.web_search {
        let location = search.location.as_ref();
        let options = location.map_or_else(
            || json!({}),
            |location| json!({"user_location": {"type": "approximate", "approximate": location}}),
        );
        body.insert("web_search_options".to_owned(), options);
    }
    tools(request, &mut body)?;
    Ok(body.into())
}

const LONGEST_USER: usize = 64;

fn tools(request: &ChatRequest<'_>, body: &mut Map<String, Value>) -> Result<(), TranslateError> {
    if request.tools.is_empty() {
        return Ok(());
    }
    let tools: Result<Vec<Value>, TranslateError> =
        request.tools.iter().enumerate().map(|(index, tool)| self::tool(tool, index)).collect();
    body.insert("tools".to_owned(), tools?.into());
    let choice = request.tool_choice.as_ref().map(|choice| match choice {
        ToolChoice::None => json!("none"),
        ToolChoice::Auto => json!("auto"),
        ToolChoice::Required => json!("required"),
        ToolChoice::Named(name) => json!({"type": "function", "function": {"name": name}}),
    });
    body.extend(choice.map(|choice| ("tool_choice".to_owned(), choice)));
    body.extend(request.parallel_tools.map(|parallel| ("parallel_tool_calls".to_owned(), parallel.into())));
    Ok(())
}

fn tool(tool: &Tool<'_>, index: usize) -> Result<Value, TranslateError> {
    let mut function = json!({"name": tool.name});
    if let Some(description) = &tool.description {
        function["description"] = description.as_ref().into();
    }
    if let Some(raw) = tool.parameters {
        function["parameters"] = parsed(raw, &format!("tools[{index}]"))?;
    }
    if let Some(strict) = tool.strict {
        function["strict"] = strict.into();
    }
    Ok(json!({"type": "function", "function": function}))
}

fn format(format: &Format<'_>) -> Result<Option<Value>, TranslateError> {
    Ok(match format {
        Format::Text => None,
        Format::JsonObject => Some(json!({"type": "json_object"})),
        Format::JsonSchema(schema) => {
            let mut wire = json!({"name": schema.name, "strict": schema.strict});
            if let Some(description) = &schema.description {
                wire["description"] = description.as_ref().into();
            }
            if let Some(raw) = schema.schema {
                wire["schema"] = parsed(raw, "response_format.json_schema.schema")?;
            }
            Some(json!({"type": "json_schema", "json_schema": wire}))
        }
    })
}

/// The effort, also where a budget was given. Models before reasoning know the field not.
fn effort(request: &ChatRequest<'_>, target: &Target) -> Option<&'static str> {
    if ["gpt-3", "gpt-4", "chatgpt"].iter().any(|old| target.model.starts_with(old)) {
        return None;
    }
    let asked = &request.reasoning;
    // A budget is Anthropic's way, and sent by clients that do not know who answers: only models
    // that are known to think are told.
    let effort = asked.effort.filter(|_| asked.thinking.is_none() || thinks(&target.model)).or_else(|| {
        let budget = asked.budget.filter(|_| asked.wanted() && thinks(&target.model))?;
        Some(match budget {
            0..=2048 => Effort::Low,
            2049..=8192 => Effort::Medium,
            _ => Effort::High,
        })
    });
    Some(match effort? {
        Effort::None => "none",
        Effort::Minimal => "minimal",
        Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::Xhigh => "xhigh",
    })
}

fn thinks(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    let o_series = name.strip_prefix('o').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    o_series || name.starts_with("gpt-5") || name.starts_with("gpt-oss")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::call::Endpoint;

    /// What is written is what was read, but for what has no place in the API.
    #[test]
    fn a_chat_request_survives_the_hub() {
        let body = json!({
            "model": "m",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "name": "ann", "content": [
                    {"type": "text", "text": "Look:"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
                    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                ]},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                ]},
                {"role": "tool", "tool_call_id": "call_1", "content": "18"},
            ],
            "stream": true,
            "stream_options": {"include_usage": true},
            "max_completion_tokens": 5,
            "temperature": 0.5,
            "stop": ["a", "b"],
            "reasoning_effort": "low",
            "user": "u",
            "response_format": {"type": "json_schema", "json_schema": {"name": "p", "strict": true, "schema": {"type": "object"}}},
            "metadata": {"a": "b"},
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "parallel_tool_calls": false,
        });
        let call = Call::parse(Endpoint::ChatCompletions, Bytes::from(body.to_string())).unwrap();
        let target = Target { model: "m".to_owned(), ..Target::default() };
        let written =
            self::body(&ChatRequest::of(&call).unwrap(), &call, &target, crate::openai::kinds::PLAIN).unwrap();
        assert_eq!(written, body);
    }
}
