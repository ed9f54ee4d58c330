//! Picks one of a group of targets. Pure: what it knows of them is handed in.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::load::float;
use super::prefix::mix;
use crate::config::Balance;

/// A session stays with its target, and a prompt with its cache, up to this much more than the mean
/// of tokens under way.
const BOUND: f64 = 1.25;
/// Less of a prompt in a target's cache than this share is no reason to go there.
const WORTHWHILE: f64 = 0.5;
/// A target of the same zone may have so many times the load of the best elsewhere.
const SPILL: f64 = 2.0;

/// One target, as it is at this moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Candidate {
    pub(super) index: usize,
    pub(super) weight: u32,
    pub(super) in_flight: u32,
    /// Tokens of the requests under way.
    pub(super) tokens: u64,
    /// Tokens sent to it lately.
    pub(super) recent: f64,
    /// How soon it speaks, seconds.
    pub(super) latency: Option<f64>,
    /// Of this request, micro-dollars.
    pub(super) price: Option<u64>,
    /// Whether it is in this gateway's zone.
    pub(super) local: bool,
    /// Blocks of this prompt that it has seen.
    pub(super) seen: u32,
    /// A number that is its own on every replica.
    pub(super) salt: u64,
}

/// What of the request decides.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Need {
    /// Its prompt and answer tokens.
    pub(super) tokens: u64,
    /// Its session, user or cache key.
    pub(super) session: Option<u64>,
    /// Blocks of its prompt.
    pub(super) blocks: u32,
    /// Requests of the model so far.
    pub(super) turn: u64,
}

/// Why a target was picked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// There was no other.
    Only,
    /// By the model's balance.
    Balance(Balance),
    /// The session is there.
    Session,
    /// So many blocks of so many are in its cache.
    Prefix(u32, u32),
    /// It is in this gateway's zone.
    Zone,
    /// The zone's own have too much to do.
    Spill,
    /// Its ejection is over: it is tried.
    Probe,
    /// Nothing better is left: it is ejected, resting or drained.
    LastResort,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only => f.write_str("the only one of its priority"),
            Self::Balance(balance) => write!(f, "picked by {}", balance.name()),
            Self::Session => f.write_str("the session is there"),
            Self::Prefix(seen, all) => write!(f, "{seen} of {all} blocks of the prompt are in its cache"),
            Self::Zone => f.write_str("same zone"),
            Self::Spill => f.write_str("the zone's own have too much to do"),
            Self::Probe => f.write_str("its ejection is over: it is tried"),
            Self::LastResort => f.write_str("nothing better is left"),
        }
    }
}

/// A stable number for a text, the same on every replica.
pub(super) fn number(text: &str) -> u64 {
    // FNV-1a, then spread.
    mix(text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)))
}

/// A number for anything that is only compared within this process.
pub fn local_number(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The position in `all` of the target to use. `all` must not be empty.
pub(super) fn pick(balance: Balance, all: &[Candidate], need: &Need) -> (usize, Why) {
    if all.len() < 2 {
        return (0, Why::Only);
    }
    let by_balance = |at: usize| (at, Why::Balance(balance));
    match balance {
        Balance::P2c => by_balance(best_of_two(all, need, |_| true)),
        Balance::RoundRobin => by_balance(in_turn(all, need.turn)),
        Balance::LeastInflight => by_balance(least(all, |one| f64::from(one.in_flight) / f64::from(one.weight))),
        Balance::Cheapest => by_balance(cheapest(all, need)),
        Balance::Affinity => match need.session {
            Some(session) => (rendezvous(all, session), Why::Session),
            None => (best_of_two(all, need, |_| true), Why::Balance(Balance::P2c)),
        },
        Balance::Prefix => prefix(all, need),
        Balance::Locality => nearest(all, need),
    }
}

/// What costs are measured by.
#[derive(Clone, Copy)]
struct Scale {
    /// How soon the fastest speaks.
    fastest: f64,
    /// Tokens under way at a target, on the mean, for its weight.
    mean: f64,
}

impl Scale {
    fn of(all: &[Candidate]) -> Self {
        let tokens: u64 = all.iter().map(|one| one.tokens).sum();
        let weights: u64 = all.iter().map(|one| u64::from(one.weight)).sum();
        Self { fastest: fastest(all), mean: float(tokens) / float(weights.max(1)) }
    }

    /// What one more request would find there: how soon the target speaks, times the tokens ahead
    /// of it. Engines batch: the first tokens under way cost next to nothing, so a target counts as
    /// twice as loaded as another only if it has far more than the mean. Else an idle slow target
    /// would look better than a fast one at work.
    fn cost(self, one: &Candidate, need: &Need) -> f64 {
        let load = float(one.tokens + need.tokens.max(1)) / f64::from(one.weight);
        one.latency.unwrap_or(self.fastest) * (self.mean + load)
    }
}

/// The better of two drawn by weight (Mitzenmacher 2001). A target whose time is not known is
/// thought as fast as the fastest, so that it becomes known.
fn best_of_two(all: &[Candidate], need: &Need, of: impl Fn(&Candidate) -> bool) -> usize {
    let total: u64 = all.iter().filter(|one| of(one)).map(|one| u64::from(one.weight)).sum();
    let draw = |without: Option<usize>| {
        let gone = without.and_then(|at| all.get(at)).map_or(0, |one| u64::from(one.weight));
        let left = total.saturating_sub(gone);
        let mut ticket = if left == 0 { return without } else { rand::random_range(0..left) };
        all.iter().enumerate().filter(|(at, one)| of(one) && Some(*at) != without).find_map(|(at, one)| {
            let weight = u64::from(one.weight);
            if ticket < weight {
                return Some(at);
            }
            ticket -= weight;
            None
        })
    };
    let (first, scale) = (draw(None).unwrap_or(0), Scale::of(all));
    let second = draw(Some(first)).unwrap_or(first);
    let price = |at: usize| all.get(at).map_or(f64::MAX, |one| scale.cost(one, need));
    if price(second) < price(first) { second } else { first }
}

fn fastest(all: &[Candidate]) -> f64 {
    all.iter().filter_map(|one| one.latency).min_by(f64::total_cmp).unwrap_or(1.0)
}

/// In turn, each as often as its weight says, and spread: weights 3 and 1 go a a b a.
fn in_turn(all: &[Candidate], turn: u64) -> usize {
    let total: u64 = all.iter().map(|one| u64::from(one.weight)).sum();
    let equal = all.iter().all(|one| one.weight == all.first().map_or(1, |first| first.weight));
    let ticket = if equal {
        return usize::try_from(turn % all.len() as u64).unwrap_or(0);
    } else {
        // The golden ratio of 2^64: its multiples are as evenly spread as can be.
        let spread = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        u64::try_from((u128::from(spread) * u128::from(total)) >> 64).unwrap_or(0)
    };
    let mut passed = 0;
    all.iter()
        .position(|one| {
            passed += u64::from(one.weight);
            ticket < passed
        })
        .unwrap_or(0)
}

/// The least by a measure; the first of equals.
fn least(all: &[Candidate], measure: impl Fn(&Candidate) -> f64) -> usize {
    let mut best = (0, f64::MAX);
    for (at, one) in all.iter().enumerate() {
        let value = measure(one);
        if value < best.1 {
            best = (at, value);
        }
    }
    best.0
}

/// The lowest price; between equals the better of two. What has no price comes last.
fn cheapest(all: &[Candidate], need: &Need) -> usize {
    let lowest = all.iter().map(|one| one.price.unwrap_or(u64::MAX)).min().unwrap_or(u64::MAX);
    best_of_two(all, need, |one| one.price.unwrap_or(u64::MAX) == lowest)
}

/// Rendezvous hashing by weight: a target that comes or goes moves only its own sessions.
fn rendezvous(all: &[Candidate], session: u64) -> usize {
    least(all, |one| {
        let hash = mix(session ^ one.salt) >> 11;
        // In (0, 1].
        let uniform = (float(hash) + 1.0) / float(1 << 53);
        -uniform.ln() / f64::from(one.weight)
    })
}

/// The longest beginning of the prompt in a cache, unless that target has too much to do; without
/// one, where the least was sent lately.
fn prefix(all: &[Candidate], need: &Need) -> (usize, Why) {
    let under_way: u64 = all.iter().map(|one| one.tokens).sum::<u64>() + need.tokens;
    let weights: f64 = all.iter().map(|one| f64::from(one.weight)).sum();
    let bounded = |one: &Candidate| {
        let share = float(under_way) * f64::from(one.weight) / weights;
        float(one.tokens) <= share * BOUND
    };
    let best = all.iter().filter(|one| bounded(one)).map(|one| one.seen).max().unwrap_or(0);
    let lately = |one: &Candidate| (one.recent + float(one.tokens)) / f64::from(one.weight);
    if f64::from(best) >= WORTHWHILE * f64::from(need.blocks.max(1)) {
        let at = least(all, |one| if one.seen == best && bounded(one) { lately(one) } else { f64::MAX });
        return (at, Why::Prefix(best, need.blocks));
    }
    (least(all, |one| if bounded(one) { lately(one) } else { f64::MAX }), Why::Balance(Balance::Prefix))
}

/// The best of this zone, unless one elsewhere would be much better.
fn nearest(all: &[Candidate], need: &Need) -> (usize, Why) {
    if !all.iter().any(|one| one.local) {
        return (best_of_two(all, need, |_| true), Why::Balance(Balance::P2c));
    }
    let scale = Scale::of(all);
    let here = best_of_two(all, need, |one| one.local);
    if all.iter().all(|one| one.local) {
        return (here, Why::Zone);
    }
    let there = best_of_two(all, need, |one| !one.local);
    let busy = |at: usize| all.get(at).map_or(0.0, |one| scale.cost(one, need));
    // With next to nothing under way there is nothing to spill.
    let loaded = all.get(here).is_some_and(|one| one.in_flight > 1);
    if loaded && busy(here) > SPILL * busy(there) { (there, Why::Spill) } else { (here, Why::Zone) }
}

#[cfg(test)]
mod tests;
