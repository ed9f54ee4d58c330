//! All policy files together: keys by digest, classes, and the limits that apply to a request.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use crate::compile::{self, PolicyError, PolicyFile};
use crate::glob::Glob;
use crate::hits::HitCost;
use crate::limit::{Limit, Scope, Subject};
use crate::raw::RawPolicy;

/// A virtual key, known by the SHA-256 of its secret.
#[derive(Debug)]
pub struct Key {
    /// `tenant/name`.
    pub id: Arc<str>,
    /// Name in logs and limits.
    pub name: Arc<str>,
    /// Whom it belongs to.
    pub tenant: Arc<str>,
    /// The best class it may ask for, and the one it gets if it asks for none.
    pub class: Arc<str>,
    /// SHA-256 of the secret.
    pub digest: [u8; 32],
    /// Models it may use; `None` is all.
    pub models: Option<Vec<Glob>>,
    /// Output tokens to reserve for a request that sets no bound of its own.
    pub default_output: u64,
    /// What an answer from the cache costs the limits.
    pub hit_cost: HitCost,
}

impl Key {
    /// Whether the key may use a public model name.
    pub fn may_use(&self, model: &str) -> bool {
        self.models.as_ref().is_none_or(|globs| globs.iter().any(|glob| glob.matches(model)))
    }
}

/// A priority class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its name.
    pub name: Arc<str>,
    /// 0 is served first.
    pub rank: u32,
    /// Share among classes of the same rank.
    pub weight: u32,
    /// Longest wait in the queue; zero refuses at once.
    pub max_wait: Duration,
    /// Most requests waiting per pool.
    pub max_depth: u32,
    /// Each time its oldest waiter has waited this long, the class is served as if one rank
    /// better; zero is never.
    pub age_after: Duration,
    /// Slots of a pool that only this class may use.
    pub reserved: u32,
}

/// A client asked for a class that no policy file defines.
#[derive(Debug, thiserror::Error)]
#[error("unknown class `{asked}`; it is one of {known}")]
pub struct UnknownClass {
    asked: String,
    known: String,
}

/// Every policy file, compiled. Immutable: a reload makes a new one.
#[derive(Debug, Default)]
pub struct PolicySet {
    pub(crate) keys: HashMap<[u8; 32], Arc<Key>>,
    pub(crate) classes: IndexMap<Arc<str>, Arc<Class>>,
    /// Limits by tenant: a request looks only at its own and the global ones.
    pub(crate) limits: HashMap<Arc<str>, Vec<Arc<Limit>>>,
    pub(crate) global: Vec<Arc<Limit>>,
}

impl PolicySet {
    /// Compiles all files; on failure every error of every file, in order.
    pub fn compile(files: &[PolicyFile]) -> Result<Self, Vec<PolicyError>> {
        compile::run(files)
    }

    /// The key with this SHA-256.
    pub fn key(&self, sha256: &[u8; 32]) -> Option<&Arc<Key>> {
        self.keys.get(sha256)
    }

    /// The class a request runs in: what it asked for, but never better than its key's.
    pub fn class_for(&self, key: &Key, asked: Option<&str>) -> Result<&Arc<Class>, UnknownClass> {
        let find = |name: &str| {
            self.classes.get(name).ok_or_else(|| UnknownClass {
                asked: name.chars().take(64).collect(),
                known: self.classes.keys().map(|name| &**name).collect::<Vec<_>>().join(", "),
            })
        };
        let own = find(&key.class)?;
        match asked {
            None => Ok(own),
            Some(name) => find(name).map(|asked| if asked.rank < own.rank { own } else { asked }),
        }
    }

    /// All classes, in no order that matters.
    pub fn classes(&self) -> impl Iterator<Item = &Arc<Class>> {
        self.classes.values()
    }

    /// Every limit that applies to a request.
    pub fn limits_for<'a>(&'a self, who: &'a Subject<'a>) -> impl Iterator<Item = &'a Arc<Limit>> {
        let own = self.limits.get(who.tenant).map(Vec::as_slice).unwrap_or_default();
        own.iter().filter(|limit| limit.scope != Scope::Global).chain(&self.global).filter(|limit| limit.applies(who))
    }

    /// All keys, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.keys.values()
    }

    /// All limits, in no order.
    pub fn limits(&self) -> impl Iterator<Item = &Arc<Limit>> {
        self.limits.values().flatten()
    }

    /// The JSON Schema of a policy file.
    pub fn schema() -> schemars::Schema {
        schemars::schema_for!(RawPolicy)
    }
}
