//! Which prompts the semantic tier may look at: short questions in a language that the model knows.

use std::sync::LazyLock;

use rustc_hash::FxHashSet;

/// Words of a prompt beyond which one changed fact no longer moves the embedding.
pub(crate) const MOST_WORDS: usize = 64;
/// Bytes beyond which no prompt has so few words that mean something.
const MOST_BYTES: usize = 1024;
/// More lines than these are a pasted text.
const MOST_LINES: usize = 3;

/// Why a prompt is for the exact cache only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ineligible {
    /// Nothing to compare.
    Empty,
    /// More than 64 words.
    Long,
    /// It has a fenced block of code.
    Code,
    /// It has the lines of a document.
    Document,
    /// It is mostly in a script or language that the model was not made for.
    Language,
}

impl Ineligible {
    /// The name in metrics and headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Long => "long",
            Self::Code => "code",
            Self::Document => "document",
            Self::Language => "language",
        }
    }
}

/// Whether a prompt may be answered from another one's answer at all.
///
/// # Errors
/// Why it may not.
pub fn eligible(text: &str) -> Result<(), Ineligible> {
    if !text.chars().any(char::is_alphanumeric) {
        return Err(Ineligible::Empty);
    }
    if text.contains("```") || text.contains("~~~") {
        return Err(Ineligible::Code);
    }
    if text.len() > MOST_BYTES || text.split_whitespace().nth(MOST_WORDS).is_some() {
        return Err(Ineligible::Long);
    }
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    if text.lines().any(|line| line.starts_with(['>', '\t'])) || lines.nth(MOST_LINES).is_some() {
        return Err(Ineligible::Document);
    }
    if is_foreign(text) { Err(Ineligible::Language) } else { Ok(()) }
}

const LITTLE_WORDS: &str = "de la el los las una que por para como cual cuál donde del está es \
    le les des est une dans pour avec quel quelle comment du et \
    der das und ist nicht ein eine wie für mit von den dem sie ich kann auf \
    il gli che dove della di perché não uma onde qual em do \
    het een van wat hoe och att det som är jest nie na się czy";
static LITTLE: LazyLock<FxHashSet<&str>> = LazyLock::new(|| LITTLE_WORDS.split_ascii_whitespace().collect());

/// A fifth of the letters outside ASCII, or more than half little words of other languages.
fn is_foreign(text: &str) -> bool {
    let letters = text.chars().filter(|c| c.is_alphabetic());
    let (ascii, other) = letters.fold((0, 0), |(a, o), c| if c.is_ascii() { (a + 1, o) } else { (a, o + 1) });
    if other * 4 > ascii {
        return true;
    }
    let (mut foreign, mut all) = (0, 0_usize);
    for word in text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()) {
        all += 1;
        foreign += usize::from(LITTLE.contains(word));
    }
    foreign >= 2 && foreign * 2 > all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_english_questions_are_eligible() {
        let documents = "one\ntwo\nthree\nfour";
        let words = |n| vec!["word"; n].join(" ");
        for (text, expected) in [
            ("What is the capital of France?", Ok(())),
            ("flights to Rio de Janeiro", Ok(())),
            ("translate to English: '¿Dónde está la biblioteca?'", Ok(())),
            (words(64).as_str(), Ok(())),
            (words(65).as_str(), Err(Ineligible::Long)),
            ("x".repeat(2000).as_str(), Err(Ineligible::Long)),
            (" ?! ", Err(Ineligible::Empty)),
            ("explain\n```\nx\n```", Err(Ineligible::Code)),
            (documents, Err(Ineligible::Document)),
            ("answer this\n> quoted", Err(Ineligible::Document)),
            ("¿Cuál es la capital de Francia?", Err(Ineligible::Language)),
            ("Was ist die Hauptstadt von Frankreich und wie alt ist sie", Err(Ineligible::Language)),
            ("法国的首都是哪里？", Err(Ineligible::Language)),
            ("Какая столица Франции?", Err(Ineligible::Language)),
        ] {
            assert_eq!(eligible(text), expected, "{text}");
        }
    }
}
