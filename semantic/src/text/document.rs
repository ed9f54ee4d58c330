//! What a prompt is about, piece by piece, so that two prompts can be compared.

use std::collections::{BTreeSet, HashSet};

use crate::lexicon::Lexicon;
use crate::text::scan::{self, Piece};
use crate::text::{names, normal, stem};

/// A prompt taken apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Document {
    /// Lower case, contractions and phrases replaced.
    pub(crate) plain: String,
    pub(crate) words: Vec<String>,
    /// The stem of each word.
    pub(crate) stems: Vec<String>,
    /// Places in `words` of those that carry meaning.
    pub(crate) content: Vec<usize>,
    pub(crate) numbers: BTreeSet<String>,
    pub(crate) names: HashSet<String>,
    pub(crate) mixed: BTreeSet<String>,
    /// Sorted.
    pub(crate) code: Vec<String>,
    /// Sorted.
    pub(crate) quotations: Vec<String>,
    pub(crate) operators: Vec<char>,
    pub(crate) symbols: Vec<char>,
    pub(crate) negations: usize,
    pub(crate) asks: u8,
}

impl Document {
    pub(crate) fn new(text: &str, lexicon: &Lexicon) -> Self {
        let straight = text.replace('’', "'").replace(['“', '”'], "\"");
        let (mut code, straight) = scan::code_spans(&straight);
        code.sort_unstable();
        let mut quotations = scan::quotations(&straight);
        quotations.sort_unstable();
        let plain = normal::plain(&straight, lexicon);
        let mut document = Self {
            code,
            quotations,
            names: names::names(&straight, lexicon),
            mixed: scan::mixed(&straight).into_iter().collect(),
            ..Self::default()
        };
        document.read(&plain, lexicon);
        document.plain = plain;
        document.relate();
        document.stems = document.words.iter().map(|w| stem::stem(w)).collect();
        document.negations = document.words.iter().filter(|w| lexicon.is_negation(w)).count();
        let content = |(at, word): (usize, &String)| (!lexicon.is_stop(word)).then_some(at);
        document.content = document.words.iter().enumerate().filter_map(content).collect();
        document.asks = asks(&document.words);
        document
    }

    /// The stems of the words that carry meaning.
    pub(crate) fn content_stems(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.content.iter().filter_map(|at| self.stems.get(*at)).map(String::as_str)
    }

    fn read(&mut self, plain: &str, lexicon: &Lexicon) {
        let pieces = scan::pieces(plain);
        for piece in &pieces {
            match piece {
                Piece::Number(digits) => {
                    let number = normal::number(digits);
                    self.numbers.insert(normal::decade(&number, plain));
                    self.words.push(number);
                }
                Piece::Word(word) => self.read_word(word, lexicon),
                Piece::Other(c) => self.read_symbol(*c, lexicon),
            }
        }
        let symbol = |p: &Piece<'_>| match p {
            Piece::Other(c) if "()<>=!&|+*/^\\@#~{}[]_-".contains(*c) => Some(*c),
            _ => None,
        };
        self.symbols = pieces.iter().filter_map(symbol).collect();
        if !self.symbols.iter().any(|c| "<>=&|+*^\\~{}[]".contains(*c)) {
            self.symbols.clear();
        }
    }

    fn read_word(&mut self, word: &str, lexicon: &Lexicon) {
        let word = lexicon.alias(word);
        let word = word.strip_suffix("'s").unwrap_or(word);
        match lexicon.number(word) {
            Some(digits) => {
                self.numbers.insert(digits.to_owned());
                self.words.push(digits.to_owned());
            }
            None => self.words.push(word.to_owned()),
        }
    }

    fn read_symbol(&mut self, c: char, lexicon: &Lexicon) {
        let mut buffer = [0; 4];
        let text: &str = c.encode_utf8(&mut buffer);
        if c > '\u{80}' || lexicon.has_alias(text) {
            self.words.push(lexicon.alias(text).to_owned());
        } else if "<>=!&|+*/%^$\\@#~{}[]-".contains(c) {
            self.operators.push(c);
        }
    }

    /// "next week" is not the adjective of "the next step"; "about 5" is not "about dogs".
    fn relate(&mut self) {
        let words = std::mem::take(&mut self.words);
        let mut words = words.into_iter().peekable();
        while let Some(word) = words.next() {
            let next = words.peek().map(String::as_str).unwrap_or_default();
            if is_relative(&word) && is_period(next) {
                self.words.push(format!("{word}_"));
                self.words.extend(words.next());
            } else if matches!(word.as_str(), "about" | "around" | "approximately" | "roughly")
                && (next == "one" || next.starts_with(|c: char| c.is_ascii_digit()))
            {
                self.words.push("approx".to_owned());
            } else {
                self.words.push(word);
            }
        }
    }
}

fn is_relative(word: &str) -> bool {
    matches!(word, "last" | "this" | "next" | "past" | "previous" | "coming" | "current")
}

fn is_period(word: &str) -> bool {
    const PERIODS: &str = " week month year weekend quarter day night morning evening season decade century \
        monday tuesday wednesday thursday friday saturday sunday semester ";
    !word.is_empty() && PERIODS.split_ascii_whitespace().any(|p| p == word)
}

/// What kind of answer is asked for: 0 unknown, 9 yes or no.
fn asks(words: &[String]) -> u8 {
    for (at, word) in words.iter().enumerate().take(12) {
        let kind = match word.as_str() {
            "what" | "which" => 1,
            "who" | "whom" | "whose" => 2,
            "when" => 3,
            "where" => 4,
            "why" => 5,
            "how" => match words.get(at + 1).map(String::as_str).unwrap_or_default() {
                "many" | "much" => 7,
                "long" | "far" | "old" | "tall" | "big" | "often" | "deep" | "high" => 8,
                _ => 6,
            },
            _ => continue,
        };
        return kind;
    }
    let auxiliary = |w: &String| {
        const AUXILIARIES: &str = "is are was were do does did can could should would will has have had may might must am";
        AUXILIARIES.split_ascii_whitespace().any(|a| a == w)
    };
    if words.first().is_some_and(auxiliary) { 9 } else { 0 }
}
