//! Vocabularies behind one trait: the fast crate on the hot path, tiktoken-rs as the reference;
//! and the guard that keeps their time linear on text no human wrote.

use sluice_providers::catalog::Tokenizer;

/// A run of one class of characters longer than this is cut: byte-pair merging within one piece
/// is worse than linear, and a regex may give up on it. A cut changes the count by a token.
const LONGEST_RUN: usize = 4096;

/// Counts tokens of ordinary text; the names of special tokens are text like any other.
trait Vocabulary: Sync {
    fn count(&self, text: &str) -> usize;
    fn encode(&self, text: &str) -> Vec<u32>;
}

impl Vocabulary for tiktoken::CoreBpe {
    fn count(&self, text: &str) -> usize {
        tiktoken::CoreBpe::count(self, text)
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        tiktoken::CoreBpe::encode(self, text)
    }
}

/// The reference implementation, for encodings the fast crate is built without.
struct Reference(&'static tiktoken_rs::CoreBPE);

impl Vocabulary for Reference {
    fn count(&self, text: &str) -> usize {
        self.0.count_ordinary(text)
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        self.0.encode_ordinary(text)
    }
}

/// The fast crate's name of a vocabulary. Each is unpacked when it is first used.
fn encoding(tokenizer: Tokenizer) -> &'static str {
    match tokenizer {
        Tokenizer::O200k | Tokenizer::Ratio { .. } => "o200k_base",
        Tokenizer::Cl100k => "cl100k_base",
        Tokenizer::Llama3 => "llama3",
        Tokenizer::DeepSeek => "deepseek_v3",
        Tokenizer::Qwen => "qwen2",
        Tokenizer::Mistral => "mistral_v3",
        Tokenizer::Kimi => "kimi_k2",
        Tokenizer::Glm => "glm4",
        Tokenizer::MiniMax => "minimax_m2",
    }
}

fn with<T>(tokenizer: Tokenizer, then: impl FnOnce(&dyn Vocabulary) -> T) -> T {
    let fast = tiktoken::get_encoding(encoding(tokenizer));
    match (fast, tokenizer) {
        (Some(fast), _) => then(fast),
        (None, Tokenizer::Cl100k) => then(&Reference(tiktoken_rs::cl100k_base_singleton())),
        (None, _) => then(&Reference(tiktoken_rs::o200k_base_singleton())),
    }
}

/// Tokens of `text` in the tokenizer's own vocabulary, before any ratio. Linear in the text.
pub(super) fn count(tokenizer: Tokenizer, text: &str) -> u64 {
    with(tokenizer, |vocabulary| {
        let mut total = 0;
        pieces(text, |piece| total += vocabulary.count(piece) as u64);
        total
    })
}

/// The tokens of `text`, in order. Linear in the text.
pub(super) fn encode(tokenizer: Tokenizer, text: &str) -> Vec<u32> {
    with(tokenizer, |vocabulary| {
        let mut all = Vec::new();
        pieces(text, |piece| all.extend(vocabulary.encode(piece)));
        all
    })
}

/// Calls `each` with the parts of `text` between which long runs were cut: mostly once, with all.
fn pieces<'a>(text: &'a str, mut each: impl FnMut(&'a str)) {
    if text.len() <= LONGEST_RUN {
        return each(text);
    }
    let (mut from, mut run_from, mut class) = (0, 0, None);
    for (at, c) in text.char_indices() {
        let now = Some(Class::of(c));
        if now != class {
            class = now;
            run_from = at;
        } else if at - run_from >= LONGEST_RUN {
            each(text.get(from..at).unwrap_or_default());
            (from, run_from) = (at, at);
        }
    }
    each(text.get(from..).unwrap_or_default());
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Digit,
    Space,
    Other,
}

impl Class {
    fn of(c: char) -> Self {
        match c {
            'a'..='z' | 'A'..='Z' => Self::Letter,
            '0'..='9' => Self::Digit,
            c if c.is_whitespace() => Self::Space,
            c if c.is_alphabetic() => Self::Letter,
            c if c.is_numeric() => Self::Digit,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn oracle(tokenizer: Tokenizer, text: &str) -> u64 {
        let reference = match tokenizer {
            Tokenizer::Cl100k => tiktoken_rs::cl100k_base_singleton(),
            _ => tiktoken_rs::o200k_base_singleton(),
        };
        reference.count_ordinary(text) as u64
    }

    #[test]
    fn special_tokens_are_text() {
        for text in ["<|endoftext|>", "<|im_start|>system<|im_end|>", "<|fim_prefix|>"] {
            for tokenizer in [Tokenizer::O200k, Tokenizer::Cl100k] {
                assert!(count(tokenizer, text) > 2, "{text}");
                assert_eq!(count(tokenizer, text), oracle(tokenizer, text), "{text}");
            }
        }
    }

    #[test]
    fn long_runs_are_cut_and_nothing_else() {
        for unit in ["a", " ", "😀", "漢", "\n", "=", "7"] {
            let text = unit.repeat((1 << 20) / unit.len());
            let (mut total, mut longest) = (0, 0);
            pieces(&text, |piece| {
                total += piece.len();
                longest = longest.max(piece.len());
            });
            assert_eq!(total, text.len());
            assert!(longest <= LONGEST_RUN + 4, "{unit:?}: {longest}");
            assert!(count(Tokenizer::O200k, &text) > 0);
        }
        let prose = "The quick brown fox jumps over the lazy dog. ".repeat(1000);
        let mut parts = 0;
        pieces(&prose, |_| parts += 1);
        assert_eq!(parts, 1);
        assert_eq!(count(Tokenizer::O200k, &prose), oracle(Tokenizer::O200k, &prose));
    }

    proptest! {
        #[test]
        fn the_fast_vocabulary_is_exact(text in "(\\PC|[ \n\t]|[a-z]{1,9} |[0-9]{1,4}|漢字|é|😀){0,60}") {
            for tokenizer in [Tokenizer::O200k, Tokenizer::Cl100k] {
                prop_assert_eq!(count(tokenizer, &text), oracle(tokenizer, &text));
            }
        }
    }
}
