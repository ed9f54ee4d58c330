//! Names in a text: words with a capital that no sentence put there.

use crate::lexicon::{Entry, Lexicon, Text};
use crate::text::normal;

/// The stems of the names, each once.
pub(crate) fn names(text: &str, lexicon: &'static Lexicon) -> Vec<Text> {
    let tokens = tokens(text);
    let counts = |t: &&&str| t.chars().count() > 3 && !lexicon.is_stop(&normal::lower(t));
    let long: Vec<&&str> = tokens.iter().filter(counts).collect();
    let capital = |t: &str| t.starts_with(char::is_uppercase);
    // In A Headline Like This, a capital says nothing.
    let headline = long.len() >= 3 && long.iter().all(|t| capital(t));
    let mut found = Vec::new();
    let mut sentence_begins = true;
    for token in tokens {
        if matches!(token, "." | "!" | "?" | "\n" | ":") {
            sentence_begins = true;
            continue;
        }
        let inner = token.chars().skip(1).any(char::is_uppercase);
        let name = if headline { inner } else { inner || !sentence_begins };
        if name && capital(token) && !is_pronoun(token) {
            let word = word(token);
            let entry = Entry::new(lexicon.alias(&word).into(), lexicon);
            if !entry.known().stop && !found.contains(&entry.stem()) {
                found.push(entry.stem());
            }
        }
        sentence_begins = false;
    }
    found
}

/// Words ("O'Neil", "C++", "Node.js") and the signs after which a sentence begins.
fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let inside = |c: &char| c.is_alphanumeric() || matches!(c, '_' | '\'' | '-' | '.' | '+' | '#');
        let letter = c.is_ascii_alphabetic();
        let length = if letter { rest.chars().take_while(inside).map(char::len_utf8).sum() } else { c.len_utf8() };
        let (token, after) = rest.split_at(length);
        if letter || matches!(c, '.' | '!' | '?' | '\n' | ':') {
            found.push(token);
        }
        rest = after;
    }
    found
}

fn is_pronoun(token: &str) -> bool {
    matches!(token.trim_end_matches('.'), "I" | "I'm" | "I've" | "I'd" | "I'M" | "I'VE" | "I'D")
}

fn word(token: &str) -> String {
    let lower = token.to_lowercase();
    let word = lower.trim_end_matches(['.', '\'', '-']);
    word.strip_suffix("'s").unwrap_or(word).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_without_meaning_make_no_headline_however_they_are_written() {
        let lexicon = Lexicon::built_in().unwrap();
        for text in ["What About This Redis", "What about this Redis"] {
            assert_eq!(names(text, lexicon), ["redis"], "{text}");
        }
        assert!(names("Cheap Flights Lisbon", lexicon).is_empty(), "a headline");
    }
}
