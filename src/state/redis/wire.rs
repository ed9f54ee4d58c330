//! What crosses the connection: asks as JSON, levels as words, replies as values.

use std::sync::Arc;
use std::time::Duration;

use redis::{FromRedisValue, Value, from_redis_value};
use serde::Serialize;
use sluice_policies::{Kind, Level, Limit, Matcher, Mode, OnStoreDown, Scope, Unit, Window};

use crate::state::{Ask, Charge};

/// `{ scope, kind, amount, period_ms, burst, asked, unit, observe, sunk }`.
#[derive(Serialize)]
pub(super) struct WireCharge<'a>(&'a str, u8, u64, u64, u64, u64, u8, u8, u64);

/// An ask; the letters are explained in lua/queue.lua.
#[derive(Serialize)]
struct WireAsk<'a> {
    i: String,
    p: &'a str,
    n: i64,
    s: &'a [(Arc<str>, u32)],
    c: &'a str,
    k: u32,
    w: u32,
    g: u64,
    d: u32,
    f: &'a str,
    x: u64,
    a: &'a str,
    q: Rate<'a>,
    l: Vec<WireCharge<'a>>,
}

/// The pool's charge; without one an empty list, because scripts cannot test for null.
#[derive(Serialize)]
#[serde(untagged)]
enum Rate<'a> {
    Some(WireCharge<'a>),
    None([u8; 0]),
}

/// A charge as scripts read it, with `amount` asked.
pub(super) fn charge(charge: &Charge, amount: u64) -> WireCharge<'_> {
    let limit = &charge.limit;
    let (kind, period, burst) = kind_of(limit);
    let observe = u8::from(limit.mode == Mode::Observe);
    WireCharge(&charge.scope, kind, limit.amount, period, burst, amount, unit_of(limit.unit), observe, charge.sunk)
}

/// A charge alone, as JSON.
pub(super) fn charge_json(one: &Charge, amount: u64) -> String {
    json(&charge(one, amount))
}

/// A level that is to be restored: `{ charge, value, window }`.
pub(super) fn level_json(scope: &str, limit: &Arc<Limit>, level: Level) -> String {
    let (value, at) = level.parts();
    let one = Charge { limit: Arc::clone(limit), scope: Arc::from(scope), amount: 0, sunk: 0 };
    json(&(charge(&one, 0), value, at))
}

/// An ask as scripts read it.
pub(super) fn ask_json(ask: &Ask, replica: &str) -> String {
    let wire = WireAsk {
        i: ask.lease.to_string(),
        p: &ask.pool.name,
        n: ask.pool.slots.map_or(-1, i64::from),
        s: &ask.pool.reserved,
        c: &ask.class.name,
        k: ask.class.rank,
        w: ask.class.weight,
        g: millis(ask.class.age_after),
        d: ask.class.max_depth,
        f: &ask.key,
        x: ask.cost,
        a: replica,
        q: ask.pool_rate.as_ref().map_or(Rate::None([]), |rate| Rate::Some(charge(rate, rate.amount))),
        l: ask.charges.iter().map(|one| charge(one, one.amount)).collect(),
    };
    json(&wire)
}

fn json(value: &impl Serialize) -> String {
    // Numbers and strings always serialise.
    serde_json::to_string(value).unwrap_or_default()
}

/// Whole milliseconds.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn kind_of(limit: &Limit) -> (u8, u64, u64) {
    match limit.kind {
        Kind::Rate { period_ms, burst } => (0, period_ms, burst),
        Kind::Budget(Window::Day) => (1, 0, 0),
        Kind::Budget(Window::Month) => (2, 0, 0),
        Kind::Concurrent => (3, 0, 0),
    }
}

const UNITS: [Unit; 6] =
    [Unit::Requests, Unit::InputTokens, Unit::OutputTokens, Unit::TotalTokens, Unit::Cost, Unit::Concurrent];

fn unit_of(unit: Unit) -> u8 {
    UNITS.iter().zip(0..).find(|(known, _)| **known == unit).map_or(0, |(_, number)| number)
}

/// A stored level: eight doubles, as lua/levels.lua packs them, and the limit it is of.
pub(super) fn stored(scope: &str, raw: &[u8]) -> Option<(Limit, Level)> {
    let mut words = raw.chunks_exact(8).map(|word| word.try_into().map(f64::from_le_bytes));
    let mut number = || words.next()?.ok().and_then(whole);
    let (value, at, kind, period) = (number()?, number()?, number()?, number()?);
    let (burst, unit, amount, observe) = (number()?, number()?, number()?, number()?);
    let positive = |number: i64| u64::try_from(number).ok();
    let kind = match kind {
        0 => Kind::Rate { period_ms: positive(period)?, burst: positive(burst)? },
        1 => Kind::Budget(Window::Day),
        2 => Kind::Budget(Window::Month),
        _ => Kind::Concurrent,
    };
    let id = scope.split('|').next().unwrap_or(scope);
    let limit = Limit {
        id: Arc::from(id),
        tenant: Arc::from(id.split('/').next().unwrap_or_default()),
        unit: *UNITS.get(usize::try_from(unit).ok()?)?,
        amount: positive(amount)?,
        kind,
        scope: Scope::Global,
        mode: if observe == 1 { Mode::Observe } else { Mode::Enforce },
        matcher: Matcher::default(),
        on_store_down: OnStoreDown::Slice,
    };
    Some((limit, Level::from_parts(value, positive(at)?)))
}

/// Scripts compute with whole numbers that a double holds exactly.
fn whole(number: f64) -> Option<i64> {
    let bound = 9_007_199_254_740_992.0;
    let exact = number.fract() == 0.0 && number.abs() <= bound;
    // Checked: it is whole and in range.
    #[expect(clippy::cast_possible_truncation, reason = "see above")]
    exact.then_some(number as i64)
}

/// What every script answers first: what became of it, the server's time, when to look again.
pub(super) struct Reply {
    pub(super) what: String,
    pub(super) now: u64,
    pub(super) alarms: Vec<(String, u64)>,
    rest: Vec<Value>,
}

impl Reply {
    /// The error says that the reply is not one of ours.
    pub(super) fn parse(value: Value) -> Result<Self, String> {
        let wrong = |error: redis::ParsingError| format!("unexpected reply: {error}");
        let mut fields: Vec<Value> = from_redis_value(value).map_err(wrong)?;
        if fields.len() < 3 {
            return Err("unexpected reply: too short".to_owned());
        }
        let rest = fields.split_off(3);
        let mut fields = fields.into_iter();
        let mut next = || fields.next().unwrap_or(Value::Nil);
        let what = from_redis_value(next()).map_err(wrong)?;
        let now = from_redis_value(next()).map_err(wrong)?;
        let alarms = from_redis_value(next()).map_err(wrong)?;
        Ok(Self { what, now, alarms, rest })
    }

    /// A further field of the script's own.
    pub(super) fn field<T: FromRedisValue + Default>(&mut self, index: usize) -> T {
        let value = self.rest.get_mut(index).map(|value| std::mem::replace(value, Value::Nil));
        value.and_then(|value| from_redis_value(value).ok()).unwrap_or_default()
    }

    /// The last field: of an `epoch` reply, the epoch that is in force.
    pub(super) fn last(&mut self) -> String {
        let last = self.rest.len().saturating_sub(1);
        self.field(last)
    }
}

/// A SHA-256.
pub(super) type Digest = [u8; 32];

pub(super) fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What [`hex`] wrote.
pub(super) fn unhex(text: &str) -> Option<Digest> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_levels_come_back_with_their_limit() {
        let words = [-5.0, 17.0, 0.0, 60_000.0, 100.0, 3.0, 100.0, 1.0f64];
        let mut raw: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        raw.extend_from_slice(b"a claim");
        let (limit, level) = stored("t/100 tokens/min|key=a", &raw).unwrap();
        assert_eq!((&*limit.id, limit.unit, limit.mode), ("t/100 tokens/min", Unit::TotalTokens, Mode::Observe));
        assert_eq!(limit.kind, Kind::Rate { period_ms: 60_000, burst: 100 });
        assert_eq!(level.parts(), (-5, 17));
        assert!(stored("x", &raw[..63]).is_none() && stored("x", &[255; 64]).is_none());
    }

    #[test]
    fn a_reply_that_is_none_of_ours_is_an_error() {
        assert!(Reply::parse(Value::Okay).is_err());
        assert!(Reply::parse(Value::Array(vec![Value::Int(1)])).is_err());
    }
}
