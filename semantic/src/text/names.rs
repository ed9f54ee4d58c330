//! Names in a text: words with a capital that no sentence put there.

use std::collections::HashSet;

use crate::lexicon::Lexicon;
use crate::text::stem::stem;

/// The stems of the names.
pub(crate) fn names(text: &str, lexicon: &Lexicon) -> HashSet<String> {
    let mut found = HashSet::new();
    let mut sentence_begins = true;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = if c.is_ascii_alphabetic() { token(rest) } else { c.len_utf8() };
        let (piece, after) = rest.split_at(length);
        if c.is_ascii_alphabetic() {
            if is_name(piece, sentence_begins) {
                found.insert(name(piece, lexicon));
            }
            sentence_begins = false;
        } else if matches!(c, '.' | '!' | '?' | '\n' | ':') {
            sentence_begins = true;
        }
        rest = after;
    }
    found
}

/// A letter and what may be inside a name: "O'Neil", "C++", "Node.js".
fn token(text: &str) -> usize {
    let inside = |c: &char| c.is_alphanumeric() || matches!(c, '_' | '\'' | '-' | '.' | '+' | '#');
    text.chars().take_while(inside).map(char::len_utf8).sum()
}

fn is_name(token: &str, sentence_begins: bool) -> bool {
    let mut letters = token.chars();
    let capital = letters.next().is_some_and(char::is_uppercase);
    let pronoun = matches!(token.trim_end_matches('.'), "I" | "I'm" | "I've" | "I'd" | "I'M" | "I'VE" | "I'D");
    capital && !pronoun && (!sentence_begins || letters.any(char::is_uppercase))
}

fn name(token: &str, lexicon: &Lexicon) -> String {
    let lower = token.to_lowercase();
    let word = lower.trim_end_matches(['.', '\'', '-']);
    stem(lexicon.alias(word.strip_suffix("'s").unwrap_or(word)))
}
