//! The order in which the waiters of one pool are served: classes by rank and weight, keys inside
//! a class fair by tokens.
//!
//! Inside a class each waiter gets a virtual finish time when it comes: its cost added to the
//! later of the class's virtual time and its key's last finish (self-clocked fair queueing, Golestani
//! 1994). Between classes of the same rank the one with the least weighted service goes first; a
//! class that did not compete saves up no credit. Whether a waiter fits is not decided here.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::UnixMillis;
use crate::set::Class;

/// Service is counted in thousandths of a token, so that weights up to 1000 divide it.
const SCALE: u64 = 1000;

/// The waiters of one pool. `I` identifies a waiter.
#[derive(Debug)]
pub struct Queue<I> {
    lanes: HashMap<Arc<str>, Lane<I>>,
    /// Weighted service of the class that was served last, before it was served.
    served: u64,
    next: u64,
}

/// The waiters of one class.
#[derive(Debug)]
struct Lane<I> {
    class: Arc<Class>,
    /// By virtual finish time.
    ready: BTreeSet<(u64, I)>,
    /// By arrival.
    oldest: BTreeSet<(u64, UnixMillis, I)>,
    /// The last virtual finish of each key, and how many of its waiters are here.
    keys: HashMap<Arc<str>, (u64, u32)>,
    /// Virtual time: the finish of the waiter that was served last.
    now: u64,
    /// Weighted service.
    service: u64,
    /// Waiters, those that are set aside too.
    waiting: u32,
}

/// A waiter's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Its class.
    pub class: Arc<Class>,
    /// Whose waiter it is: fairness is between these.
    pub key: Arc<str>,
    /// Tokens it asks for, at least 1.
    pub cost: u64,
    /// When it came.
    pub since: UnixMillis,
    /// Virtual finish time.
    finish: u64,
    /// Order of arrival.
    number: u64,
}

impl Turn {
    /// Orders waiters of several pools for one bucket: better classes first, then by virtual
    /// finish time.
    pub fn precedence(&self) -> (u32, u64) {
        (self.class.rank, self.finish)
    }

    /// Whether the waiter has waited as long as its class's `age_after`.
    pub fn is_aged(&self, now: UnixMillis) -> bool {
        let age = millis(&self.class);
        age > 0 && now.saturating_sub(self.since) >= age
    }
}

fn millis(class: &Class) -> u64 {
    u64::try_from(class.age_after.as_millis()).unwrap_or(u64::MAX)
}

impl<I> Default for Queue<I> {
    fn default() -> Self {
        Self { lanes: HashMap::new(), served: 0, next: 0 }
    }
}

impl<I: Ord + Copy> Queue<I> {
    /// Gives a waiter its place; it is ready.
    pub fn push(&mut self, id: I, class: &Arc<Class>, key: &Arc<str>, cost: u64, now: UnixMillis) -> Turn {
        let lane = self.lanes.entry(Arc::clone(&class.name)).or_insert_with(|| Lane::new(class));
        lane.class = Arc::clone(class);
        let last = lane.keys.entry(Arc::clone(key)).or_insert((0, 0));
        let cost = cost.max(1);
        last.0 = last.0.max(lane.now) + cost;
        last.1 += 1;
        lane.waiting += 1;
        self.next += 1;
        let turn = Turn {
            class: Arc::clone(class),
            key: Arc::clone(key),
            cost,
            since: now,
            finish: last.0,
            number: self.next,
        };
        self.ready(id, &turn);
        turn
    }

    /// Puts a waiter that was set aside back to its old place.
    pub fn ready(&mut self, id: I, turn: &Turn) {
        if let Some(lane) = self.lanes.get_mut(&turn.class.name) {
            lane.ready.insert((turn.finish, id));
            lane.oldest.insert((turn.number, turn.since, id));
        }
    }

    /// Takes a waiter out of turn; it is still waiting.
    pub fn set_aside(&mut self, id: I, turn: &Turn) {
        if let Some(lane) = self.lanes.get_mut(&turn.class.name) {
            lane.ready.remove(&(turn.finish, id));
            lane.oldest.remove(&(turn.number, turn.since, id));
        }
    }

    /// Takes a waiter out because it is served: its class and key have had its cost.
    pub fn serve(&mut self, id: I, turn: &Turn) {
        self.set_aside(id, turn);
        let served = self.served;
        if let Some(lane) = self.lanes.get_mut(&turn.class.name) {
            lane.now = lane.now.max(turn.finish);
            let before = lane.service.max(served);
            lane.service = before + turn.cost * SCALE / u64::from(turn.class.weight.max(1));
            self.served = before;
            lane.gone(turn);
        }
        self.rest();
    }

    /// Takes a waiter out because it left: its key gets the cost back.
    pub fn leave(&mut self, id: I, turn: &Turn) {
        self.set_aside(id, turn);
        if let Some(lane) = self.lanes.get_mut(&turn.class.name) {
            let now = lane.now;
            if let Some(last) = lane.keys.get_mut(&turn.key) {
                last.0 = last.0.saturating_sub(turn.cost).max(now);
            }
            lane.gone(turn);
        }
        self.rest();
    }

    /// With nobody waiting there is nothing to be fair about: the counts begin anew.
    fn rest(&mut self) {
        if self.lanes.values().all(|lane| lane.waiting == 0) {
            self.lanes.clear();
            self.served = 0;
        }
    }

    /// Who is next among the ready waiters of the classes that `may` run.
    pub fn first(&self, now: UnixMillis, may: impl Fn(&Class) -> bool) -> Option<I> {
        let lanes = self.lanes.values().filter(|lane| may(&lane.class));
        let best = lanes.filter_map(|lane| {
            let (_, id) = lane.ready.first()?;
            Some((lane.rank(now), lane.service.max(self.served), &lane.class.name, *id))
        });
        best.min().map(|(.., id)| id)
    }

    /// Whether any waiter is ready.
    pub fn has_ready(&self) -> bool {
        self.lanes.values().any(|lane| !lane.ready.is_empty())
    }

    /// Waiters of a class, those that are set aside too.
    pub fn waiting(&self, class: &str) -> u32 {
        self.lanes.get(class).map_or(0, |lane| lane.waiting)
    }

    /// Waiters by class.
    pub fn depths(&self) -> impl Iterator<Item = (&Arc<str>, u32)> {
        self.lanes.values().filter(|lane| lane.waiting > 0).map(|lane| (&lane.class.name, lane.waiting))
    }

    /// How many are served before a waiter, as things stand.
    pub fn ahead(&self, id: I, turn: &Turn) -> u32 {
        let lanes = self.lanes.values();
        let better: u32 = lanes.filter(|lane| lane.class.rank < turn.class.rank).map(|lane| lane.waiting).sum();
        let own = self.lanes.get(&turn.class.name).map_or(0, |lane| lane.ready.range(..(turn.finish, id)).count());
        better.saturating_add(u32::try_from(own).unwrap_or(u32::MAX))
    }
}

impl<I: Ord + Copy> Lane<I> {
    fn new(class: &Arc<Class>) -> Self {
        Self {
            class: Arc::clone(class),
            ready: BTreeSet::new(),
            oldest: BTreeSet::new(),
            keys: HashMap::new(),
            now: 0,
            service: 0,
            waiting: 0,
        }
    }

    /// The rank of the class, better for each `age_after` that its oldest waiter has waited.
    fn rank(&self, now: UnixMillis) -> u32 {
        let age = millis(&self.class);
        let waited = self.oldest.first().map_or(0, |(_, since, _)| now.saturating_sub(*since));
        let better = waited.checked_div(age).unwrap_or(0);
        self.class.rank.saturating_sub(u32::try_from(better).unwrap_or(u32::MAX))
    }

    /// One waiter less. Keys and the virtual time are forgotten with the last.
    fn gone(&mut self, turn: &Turn) {
        self.waiting = self.waiting.saturating_sub(1);
        let now = self.now;
        if let Some(last) = self.keys.get_mut(&turn.key) {
            last.1 = last.1.saturating_sub(1);
            if last.1 == 0 && last.0 <= now {
                self.keys.remove(&turn.key);
            }
        }
        if self.waiting == 0 {
            self.keys.clear();
            self.now = 0;
        }
    }
}

#[cfg(test)]
mod tests;
