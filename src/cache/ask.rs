//! What a request asks, as keys of the store: everything that can change the answer is in them.

use std::sync::{Arc, OnceLock};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sluice_providers::{Call, Endpoint};
use sluice_semantic::Card;

use super::embed::Vector;
use super::purges::Stamp;
use super::strict::Strict;
use crate::config::{CacheRules, CacheScope};

/// A SHA-256.
pub type Digest = [u8; 32];

/// Changes when answers of an older version must not be found any more.
const VERSION: &str = "sluice-cache-1";
/// Fields that do not change an answer. What is unknown is taken to change it.
const HARMLESS: [&str; 6] = ["stream", "stream_options", "user", "safety_identifier", "prompt_cache_key", "metadata"];

/// Whose answer it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The tenant of the key.
    pub tenant: Arc<str>,
    /// The key's name.
    pub key: Arc<str>,
    /// The end user, if the request names one.
    pub user: Option<String>,
}

/// A request that the cache may answer.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Who shares answers with whom.
    pub owner: Owner,
    /// The public model.
    pub model: Arc<str>,
    /// Everything but the last user turn.
    pub partition: Digest,
    /// All of it.
    pub key: Digest,
    /// The last user turn, if other words may find the answer.
    pub text: Option<String>,
    /// Which purges its answer is younger than.
    pub stamp: Stamp,
    /// What the look-up has found out about `text`, for whoever keeps the answer.
    pub(super) known: Known,
}

/// How a prompt is found, as far as a look-up needed it.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// By an embeddings model of the config.
    pub(super) vector: OnceLock<Vector>,
    pub(super) card: OnceLock<Box<Card>>,
}

impl Ask {
    /// Reads a request. `targets` are the labels of where the model goes.
    ///
    /// # Errors
    /// Why the cache has no part in it, in a word.
    pub fn of(
        call: &Call,
        owner: Owner,
        model: &Arc<str>,
        targets: &[&str],
        rules: &CacheRules,
    ) -> Result<Self, &'static str> {
        let chat = call.endpoint == Endpoint::ChatCompletions;
        if !chat && !matches!(call.endpoint, Endpoint::Messages | Endpoint::Responses) {
            return Err("endpoint");
        }
        if call.n != 1 {
            return Err("n");
        }
        let Ok(Strict(Value::Object(mut fields))) = serde_json::from_slice(&call.body) else { return Err("body") };
        let on = |name: &str| fields.get(name).is_some_and(|v| !matches!(v, Value::Null | Value::Bool(false)));
        // The last three are about something that the provider remembers.
        for name in ["store", "logprobs", "audio", "previous_response_id", "conversation", "background"] {
            if on(name) {
                return Err(name);
            }
        }
        fields.retain(|name, value| !HARMLESS.contains(&name.as_str()) && !value.is_null());
        let other_words = chat && rules.semantic && may_differ(&fields, rules);
        let text = take_last_text(&mut fields);
        let rest = rest(call, fields);
        let partition = partition(&owner, model, targets, (&rest, &call.passed), rules);
        let mut hash = Sha256::new();
        hash.update(partition);
        hash.update(text.as_deref().unwrap_or_default());
        let key = hash.finalize().into();
        let text = text.filter(|text| other_words && sluice_semantic::eligible(text).is_ok());
        Ok(Self {
            owner,
            model: Arc::clone(model),
            partition,
            key,
            text,
            stamp: Stamp::default(),
            known: Known::default(),
        })
    }
}

/// A request without its last user turn: its fields, what is called, and how the answer is told where it is kept as it
/// was told.
fn rest(call: &Call, fields: serde_json::Map<String, Value>) -> Value {
    let fields = Value::Object(fields);
    if call.endpoint == Endpoint::ChatCompletions {
        return fields;
    }
    Value::Array(vec![fields, Value::from(call.endpoint.path()), Value::from(call.stream)])
}

impl Ask {
    /// The same, looked up when so much was purged.
    #[must_use]
    pub fn since(self, stamp: Stamp) -> Self {
        Self { stamp, ..self }
    }
}

/// Whether an answer to other words may do: no tools, no images, one turn, not too random.
fn may_differ(fields: &serde_json::Map<String, Value>, rules: &CacheRules) -> bool {
    let Some(Value::Array(messages)) = fields.get("messages") else { return false };
    let role = |m: &Value| m.get("role").and_then(Value::as_str).unwrap_or_default().to_owned();
    let turns = messages.iter().filter(|m| !matches!(role(m).as_str(), "system" | "developer")).count();
    let plain = messages.iter().all(|m| m.get("content").is_some_and(Value::is_string));
    let tools = ["tools", "functions"].iter().any(|name| fields.contains_key(*name));
    let temperature = fields.get("temperature").and_then(Value::as_f64);
    plain && !tools && (turns == 1 || rules.history) && temperature.is_none_or(|t| t <= rules.max_temperature)
}

/// Takes the text of the last message out, if it is a user's and plain.
fn take_last_text(fields: &mut serde_json::Map<String, Value>) -> Option<String> {
    let last = fields.get_mut("messages")?.as_array_mut()?.last_mut()?.as_object_mut()?;
    if last.get("role").and_then(Value::as_str) != Some("user") {
        return None;
    }
    match last.get_mut("content")? {
        Value::String(text) => Some(std::mem::take(text)),
        _ => None,
    }
}

fn partition(
    owner: &Owner,
    model: &str,
    targets: &[&str],
    (rest, passed): (&Value, &HeaderMap),
    rules: &CacheRules,
) -> Digest {
    let scope = rules.scope;
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    part(VERSION);
    part(&owner.tenant);
    if scope != CacheScope::Tenant {
        part(&owner.key);
    }
    if scope == CacheScope::User {
        part(owner.user.as_deref().unwrap_or_default());
    }
    part(scope.name());
    part(model);
    for target in targets {
        part(target);
    }
    let mut headers: Vec<String> = passed.iter().map(|(name, value)| header(name, value)).collect();
    headers.sort();
    for header in &headers {
        part(header);
    }
    if let Some(embedder) = &rules.embeddings {
        part("embedder");
        part(&embedder.id());
    }
    feed(rest, &mut hash);
    hash.finalize().into()
}

/// A header that is a part of the request's meaning; every byte of its value is one character.
fn header(name: &HeaderName, value: &HeaderValue) -> String {
    let value: String = value.as_bytes().iter().map(|byte| char::from(*byte)).collect();
    format!("{name}: {value}")
}

/// Hashes a value so that the order of its fields does not matter and nothing else is lost.
fn feed(value: &Value, hash: &mut Sha256) {
    let mut tagged = |tag: u8, text: &str| {
        hash.update([tag]);
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    match value {
        Value::Null => tagged(0, ""),
        Value::Bool(is) => tagged(1, if *is { "1" } else { "0" }),
        Value::Number(number) => tagged(2, &number.to_string()),
        Value::String(text) => tagged(3, text),
        Value::Array(items) => {
            tagged(4, &items.len().to_string());
            for item in items {
                feed(item, hash);
            }
        }
        Value::Object(fields) => {
            tagged(5, &fields.len().to_string());
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| name.as_str());
            for (name, value) in sorted {
                feed(&Value::String(name.clone()), hash);
                feed(value, hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    fn ask(body: &Value, scope: CacheScope, key: &str) -> Result<Ask, &'static str> {
        let call = Call::parse(Endpoint::ChatCompletions, Bytes::from(body.to_string())).unwrap();
        let owner = Owner { tenant: "acme".into(), key: key.into(), user: call.user.clone() };
        let rules = CacheRules { semantic: true, scope, ..CacheRules::default() };
        Ask::of(&call, owner, &Arc::from("m"), &["p/m"], &rules)
    }

    fn plain(text: &str) -> Value {
        json!({"model": "m", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": text}]})
    }

    #[test]
    fn what_changes_the_answer_changes_the_key() {
        let base = ask(&plain("hi"), CacheScope::Key, "web").unwrap();
        for (name, value) in [
            ("temperature", json!(0.5)),
            ("tools", json!([{"type": "function"}])),
            ("response_format", json!({"type": "json_object"})),
            ("seed", json!(7)),
            ("something_new", json!("x")),
        ] {
            let mut body = plain("hi");
            body[name] = value;
            let other = ask(&body, CacheScope::Key, "web").unwrap();
            assert!(other.partition != base.partition && other.key != base.key, "{name}");
        }
        for (name, value) in [("stream", json!(true)), ("user", json!("u")), ("seed", json!(null))] {
            let mut body = plain("hi");
            body[name] = value;
            assert_eq!(ask(&body, CacheScope::Key, "web").unwrap().key, base.key, "{name}");
        }
        let other = ask(&plain("hello"), CacheScope::Key, "web").unwrap();
        assert!(other.partition == base.partition && other.key != base.key);
    }

    #[test]
    fn apis_ways_to_ask_and_headers_are_kept_apart() {
        let of = |endpoint, stream: bool, beta: Option<&'static str>| {
            let body = json!({"model": "m", "max_tokens": 5, "stream": stream, "input": "hi",
                "messages": [{"role": "user", "content": "hi"}]});
            let mut call = Call::parse(endpoint, Bytes::from(body.to_string())).unwrap();
            if let Some(beta) = beta {
                call.passed.insert("anthropic-beta", HeaderValue::from_static(beta));
            }
            let owner = Owner { tenant: "acme".into(), key: "web".into(), user: None };
            let rules = CacheRules { semantic: true, ..CacheRules::default() };
            Ask::of(&call, owner, &Arc::from("m"), &["p/m"], &rules)
        };
        let mut keys = Vec::new();
        for endpoint in [Endpoint::Messages, Endpoint::Responses] {
            for stream in [true, false] {
                let ask = of(endpoint, stream, None).unwrap();
                assert!(ask.text.is_none(), "exact only");
                keys.push(ask.key);
            }
        }
        keys.push(of(Endpoint::Messages, true, Some("one")).unwrap().key);
        keys.push(of(Endpoint::Messages, true, Some("two")).unwrap().key);
        keys.push(of(Endpoint::ChatCompletions, true, None).unwrap().key);
        assert_eq!(of(Endpoint::ChatCompletions, false, None).unwrap().key, keys[6], "told either way");
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 7);
        assert_eq!(of(Endpoint::Embeddings, false, None).unwrap_err(), "endpoint");
    }

    #[test]
    fn a_body_that_two_parsers_may_read_in_two_ways_is_not_looked_up() {
        for body in [
            r#"{"model":"m","messages":[{"role":"user","content":"say yes","content":"what is 2 + 2?"}]}"#,
            r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"seed":1,"seed":2}"#,
        ] {
            let call = Call::parse(Endpoint::ChatCompletions, Bytes::from_static(body.as_bytes())).unwrap();
            let owner = Owner { tenant: "acme".into(), key: "web".into(), user: None };
            let asked = Ask::of(&call, owner, &Arc::from("m"), &["p/m"], &CacheRules::default());
            assert_eq!(asked.unwrap_err(), "body", "{body}");
        }
    }

    #[test]
    fn scopes_keep_owners_apart() {
        let key = |scope, name| ask(&plain("hi"), scope, name).unwrap().key;
        assert_eq!(key(CacheScope::Tenant, "a"), key(CacheScope::Tenant, "b"));
        assert_ne!(key(CacheScope::Key, "a"), key(CacheScope::Key, "b"));
        let user = |name: &str| {
            let mut body = plain("hi");
            body["user"] = json!(name);
            ask(&body, CacheScope::User, "a").unwrap().key
        };
        assert_ne!(user("u"), user("v"));
    }

    #[test]
    fn only_one_plain_turn_without_tools_may_be_asked_in_other_words() {
        assert!(ask(&plain("hi"), CacheScope::Key, "a").unwrap().text.is_some());
        let mut tools = plain("hi");
        tools["tools"] = json!([]);
        let mut hot = plain("hi");
        hot["temperature"] = json!(1.5);
        let mut history = plain("hi");
        history["messages"] = json!([
            {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}
        ]);
        let mut image = plain("hi");
        image["messages"] = json!([{"role": "user", "content": [{"type": "image_url"}]}]);
        for body in [tools, hot, history, image] {
            assert!(ask(&body, CacheScope::Key, "a").unwrap().text.is_none(), "{body}");
        }
        for text in ["word ".repeat(65), "```\nlet x = 1;\n```".to_owned(), "¿Cuál es la capital de Kenia?".to_owned()]
        {
            assert!(ask(&plain(&text), CacheScope::Key, "a").unwrap().text.is_none(), "{text}");
        }
        let mut stored = plain("hi");
        stored["store"] = json!(true);
        assert_eq!(ask(&stored, CacheScope::Key, "a").unwrap_err(), "store");
    }
}
