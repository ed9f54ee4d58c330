//! What an answer says where it begins, and which words it has in all.

use std::collections::BTreeSet;

use super::same;

/// More of an answer is not read, in bytes.
const MOST: usize = 2000;
/// Sentences that are shorter begin nothing: "Sure!"
const LEAST_SENTENCE: usize = 24;
/// An answer with more words is a long one.
const LONG: usize = 40;
/// So short an answer is nothing but what was asked for.
const BARE: usize = 4;

/// Words that begin sentences and name nothing, and short words that say little.
const PLAIN: &str = "a an the this that these those it its he she they we you i your my our their his her in on at of for \
    to from by with as if when while once after before during since until here there is are was were be been has have \
    had do does did can could will would should may might must and or but so not no yes nope yeah true false what which \
    who how why where sure certainly absolutely okay ok great good use using first second third next then finally step \
    yes, according overall generally typically usually most some many all both each every one two answer question \
    please note however also just only very more about than into out up over per which correct right";
const NUMBERS: [&str; 13] =
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
/// Units by their spellings; the first is the name.
const UNITS: [&str; 24] = [
    "celsius c °c centigrade",
    "fahrenheit f °f",
    "kelvin k",
    "kilometre km kilometer kilometers kilometres",
    "mile miles mi",
    "metre m meter meters metres",
    "foot feet ft",
    "inch inches in",
    "gram g grams",
    "kilogram kg kilograms kilos",
    "pound lb lbs pounds",
    "ounce oz ounces",
    "litre l liter liters litres",
    "millilitre ml milliliter milliliters",
    "second s sec seconds",
    "minute min mins minutes",
    "hour h hr hours",
    "day days",
    "week weeks",
    "month months",
    "year years",
    "dollar dollars usd",
    "euro euros eur",
    "percent",
];
const OPPOSITES: [(&str, &str); 24] = [
    ("increase", "decrease"),
    ("increases", "decreases"),
    ("above", "below"),
    ("before", "after"),
    ("left", "right"),
    ("more", "less"),
    ("safe", "unsafe"),
    ("legal", "illegal"),
    ("possible", "impossible"),
    ("allowed", "forbidden"),
    ("enable", "disable"),
    ("enabled", "disabled"),
    ("open", "close"),
    ("start", "stop"),
    ("higher", "lower"),
    ("faster", "slower"),
    ("larger", "smaller"),
    ("maximum", "minimum"),
    ("ascending", "descending"),
    ("first", "last"),
    ("buy", "sell"),
    ("win", "lose"),
    ("true", "false"),
    ("required", "optional"),
];

/// An answer taken apart: what its beginning says, and the words of all of it.
pub(super) struct Text<'a> {
    pub(super) all: &'a str,
    /// Yes or no, if it begins so.
    pub(super) verdict: Option<bool>,
    /// Capitals that no sentence put there.
    pub(super) names: BTreeSet<String>,
    /// With the unit they count.
    pub(super) numbers: Vec<(f64, Option<&'static str>)>,
    /// Flags of commands.
    pub(super) flags: BTreeSet<String>,
    pub(super) all_flags: BTreeSet<String>,
    pub(super) negations: usize,
    pub(super) is_long: bool,
    /// Words of the beginning that say something.
    head: BTreeSet<String>,
    words: BTreeSet<String>,
    /// First letters of the names and words with capitals, for "USA".
    initials: String,
    all_numbers: Vec<f64>,
}

impl<'a> Text<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let all = cut(text, MOST);
        let head = beginning(all);
        let (tokens, first) = (tokens(all), tokens(head));
        let bare = tokens.len() <= BARE;
        let verdict = match first.first().map(|token| token.word.as_str()) {
            Some("yes" | "yeah" | "true" | "correct") => Some(true),
            Some("no" | "nope" | "false" | "incorrect") => Some(false),
            _ => None,
        };
        let name = |(at, token): (usize, &Token<'_>)| {
            let verb =
                || first.get(at + 1).is_some_and(|next| matches!(next.word.as_str(), "is" | "was" | "has" | "are"));
            let capital = token.raw.starts_with(char::is_uppercase) && !is_plain(&token.word);
            let shown = !token.begins || bare || verb() || token.raw.chars().skip(1).any(char::is_uppercase);
            (capital && shown).then(|| token.word.clone())
        };
        let flags = |of: &[Token<'_>]| of.iter().filter(|t| is_flag(t.raw)).map(|t| t.raw.to_owned()).collect();
        let denies = |token: &&Token<'_>| {
            matches!(token.word.as_str(), "not" | "never" | "cannot" | "without") || token.word.ends_with("n't")
        };
        Self {
            all,
            verdict,
            names: first.iter().enumerate().filter_map(name).collect(),
            numbers: numbers(&first),
            flags: flags(&first),
            all_flags: flags(&tokens),
            negations: first.iter().filter(denies).count(),
            is_long: tokens.len() > LONG,
            head: said(&first),
            words: tokens.iter().map(|token| token.word.clone()).collect(),
            initials: tokens.iter().filter_map(|t| t.raw.chars().next().filter(|c| c.is_uppercase())).collect(),
            all_numbers: numbers(&tokens).into_iter().map(|(number, _)| number).collect(),
        }
    }

    pub(super) fn has_name(&self, name: &str) -> bool {
        let letters = name.chars().count();
        self.words.iter().any(|word| alike(word, name)) || letters <= 5 && self.initials.contains(&name.to_uppercase())
    }

    pub(super) fn has_number(&self, number: f64) -> bool {
        self.all_numbers.iter().any(|known| same(*known, number))
    }

    /// The part of the words of both beginnings that both have.
    pub(super) fn shared_with(&self, other: &Self) -> f64 {
        let common = self.head.iter().filter(|word| other.head.iter().any(|known| alike(known, word))).count();
        part(common * 2, self.head.len() + other.head.len())
    }

    /// The part of the words of this beginning that the other answer has.
    pub(super) fn words_in(&self, other: &Self) -> f64 {
        let common = self.head.iter().filter(|word| other.words.iter().any(|known| alike(known, word))).count();
        part(common, self.head.len())
    }
}

/// One of two opposites here, the other one there.
pub(super) fn opposite(a: &Text<'_>, b: &Text<'_>) -> bool {
    let has = |text: &Text<'_>, word: &str, other: &str| text.head.contains(word) && !text.words.contains(other);
    OPPOSITES.iter().any(|(x, y)| has(a, x, y) && has(b, y, x) || has(a, y, x) && has(b, x, y))
}

struct Token<'a> {
    /// Without the marks around it.
    raw: &'a str,
    /// In small letters.
    word: String,
    /// A sentence put it there.
    begins: bool,
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut begins = true;
        for piece in line.split_whitespace() {
            let raw = piece.trim_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '$' | '€' | '%' | '-' | '°'));
            if !raw.is_empty() && raw != "-" {
                let small = raw.to_lowercase().replace('’', "'");
                let word = small.strip_suffix("'s").unwrap_or(&small).replace('.', "");
                found.push(Token { raw, word, begins });
                begins = false;
            }
            begins |= piece.ends_with(['.', '!', '?', ':']);
        }
    }
    found
}

/// The first sentence that says something.
fn beginning(text: &str) -> &str {
    let ends = text.char_indices().filter(|(at, c)| {
        let after = text.get(at + c.len_utf8()..).unwrap_or_default();
        *c == '\n' || matches!(c, '.' | '!' | '?') && after.starts_with(char::is_whitespace)
    });
    let end = ends.map(|(at, _)| at).find(|at| *at >= LEAST_SENTENCE);
    end.and_then(|at| text.get(..at)).unwrap_or(text)
}

fn numbers(tokens: &[Token<'_>]) -> Vec<(f64, Option<&'static str>)> {
    let number = |(at, token): (usize, &Token<'_>)| {
        if let Some(spelled) = NUMBERS.iter().position(|name| *name == token.word) {
            return Some((f64::from(u32::try_from(spelled).ok()?), unit_of(tokens.get(at + 1))));
        }
        let money = token.raw.strip_prefix('$').map(|_| "dollar").or(token.raw.strip_prefix('€').map(|_| "euro"));
        let plain = token.raw.trim_start_matches(['$', '€', '-']).replace(',', "");
        let digits: String = plain.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        let value = digits.trim_end_matches('.').parse::<f64>().ok()?;
        let attached = plain.strip_prefix(&digits).unwrap_or_default().to_lowercase();
        let unit = match attached.as_str() {
            "" => money.or_else(|| unit_of(tokens.get(at + 1))),
            "%" => Some("percent"),
            unit => named_unit(unit),
        };
        Some((value, unit))
    };
    tokens.iter().enumerate().filter_map(number).collect()
}

fn unit_of(token: Option<&Token<'_>>) -> Option<&'static str> {
    let word = token?.word.as_str();
    // "100 degrees Celsius" is found by its own word elsewhere; a bare letter is no unit in running text.
    named_unit(word).filter(|_| word.chars().count() > 1)
}

fn named_unit(word: &str) -> Option<&'static str> {
    let word = word.trim_start_matches('°');
    let known = UNITS.iter().find(|unit| unit.split(' ').any(|name| name == word))?;
    known.split(' ').next()
}

fn said(tokens: &[Token<'_>]) -> BTreeSet<String> {
    tokens.iter().filter(|token| !is_plain(&token.word)).map(|token| token.word.clone()).collect()
}

fn is_plain(word: &str) -> bool {
    PLAIN.split_ascii_whitespace().any(|plain| plain == word)
}

fn is_flag(raw: &str) -> bool {
    let name = raw.trim_start_matches('-');
    raw.starts_with('-') && name.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// The same word in another form.
fn alike(a: &str, b: &str) -> bool {
    const STEM: usize = 5;
    let stem = |word: &str| word.char_indices().nth(STEM).map_or(word.len(), |(at, _)| at);
    a == b || a.chars().count() >= STEM && b.chars().count() >= STEM && a.get(..stem(a)) == b.get(..stem(b))
}

fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

#[expect(clippy::cast_precision_loss, reason = "counts of words")]
fn part(of: usize, all: usize) -> f64 {
    of as f64 / (all as f64).max(1.0)
}
