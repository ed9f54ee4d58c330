//! Checks and reads a generateContent request as Google does.

use serde_json::Value;

use super::render::{Gemini, SIGNATURE};
use super::schema::{self, unknown};
use crate::answer::{Asked, Choice, Shape, Tool, words_in};
use crate::format::{Heard, items, stranger};
use crate::refusal::Refusal;

const FIELDS: &[&str] = &[
    "model",
    "contents",
    "tools",
    "toolConfig",
    "safetySettings",
    "systemInstruction",
    "generationConfig",
    "cachedContent",
    "store",
    "serviceTier",
];
const CONFIG: &[&str] = &[
    "stopSequences",
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
    "_responseJsonSchema",
    "responseModalities",
    "candidateCount",
    "maxOutputTokens",
    "temperature",
    "topP",
    "topK",
    "seed",
    "presencePenalty",
    "frequencyPenalty",
    "responseLogprobs",
    "logprobs",
    "speechConfig",
    "thinkingConfig",
    "imageConfig",
    "mediaResolution",
    "enableEnhancedCivicAnswers",
    "audioTimestamp",
];
const PARTS: &[&str] = &[
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
    "thought",
    "thoughtSignature",
    "videoMetadata",
    "partMetadata",
    "mediaResolution",
];

/// Its own, and the one that Google says to send for calls that another model has made.
const SIGNATURES: [&str; 2] = [SIGNATURE, "skip_thought_signature_validator"];

pub(super) fn read(format: Gemini, heard: &Heard<'_>) -> Result<Asked, Refusal> {
    let body = schema::camel(&heard.body);
    if let Some(name) = stranger(&body, FIELDS).filter(|name| !(format.vertex && *name == "labels")) {
        return Err(unknown(name, ""));
    }
    let config = &body["generationConfig"];
    if let Some(name) = stranger(config, CONFIG) {
        return Err(unknown(name, "generation_config"));
    }
    numbers(config)?;
    schema::check(&config["responseSchema"], "generation_config.response_schema", format.vertex)?;
    contents(&body["contents"], heard.model)?;
    if let Some(name) = stranger(&body["systemInstruction"], &["role", "parts"]) {
        return Err(unknown(name, "system_instruction"));
    }
    let tools = tools(&body["tools"], format.vertex)?;
    let json = config["responseMimeType"] == "application/json";
    let searches = items(&body["tools"]).iter().any(|tool| tool["googleSearch"].is_object());
    if searches && !tools.is_empty() {
        return Err(Refusal::invalid("Tool use with function calling is unsupported"));
    }
    if json && (searches || !tools.is_empty()) && !heard.model.starts_with("gemini-3") {
        return Err(Refusal::invalid("Function calling with a response mime type: 'application/json' is unsupported"));
    }
    let schemas = ["responseSchema", "responseJsonSchema", "_responseJsonSchema"].map(|name| &config[name]);
    let schema = schemas.into_iter().find(|schema| schema.is_object());
    if schema.is_some() && !json {
        return Err(Refusal::invalid(
            "The response_schema is only supported with response_mime_type 'application/json'.",
        ));
    }
    let last = items(&body["contents"]).last().map(|last| items(&last["parts"])).unwrap_or_default();
    Ok(Asked {
        behaviour: heard.behaviour.clone(),
        model: heard.model.to_owned(),
        streams: heard.parts.uri.path().ends_with(":streamGenerateContent"),
        choices: usize::try_from(config["candidateCount"].as_u64().unwrap_or(1).max(1)).unwrap_or(1),
        bound: config["maxOutputTokens"].as_u64(),
        choice: choice(&body["toolConfig"]["functionCallingConfig"], &tools)?,
        tools,
        single: false,
        shape: match (schema, json) {
            (Some(schema), _) => Shape::Schema(schema.clone()),
            (None, true) => Shape::Object,
            (None, false) => Shape::Text,
        },
        thinks: config["thinkingConfig"]["includeThoughts"] == true,
        answers_tools: last.iter().any(|part| part["functionResponse"].is_object()),
        words: words_in(&body["contents"]) + words_in(&body["systemInstruction"]),
        body,
    })
}

/// `:countTokens`, of contents or of a whole request.
pub(crate) fn count_tokens(heard: &Heard<'_>) -> Result<u64, Refusal> {
    let body = schema::camel(&heard.body);
    let inner = if body["generateContentRequest"].is_object() { &body["generateContentRequest"] } else { &body };
    contents(&inner["contents"], heard.model)?;
    let words = words_in(&inner["contents"]) + words_in(&inner["systemInstruction"]);
    Ok(heard.behaviour.prompt_tokens.unwrap_or(words + 8))
}

fn numbers(config: &Value) -> Result<(), Refusal> {
    if config["temperature"].as_f64().is_some_and(|value| !(0.0..=2.0).contains(&value)) {
        let text = format!(
            "* GenerateContentRequest.generation_config.temperature: temperature must be in the range [0.0, 2.0].\n (got {})",
            config["temperature"]
        );
        return Err(Refusal::invalid(text));
    }
    if config["candidateCount"].as_u64().is_some_and(|count| count > 8) {
        return Err(Refusal::invalid(
            "* GenerateContentRequest.generation_config.candidate_count: only values in [1, 8] are supported\n",
        ));
    }
    if items(&config["stopSequences"]).len() > 5 {
        return Err(Refusal::invalid(
            "* GenerateContentRequest.generation_config.stop_sequences: the maximum number of stop sequences is 5\n",
        ));
    }
    let thinking = &config["thinkingConfig"];
    if let Some(name) = stranger(thinking, &["includeThoughts", "thinkingBudget", "thinkingLevel"]) {
        return Err(unknown(name, "generation_config.thinking_config"));
    }
    if !thinking["thinkingBudget"].is_null() && !thinking["thinkingLevel"].is_null() {
        return Err(Refusal::invalid("You can only set only one of thinking budget and thinking level."));
    }
    Ok(())
}

fn contents(contents: &Value, model: &str) -> Result<(), Refusal> {
    let list = items(contents);
    if list.is_empty() {
        return Err(Refusal::invalid("* GenerateContentRequest.contents: contents is not specified\n"));
    }
    let mut calls = 0;
    for (index, content) in list.iter().enumerate() {
        if let Some(name) = stranger(content, &["role", "parts"]) {
            return Err(unknown(name, &format!("contents[{index}]")));
        }
        if !matches!(content["role"].as_str(), None | Some("user" | "model" | "function")) {
            return Err(Refusal::invalid("Please use a valid role: user, model."));
        }
        let parts = items(&content["parts"]);
        if parts.is_empty() {
            let text = format!("* GenerateContentRequest.contents[{index}].parts: contents.parts must not be empty.\n");
            return Err(Refusal::invalid(text));
        }
        for (place, part) in parts.iter().enumerate() {
            check_part(part, index, place)?;
        }
        let count = |name: &str| parts.iter().filter(|part| part[name].is_object()).count();
        let (made, answered) = (count("functionCall"), count("functionResponse"));
        if answered != calls {
            return Err(Refusal::invalid(
                "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.",
            ));
        }
        let follows = index > 0 && list.get(index - 1).is_some_and(|before| before["role"] != "model");
        if made > 0 && !follows {
            return Err(Refusal::invalid(
                "Please ensure that function call turn comes immediately after a user turn or after a function response turn.",
            ));
        }
        signed(model, parts, index)?;
        calls = made;
    }
    if calls > 0 {
        return Err(Refusal::invalid(
            "Please ensure that function response turn comes immediately after a function call turn.",
        ));
    }
    Ok(())
}

fn check_part(part: &Value, index: usize, place: usize) -> Result<(), Refusal> {
    let at = format!("contents[{index}].parts[{place}]");
    if let Some(name) = stranger(part, PARTS) {
        return Err(unknown(name, &at));
    }
    let data =
        ["text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult"];
    if data.iter().filter(|name| !part[**name].is_null()).count() != 1 {
        let text = format!(
            "* GenerateContentRequest.{at}.data: required oneof field 'data' must have one initialized field\n"
        );
        return Err(Refusal::invalid(text));
    }
    let response = &part["functionResponse"];
    if response.is_object() && !response["response"].is_object() {
        return Err(Refusal::invalid(format!(
            "Invalid value at '{at}.function_response.response' (type.googleapis.com/google.protobuf.Struct), {}",
            response["response"]
        )));
    }
    let named = [&part["functionCall"], response].into_iter().find(|value| value.is_object());
    if named.is_some_and(|value| value["name"].as_str().is_none_or(str::is_empty)) {
        return Err(Refusal::invalid(format!("* GenerateContentRequest.{at}.name: Name cannot be empty.\n")));
    }
    let inline = &part["inlineData"];
    if inline.is_object()
        && (inline["mimeType"].as_str().is_none_or(str::is_empty) || inline["data"].as_str().is_none_or(str::is_empty))
    {
        return Err(Refusal::invalid(format!(
            "* GenerateContentRequest.{at}.inline_data: mime_type and data are required\n"
        )));
    }
    if part["thoughtSignature"].as_str().is_some_and(|signature| !SIGNATURES.contains(&signature)) {
        return Err(Refusal::invalid("Thought signature is not valid."));
    }
    Ok(())
}

/// Gemini 3 wants the signature of the first call of each turn back.
fn signed(model: &str, parts: &[Value], index: usize) -> Result<(), Refusal> {
    let first = parts.iter().find(|part| part["functionCall"].is_object());
    let Some(part) = first.filter(|part| model.starts_with("gemini-3") && part["thoughtSignature"].is_null()) else {
        return Ok(());
    };
    Err(Refusal::invalid(format!(
        "Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly, and missing thought_signature may lead to degraded model performance. Additional data, function call `default_api:{}` , position {index}.",
        part["functionCall"]["name"].as_str().unwrap_or("")
    )))
}

fn tools(tools: &Value, vertex: bool) -> Result<Vec<Tool>, Refusal> {
    let mut read = Vec::new();
    for (index, tool) in items(tools).iter().enumerate() {
        let known = [
            "functionDeclarations",
            "googleSearch",
            "googleSearchRetrieval",
            "codeExecution",
            "urlContext",
            "retrieval",
            "computerUse",
            "googleMaps",
            "fileSearch",
        ];
        if let Some(name) = stranger(tool, &known) {
            return Err(unknown(name, &format!("tools[{index}]")));
        }
        for (place, function) in items(&tool["functionDeclarations"]).iter().enumerate() {
            let at = format!("tools[{index}].function_declarations[{place}]");
            let known = [
                "name",
                "description",
                "parameters",
                "parametersJsonSchema",
                "response",
                "responseJsonSchema",
                "behavior",
            ];
            if let Some(name) = stranger(function, &known) {
                return Err(unknown(name, &at));
            }
            schema::check(&function["parameters"], &format!("{at}.parameters"), vertex)?;
            let name = function["name"].as_str().unwrap_or("");
            let legal = |c: char| c.is_ascii_alphanumeric() || "_-.:".contains(c);
            if name.is_empty()
                || name.len() > 64
                || name.starts_with(|c: char| c.is_ascii_digit())
                || !name.chars().all(legal)
            {
                return Err(Refusal::invalid(format!(
                    "* GenerateContentRequest.{at}.name: Invalid function name. Must start with a letter or an underscore. Must be alphameric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 64.\n"
                )));
            }
            let schemas = [&function["parameters"], &function["parametersJsonSchema"]];
            let schema = schemas.into_iter().find(|schema| schema.is_object()).cloned().unwrap_or_default();
            read.push(Tool { name: name.to_owned(), schema });
        }
    }
    Ok(read)
}

fn choice(config: &Value, tools: &[Tool]) -> Result<Choice, Refusal> {
    let allowed = items(&config["allowedFunctionNames"]);
    let mode = config["mode"].as_str().unwrap_or("AUTO").to_ascii_uppercase();
    if !allowed.is_empty() && !matches!(mode.as_str(), "ANY" | "VALIDATED") {
        return Err(Refusal::invalid(
            "Allowed function names should be set only when function calling mode is ANY or VALIDATED.",
        ));
    }
    match (mode.as_str(), allowed.first().and_then(Value::as_str)) {
        ("NONE", _) => Ok(Choice::None),
        ("ANY", Some(name)) if !tools.iter().any(|tool| tool.name == name) => Err(Refusal::invalid(format!(
            "Invalid value at 'tool_config.function_calling_config.allowed_function_names[0]': {name} is not a declared function"
        ))),
        ("ANY", Some(name)) => Ok(Choice::Named(name.to_owned())),
        ("ANY", None) => Ok(Choice::Any),
        ("AUTO" | "VALIDATED" | "MODE_UNSPECIFIED", _) => Ok(Choice::Auto),
        _ => Err(Refusal::invalid(format!(
            "Invalid value at 'tool_config.function_calling_config.mode' (type.googleapis.com/google.ai.generativelanguage.v1beta.FunctionCallingConfig.Mode), \"{mode}\""
        ))),
    }
}
