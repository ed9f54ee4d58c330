//! What the lists say of a word, worked out once for all words of the vocabulary.

use std::borrow::Cow;

use rustc_hash::FxHashMap as HashMap;

use crate::lexicon::{Classes, Lexicon};
use crate::wordpiece::VOCABULARY;

/// Text that mostly is a word of the vocabulary, which lives as long as the process.
pub(crate) type Text = Cow<'static, str>;

/// Everything that does not depend on the words around.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// As [`Lexicon::stem`].
    pub(crate) stem: Box<str>,
    /// As [`Lexicon::classes`].
    pub(crate) classes: Classes,
    /// Forms that have opposites, as [`Lexicon::poles`].
    pub(crate) poles: Box<[String]>,
    /// What is to be done, a bit for each kind of deed.
    pub(crate) acts: Classes,
    /// The kinds of question that a noun answers, a bit for each.
    pub(crate) kinds: u8,
    /// Carries no meaning of its own.
    pub(crate) stop: bool,
    pub(crate) negation: bool,
    /// Turns a request round without being a negation: "undo", "avoid".
    pub(crate) turns: bool,
}

/// The words of the vocabulary and of the lists.
#[derive(Debug, Default)]
pub(crate) struct Words(HashMap<Box<str>, Known>);

/// A word, with what is known of it.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    Listed(&'static str, &'static Known),
    Other(Box<(String, Known)>),
}

impl Words {
    pub(crate) fn of(lexicon: &Lexicon) -> Self {
        let plain = |w: &&str| w.len() > 1 && w.bytes().all(|b| b.is_ascii_lowercase());
        let words = VOCABULARY.lines().filter(plain).chain(lexicon.listed());
        Self(words.map(|w| (Box::from(w), lexicon.known(w))).collect())
    }

    pub(crate) fn get(&self, word: &str) -> Option<(&str, &Known)> {
        self.0.get_key_value(word).map(|(word, known)| (&**word, known))
    }
}

impl Entry {
    pub(crate) fn new(word: Cow<'_, str>, lexicon: &'static Lexicon) -> Self {
        match lexicon.words().get(&word) {
            Some((word, known)) => Self::Listed(word, known),
            None => {
                let known = lexicon.known(&word);
                Self::Other(Box::new((word.into_owned(), known)))
            }
        }
    }

    pub(crate) fn word(&self) -> &str {
        match self {
            Self::Listed(word, _) => word,
            Self::Other(other) => &other.0,
        }
    }

    pub(crate) fn known(&self) -> &Known {
        match self {
            Self::Listed(_, known) => known,
            Self::Other(other) => &other.1,
        }
    }

    pub(crate) fn stem(&self) -> Text {
        match self {
            Self::Listed(_, known) => Cow::Borrowed(&known.stem),
            Self::Other(other) => Cow::Owned(other.1.stem.clone().into_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_beforehand_is_what_would_be_worked_out() {
        let lexicon = Lexicon::built_in().unwrap();
        for word in
            ["undo", "painters", "never", "the", "cheapest", "kubernetes", "forbidden", "miles", "zzyzx", "10", "3.11"]
        {
            let entry = Entry::new(word.into(), lexicon);
            assert_eq!(entry.word(), word);
            assert_eq!(entry.stem(), lexicon.stem(word), "{word}");
            assert_eq!(entry.known().stop, lexicon.is_stop(word), "{word}");
            assert_eq!(entry.known().classes, lexicon.classes(word), "{word}");
        }
        assert!(matches!(Entry::new("capital".into(), lexicon), Entry::Listed(..)));
        assert!(matches!(Entry::new("zzyzx".into(), lexicon), Entry::Other(..)));
    }
}
