//! Limits written as a sentence: `100k tokens/min per key on gpt-4o* burst 200k observe`.

use crate::amount::{self, Amount};
use crate::limit::{Mode, Scope, Unit};

/// How often an amount refills, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Period {
    Second,
    Minute,
    Hour,
    Day,
    Month,
}

impl Period {
    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "s" | "sec" | "second" => Some(Self::Second),
            "m" | "min" | "minute" => Some(Self::Minute),
            "h" | "hour" => Some(Self::Hour),
            "d" | "day" => Some(Self::Day),
            "month" => Some(Self::Month),
            _ => None,
        }
    }
}

/// A limit before it is validated as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) unit: Unit,
    pub(crate) amount: u64,
    pub(crate) period: Option<Period>,
    pub(crate) scope: Scope,
    pub(crate) model: Option<String>,
    pub(crate) burst: Option<u64>,
    pub(crate) mode: Mode,
}

const UNITS: &str = "tokens, input tokens, output tokens, requests or concurrent";
const PERIODS: &str = "/s, /min, /hour, /day or /month";

/// Parses a sentence; the error names the word that is wrong and says what is allowed.
pub(crate) fn parse(text: &str) -> Result<Draft, String> {
    let mut words = text.split_whitespace().peekable();
    let first = words.next().ok_or("an empty limit; write for example `100k tokens/min per key`")?;
    let (mut draft, period) = if first.starts_with('$') {
        let (money, period) = split_period(first);
        (new_draft(Unit::Cost, money_of(money)?), period)
    } else {
        let amount = amount::count(first)?;
        let mut unit = words.next().ok_or_else(|| format!("`{text}` says no unit; it is one of {UNITS}"))?.to_owned();
        if let Some(tokens) = words.next_if(|word| word.starts_with("token")) {
            unit = format!("{unit} {tokens}");
        }
        let (name, period) = split_period(&unit);
        let unit = unit_of(name).ok_or_else(|| format!("`{name}` is not a unit; it is one of {UNITS}"))?;
        let period = period.map(str::to_owned);
        let mut draft = new_draft(unit, amount);
        draft.period = named_period(period.as_deref())?;
        return rest(draft, words);
    };
    draft.period = named_period(period)?;
    rest(draft, words)
}

fn rest<'a>(mut draft: Draft, mut words: impl Iterator<Item = &'a str>) -> Result<Draft, String> {
    while let Some(word) = words.next() {
        let mut value = |what: &str| words.next().ok_or_else(|| format!("`{word}` must be followed by {what}"));
        match word {
            "per" => draft.scope = scope_of(value("key, tenant, user or global")?)?,
            "on" => draft.model = Some(value("a model name or pattern")?.to_owned()),
            "burst" => draft.burst = Some(burst_of(draft.unit, value("an amount")?)?),
            "observe" => draft.mode = Mode::Observe,
            other => {
                return Err(format!(
                    "`{other}` is not understood; after the amount come `per <key|tenant|user|global>`, \
                     `on <model>`, `burst <amount>` and `observe`"
                ));
            }
        }
    }
    Ok(draft)
}

fn new_draft(unit: Unit, amount: u64) -> Draft {
    Draft { unit, amount, period: None, scope: Scope::Tenant, model: None, burst: None, mode: Mode::Enforce }
}

fn split_period(word: &str) -> (&str, Option<&str>) {
    word.split_once('/').map_or((word, None), |(name, period)| (name, Some(period)))
}

fn named_period(name: Option<&str>) -> Result<Option<Period>, String> {
    let Some(name) = name else { return Ok(None) };
    let period = Period::parse(name).ok_or_else(|| format!("`/{name}` is not a period; it is one of {PERIODS}"))?;
    Ok(Some(period))
}

fn money_of(text: &str) -> Result<u64, String> {
    match amount::parse(text)? {
        Amount::Dollars(micros) => Ok(micros),
        Amount::Count(_) => Err(format!("`{text}` is a count; money is meant here, such as $50")),
    }
}

/// A burst is in the unit of its limit.
pub(crate) fn burst_of(unit: Unit, text: &str) -> Result<u64, String> {
    if unit == Unit::Cost { money_of(text) } else { amount::count(text) }
}

/// Units by their name in sentences.
pub(crate) fn unit_of(name: &str) -> Option<Unit> {
    match name {
        "token" | "tokens" | "total tokens" => Some(Unit::TotalTokens),
        "input token" | "input tokens" => Some(Unit::InputTokens),
        "output token" | "output tokens" => Some(Unit::OutputTokens),
        "request" | "requests" => Some(Unit::Requests),
        "concurrent" => Some(Unit::Concurrent),
        _ => None,
    }
}

fn scope_of(name: &str) -> Result<Scope, String> {
    match name {
        "key" => Ok(Scope::Key),
        "tenant" => Ok(Scope::Tenant),
        "user" => Ok(Scope::User),
        "global" => Ok(Scope::Global),
        other => Err(format!("`per {other}` is not a scope; it is one of key, tenant, user or global")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_of_the_docs_parse() {
        let draft = parse("100k tokens/min per key on gpt-4o* burst 200k observe").unwrap();
        assert_eq!((draft.unit, draft.amount, draft.burst), (Unit::TotalTokens, 100_000, Some(200_000)));
        assert_eq!((draft.scope, draft.mode), (Scope::Key, Mode::Observe));
        assert_eq!(draft.model.as_deref(), Some("gpt-4o*"));
        let draft = parse("$50/day per tenant").unwrap();
        assert_eq!((draft.unit, draft.amount, draft.period), (Unit::Cost, 50_000_000, Some(Period::Day)));
        let draft = parse("20k input tokens/s").unwrap();
        assert_eq!((draft.unit, draft.period, draft.scope), (Unit::InputTokens, Some(Period::Second), Scope::Tenant));
        assert_eq!(parse("8 concurrent per key").unwrap().period, None);
    }

    #[test]
    fn errors_point_at_the_word() {
        for (sentence, word) in [
            ("", "empty"),
            ("lots tokens/min", "`lots`"),
            ("5 bananas/min", "`bananas`"),
            ("5 tokens/fortnight", "`/fortnight`"),
            ("5 tokens/min per planet", "`per planet`"),
            ("5 tokens/min per", "`per` must be followed"),
            ("5 tokens/min sometimes", "`sometimes`"),
            ("$5/day burst 3", "`3` is a count"),
            ("5", "no unit"),
        ] {
            let error = parse(sentence).unwrap_err();
            assert!(error.contains(word), "{sentence}: {error}");
        }
    }
}
