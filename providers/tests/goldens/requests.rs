//! A client's request on its way to every provider.

use std::fmt::Write;

use bytes::Bytes;
use serde_json::Value;
use sluice_providers::{ADAPTERS, Adapter, Call, Endpoint, Target, TranslateError};

use crate::files::{Golden, check, goldens};

/// The models that requests are translated for, by kind: where names matter, one of each sort.
fn models(kind: &str, endpoint: Endpoint) -> &'static [&'static str] {
    match (kind, endpoint) {
        ("anthropic", _) => &["claude-sonnet-4-5", "claude-opus-4-7"],
        ("gemini", Endpoint::Embeddings) => &["gemini-embedding-001"],
        ("gemini", _) => &["gemini-2.5-flash"],
        ("vertex", Endpoint::Embeddings) => &["text-embedding-005"],
        ("vertex", _) => &["gemini-3-pro-preview", "claude-3-7-sonnet@20250219"],
        ("bedrock", Endpoint::Embeddings) => &["amazon.titan-embed-text-v2:0", "cohere.embed-english-v3"],
        ("bedrock", _) => &["us.anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-pro-v1:0"],
        _ => &["model-1"],
    }
}

pub(crate) fn endpoint(body: &Value) -> Endpoint {
    if body.get("input").is_some() {
        Endpoint::Embeddings
    } else if body.get("prompt").is_some() {
        Endpoint::Completions
    } else {
        Endpoint::ChatCompletions
    }
}

/// The endpoint of a case: its folder may name the API.
fn asked(golden: &Golden) -> Endpoint {
    match golden.folder().as_str() {
        "messages" => Endpoint::Messages,
        "responses" => Endpoint::Responses,
        _ => endpoint(&serde_json::from_str(&golden.input).unwrap()),
    }
}

pub(crate) fn pretty(body: &[u8]) -> String {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => serde_json::to_string_pretty(&value).unwrap(),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    }
}

/// JSON with a line for each field, and for each element of an array of objects.
fn layout(body: &[u8]) -> String {
    let value: Value = serde_json::from_slice(body).unwrap();
    let fields = value.as_object().unwrap().iter().map(|(name, value)| match value {
        Value::Array(elements) if elements.iter().any(Value::is_object) => {
            let lines: Vec<String> = elements.iter().map(|element| format!("  {element}")).collect();
            format!("{name}:\n{}\n", lines.join("\n"))
        }
        value => format!("{name}: {value}\n"),
    });
    fields.collect()
}

/// What a provider is sent, or why it is not.
fn sent(adapter: &dyn Adapter, call: &Call, target: &Target) -> String {
    if let Err(unsupported) = adapter.supports(call, target) {
        return format!("refused at {}: {unsupported}\n", unsupported.param.as_deref().unwrap_or("-"));
    }
    match adapter.request(call, target) {
        Ok(request) => {
            let mut text = format!("{} {}\n", request.method, request.path);
            for (name, value) in &request.headers {
                writeln!(text, "{name}: {}", value.to_str().unwrap()).unwrap();
            }
            let own: Value = serde_json::from_slice(&call.body).unwrap();
            let sent = request.body.into_bytes();
            let mut body: Value = serde_json::from_slice(&sent).unwrap();
            if body.get("model").is_some_and(|model| *model == *target.model) {
                body["model"] = own["model"].clone();
            }
            if body == own {
                return format!("{text}\nthe client's body, with the target's model\n");
            }
            format!("{text}\n{}", layout(&sent))
        }
        Err(TranslateError::Request(unsupported)) => {
            format!("refused at {}: {unsupported}\n", unsupported.param.as_deref().unwrap_or("-"))
        }
        Err(error) => panic!("{}: {error}", adapter.name()),
    }
}

/// All providers that are sent the same stand under one heading.
fn all(golden: &Golden) -> String {
    let endpoint = asked(golden);
    let call = match Call::parse(endpoint, Bytes::from(golden.input.clone())) {
        Ok(call) => call,
        Err(error) => return format!("refused at {}: {error}\n", error.param.as_deref().unwrap_or("-")),
    };
    let mut groups: Vec<(Vec<String>, String)> = Vec::new();
    for adapter in ADAPTERS {
        for model in models(adapter.name(), endpoint) {
            let target = Target { model: (*model).to_owned(), max_output: 8192, api_version: None };
            let text = sent(*adapter, &call, &target);
            let name = format!("{} {model}", adapter.name());
            match groups.iter_mut().find(|(_, other)| *other == text) {
                Some((names, _)) => names.push(name),
                None => groups.push((vec![name], text)),
            }
        }
    }
    groups.into_iter().map(|(names, text)| format!("## {}\n{text}\n", names.join(", "))).collect()
}

#[test]
fn requests_are_translated_as_before() {
    let cases = goldens("requests");
    assert!(cases.len() >= 40, "{} cases", cases.len());
    check(cases.into_iter().map(|golden| (all(&golden), golden)).map(|(output, golden)| (golden, output)).collect());
}

/// What no provider has ever to see twice: two turns of one role in a row.
#[test]
fn turns_alternate_where_providers_demand_it() {
    for golden in goldens("requests") {
        let Ok(call) = Call::parse(asked(&golden), Bytes::from(golden.input.clone())) else { continue };
        for kind in ["anthropic", "gemini", "vertex", "bedrock"] {
            let adapter = sluice_providers::adapter(kind).unwrap();
            for model in models(kind, call.endpoint) {
                let target = Target { model: (*model).to_owned(), max_output: 8192, api_version: None };
                let Ok(request) = adapter.request(&call, &target) else { continue };
                let sent: Value = serde_json::from_slice(&request.body.into_bytes()).unwrap();
                let turns = sent.get("messages").or_else(|| sent.get("contents")).and_then(Value::as_array);
                let roles: Vec<&Value> = turns.into_iter().flatten().map(|turn| &turn["role"]).collect();
                assert!(roles.windows(2).all(|pair| pair[0] != pair[1]), "{} {kind}: {roles:?}", golden.name());
            }
        }
    }
}
