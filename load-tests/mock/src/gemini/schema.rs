//! Names of fields in Google's JSON, which may be written in camel or in snake case, and schemas,
//! which are a subset of `OpenAPI`'s.

use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// Fields of Google's `Schema` message.
const SCHEMA: &[&str] = &[
    "type",
    "format",
    "title",
    "description",
    "nullable",
    "enum",
    "maxItems",
    "minItems",
    "properties",
    "required",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "pattern",
    "example",
    "anyOf",
    "propertyOrdering",
    "default",
    "items",
    "minimum",
    "maximum",
];
/// Vertex knows these too.
const VERTEX: &[&str] = &["additionalProperties", "$ref", "$defs", "ref", "defs"];

/// The value with all names in camel case, but for those below `verbatim` ones.
pub(super) fn camel(value: &Value) -> Value {
    /// Below these, names are the caller's own.
    const VERBATIM: &[&str] = &[
        "args",
        "response",
        "properties",
        "labels",
        "responseJsonSchema",
        "parametersJsonSchema",
        "_responseJsonSchema",
    ];
    match value {
        Value::Array(items) => items.iter().map(camel).collect(),
        Value::Object(fields) => {
            let mut renamed = Map::new();
            for (name, value) in fields {
                let name = name_of(name);
                let value = match (VERBATIM.contains(&name.as_str()), name.as_str(), value) {
                    (true, "properties", Value::Object(fields)) => {
                        fields.iter().map(|(name, value)| (name.clone(), camel(value))).collect()
                    }
                    (true, ..) => value.clone(),
                    (false, ..) => camel(value),
                };
                renamed.insert(name, value);
            }
            Value::Object(renamed)
        }
        other => other.clone(),
    }
}

fn name_of(name: &str) -> String {
    let (lead, rest) = name.strip_prefix('_').map_or(("", name), |rest| ("_", rest));
    let mut out = lead.to_owned();
    let mut upper = false;
    for c in rest.chars() {
        match (c, upper) {
            ('_', _) => upper = true,
            (c, true) => {
                out.push(c.to_ascii_uppercase());
                upper = false;
            }
            (c, false) => out.push(c),
        }
    }
    out
}

/// What Google says to a field it does not know.
pub(super) fn unknown(name: &str, at: &str) -> Refusal {
    let place = if at.is_empty() { String::new() } else { format!(" at '{at}'") };
    Refusal::invalid(format!("Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field."))
}

/// Checks a schema all the way down.
pub(super) fn check(schema: &Value, at: &str, vertex: bool) -> Result<(), Refusal> {
    let Some(fields) = schema.as_object() else { return Ok(()) };
    for (name, value) in fields {
        let known = SCHEMA.contains(&name.as_str()) || vertex && VERTEX.contains(&name.as_str());
        if !known {
            return Err(unknown(name, at));
        }
        match name.as_str() {
            "properties" => {
                for (index, property) in value.as_object().into_iter().flat_map(Map::values).enumerate() {
                    check(property, &format!("{at}.properties[{index}].value"), vertex)?;
                }
            }
            "items" => check(value, &format!("{at}.items"), vertex)?,
            "anyOf" => {
                for (index, one) in crate::format::items(value).iter().enumerate() {
                    check(one, &format!("{at}.any_of[{index}]"), vertex)?;
                }
            }
            "type" if !value.is_string() => {
                let text = format!(
                    "Invalid JSON payload received. Unknown name \"type\" at '{at}': Proto field is not repeating, cannot start list."
                );
                return Err(Refusal::invalid(text));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_camel_but_for_the_callers_own() {
        let given = json!({"generation_config": {"max_output_tokens": 5}, "contents": [{"parts": [{"function_call":
            {"name": "f", "args": {"snake_case": 1}}}]}], "response_schema": {"properties": {"a_b": {"min_items": 1}}}});
        let expected = json!({"generationConfig": {"maxOutputTokens": 5}, "contents": [{"parts": [{"functionCall":
            {"name": "f", "args": {"snake_case": 1}}}]}], "responseSchema": {"properties": {"a_b": {"minItems": 1}}}});
        assert_eq!(camel(&given), expected);
    }

    #[test]
    fn keywords_of_json_schema_are_refused() {
        let schema = json!({"type": "OBJECT", "properties": {"a": {"type": "STRING", "additionalProperties": false}}});
        let refusal = check(&schema, "tools[0]", false).unwrap_err();
        assert!(
            refusal.message.contains("\"additionalProperties\" at 'tools[0].properties[0].value'"),
            "{}",
            refusal.message
        );
        assert!(check(&schema, "tools[0]", true).is_ok());
        assert!(check(&json!({"type": ["string", "null"]}), "x", true).is_err());
    }
}
