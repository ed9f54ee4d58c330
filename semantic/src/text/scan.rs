//! A text cut into words, numbers and symbols.

/// One piece of a lower-cased text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// ASCII letters, with one apostrophe inside.
    Word(&'a str),
    /// Digits, with `.`, `,` or `:` between digits.
    Number(&'a str),
    /// One character of any other kind.
    Other(char),
}

/// The pieces of `text` in order; white space is between them.
pub(crate) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::with_capacity(text.len() / 4);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            _ if c.is_ascii_alphabetic() => word(rest),
            _ if c.is_ascii_digit() => number(rest),
            _ => c.len_utf8(),
        };
        let (piece, after) = rest.split_at(length);
        match c {
            _ if c.is_ascii_alphabetic() => found.push(Piece::Word(piece)),
            _ if c.is_ascii_digit() => found.push(Piece::Number(piece)),
            _ if c.is_whitespace() => {}
            _ => found.push(Piece::Other(c)),
        }
        rest = after;
    }
    found
}

fn run(text: &str, of: impl Fn(&u8) -> bool) -> usize {
    text.bytes().take_while(of).count()
}

fn word(text: &str) -> usize {
    let letters = run(text, u8::is_ascii_alphabetic);
    let tail = text.get(letters..).and_then(|t| t.strip_prefix('\'')).map_or(0, |t| run(t, u8::is_ascii_alphabetic));
    if tail > 0 { letters + 1 + tail } else { letters }
}

fn number(text: &str) -> usize {
    let mut length = run(text, u8::is_ascii_digit);
    while let Some(tail) = text.get(length..).and_then(|t| t.strip_prefix(['.', ',', ':'])) {
        match run(tail, u8::is_ascii_digit) {
            0 => break,
            digits => length += 1 + digits,
        }
    }
    length
}

/// Names with letters and digits in them: versions, models, chemical formulas. Lower case.
pub(crate) fn mixed(text: &str) -> Vec<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '-'))
        .filter(|t| t.bytes().any(|b| b.is_ascii_digit()) && t.bytes().any(|b| b.is_ascii_alphabetic()))
        .map(|t| t.trim_matches(['.', '-']).to_ascii_lowercase())
        .filter(|t| !matches!(t.as_str(), "1st" | "2nd" | "3rd"))
        .collect()
}

/// What stands in backticks, and the text without the backticks.
pub(crate) fn code_spans(text: &str) -> (Vec<String>, String) {
    let (mut spans, mut plain) = (Vec::new(), String::with_capacity(text.len() + 8));
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('`') {
        let inside = after.trim_start_matches('`');
        match inside.split_once('`') {
            Some((code, tail)) if !code.is_empty() => {
                plain.push_str(before);
                plain.push(' ');
                plain.push_str(code);
                plain.push(' ');
                spans.push(collapse(code));
                rest = tail.trim_start_matches('`');
            }
            _ => break,
        }
    }
    plain.push_str(rest);
    (spans, plain)
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

/// What stands in double quotes, or in single quotes that are no apostrophes. Lower case.
pub(crate) fn quotations(text: &str) -> Vec<String> {
    const LONGEST: usize = 200;
    let mut found = Vec::new();
    let (mut rest, mut before) = (text, None);
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        let closed = match c {
            '"' => after.find('"'),
            '\'' if before.is_none_or(char::is_whitespace) => after.find('\'').filter(|end| ends_quotation(after, *end)),
            _ => None,
        };
        let inside = closed.and_then(|end| after.get(..end)).filter(|q| (1..=LONGEST).contains(&q.chars().count()));
        if let Some(quoted) = inside {
            found.push(quoted.trim().to_lowercase());
            rest = after.get(quoted.len() + 1..).unwrap_or_default();
            before = Some(c);
        } else {
            rest = after;
            before = Some(c);
        }
    }
    found
}

fn ends_quotation(text: &str, end: usize) -> bool {
    let next = text.get(end + 1..).and_then(|t| t.chars().next());
    next.is_none_or(|c| c.is_whitespace() || matches!(c, '.' | ',' | '?' | '!'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_numbers_and_symbols() {
        use Piece::{Number, Other, Word};
        let expected = [Word("what's"), Number("1,000.5"), Other('%'), Word("of"), Number("3.11"), Other('.'), Word("x")];
        assert_eq!(pieces("what's 1,000.5 % of 3.11. x"), expected);
        assert_eq!(pieces("dogs' 5. é"), [Word("dogs"), Other('\''), Number("5"), Other('.'), Other('é')]);
    }

    #[test]
    fn versions_and_models_are_names() {
        assert_eq!(mixed("Is the S22 on v1.2.3-beta or -x9-?"), ["s22", "v1.2.3-beta", "x9"]);
        assert!(mixed("the 1st of 20 items").is_empty());
    }

    #[test]
    fn code_and_quotations() {
        let (spans, plain) = code_spans("run `ls  -la` and ``x``, not `open");
        assert_eq!(spans, ["ls -la", "x"]);
        assert_eq!(plain, "run  ls  -la  and  x , not `open");
        assert_eq!(quotations("say 'Good Morning' or \"hi\", don't"), ["good morning", "hi"]);
    }
}
