//! One limit: what it counts, how much of it, per whom, and for which requests.

use std::fmt::Write;
use std::sync::Arc;

use crate::UnixMillis;
use crate::glob::Glob;
use crate::level::Level;

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Requests.
    Requests,
    /// Prompt tokens, cached ones included.
    InputTokens,
    /// Generated tokens, reasoning included.
    OutputTokens,
    /// Prompt and generated tokens.
    TotalTokens,
    /// Micro-dollars.
    Cost,
    /// Requests in flight.
    Concurrent,
}

/// A calendar window, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// Midnight to midnight.
    Day,
    /// First to first.
    Month,
}

/// How a limit refills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A token bucket: `amount` per `period_ms`, up to `burst`.
    Rate {
        /// Milliseconds in which `amount` refills.
        period_ms: u64,
        /// The most that can be saved up.
        burst: u64,
    },
    /// `amount` per calendar window.
    Budget(Window),
    /// `amount` at once.
    Concurrent,
}

/// Who shares a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Each key has its own.
    Key,
    /// The tenant has one.
    Tenant,
    /// Each end user has its own; requests that name none share their key's.
    User,
    /// All tenants share one.
    Global,
}

/// Whether a limit refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// It does.
    Enforce,
    /// It counts, and reports what it would have refused.
    Observe,
}

/// What a limit does while the shared store of limits cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnStoreDown {
    /// Each replica spends its own share: a fraction of what was left, and of the refill.
    #[default]
    Slice,
    /// It refuses.
    Deny,
    /// It lets everything pass; what was used is charged once the store is back.
    Allow,
}

/// Which requests of the tenant a limit applies to; `None` is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    /// Pattern of public model names.
    pub model: Option<Glob>,
    /// Pattern of key names.
    pub key: Option<Glob>,
    /// Pattern of class names.
    pub class: Option<Glob>,
    /// Pattern of end users.
    pub user: Option<Glob>,
}

impl Matcher {
    /// Whether all patterns match a request.
    pub fn matches(&self, who: &Subject<'_>) -> bool {
        let fits = |pattern: &Option<Glob>, text: &str| pattern.as_ref().is_none_or(|glob| glob.matches(text));
        fits(&self.model, who.model)
            && fits(&self.key, who.key)
            && fits(&self.class, who.class)
            && fits(&self.user, who.user.unwrap_or(""))
    }
}

/// Who asks, for what model.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The key's tenant.
    pub tenant: &'a str,
    /// The key's name.
    pub key: &'a str,
    /// The end user, if the client named one.
    pub user: Option<&'a str>,
    /// The priority class.
    pub class: &'a str,
    /// The public model name.
    pub model: &'a str,
}

/// What a request asks for or has used. It is one request, and one at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Prompt tokens.
    pub input: u64,
    /// Generated tokens.
    pub output: u64,
    /// Micro-dollars.
    pub cost_micros: u64,
}

/// One compiled limit.
#[derive(Debug)]
pub struct Limit {
    /// Unique over all files: `tenant/sentence` or `tenant/name`.
    pub id: Arc<str>,
    /// The tenant whose file it stands in.
    pub tenant: Arc<str>,
    /// What is counted.
    pub unit: Unit,
    /// How much, in the unit.
    pub amount: u64,
    /// How it refills.
    pub kind: Kind,
    /// Who shares a bucket.
    pub scope: Scope,
    /// Whether it refuses.
    pub mode: Mode,
    /// Which requests it applies to.
    pub matcher: Matcher,
    /// What it does while the shared store cannot be reached.
    pub on_store_down: OnStoreDown,
}

impl Limit {
    /// Whether the limit applies to a request.
    pub fn applies(&self, who: &Subject<'_>) -> bool {
        (self.scope == Scope::Global || *self.tenant == *who.tenant) && self.matcher.matches(who)
    }

    /// The name of the bucket a request falls into. No two limits or scopes share one: what
    /// comes from a client stands last, after a separator no configured name can hold.
    pub fn scope_key(&self, who: &Subject<'_>) -> String {
        let mut text = String::with_capacity(self.id.len() + 24);
        text.push_str(&self.id);
        let result = match (self.scope, who.user) {
            (Scope::Tenant | Scope::Global, _) => Ok(()),
            (Scope::Key, _) => write!(text, "|key={}", who.key),
            (Scope::User, Some(user)) => write!(text, "|user={user}"),
            (Scope::User, None) => write!(text, "|no user, key={}", who.key),
        };
        // Writing to a string cannot fail.
        result.unwrap_or_default();
        text
    }

    /// How much of this limit's unit a demand is.
    pub fn amount_of(&self, demand: &Demand) -> u64 {
        match self.unit {
            Unit::Requests | Unit::Concurrent => 1,
            Unit::InputTokens => demand.input,
            Unit::OutputTokens => demand.output,
            Unit::TotalTokens => demand.input.saturating_add(demand.output),
            Unit::Cost => demand.cost_micros,
        }
    }

    /// A bucket as it is before anything was asked of it.
    pub fn new_level(&self, now: UnixMillis) -> Level {
        Level::fresh(self, now)
    }
}
