//! What was purged, and when: an answer that is older than a purge that names it is not used, wherever
//! it lies and whenever it arrives.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use super::ask::Ask;
use crate::state::PurgeMark;

/// Which answers to forget; what is `None` matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purge {
    /// The public model.
    pub model: Option<String>,
    /// The tenant.
    pub tenant: Option<String>,
    /// The key's name.
    pub key: Option<String>,
}

/// How far purges were known when a request was looked up: its answer is as old as that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The last purge of this process.
    pub(super) here: u64,
    /// The last purge of all replicas.
    pub(super) shared: PurgeMark,
}

/// The purges that are remembered by name, at most; more forget everything before them.
const MOST: usize = 4096;

#[derive(Default)]
struct Log {
    /// Everything before it is purged.
    floor: u64,
    last: u64,
    named: HashMap<u64, u64>,
}

impl Log {
    fn add(&mut self, what: u64, at: u64) {
        self.last = self.last.max(at);
        if self.named.len() >= MOST {
            self.named.clear();
            self.floor = self.last;
        }
        let known = self.named.entry(what).or_default();
        *known = at.max(*known);
    }

    fn allows(&self, ask: &Ask, at: u64) -> bool {
        at >= self.floor && (self.named.is_empty() || names(ask).iter().all(|name| self.before(*name, at)))
    }

    fn before(&self, name: u64, at: u64) -> bool {
        self.named.get(&name).is_none_or(|purged| *purged <= at)
    }
}

#[derive(Default)]
struct Table {
    here: Log,
    shared: Log,
    mark: PurgeMark,
}

/// All purges, of this process and of all replicas.
#[derive(Default)]
pub(super) struct Purges(RwLock<Table>);

impl Purges {
    /// How far purges are known now.
    pub(super) fn stamp(&self) -> Stamp {
        let table = self.0.read();
        Stamp { here: table.here.last, shared: table.mark }
    }

    /// Whether an answer in memory may be used.
    pub(super) fn allows_here(&self, ask: &Ask) -> bool {
        self.0.read().here.allows(ask, ask.stamp.here)
    }

    /// Whether an answer of the shared cache may be used.
    pub(super) fn allows_shared(&self, ask: &Ask) -> bool {
        let table = self.0.read();
        let mark = ask.stamp.shared;
        mark.epoch != 0 && mark.epoch == table.mark.epoch && table.shared.allows(ask, mark.seq)
    }

    /// Notes a purge of what is in memory.
    pub(super) fn add_here(&self, what: &Purge) {
        let mut table = self.0.write();
        let next = table.here.last + 1;
        table.here.add(name_of(what), next);
    }

    /// Notes a purge of all replicas. If it is the next one, all before it are known.
    pub(super) fn add_shared(&self, what: &Purge, mark: PurgeMark) {
        let mut table = self.0.write();
        if mark.epoch != table.mark.epoch {
            return;
        }
        table.shared.add(name_of(what), mark.seq);
        if mark.seq == table.mark.seq + 1 {
            table.mark = mark;
        }
    }

    /// All purges of all replicas up to `mark`, in place of what was known.
    pub(super) fn replace_shared(&self, all: &[(Purge, u64)], mark: PurgeMark) {
        let mut table = self.0.write();
        if mark.epoch != table.mark.epoch {
            table.shared = Log::default();
        }
        for (what, at) in all {
            table.shared.add(name_of(what), *at);
        }
        table.mark = mark;
    }
}

/// Two purges with one name forget too much, never too little.
fn name(model: Option<&str>, tenant: Option<&str>, key: Option<&str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (model, tenant, key).hash(&mut hasher);
    hasher.finish()
}

fn name_of(what: &Purge) -> u64 {
    name(what.model.as_deref(), what.tenant.as_deref(), what.key.as_deref())
}

/// Every purge that would match.
fn names(ask: &Ask) -> [u64; 8] {
    let owner = &ask.owner;
    std::array::from_fn(|bits| {
        name(
            (bits & 1 != 0).then_some(&*ask.model),
            (bits & 2 != 0).then_some(&*owner.tenant),
            (bits & 4 != 0).then_some(&*owner.key),
        )
    })
}

impl Purge {
    /// Whether an answer is one of those.
    pub(super) fn matches(&self, ask: &Ask) -> bool {
        let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
        is(&self.model, &ask.model) && is(&self.tenant, &ask.owner.tenant) && is(&self.key, &ask.owner.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Owner;
    use crate::cache::ask::Known;

    fn ask(stamp: Stamp) -> Ask {
        let owner = Owner { tenant: "acme".into(), key: "web".into(), user: None };
        Ask { owner, model: "m".into(), partition: [0; 32], key: [1; 32], text: None, stamp, known: Known::default() }
    }

    fn purge(model: Option<&str>, tenant: Option<&str>, key: Option<&str>) -> Purge {
        Purge { model: model.map(str::to_owned), tenant: tenant.map(str::to_owned), key: key.map(str::to_owned) }
    }

    #[test]
    fn only_what_is_older_and_named_is_purged() {
        let named =
            [None, Some("acme")].map(|t| [None, Some("web")].map(|k| [None, Some("m")].map(|m| purge(m, t, k))));
        for what in named.into_iter().flatten().flatten() {
            let purges = Purges::default();
            let before = ask(purges.stamp());
            purges.add_here(&what);
            assert!(what.matches(&before) && !purges.allows_here(&before), "{what:?}");
            assert!(purges.allows_here(&ask(purges.stamp())), "a later answer");
        }
        let purges = Purges::default();
        let before = ask(purges.stamp());
        for other in
            [purge(Some("n"), None, None), purge(None, Some("acme"), Some("etl")), purge(None, Some("b"), None)]
        {
            purges.add_here(&other);
            assert!(!other.matches(&before) && purges.allows_here(&before), "{other:?}");
        }
    }

    #[test]
    fn an_answer_of_another_epoch_or_of_none_is_not_used() {
        let purges = Purges::default();
        assert!(!purges.allows_shared(&ask(purges.stamp())), "nothing is known yet");
        purges.replace_shared(&[], PurgeMark { epoch: 7, seq: 0 });
        let before = ask(purges.stamp());
        assert!(purges.allows_shared(&before));
        // Another replica's purge, 1, is not known when this one's, 2, is made.
        purges.add_shared(&purge(None, Some("acme"), None), PurgeMark { epoch: 7, seq: 2 });
        assert!(!purges.allows_shared(&before));
        assert_eq!(purges.stamp().shared.seq, 0, "what is looked up now is taken to be older than both");
        purges.replace_shared(&[(purge(None, None, Some("web")), 1)], PurgeMark { epoch: 7, seq: 2 });
        let after = ask(purges.stamp());
        assert!(purges.allows_shared(&after) && !purges.allows_shared(&before));
        purges.replace_shared(&[], PurgeMark { epoch: 8, seq: 0 });
        assert!(!purges.allows_shared(&after));
    }

    #[test]
    fn too_many_purges_forget_everything_before_them() {
        let purges = Purges::default();
        let first = ask(purges.stamp());
        for index in 0..=MOST {
            purges.add_here(&purge(None, Some(&format!("t{index}")), None));
        }
        assert!(!purges.allows_here(&first) && purges.allows_here(&ask(purges.stamp())));
    }
}
