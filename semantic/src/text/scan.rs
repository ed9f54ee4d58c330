//! A text cut into words, numbers and signs.

/// The characters that make up operators.
const OPERATORS: &str = "<>=!&|+*/^\\~%-:@#$";

/// One piece of a lower-cased text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Letters, with apostrophes and underscores inside; "c++" and "c#" too.
    Word(&'a str),
    /// Digits, with `.`, `,` or `:` between digits.
    Number(&'a str),
    /// A run of operator characters, a command's flag, or one character of another kind.
    Sign(Sign<'a>),
}

/// Something that is neither word nor number, with what stands beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sign<'a> {
    pub(crate) text: &'a str,
    /// A space at the beginning.
    before: char,
    /// Nothing at the end; after `%`, the next character that is no space.
    after: Option<char>,
}

/// What a sign stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Word(&'static str),
    Code,
    Nothing,
}

impl Sign<'_> {
    /// `after_number`: whether the piece before is a number.
    pub(crate) fn meaning(&self, after_number: bool) -> Meaning {
        let letter = self.after.is_some_and(char::is_alphabetic);
        let digit = self.after.is_some_and(|c| c.is_ascii_digit());
        let code = |is: bool| if is { Meaning::Code } else { Meaning::Nothing };
        match self.text {
            "€" => Meaning::Word("euro"),
            "£" => Meaning::Word("pound"),
            "°" => Meaning::Word("degree"),
            "→" => Meaning::Word("to"),
            "[" | "]" | "{" | "}" => Meaning::Code,
            "%" if after_number && !digit => Meaning::Word("percent"),
            "$" if !letter => Meaning::Word("dollar"),
            "&" if !letter || !matches!(self.before, ' ' | '(') => Meaning::Word("and"),
            "~" if digit => Meaning::Word("approx"),
            "/" => code(self.before == ' ' && self.after == Some(' ') || self.before.is_ascii_digit() && digit),
            "!" | "#" => code(letter && self.before == ' '),
            "@" => code(!(self.before.is_alphanumeric() && self.after.is_some_and(char::is_alphanumeric))),
            "-" | ":" | "://" => Meaning::Nothing,
            text if !text.starts_with(|c| OPERATORS.contains(c)) => Meaning::Nothing,
            text if text.chars().nth(1).is_some() => code(text.chars().any(|c| !matches!(c, '-' | '!'))),
            _ => Meaning::Code,
        }
    }
}

/// The pieces of `text` in order; white space is between them.
pub(crate) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::with_capacity(text.len() / 4);
    let (mut rest, mut before) = (text, ' ');
    while let Some(c) = rest.chars().next() {
        let length = match c {
            _ if c.is_alphabetic() => word(rest),
            _ if c.is_ascii_digit() => number(rest),
            '-' if matches!(before, ' ' | '`' | '\'' | '"' | '(') && flag(rest) > 0 => flag(rest),
            _ if OPERATORS.contains(c) => run(rest, |c| OPERATORS.contains(c)),
            _ => c.len_utf8(),
        };
        let (piece, after) = rest.split_at(length);
        if c.is_alphabetic() {
            found.push(Piece::Word(piece));
        } else if c.is_ascii_digit() {
            found.push(Piece::Number(piece));
        } else if !c.is_whitespace() {
            let next = if piece == "%" { after.trim_start_matches(' ') } else { after };
            found.push(Piece::Sign(Sign { text: piece, before, after: next.chars().next() }));
        }
        before = piece.chars().next_back().unwrap_or(' ');
        rest = after;
    }
    found
}

/// Bytes of the characters that pass.
fn run(text: &str, of: impl Fn(char) -> bool) -> usize {
    text.find(|c| !of(c)).unwrap_or(text.len())
}

fn word(text: &str) -> usize {
    let mut length = run(text, |c| c.is_alphabetic() || c == '_');
    while let Some(tail) = text.get(length..).and_then(|t| t.strip_prefix('\'')) {
        if !tail.starts_with(char::is_alphabetic) {
            break;
        }
        length += 1 + run(tail, |c| c.is_alphabetic() || c == '_');
    }
    let tail = text.get(length..).unwrap_or_default();
    let name = |mark: &&str| tail.strip_prefix(*mark).is_some_and(|t| !t.starts_with(char::is_alphanumeric));
    length + ["++", "#"].iter().find(|mark| name(mark)).map_or(0, |mark| mark.len())
}

fn number(text: &str) -> usize {
    let digits = |t: &str| run(t, |c| c.is_ascii_digit());
    let mut length = digits(text);
    while let Some(tail) = text.get(length..).and_then(|t| t.strip_prefix(['.', ',', ':'])) {
        match digits(tail) {
            0 => break,
            more => length += 1 + more,
        }
    }
    length
}

/// "-xf" or "--hard"; 0 if it is none.
fn flag(text: &str) -> usize {
    let name = text.strip_prefix("--").or_else(|| text.strip_prefix('-')).unwrap_or_default();
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return 0;
    }
    text.len() - name.len() + run(name, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// White space to single spaces, none at the ends.
pub(crate) fn collapse(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signs(text: &str) -> Vec<(&str, Meaning)> {
        let found = pieces(text);
        let mut before = false;
        let mut out = Vec::new();
        for piece in found {
            if let Piece::Sign(sign) = piece {
                out.push((sign.text, sign.meaning(before)));
            }
            before = matches!(piece, Piece::Number(_));
        }
        out
    }

    #[test]
    fn words_and_numbers() {
        use Piece::{Number, Word};
        assert_eq!(pieces("what's 1,000.5 of c++"), [Word("what's"), Number("1,000.5"), Word("of"), Word("c++")]);
        assert_eq!(pieces("café_au 3.11x"), [Word("café_au"), Number("3.11"), Word("x")]);
    }

    #[test]
    fn operators_and_flags_are_code_and_punctuation_is_not() {
        use Meaning::{Code, Nothing, Word};
        assert_eq!(signs("7 // 2"), [("//", Code)]);
        assert_eq!(signs("7 / 2"), [("/", Code)]);
        assert_eq!(signs("tcp/ip and usd/jpy"), [("/", Nothing), ("/", Nothing)]);
        assert_eq!(signs("tar -xf a --hard"), [("-xf", Code), ("--hard", Code)]);
        assert_eq!(signs("two-step - yes"), [("-", Nothing), ("-", Nothing)]);
        assert_eq!(signs("7 % 2"), [("%", Code)]);
        assert_eq!(signs("20 % of 5%"), [("%", Word("percent")), ("%", Word("percent"))]);
        assert_eq!(signs("$5 in €"), [("$", Word("dollar")), ("€", Word("euro"))]);
        assert_eq!(
            signs("http://a.b wow!! at&t &str"),
            [("://", Nothing), (".", Nothing), ("!!", Nothing), ("&", Word("and")), ("&", Code)]
        );
    }
}
