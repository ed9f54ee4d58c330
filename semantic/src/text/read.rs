//! Words, numbers and operators of a text, in one spelling each.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::lexicon::Lexicon;
use crate::text::normal;
use crate::text::scan::{self, Meaning, Piece};

const ORDINALS: [&str; 11] =
    ["", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];
const MONTHS: &str = "january february march april may june july august september october november december \
    jan feb mar apr jun jul aug sep sept oct nov dec";

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Read<'a> {
    pub(crate) words: Vec<Cow<'a, str>>,
    /// As digits; "#2" is "second".
    pub(crate) numbers: BTreeSet<String>,
    /// Operators and flags, sorted.
    pub(crate) signs: Vec<String>,
    /// Negations inside words that were replaced: "unsafe".
    pub(crate) negations: usize,
}

pub(crate) fn read<'a>(plain: &'a str, lexicon: &'a Lexicon) -> Read<'a> {
    let pieces = scan::pieces(plain);
    let mut read = Read::default();
    let mut after_number = false;
    for (at, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Number(digits) => read.number(digits, &pieces, at),
            Piece::Word("st" | "nd" | "rd" | "th") if after_number => {}
            Piece::Word(word) => read.word(word, after_number, lexicon),
            Piece::Sign(sign) => match sign.meaning(after_number) {
                Meaning::Word(word) => read.words.push(word.into()),
                Meaning::Code => read.signs.push(sign.text.to_owned()),
                Meaning::Nothing => {}
            },
        }
        after_number = matches!(piece, Piece::Number(_));
    }
    read.signs.sort_unstable();
    read
}

impl<'a> Read<'a> {
    fn number(&mut self, digits: &str, pieces: &[Piece<'_>], at: usize) {
        let following = match pieces.get(at + 1) {
            Some(Piece::Word(word)) => *word,
            _ => "",
        };
        let ordinal = digits.parse().ok().filter(|n| (1..ORDINALS.len()).contains(n));
        let is_ordinal = matches!(following, "st" | "nd" | "rd" | "th") && !by_month(pieces, at);
        if let (Some(n), true) = (ordinal, is_ordinal) {
            if n > 1 {
                self.numbers.insert(format!("#{n}"));
            }
            self.words.extend(ORDINALS.get(n).map(|word| Cow::Borrowed(*word)));
            return;
        }
        let value = normal::number(digits);
        self.numbers.insert(if following == "s" { normal::decade(&value).to_owned() } else { value.clone() });
        self.words.push(value.into());
    }

    fn word(&mut self, word: &'a str, after_number: bool, lexicon: &'a Lexicon) {
        let word = lexicon.alias(word);
        let word = word.strip_suffix("'s").unwrap_or(word);
        if after_number && matches!(word, "am" | "pm") {
            return self.words.push(format!("hour_{word}").into());
        }
        let positive = lexicon.negated(word);
        self.negations += usize::from(positive.is_some());
        let word = positive.unwrap_or(word);
        if let Some(n) = ORDINALS.iter().position(|o| *o == word).filter(|n| *n > 1) {
            self.numbers.insert(format!("#{n}"));
        }
        match lexicon.number(word) {
            Some(digits) => {
                self.numbers.insert(digits.to_owned());
                self.words.push(digits.into());
            }
            None => self.words.push(word.into()),
        }
    }
}

/// "4th March" is a date.
fn by_month(pieces: &[Piece<'_>], at: usize) -> bool {
    let month = |piece: Option<&Piece<'_>>| match piece {
        Some(Piece::Word(word)) => MONTHS.split_ascii_whitespace().any(|m| m == *word),
        _ => false,
    };
    month(at.checked_sub(1).and_then(|i| pieces.get(i))) || month(pieces.get(at + 2))
}
