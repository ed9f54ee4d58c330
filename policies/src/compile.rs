//! From policy files to a [`PolicySet`]: every error of every file, each with its place.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use serde_saphyr::{Location, Spanned};

use crate::amount::{self, Amount};
use crate::classes;
use crate::glob::Glob;
use crate::hits::HitCost;
use crate::level::EXACT;
use crate::limit::{Kind, Limit, Matcher, Mode, OnStoreDown, Scope, Unit, Window};
use crate::raw::{RawClass, RawKey, RawLimit, RawLongLimit, RawMode, RawPolicy, RawScope, RawStoreDown};
use crate::sentence::{self, Draft, Period};
use crate::set::{Key, PolicySet};

const DEFAULT_OUTPUT: u64 = 4096;

/// A policy file before it is read: its name is for errors only.
#[derive(Clone, Debug)]
pub struct PolicyFile {
    /// Shown in errors.
    pub name: String,
    /// YAML.
    pub text: String,
}

/// What is wrong in a policy file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// The file's name.
    pub file: String,
    /// From 1; 0 if the place is not known.
    pub line: u64,
    /// From 1; 0 if the place is not known.
    pub column: u64,
    /// The YAML path, such as `limits[2]`; empty for the file as a whole.
    pub path: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, path, message } = self;
        write!(f, "{file}:{line}:{column}: ")?;
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        f.write_str(message)
    }
}

impl std::error::Error for PolicyError {}

pub(crate) fn run(files: &[PolicyFile]) -> Result<PolicySet, Vec<PolicyError>> {
    let mut compiler =
        Compiler { set: PolicySet::default(), errors: Vec::new(), file: String::new(), ids: HashSet::new() };
    for class in classes::built_in() {
        compiler.set.classes.insert(Arc::clone(&class.name), Arc::new(class));
    }
    let mut parsed = Vec::new();
    for file in files {
        file.name.clone_into(&mut compiler.file);
        match serde_saphyr::from_str::<RawPolicy>(&file.text) {
            Ok(raw) => parsed.push((file.name.clone(), raw)),
            Err(error) => {
                let at = error.location();
                let message = first_line(&error.without_snippet().to_string());
                compiler.error(at.as_ref(), "", message);
            }
        }
    }
    // Classes first: keys of any file may use classes of any other.
    let mut origin = HashMap::new();
    for (name, raw) in &parsed {
        name.clone_into(&mut compiler.file);
        compiler.classes(raw, &mut origin);
    }
    let mut tenants = HashSet::new();
    for (name, raw) in &parsed {
        name.clone_into(&mut compiler.file);
        compiler.tenant(raw, &mut tenants);
    }
    if compiler.errors.is_empty() { Ok(compiler.set) } else { Err(compiler.errors) }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

struct Compiler {
    set: PolicySet,
    errors: Vec<PolicyError>,
    /// The file being compiled.
    file: String,
    ids: HashSet<Arc<str>>,
}

impl Compiler {
    fn error(&mut self, at: Option<&Location>, path: impl Into<String>, message: impl Into<String>) {
        self.errors.push(PolicyError {
            file: self.file.clone(),
            line: at.map_or(0, Location::line),
            column: at.map_or(0, Location::column),
            path: path.into(),
            message: message.into(),
        });
    }

    fn classes(&mut self, raw: &RawPolicy, origin: &mut HashMap<String, (String, RawClass)>) {
        for (name, class) in &raw.classes {
            let path = format!("classes.{name}");
            if let Some((file, other)) = origin.get(name) {
                if *other != class.value {
                    let message =
                        format!("class `{name}` is defined differently in {file}; classes are shared by all files");
                    self.error(Some(&class.referenced), path, message);
                }
                continue;
            }
            match classes::compile(name, &class.value) {
                Ok(compiled) => {
                    self.set.classes.insert(Arc::clone(&compiled.name), Arc::new(compiled));
                    origin.insert(name.clone(), (self.file.clone(), class.value.clone()));
                }
                Err(message) => self.error(Some(&class.referenced), path, message),
            }
        }
    }

    fn tenant(&mut self, raw: &RawPolicy, tenants: &mut HashSet<String>) {
        let name = &raw.tenant.value;
        if !plain(name) {
            self.error(Some(&raw.tenant.referenced), "tenant", naming(name));
        } else if !tenants.insert(name.clone()) {
            let message = format!("tenant `{name}` has a policy file already; put its keys and limits together");
            self.error(Some(&raw.tenant.referenced), "tenant", message);
        }
        let tenant: Arc<str> = Arc::from(name.as_str());
        let default_output = raw.default_output.as_ref().map_or(DEFAULT_OUTPUT, |value| value.value);
        let hit_cost = self.hit_cost(raw);
        let mut names = HashSet::new();
        for (index, key) in raw.keys.iter().enumerate() {
            let at = format!("keys[{index}]");
            match self.key(&tenant, &key.value, (default_output, hit_cost), &mut names) {
                Ok(compiled) => {
                    self.set.keys.insert(compiled.digest, Arc::new(compiled));
                }
                Err((field, message)) => self.error(Some(&key.referenced), format!("{at}.{field}"), message),
            }
        }
        for (index, limit) in raw.limits.iter().enumerate() {
            let path = format!("limits[{index}]");
            match compile_limit(&tenant, limit, store_down(raw.on_store_down)) {
                Ok(compiled) if self.ids.insert(Arc::clone(&compiled.id)) => self.keep(compiled),
                Ok(compiled) => {
                    let message = format!("limit `{}` stands twice; give one of them a name of its own", compiled.id);
                    self.error(Some(&limit.referenced), path, message);
                }
                Err(message) => self.error(Some(&limit.referenced), path, message),
            }
        }
    }

    fn hit_cost(&mut self, raw: &RawPolicy) -> HitCost {
        let Some(spanned) = &raw.hit_cost else { return HitCost::NOTHING };
        HitCost::parse(&spanned.value.text()).unwrap_or_else(|message| {
            self.error(Some(&spanned.referenced), "hit_cost", message);
            HitCost::NOTHING
        })
    }

    fn keep(&mut self, limit: Limit) {
        let limit = Arc::new(limit);
        if limit.scope == Scope::Global {
            self.set.global.push(Arc::clone(&limit));
        }
        self.set.limits.entry(Arc::clone(&limit.tenant)).or_default().push(limit);
    }

    fn key(
        &self,
        tenant: &Arc<str>,
        raw: &RawKey,
        (default_output, hit_cost): (u64, HitCost),
        names: &mut HashSet<String>,
    ) -> Result<Key, (&'static str, String)> {
        if !plain(&raw.name) {
            return Err(("name", naming(&raw.name)));
        }
        if !names.insert(raw.name.clone()) {
            return Err(("name", format!("key `{}` stands twice in this file", raw.name)));
        }
        let digest = digest_of(&raw.key).ok_or_else(|| {
            let message = "it must be `sha256:` and 64 hex digits; `sluice key new --name NAME` prints one";
            ("key", message.to_owned())
        })?;
        if let Some(other) = self.set.keys.get(&digest) {
            return Err((
                "key",
                format!("the same secret is key `{}` of tenant `{}` already", other.name, other.tenant),
            ));
        }
        let class = raw.class.as_deref().unwrap_or("standard");
        if !self.set.classes.contains_key(class) {
            let known = self.set.classes.keys().map(|name| &**name).collect::<Vec<_>>().join(", ");
            return Err(("class", format!("unknown class `{class}`; it is one of {known}")));
        }
        let hit_cost = match &raw.hit_cost {
            Some(own) => HitCost::parse(&own.text()).map_err(|message| ("hit_cost", message))?,
            None => hit_cost,
        };
        Ok(Key {
            id: Arc::from(format!("{tenant}/{}", raw.name)),
            name: Arc::from(raw.name.as_str()),
            tenant: Arc::clone(tenant),
            class: Arc::from(class),
            digest,
            models: raw.models.as_ref().map(|globs| globs.iter().map(Glob::new).collect()),
            default_output,
            hit_cost,
        })
    }
}

/// Names end up in bucket names and logs: nothing that could be mistaken for a separator.
pub(crate) fn plain(name: &str) -> bool {
    !name.is_empty() && name.len() <= 128 && !name.chars().any(|c| c.is_control() || matches!(c, '|' | '{' | '}'))
}

pub(crate) fn naming(name: &str) -> String {
    format!("`{}` is not a name; use 1 to 128 characters without | {{ }}", name.escape_debug())
}

fn digest_of(text: &str) -> Option<[u8; 32]> {
    let hex = text.strip_prefix("sha256:").filter(|hex| hex.len() == 64)?.as_bytes();
    let mut digest = [0u8; 32];
    for (byte, pair) in digest.iter_mut().zip(hex.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        let value = char::from(*high).to_digit(16)? * 16 + char::from(*low).to_digit(16)?;
        *byte = u8::try_from(value).ok()?;
    }
    Some(digest)
}

fn store_down(raw: Option<RawStoreDown>) -> OnStoreDown {
    match raw {
        None | Some(RawStoreDown::Slice) => OnStoreDown::Slice,
        Some(RawStoreDown::Deny) => OnStoreDown::Deny,
        Some(RawStoreDown::Allow) => OnStoreDown::Allow,
    }
}

fn compile_limit(tenant: &Arc<str>, raw: &Spanned<RawLimit>, default_down: OnStoreDown) -> Result<Limit, String> {
    let (name, draft, matcher, down) = match &raw.value {
        RawLimit::Sentence(text) => {
            let draft = sentence::parse(text)?;
            let name = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let matcher = Matcher { model: draft.model.clone().map(Glob::new), ..Matcher::default() };
            (name, draft, matcher, default_down)
        }
        RawLimit::Long(long) => {
            let down = long.on_store_down.map_or(default_down, |down| store_down(Some(down)));
            (long.name.clone(), draft_of(long)?, matcher_of(long), down)
        }
    };
    if !plain(&name) {
        return Err(naming(&name));
    }
    let kind = kind_of(&draft)?;
    Ok(Limit {
        id: Arc::from(format!("{tenant}/{name}")),
        tenant: Arc::clone(tenant),
        unit: draft.unit,
        amount: draft.amount,
        kind,
        scope: draft.scope,
        mode: draft.mode,
        matcher,
        on_store_down: down,
    })
}

fn draft_of(long: &RawLongLimit) -> Result<Draft, String> {
    let amount = amount::parse(&long.amount.text()).map_err(|error| format!("amount: {error}"))?;
    let (unit, amount) = match (amount, long.unit.as_deref()) {
        (Amount::Dollars(micros), None | Some("cost")) => (Unit::Cost, micros),
        (Amount::Dollars(_), Some(unit)) => return Err(format!("unit: `{unit}` is not money; leave the unit out")),
        (Amount::Count(_), None) => return Err("unit: say what is counted: tokens, requests, …".to_owned()),
        (Amount::Count(count), Some(name)) => {
            let spaced = name.replace('_', " ");
            let unit = sentence::unit_of(&spaced).ok_or_else(|| {
                format!("unit: `{name}` is not a unit; it is one of tokens, input tokens, output tokens, requests, concurrent")
            })?;
            (unit, count)
        }
    };
    let period =
        match long.per.as_deref() {
            None => None,
            Some(name) => Some(Period::parse(name).ok_or_else(|| {
                format!("per: `{name}` is not a period; it is one of second, minute, hour, day, month")
            })?),
        };
    let burst = match &long.burst {
        None => None,
        Some(text) => Some(sentence::burst_of(unit, &text.text()).map_err(|error| format!("burst: {error}"))?),
    };
    let scope = match long.scope {
        None | Some(RawScope::Tenant) => Scope::Tenant,
        Some(RawScope::Key) => Scope::Key,
        Some(RawScope::User) => Scope::User,
        Some(RawScope::Global) => Scope::Global,
    };
    let mode = if matches!(long.mode, Some(RawMode::Observe)) { Mode::Observe } else { Mode::Enforce };
    Ok(Draft { unit, amount, period, scope, model: None, burst, mode })
}

fn matcher_of(long: &RawLongLimit) -> Matcher {
    let Some(raw) = &long.r#match else { return Matcher::default() };
    let glob = |text: &Option<String>| text.clone().map(Glob::new);
    Matcher { model: glob(&raw.model), key: glob(&raw.key), class: glob(&raw.class), user: glob(&raw.user) }
}

fn kind_of(draft: &Draft) -> Result<Kind, String> {
    let rate = |period_ms: u64| {
        let burst = draft.burst.unwrap_or(draft.amount);
        let most = burst.max(draft.amount);
        // Twice the brim: a full bucket and as much debt are both exact.
        if most.checked_mul(2 * period_ms).is_none_or(|product| product >= EXACT) {
            return Err("the amount is too large to be counted exactly; use a shorter period".to_owned());
        }
        Ok(Kind::Rate { period_ms, burst })
    };
    let budget = |window| match draft.burst {
        Some(_) => Err("a budget per day or month has no burst".to_owned()),
        None if draft.amount >= EXACT => Err("the amount is too large to be counted exactly".to_owned()),
        None => Ok(Kind::Budget(window)),
    };
    match (draft.unit, draft.period) {
        (Unit::Concurrent, None) if draft.burst.is_none() => Ok(Kind::Concurrent),
        (Unit::Concurrent, _) => Err("`concurrent` is a number at once: it has no period and no burst".to_owned()),
        (_, None) => Err("say how often it refills: /s, /min, /hour, /day or /month".to_owned()),
        (_, Some(Period::Second)) => rate(1_000),
        (_, Some(Period::Minute)) => rate(60_000),
        (_, Some(Period::Hour)) => rate(3_600_000),
        (_, Some(Period::Day)) => budget(Window::Day),
        (_, Some(Period::Month)) => budget(Window::Month),
    }
}
