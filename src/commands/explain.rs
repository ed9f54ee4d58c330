//! `sluice explain`: what would become of a request. None is sent.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use sluice_policies::Key;
use sluice_providers::{Call, Endpoint};

use crate::admin;
use crate::app::StartError;
use crate::config::{self, Config};
use crate::pipeline::explain::{Caching, Explained, Words, explain};
use crate::tokens::Counter;

/// Whose request, and for what.
pub(super) struct Ask {
    pub(super) config: PathBuf,
    pub(super) key: String,
    pub(super) model: String,
    pub(super) body: Option<PathBuf>,
    pub(super) admin: Option<String>,
}

/// What a running gateway knows: `/levels` and `/targets`.
#[derive(Default)]
struct Live {
    levels: Value,
    targets: Value,
}

/// Prints identity, limits, price bound and targets, or the error that the client would get.
pub(super) async fn run(ask: &Ask) -> Result<(), StartError> {
    let config = config::load(&ask.config, 1)?;
    let key = find(&config, &ask.key)?;
    let call = Call::parse(Endpoint::ChatCompletions, body(ask)?)?;
    let explained = explain(&config, Arc::clone(&key), &call, &Counter::new(1))
        .map_err(|error| format!("it would be refused: {} {}", error.status.as_u16(), error.message))?;
    let live = match &ask.admin {
        None => Live::default(),
        Some(addr) => Live {
            levels: serde_json::from_slice(&admin::fetch(addr, "/levels").await?)?,
            targets: serde_json::from_slice(&admin::fetch(addr, "/targets").await?)?,
        },
    };
    io::stdout().write_all(shown(&key, &explained, &live)?.as_bytes())?;
    Ok(())
}

fn find(config: &Config, name: &str) -> Result<Arc<Key>, String> {
    let mut found = config.policies.keys().filter(|key| *key.name == *name || *key.id == *name);
    match (found.next(), found.next()) {
        (Some(key), None) => Ok(Arc::clone(key)),
        (Some(_), Some(_)) => Err(format!("several tenants have a key `{name}`: write tenant/{name}")),
        _ => {
            let mut known: Vec<&str> = config.policies.keys().map(|key| &*key.id).collect();
            known.sort_unstable();
            Err(format!("there is no key `{name}`; there is {}", known.join(", ")))
        }
    }
}

/// The body that was given, or a short one, with the model asked for.
fn body(ask: &Ask) -> Result<Bytes, StartError> {
    let mut body = match &ask.body {
        Some(path) => {
            let text = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?
        }
        None => json!({"messages": [{"role": "user", "content": "Hello"}]}),
    };
    let Value::Object(fields) = &mut body else { return Err("the body must be a JSON object".into()) };
    fields.insert("model".to_owned(), Value::from(ask.model.as_str()));
    Ok(Bytes::from(serde_json::to_vec(&body)?))
}

fn shown(key: &Key, explained: &Explained, live: &Live) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    let user = explained.user.as_deref().map(|user| format!(", user {user}")).unwrap_or_default();
    writeln!(out, "key      {} (class {}{user})", key.id, explained.class)?;
    let slots = explained.pool.0.map_or_else(|| "any number of".to_owned(), |slots| slots.to_string());
    let rate = explained.pool.1.map_or_else(String::new, |rate| format!(", {rate} tokens a minute"));
    writeln!(out, "model    {}: {slots} requests at once{rate}", explained.model)?;
    writeln!(
        out,
        "tokens   {} in the prompt ({}), at most {} in the answer",
        explained.input.0, explained.input.1, explained.output
    )?;
    writeln!(out, "price    at most {}", dollars(Some(explained.cost_micros)))?;
    writeln!(out, "cache    {}", caching(&explained.cache))?;
    writeln!(out, "limits")?;
    if explained.limits.is_empty() {
        writeln!(out, "  none applies")?;
    }
    for limit in &explained.limits {
        let level = level(live, &limit.scope).unwrap_or_default();
        let mode = if limit.observes { " (observes only)" } else { "" };
        let never = if limit.asks > limit.holds { ": it never fits" } else { "" };
        writeln!(out, "  {}{mode}: asks {} of {}{never}{level}", limit.limit, limit.asks, limit.holds)?;
    }
    writeln!(out, "targets")?;
    for (place, choice) in explained.targets.iter().enumerate() {
        let target = &choice.target;
        let zone = target.zone.as_deref().map(|zone| format!(", zone {zone}")).unwrap_or_default();
        let standing = standing(live, &target.label).unwrap_or_default();
        let (label, why, price) = (&target.label, &choice.why, dollars(choice.cost_micros));
        let (priority, weight) = (target.priority, target.weight);
        writeln!(
            out,
            "  {}. {label}: {why} (priority {priority}, weight {weight}{zone}; at most {price}){standing}",
            place + 1
        )?;
    }
    writeln!(out, "no request was sent")?;
    Ok(out)
}

fn caching(cache: &Caching) -> String {
    match cache {
        Caching::Off => "off".to_owned(),
        Caching::Uncovered => "no rule keeps its answers".to_owned(),
        Caching::Bypass(why) => format!("bypass({why})"),
        Caching::Under(rules, words) => {
            let words = match (words, rules.semantic) {
                (Words::Other, _) => "the same request, or one in other words",
                (Words::Same, true) => "the same request; this one is not looked up in other words",
                (Words::Same, false) => "the same request",
            };
            let (name, scope, ttl) = (&rules.name, rules.scope.name(), rules.ttl.as_secs());
            format!("{words} (rule {name}, shared by {scope}, kept {ttl} s)")
        }
    }
}

fn dollars(micros: Option<u64>) -> String {
    match micros {
        Some(micros) => format!("${}.{:06}", micros / 1_000_000, micros % 1_000_000),
        None => "an unknown price".to_owned(),
    }
}

/// What is left of a bucket at the running gateway.
fn level(live: &Live, scope: &str) -> Option<String> {
    let row = live.levels["limits"].as_array()?.iter().find(|row| row["scope"] == scope)?;
    Some(format!(", {} left now", row["remaining"]))
}

/// How a target stands at the running gateway.
fn standing(live: &Live, label: &str) -> Option<String> {
    let row = live.targets["targets"].as_array()?.iter().find(|row| row["target"] == label)?;
    let (standing, mode) = (row["standing"].as_str()?, row["mode"].as_str()?);
    Some(format!("; now {standing}, {mode}, {} under way", row["in_flight"]))
}
