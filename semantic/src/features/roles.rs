//! What part the words play that only one prompt has: "work" narrows "visa", "with dogs" narrows "hotels".

use crate::features::overlap::Side;
use crate::lexicon::{Entry, Lexicon};
use crate::prompt::Prompt;
use crate::text::Document;

/// How many of the hard words of one prompt play a part.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Roles {
    /// Directly before a word that both prompts have.
    pub(crate) modifiers: usize,
    /// Behind a preposition.
    pub(crate) objects: usize,
    /// The first word that says something: of a request, what is to be done.
    pub(crate) first: bool,
    pub(crate) last: bool,
}

/// `side` is what `of` has and `other` has not.
pub(crate) fn roles(of: &Prompt, side: &Side, other: &Prompt, lexicon: &Lexicon) -> Roles {
    let document = &of.document;
    let common = |stem: &str| other.document.content_stems().any(|s| s == stem);
    let mut roles = Roles::default();
    for place in side.hard.iter().filter_map(|i| document.content.get(*i)) {
        roles.modifiers += usize::from(document.stems.get(place + 1).is_some_and(|stem| common(stem)));
        roles.objects += usize::from(behind_preposition(document, *place));
    }
    let telling: Vec<usize> =
        document.content_stems().enumerate().filter(|(_, s)| !lexicon.is_generic(s)).map(|(i, _)| i).collect();
    roles.first = telling.first().is_some_and(|i| side.hard.contains(i));
    roles.last = telling.last().is_some_and(|i| side.hard.contains(i));
    roles
}

/// Articles and the like may stand between.
fn behind_preposition(document: &Document, place: usize) -> bool {
    let mut before = document.words.iter().take(place).rev().map(Entry::word).filter(|word| !is_determiner(word));
    before.next().is_some_and(is_preposition)
}

fn is_determiner(word: &str) -> bool {
    matches!(
        word,
        "a" | "an"
            | "the"
            | "my"
            | "your"
            | "our"
            | "his"
            | "her"
            | "its"
            | "their"
            | "this"
            | "that"
            | "these"
            | "those"
            | "any"
            | "some"
            | "one"
    )
}

fn is_preposition(word: &str) -> bool {
    matches!(
        word,
        "with"
            | "without"
            | "for"
            | "in"
            | "at"
            | "by"
            | "on"
            | "to"
            | "from"
            | "of"
            | "as"
            | "after"
            | "before"
            | "during"
            | "under"
            | "over"
            | "into"
            | "than"
            | "about"
            | "against"
            | "using"
            | "via"
            | "per"
            | "since"
            | "until"
            | "between"
            | "near"
            | "like"
    )
}

#[cfg(test)]
mod tests {
    use crate::Semantic;
    use crate::features::NAMES;

    #[test]
    fn a_word_more_narrows_a_question_before_a_common_word_or_behind_a_preposition() {
        let semantic = Semantic::built_in().unwrap();
        let feature = |a: &str, b: &str, name: &str| {
            let features = semantic.features(&semantic.prompt(a), &semantic.prompt(b));
            NAMES.iter().zip(features).find(|(n, _)| **n == name).map(|(_, value)| value).unwrap()
        };
        assert!(feature("visa for Japan", "work visa for Japan", "one_modifier") > 0.5);
        assert!(feature("hotels in Prague", "hotels in Prague with a garden", "one_object") > 0.5);
        assert!(feature("restore a database backup", "what is a database backup", "first_alone") > 0.5);
        assert!(feature("how do I reverse a list", "how to reverse a list", "one_modifier") < 0.5);
    }
}
