//! Checks and reads a Converse request as Bedrock does.

use serde_json::Value;

use crate::answer::{Asked, Choice, Shape, Tool, words_in};
use crate::format::{Heard, items, stranger};
use crate::refusal::Refusal;

const FIELDS: &[&str] = &[
    "messages",
    "system",
    "inferenceConfig",
    "toolConfig",
    "guardrailConfig",
    "additionalModelRequestFields",
    "additionalModelResponseFieldPaths",
    "promptVariables",
    "requestMetadata",
    "performanceConfig",
    "serviceTier",
    "outputConfig",
];
const BLOCKS: &[&str] = &[
    "text",
    "image",
    "document",
    "video",
    "audio",
    "toolUse",
    "toolResult",
    "guardContent",
    "cachePoint",
    "reasoningContent",
    "citationsContent",
    "searchResult",
];

pub(super) fn read(heard: &Heard<'_>) -> Result<Asked, Refusal> {
    let body = &heard.body;
    known(body, FIELDS, "#")?;
    let config = &body["inferenceConfig"];
    known(config, &["maxTokens", "temperature", "topP", "stopSequences"], "#/inferenceConfig")?;
    if config["temperature"].as_f64().is_some_and(|value| !(0.0..=1.0).contains(&value)) {
        return Err(failed(
            &config["temperature"].to_string(),
            "inferenceConfig.temperature",
            "Member must have value less than or equal to 1",
        ));
    }
    if config["maxTokens"].as_i64().is_some_and(|value| value < 1) {
        return Err(failed(
            &config["maxTokens"].to_string(),
            "inferenceConfig.maxTokens",
            "Member must have value greater than or equal to 1",
        ));
    }
    for (index, block) in items(&body["system"]).iter().enumerate() {
        known(block, &["text", "guardContent", "cachePoint"], &format!("#/system/{index}"))?;
        if block["text"].as_str().is_some_and(|text| text.trim().is_empty()) {
            return Err(Refusal::invalid(format!(
                "The text field in the SystemContentBlock object at system.{index} is blank. Add text to the text field, and try again."
            )));
        }
    }
    messages(&body["messages"], body["toolConfig"].is_object())?;
    let (tools, choice) = tools(&body["toolConfig"])?;
    let (choice, single) = own_choice(body, &tools, choice)?;
    let last = items(&body["messages"]).last().map(|last| items(&last["content"])).unwrap_or_default();
    let thinking = &body["additionalModelRequestFields"]["thinking"]["type"];
    Ok(Asked {
        behaviour: heard.behaviour.clone(),
        model: heard.model.to_owned(),
        streams: heard.parts.uri.path().ends_with("/converse-stream"),
        choices: 1,
        bound: config["maxTokens"].as_u64(),
        tools,
        choice,
        single,
        shape: shape(&body["outputConfig"])?,
        thinks: *thinking == "enabled" || *thinking == "adaptive",
        answers_tools: last.iter().any(|block| block["toolResult"].is_object()),
        words: words_in(&body["messages"]) + words_in(&body["system"]),
        body: body.clone(),
    })
}

/// The text with which constraints of the service's model are reported.
fn failed(value: &str, path: &str, constraint: &str) -> Refusal {
    Refusal::invalid(format!(
        "1 validation error detected: Value '{value}' at '{path}' failed to satisfy constraint: {constraint}"
    ))
}

fn known(value: &Value, names: &[&str], at: &str) -> Result<(), Refusal> {
    stranger(value, names).map_or(Ok(()), |name| {
        Err(Refusal::invalid(format!(
            "The format of the value at {at} is invalid: extraneous key [{name}] is not permitted, please reformat your input and try again."
        )))
    })
}

fn messages(messages: &Value, tools: bool) -> Result<(), Refusal> {
    let list = items(messages);
    if list.is_empty() {
        return Err(Refusal::invalid(
            "A conversation must have at least one message. Try again with a conversation that has at least one message.",
        ));
    }
    let mut calls: Vec<&str> = Vec::new();
    for (index, message) in list.iter().enumerate() {
        known(message, &["role", "content"], &format!("#/messages/{index}"))?;
        let role = message["role"].as_str().unwrap_or("");
        if !matches!(role, "user" | "assistant") {
            return Err(failed(
                role,
                &format!("messages.{}.member.role", index + 1),
                "Member must satisfy enum value set: [user, assistant]",
            ));
        }
        match (index, role, list.get(index.wrapping_sub(1)).map(|before| &before["role"])) {
            (0, "assistant", _) => {
                return Err(Refusal::invalid(
                    "A conversation must start with a user message. Try again with a conversation that starts with a user message.",
                ));
            }
            (_, role, Some(before)) if before == role => {
                return Err(Refusal::invalid(
                    "A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again.",
                ));
            }
            _ => {}
        }
        let blocks = items(&message["content"]);
        if blocks.is_empty() {
            return Err(Refusal::invalid(format!(
                "The content field in the Message object at messages.{index} is empty. Add a ContentBlock object to the content field and try again."
            )));
        }
        for (place, each) in blocks.iter().enumerate() {
            block(each, index, place, tools)?;
        }
        let ids =
            |kind: &str| -> Vec<&str> { blocks.iter().filter_map(|block| block[kind]["toolUseId"].as_str()).collect() };
        let results = ids("toolResult");
        if results.iter().any(|id| !calls.contains(id)) {
            return Err(Refusal::invalid(format!(
                "The number of toolResult blocks at messages.{index}.content exceeds the number of toolUse blocks of previous turn."
            )));
        }
        expected(&calls, &results, index)?;
        calls = ids("toolUse");
    }
    expected(&calls, &[], list.len())
}

fn expected(calls: &[&str], results: &[&str], index: usize) -> Result<(), Refusal> {
    let missing: Vec<&str> = calls.iter().filter(|id| !results.contains(id)).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "Expected toolResult blocks at messages.{index}.content for the following Ids: {}",
        missing.join(", ")
    )))
}

fn block(block: &Value, index: usize, place: usize, tools: bool) -> Result<(), Refusal> {
    let at = format!("messages.{index}.content.{place}");
    known(block, BLOCKS, &format!("#/messages/{index}/content/{place}"))?;
    if block.as_object().is_none_or(|fields| fields.len() != 1) {
        return Err(Refusal::invalid(format!(
            "The ContentBlock object at {at} must set one of the following keys: text, image, toolUse, toolResult, document, video, cachePoint, reasoningContent."
        )));
    }
    if block["text"].as_str().is_some_and(|text| text.trim().is_empty()) {
        return Err(Refusal::invalid(format!(
            "The text field in the ContentBlock object at {at} is blank. Add text to the text field, and try again."
        )));
    }
    if (block["toolUse"].is_object() || block["toolResult"].is_object()) && !tools {
        return Err(Refusal::invalid(
            "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
        ));
    }
    let call = &block["toolUse"];
    if call.is_object() && !call["input"].is_object() {
        return Err(Refusal::invalid(format!(
            "The format of the value at {at}.toolUse.input is invalid. Provide a json object for the field and try again."
        )));
    }
    let ids = [call, &block["toolResult"]].map(|value| value["toolUseId"].as_str());
    let legal =
        |id: &str| (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    if let Some(id) = ids.into_iter().flatten().find(|id| !legal(id)) {
        return Err(failed(
            id,
            &format!("messages.{}.member.content.{}.member.toolUseId", index + 1, place + 1),
            "Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+",
        ));
    }
    media(block, &at)
}

/// Images and documents have a format that is known, a source and, for documents, a plain name.
fn media(block: &Value, at: &str) -> Result<(), Refusal> {
    for (kind, formats) in [
        ("image", &["png", "jpeg", "gif", "webp"][..]),
        ("document", &["pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"]),
    ] {
        let media = &block[kind];
        if !media.is_object() {
            continue;
        }
        if !media["format"].as_str().is_some_and(|format| formats.contains(&format)) {
            return Err(failed(
                media["format"].as_str().unwrap_or(""),
                &format!("{at}.{kind}.format"),
                &format!("Member must satisfy enum value set: [{}]", formats.join(", ")),
            ));
        }
        if !media["source"]["bytes"].is_string()
            && !media["source"]["s3Location"].is_object()
            && !media["source"]["text"].is_string()
        {
            return Err(Refusal::invalid(format!("The {kind} block at {at} has no source.")));
        }
        let name = media["name"].as_str().unwrap_or("");
        if kind == "document"
            && (name.is_empty()
                || !name.chars().all(|c| c.is_ascii_alphanumeric() || " -()[]".contains(c))
                || name.contains("  "))
        {
            return Err(Refusal::invalid(
                "The document file name can only contain alphanumeric characters, whitespace characters, hyphens, parentheses, and square brackets. The name can't contain more than one consecutive whitespace character.",
            ));
        }
    }
    Ok(())
}

fn tools(config: &Value) -> Result<(Vec<Tool>, Choice), Refusal> {
    if config.is_null() {
        return Ok((Vec::new(), Choice::Auto));
    }
    known(config, &["tools", "toolChoice"], "#/toolConfig")?;
    if items(&config["tools"]).is_empty() {
        return Err(failed("[]", "toolConfig.tools", "Member must have length greater than or equal to 1"));
    }
    let mut tools = Vec::new();
    for (index, tool) in items(&config["tools"]).iter().enumerate() {
        known(tool, &["toolSpec", "cachePoint", "systemTool"], &format!("#/toolConfig/tools/{index}"))?;
        let spec = &tool["toolSpec"];
        if !spec.is_object() {
            continue;
        }
        known(
            spec,
            &["name", "description", "inputSchema", "strict"],
            &format!("#/toolConfig/tools/{index}/toolSpec"),
        )?;
        let name = spec["name"].as_str().unwrap_or("");
        if !(1..=64).contains(&name.len()) || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)) {
            return Err(failed(
                name,
                &format!("toolConfig.tools.{}.member.toolSpec.name", index + 1),
                "Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+",
            ));
        }
        if spec["description"].as_str().is_some_and(str::is_empty) {
            return Err(failed(
                "",
                &format!("toolConfig.tools.{}.member.toolSpec.description", index + 1),
                "Member must have length greater than or equal to 1",
            ));
        }
        let schema = &spec["inputSchema"]["json"];
        if schema["type"] != "object" {
            return Err(Refusal::invalid(format!(
                "The value at toolConfig.tools.{index}.toolSpec.inputSchema.json.type must be one of the following: object."
            )));
        }
        tools.push(Tool { name: name.to_owned(), schema: schema.clone() });
    }
    let asked = &config["toolChoice"];
    let choice = if asked["any"].is_object() {
        Choice::Any
    } else if let Some(name) = asked["tool"]["name"].as_str() {
        if !tools.iter().any(|tool| tool.name == name) {
            return Err(Refusal::invalid(format!(
                "The tool {name} specified in toolChoice is not in toolConfig.tools."
            )));
        }
        Choice::Named(name.to_owned())
    } else {
        Choice::Auto
    };
    Ok((tools, choice))
}

/// The choice in Claude's own words, beside which Converse's is one too many; and whether one call is enough.
fn own_choice(body: &Value, tools: &[Tool], choice: Choice) -> Result<(Choice, bool), Refusal> {
    let own = &body["additionalModelRequestFields"]["tool_choice"];
    if own.is_null() {
        return Ok((choice, false));
    }
    if !body["toolConfig"]["toolChoice"].is_null() {
        return Err(Refusal::invalid(
            "The model returned the following errors: tool_choice: conflicting values in toolConfig.toolChoice and additionalModelRequestFields",
        ));
    }
    let choice = match own["type"].as_str() {
        Some("auto") => Choice::Auto,
        Some("any") => Choice::Any,
        Some("tool") => {
            let name = own["name"].as_str().unwrap_or("");
            if !tools.iter().any(|tool| tool.name == name) {
                let text =
                    format!("The model returned the following errors: Tool '{name}' not found in provided tools");
                return Err(Refusal::invalid(text));
            }
            Choice::Named(name.to_owned())
        }
        _ => {
            return Err(Refusal::invalid(
                "The model returned the following errors: tool_choice: Unable to extract tag using discriminator 'type'",
            ));
        }
    };
    Ok((choice, own["disable_parallel_tool_use"] == true))
}

fn shape(config: &Value) -> Result<Shape, Refusal> {
    let format = &config["textFormat"];
    if format["type"] != "json_schema" {
        return Ok(Shape::Text);
    }
    let text = format["structure"]["jsonSchema"]["schema"].as_str().unwrap_or("");
    let schema = serde_json::from_str(text);
    schema
        .map(Shape::Schema)
        .map_err(|_| Refusal::invalid("The schema of outputConfig.textFormat is not a valid JSON schema string."))
}
