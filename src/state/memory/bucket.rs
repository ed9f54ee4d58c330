//! One bucket of a limit, who waits for it, and who has first claim on it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sluice_policies::{Level, Limit, UnixMillis};

use crate::state::{Charge, LeaseId};

/// A claim outlives the moment at which its holder should fit by this much, milliseconds.
const CLAIM_SLACK: u64 = 100;

/// A bucket.
pub(in crate::state) struct Bucket {
    pub(super) limit: Arc<Limit>,
    pub(super) level: Level,
    /// Open reservations against it: it must not be forgotten under them.
    pub(super) held: u32,
    claim: Option<Claim>,
    /// Waiters that it has no room for, in the order in which they are tried again.
    pub(super) blocked: BTreeSet<(u32, u64, LeaseId)>,
}

/// A bucket that a waiter needs is kept for it: from worse classes always, and from its own class
/// once it has waited long. Else small requests could starve a large one forever.
#[derive(Clone, Copy)]
struct Claim {
    holder: LeaseId,
    rank: u32,
    aged: bool,
    until: UnixMillis,
}

/// Who asks a bucket.
#[derive(Clone, Copy)]
pub(super) struct Asker {
    pub(super) id: LeaseId,
    pub(super) rank: u32,
    pub(super) aged: bool,
}

impl Bucket {
    /// A bucket with this level.
    pub(in crate::state) fn new(limit: Arc<Limit>, level: Level) -> Self {
        Self { limit, level, held: 0, claim: None, blocked: BTreeSet::new() }
    }

    /// A reload may have changed the limit: what was spent stays spent while the kind of limit is
    /// the same, else the bucket starts anew.
    pub(super) fn follow(&mut self, limit: &Arc<Limit>, now: UnixMillis) {
        if Arc::ptr_eq(&self.limit, limit) {
            return;
        }
        if self.limit.kind != limit.kind || self.limit.unit != limit.unit {
            self.level = limit.new_level(now);
        }
        self.limit = Arc::clone(limit);
    }

    /// Whether the charge fits; else when it will, `None` being never.
    pub(super) fn check(&self, charge: &Charge, asker: Asker, now: UnixMillis) -> Result<(), Option<Duration>> {
        let others = self.claim.filter(|claim| claim.until > now && claim.holder != asker.id);
        if let Some(claim) = others
            && (asker.rank > claim.rank || (asker.rank == claim.rank && claim.aged))
        {
            return Err(Some(Duration::from_millis(claim.until - now)));
        }
        self.level.check(&charge.limit, charge.amount, now).map_err(|short| short.retry_after)
    }

    /// Notes that a waiter needs the bucket, and should fit at `at`.
    pub(super) fn claim(&mut self, asker: Asker, at: UnixMillis, now: UnixMillis) {
        let mine = Claim { holder: asker.id, rank: asker.rank, aged: asker.aged, until: at + CLAIM_SLACK };
        let stronger = |claim: &Claim| {
            claim.holder != asker.id && claim.until > now && (claim.rank, !claim.aged) <= (mine.rank, !mine.aged)
        };
        if !self.claim.as_ref().is_some_and(stronger) {
            self.claim = Some(mine);
        }
    }

    /// Takes a claim back.
    pub(super) fn disclaim(&mut self, id: LeaseId) {
        self.claim = self.claim.filter(|claim| claim.holder != id);
    }

    /// Whether the bucket equals a fresh one that nobody cares about.
    pub(super) fn is_idle(&self, now: UnixMillis) -> bool {
        self.held == 0 && self.blocked.is_empty() && self.level.is_idle(&self.limit, now)
    }
}
