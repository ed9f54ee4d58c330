//! Tools and functions: providers turn them into text the client never sees; counted by the
//! constants OpenAI publishes in its cookbook.

use serde_json::Value;
use sluice_providers::catalog::Tokenizer;

use super::vocabulary::count;

const PROPERTIES: u64 = 3;
const PROPERTY: u64 = 3;
const ENUM_ITEM: u64 = 3;
/// An enum saves what its property would have cost by itself.
const ENUM: u64 = 3;
const END: u64 = 12;
/// Schemas deeper than this count as text from there on.
const DEEPEST: u32 = 16;

/// Tokens of `tools` (each with a `function`) or of `functions`. JSON of any other shape counts as
/// the text it is.
pub(super) fn tokens(tokenizer: Tokenizer, raw: &str) -> u64 {
    let Ok(Value::Array(tools)) = serde_json::from_str(raw) else { return count(tokenizer, raw) };
    if tools.is_empty() {
        return 0;
    }
    let each = tools.iter().map(|tool| match tool.get("function").unwrap_or(tool) {
        Value::Object(function) if function.contains_key("name") => function_tokens(tokenizer, function),
        other => count(tokenizer, &other.to_string()),
    });
    each.sum::<u64>() + END
}

fn function_tokens(tokenizer: Tokenizer, function: &serde_json::Map<String, Value>) -> u64 {
    let init = if tokenizer == Tokenizer::Cl100k { 10 } else { 7 };
    let line = format!("{}:{}", text(function.get("name")), text(function.get("description")).trim_end_matches('.'));
    let parameters = function.get("parameters").or(function.get("input_schema")).unwrap_or(&Value::Null);
    init + count(tokenizer, &line) + properties(tokenizer, parameters, 0)
}

fn properties(tokenizer: Tokenizer, schema: &Value, depth: u32) -> u64 {
    if depth > DEEPEST {
        return count(tokenizer, &schema.to_string());
    }
    let Some(Value::Object(named)) =
        schema.get("properties").filter(|named| named.as_object().is_some_and(|map| !map.is_empty()))
    else {
        return 0;
    };
    let each = named.iter().map(|(name, property)| {
        let kind = match property.get("type") {
            Some(Value::String(kind)) => kind.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        let line = format!("{name}:{kind}:{}", text(property.get("description")).trim_end_matches('.'));
        let nested = properties(tokenizer, property, depth + 1)
            + property.get("items").map_or(0, |items| properties(tokenizer, items, depth + 1));
        (PROPERTY + count(tokenizer, &line) + nested).saturating_add(choices(tokenizer, property.get("enum")))
            - if property.get("enum").is_some() { ENUM } else { 0 }
    });
    PROPERTIES + each.sum::<u64>()
}

fn choices(tokenizer: Tokenizer, items: Option<&Value>) -> u64 {
    let items = items.and_then(Value::as_array).into_iter().flatten();
    items.map(|item| ENUM_ITEM + count(tokenizer, &item.as_str().map_or_else(|| item.to_string(), str::to_owned))).sum()
}

fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or("")
}
