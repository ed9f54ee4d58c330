//! A request of a client that speaks another API, as a chat completions request.

use serde_json::{Map, Value, json};

use super::adapter::Quirks;
use crate::adapter::{Target, TranslateError};
use crate::call::Call;
use crate::hub::{ChatRequest, Effort, Format, Media, Message, Part, Role, Tool, ToolChoice, parsed};

/// The body.
pub(super) fn body(
    request: &ChatRequest<'_>,
    call: &Call,
    target: &Target,
    quirks: Quirks,
) -> Result<Value, TranslateError> {
    let mut body = Map::new();
    body.insert("model".to_owned(), target.model.as_str().into());
    let messages: Vec<Value> = request.messages.iter().flat_map(messages).collect();
    body.insert("messages".to_owned(), messages.into());
    if call.stream {
        body.insert("stream".to_owned(), true.into());
        if quirks.stream_options {
            body.insert("stream_options".to_owned(), json!({"include_usage": true}));
        }
    }
    let bound = if quirks.max_tokens { "max_tokens" } else { "max_completion_tokens" };
    let sampling = &request.sampling;
    let fields: [(&str, Option<Value>); 14] = [
        (bound, request.max_output.map(Value::from)),
        ("temperature", sampling.temperature.map(Value::from)),
        ("top_p", sampling.top_p.map(Value::from)),
        ("seed", sampling.seed.map(Value::from)),
        ("frequency_penalty", sampling.frequency_penalty.map(Value::from)),
        ("presence_penalty", sampling.presence_penalty.map(Value::from)),
        ("n", (sampling.n > 1).then(|| sampling.n.into())),
        ("logprobs", sampling.logprobs.then(|| true.into())),
        ("top_logprobs", sampling.top_logprobs.map(Value::from)),
        ("stop", (!sampling.stop.is_empty()).then(|| json!(sampling.stop))),
        ("reasoning_effort", effort(request, target).map(Value::from)),
        ("user", request.user.as_deref().map(Value::from)),
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
    tools(request, &mut body)?;
    Ok(body.into())
}

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
    let effort = request.reasoning.effort.or_else(|| {
        let budget = request.reasoning.budget.filter(|_| request.reasoning.wanted())?;
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

/// A message; results of tools are messages of their own, before the rest.
fn messages(message: &Message<'_>) -> Vec<Value> {
    let mut wires = Vec::new();
    let (mut parts, mut calls) = (Vec::new(), Vec::new());
    for part in &message.parts {
        match part {
            Part::ToolResult(result) => {
                let said: Vec<Value> = result.parts.iter().filter_map(self::part).collect();
                wires.push(json!({"role": "tool", "tool_call_id": result.id, "content": content(said)}));
            }
            Part::ToolCall { id, name, arguments, .. } => {
                let function = json!({"name": name, "arguments": arguments});
                calls.push(json!({"id": id, "type": "function", "function": function}));
            }
            other => parts.extend(self::part(other)),
        }
    }
    if parts.is_empty() && calls.is_empty() && !wires.is_empty() {
        return wires;
    }
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    let nothing = parts.is_empty() && !calls.is_empty();
    let mut wire = json!({"role": role, "content": if nothing { Value::Null } else { content(parts) }});
    if let Some(name) = &message.name {
        wire["name"] = name.as_ref().into();
    }
    if !calls.is_empty() {
        wire["tool_calls"] = calls.into();
    }
    wires.push(wire);
    wires
}

/// Text alone as a string, which every server takes.
fn content(mut parts: Vec<Value>) -> Value {
    match parts.as_mut_slice() {
        [] => json!(""),
        [one] if one["type"] == "text" => one["text"].take(),
        _ => parts.into(),
    }
}

/// A part of a content; seals and marks of other providers have no place in it.
fn part(part: &Part<'_>) -> Option<Value> {
    let located = |media: &Media<'_>| match media {
        Media::Url(url) | Media::Id(url) => url.to_string(),
        Media::Data(blob) => format!("data:{};base64,{}", blob.media_type, blob.data),
    };
    Some(match part {
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::Image { media, detail } => {
            let mut image = json!({"url": located(media)});
            if let Some(detail) = detail {
                image["detail"] = detail.as_ref().into();
            }
            json!({"type": "image_url", "image_url": image})
        }
        Part::File { media: Media::Id(id), .. } => json!({"type": "file", "file": {"file_id": id}}),
        Part::File { media, name } => {
            let name = name.as_deref().unwrap_or("file");
            json!({"type": "file", "file": {"filename": name, "file_data": located(media)}})
        }
        Part::Audio(audio) => {
            json!({"type": "input_audio", "input_audio": {"data": audio.data, "format": audio.format}})
        }
        Part::Thinking { .. } | Part::Redacted(_) | Part::ToolCall { .. } | Part::ToolResult(_) | Part::Cache(_) => {
            return None;
        }
    })
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
        let quirks = Quirks { max_tokens: false, stream_options: true };
        let written = self::body(&ChatRequest::of(&call).unwrap(), &call, &target, quirks).unwrap();
        assert_eq!(written, body);
    }
}
