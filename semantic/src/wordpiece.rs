//! The tokenizer of the embedding model: the uncased `WordPiece` of BERT, with a path of its own for ASCII.

use rustc_hash::FxHashMap as HashMap;

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// A token in each line.
pub(crate) static VOCABULARY: &str = include_str!("../data/vocab.txt");

/// What the tokenizer takes out of a text before it looks at words.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
/// Longer words are one unknown token, in characters.
const LONGEST_WORD: usize = 100;

/// Splits text into the ids of the embedding table's rows.
#[derive(Debug)]
pub(crate) struct WordPiece {
    first: HashMap<&'static [u8], u32>,
    later: HashMap<&'static [u8], u32>,
    longest_piece: usize,
    unknown: u32,
}

/// A word of ASCII while it is read; of one that is too long only so much as shows it.
struct Word {
    bytes: [u8; LONGEST_WORD + 1],
    length: usize,
}

impl Word {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }
}

impl WordPiece {
    /// The vocabulary in the binary.
    pub(crate) fn built_in() -> Self {
        let (mut first, mut later) = (HashMap::default(), HashMap::default());
        let (mut longest_piece, mut unknown) = (0, 0);
        for (id, token) in (0_u32..).zip(VOCABULARY.lines()) {
            match token.strip_prefix("##") {
                Some(rest) if !rest.is_empty() => later.insert(rest.as_bytes(), id),
                _ => first.insert(token.as_bytes(), id),
            };
            longest_piece = longest_piece.max(token.len());
            if token == "[UNK]" {
                unknown = id;
            }
        }
        Self { first, later, longest_piece, unknown }
    }

    /// Appends the ids of `text`; no [CLS], no [SEP], no truncation.
    pub(crate) fn encode(&self, text: &str, ids: &mut Vec<u32>) {
        let mut rest = text;
        while let Some((at, special)) = earliest_special(rest) {
            let (before, after) = rest.split_at(at);
            self.encode_plain(before, ids);
            ids.extend(self.first.get(special.as_bytes()));
            rest = after.strip_prefix(special).unwrap_or_default();
        }
        self.encode_plain(rest, ids);
    }

    fn encode_plain(&self, text: &str, ids: &mut Vec<u32>) {
        if text.is_ascii() {
            return self.encode_ascii(text.as_bytes(), ids);
        }
        let mut word = String::new();
        for c in normalised(text) {
            if c.is_whitespace() {
                self.word(&mut word, ids);
            } else if is_punctuation(c) {
                self.word(&mut word, ids);
                word.push(c);
                self.word(&mut word, ids);
            } else {
                word.push(c);
            }
        }
        self.word(&mut word, ids);
    }

    fn encode_ascii(&self, text: &[u8], ids: &mut Vec<u32>) {
        let mut word = Word { bytes: [0; LONGEST_WORD + 1], length: 0 };
        for &byte in text {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => self.flush(&mut word, ids),
                b'!'..=b'/' | b':'..=b'@' | b'['..=b'`' | b'{'..=b'~' => {
                    self.flush(&mut word, ids);
                    ids.push(self.first.get([byte].as_slice()).copied().unwrap_or(self.unknown));
                }
                0..=31 | 127 => {}
                _ => word.push(byte.to_ascii_lowercase()),
            }
        }
        self.flush(&mut word, ids);
    }

    fn flush(&self, word: &mut Word, ids: &mut Vec<u32>) {
        if word.length > 0 {
            self.pieces(word.bytes.get(..word.length).unwrap_or_default(), word.length, ids);
            word.length = 0;
        }
    }

    fn word(&self, word: &mut String, ids: &mut Vec<u32>) {
        if !word.is_empty() {
            self.pieces(word.as_bytes(), word.chars().count(), ids);
            word.clear();
        }
    }

    /// Longest match first; a word with a part that is in no piece is one unknown token.
    fn pieces(&self, word: &[u8], characters: usize, ids: &mut Vec<u32>) {
        let begin = ids.len();
        if characters > LONGEST_WORD {
            return ids.push(self.unknown);
        }
        let mut at = 0;
        while at < word.len() {
            let rest = word.get(at..).unwrap_or_default();
            let known = if at == 0 { &self.first } else { &self.later };
            let longest = rest.len().min(self.longest_piece);
            let found = (1..=longest).rev().find_map(|n| known.get(rest.get(..n)?).map(|id| (n, *id)));
            let Some((length, id)) = found else {
                ids.truncate(begin);
                return ids.push(self.unknown);
            };
            ids.push(id);
            at += length;
        }
    }
}

fn earliest_special(text: &str) -> Option<(usize, &'static str)> {
    text.find('[')?;
    SPECIAL.iter().filter_map(|s| text.find(s).map(|at| (at, *s))).min()
}

/// Control characters out, white space to spaces, CJK ideographs apart, accents off, lower case.
fn normalised(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars()
        .filter(|&c| c != '\u{FFFD}' && (matches!(c, '\t' | '\n' | '\r') || !is_control(c)))
        .flat_map(|c| match c {
            c if c.is_whitespace() => [Some(' '), None, None],
            c if is_cjk(c) => [Some(' '), Some(c), Some(' ')],
            c => [Some(c), None, None],
        })
        .flatten()
        .nfd()
        .filter(|c| c.general_category() != GeneralCategory::NonspacingMark)
        .flat_map(char::to_lowercase)
}

fn is_control(c: char) -> bool {
    use GeneralCategory::{Control, Format, PrivateUse};
    matches!(c.general_category(), Control | Format | PrivateUse)
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() || c.general_category_group() == GeneralCategoryGroup::Punctuation
}

fn is_cjk(c: char) -> bool {
    matches!(c, '\u{4E00}'..='\u{9FFF}' | '\u{3400}'..='\u{4DBF}' | '\u{20000}'..='\u{2A6DF}'
        | '\u{2A700}'..='\u{2B73F}' | '\u{2B740}'..='\u{2B81F}' | '\u{2B920}'..='\u{2CEAF}'
        | '\u{F900}'..='\u{FAFF}' | '\u{2F800}'..='\u{2FA1F}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_tokenizers_library() {
        let cases: Vec<(String, Vec<u32>)> = serde_json::from_str(include_str!("../testdata/wordpiece.json")).unwrap();
        let pieces = WordPiece::built_in();
        for (text, expected) in &cases {
            let mut ids = Vec::new();
            pieces.encode(text, &mut ids);
            assert_eq!(&ids, expected, "{text:?}");
        }
        assert!(cases.len() > 300);
    }

    #[test]
    fn the_ascii_path_agrees_with_the_general_one() {
        let pieces = WordPiece::built_in();
        for text in ["Don't  panic:\tx<=y\r\n", "\u{1}ctrl\u{7f}l", "A".repeat(101).as_str(), "[unk] ## `x`"] {
            let (mut quick, mut slow) = (Vec::new(), Vec::new());
            pieces.encode(text, &mut quick);
            // An ideographic space makes the text non-ASCII and is white space to both.
            pieces.encode(&format!("{text}\u{3000}"), &mut slow);
            assert_eq!(quick, slow, "{text:?}");
        }
    }
}
