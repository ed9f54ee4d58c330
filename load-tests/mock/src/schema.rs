//! An instance of a JSON Schema: what a model answers that must keep to one.

use serde_json::{Map, Value, json};

/// Schemas may refer to themselves: below this depth only what is required is filled in.
const DEEPEST: usize = 16;

/// The simplest value that the schema allows, as far as the keywords that structured outputs may
/// use go; the same schema always has the same.
pub(crate) fn instance(schema: &Value) -> Value {
    fill(schema, schema, 0)
}

fn fill(root: &Value, schema: &Value, depth: usize) -> Value {
    if depth > DEEPEST {
        return Value::Null;
    }
    if let Some(path) = schema["$ref"].as_str() {
        let found = path.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return found.map_or(Value::Null, |found| fill(root, found, depth + 1));
    }
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    if let Some(value) = schema["enum"].get(0) {
        return value.clone();
    }
    for name in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema[name].get(0) {
            return fill(root, first, depth + 1);
        }
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"].get(0).and_then(Value::as_str));
    // Google's schemas write the types in capitals.
    match kind.map(str::to_ascii_lowercase).as_deref() {
        Some("string") => text(schema),
        Some("integer") => json!(schema["minimum"].as_i64().unwrap_or(1)),
        Some("number") => json!(schema["minimum"].as_f64().unwrap_or(1.5)),
        Some("boolean") => json!(true),
        Some("array") => {
            let least = schema["minItems"].as_u64().unwrap_or(1);
            (0..least).map(|_| fill(root, &schema["items"], depth + 1)).collect()
        }
        Some("object") => object(root, schema, depth),
        None if schema["properties"].is_object() => object(root, schema, depth),
        _ => Value::Null,
    }
}

fn text(schema: &Value) -> Value {
    let text = match schema["format"].as_str() {
        Some("date") => "2026-01-02".to_owned(),
        Some("date-time") => "2026-01-02T03:04:05Z".to_owned(),
        Some("email") => "someone@example.com".to_owned(),
        Some("uuid") => "00000000-0000-4000-8000-000000000000".to_owned(),
        _ => "river".to_owned(),
    };
    let least = usize::try_from(schema["minLength"].as_u64().unwrap_or(0)).unwrap_or(0);
    Value::from(format!("{text}{}", "s".repeat(least.saturating_sub(text.len()))))
}

fn object(root: &Value, schema: &Value, depth: usize) -> Value {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut fields = Map::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if depth < DEEPEST / 2 || required.contains(&name.as_str()) {
            fields.insert(name.clone(), fill(root, property, depth + 1));
        }
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_kept_to() {
        let schema = json!({"type": "object", "required": ["who", "n"], "properties": {
            "who": {"$ref": "#/$defs/person"}, "n": {"type": "integer", "minimum": 7},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2},
            "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "GOOGLE": {"type": "STRING"}},
            "$defs": {"person": {"type": "object", "properties": {"name": {"type": ["string", "null"]}}}}});
        let expected =
            json!({"who": {"name": "river"}, "n": 7, "tags": ["a", "a"], "maybe": "river", "GOOGLE": "river"});
        assert_eq!(instance(&schema), expected);
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({"type": "object", "properties": {"next": {"$ref": "#"}}});
        assert!(instance(&schema)["next"]["next"].is_object());
    }
}
