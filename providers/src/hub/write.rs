//! What the writers of several providers' formats share.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::adapter::{TranslateError, Unsupported};
use crate::call::{Call, Field};
use crate::hub::message::{Message, Part, Role};
use crate::hub::request::{ChatRequest, Format};

/// The tool that a JSON answer is made with where the model cannot be held to a form otherwise.
/// What it is called with is the answer.
pub(crate) const JSON_TOOL: &str = "json_answer";

/// Whether the answer to a call is made by a tool, given that the provider has `schemas` or not.
pub(crate) fn json_by_tool(call: &Call, schemas: bool) -> bool {
    let raw = call.raw(Field::ResponseFormat).and_then(|text| serde_json::from_str(text).ok());
    Format::read(raw).is_ok_and(|format| by_tool(&format, schemas))
}

/// Only a strict schema has the form that the provider's own way asks for.
pub(crate) fn by_tool(format: &Format<'_>, schemas: bool) -> bool {
    match format {
        Format::Text => false,
        Format::JsonObject => true,
        Format::JsonSchema(schema) => !(schemas && schema.strict && schema.schema.is_some()),
    }
}

/// Raw JSON of the client's as a value.
pub(crate) fn parsed(raw: &RawValue, field: &str) -> Result<Value, TranslateError> {
    serde_json::from_str(raw.get())
        .map_err(|error| Unsupported::field(field, format!("`{field}` cannot be read: {error}")).into())
}

/// The name, purpose and schema of the tool for JSON answers.
pub(crate) fn json_tool(format: &Format<'_>) -> Result<(String, Value), TranslateError> {
    let purpose = "Gives the answer. Call it once, with the whole answer as its arguments.";
    let open = json!({"type": "object", "additionalProperties": true});
    Ok(match format {
        Format::JsonSchema(schema) => {
            let purpose = match &schema.description {
                Some(description) => format!("{purpose} The answer is: {description}"),
                None => purpose.to_owned(),
            };
            let form = match schema.schema {
                Some(raw) => parsed(raw, "response_format.json_schema.schema")?,
                None => open,
            };
            (purpose, form)
        }
        _ => (purpose.to_owned(), open),
    })
}

/// What is said by the operator, and the turns: roles alternate, so neighbours of one role are merged.
pub(crate) type Turns = (Vec<Value>, Vec<(Role, Vec<Value>)>);

/// A conversation in a provider's own parts, which `write` makes of a message.
pub(crate) fn turns(
    request: &ChatRequest<'_>,
    mut write: impl FnMut(&Message<'_>) -> Result<Vec<Value>, TranslateError>,
) -> Result<Turns, TranslateError> {
    let (mut system, mut turns): Turns = (Vec::new(), Vec::new());
    // A conversation of system messages alone is none: its last one is asked.
    let only_system = request.messages.iter().all(|message| message.role == Role::System);
    let asked = if only_system { request.messages.len().checked_sub(1) } else { None };
    for (number, message) in request.messages.iter().enumerate() {
        let role = if asked == Some(number) { Role::User } else { message.role };
        let mut parts = write(message)?;
        if role == Role::System {
            system.append(&mut parts);
            continue;
        }
        match turns.last_mut() {
            _ if parts.is_empty() => {}
            Some((last, said)) if *last == role => said.append(&mut parts),
            _ => turns.push((role, parts)),
        }
    }
    Ok((system, turns))
}

/// Turns as messages whose parts are `content`. An answer that the client has begun must not end in blanks.
pub(crate) fn trimmed(mut turns: Vec<(Role, Vec<Value>)>) -> Vec<Value> {
    if let Some((Role::Assistant, parts)) = turns.last_mut()
        && let Some(Value::String(text)) = parts.last_mut().and_then(|part| part.get_mut("text"))
    {
        text.truncate(text.trim_end().len());
    }
    let name = |role| if role == Role::Assistant { "assistant" } else { "user" };
    turns.into_iter().map(|(role, content)| json!({"role": name(role), "content": content})).collect()
}

/// The names of the tools that the conversation has called.
pub(crate) fn called<'r>(request: &'r ChatRequest<'_>) -> Vec<&'r str> {
    let mut names: Vec<&str> = Vec::new();
    for part in request.messages.iter().flat_map(|message| &message.parts) {
        if let Part::ToolCall { name, .. } = part
            && !names.contains(&name.as_ref())
        {
            names.push(name);
        }
    }
    names
}

/// A message with a part that the provider has no place for.
pub(crate) fn untranslatable(message: &Message<'_>, what: &str) -> Unsupported {
    let field = format!("messages[{}].content", message.index);
    let text = format!("`{field}`: the provider takes no {what}");
    Unsupported::field(field, text)
}

/// The arguments of a call as a value.
pub(crate) fn arguments(arguments: &str, message: &Message<'_>) -> Result<Value, TranslateError> {
    if arguments.trim().is_empty() {
        return Ok(json!({}));
    }
    let read = serde_json::from_str::<Value>(arguments).ok().filter(Value::is_object);
    read.ok_or_else(|| {
        let field = format!("messages[{}].tool_calls", message.index);
        let text = format!("`{field}`: the arguments of a call are not a JSON object");
        Unsupported::field(field, text).into()
    })
}

/// An id of a call in the letters that Anthropic and Bedrock allow.
pub(crate) fn legal(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' }).collect()
}

/// JSON on one line: raw JSON may be laid out over several, which no server-sent event survives.
pub(crate) fn line(raw: &RawValue) -> String {
    serde_json::from_str::<Value>(raw.get()).map_or_else(|_| raw.get().to_owned(), |value| value.to_string())
}
