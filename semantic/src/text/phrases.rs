//! Which of many phrases a text may have, without looking for each.

/// A phrase and what stands for it.
#[derive(Debug)]
struct Phrase {
    text: String,
    word: String,
    first: u16,
    last: u16,
}

/// Phrases in the order in which they are replaced.
#[derive(Debug, Default)]
pub(crate) struct Phrases(Vec<Phrase>);

/// A bit for each pair of neighbouring bytes that a text has; some pairs share one.
struct Pairs([u64; Pairs::BITS as usize / 64]);

impl Pairs {
    const BITS: u16 = 2048;

    fn of(text: &str) -> Self {
        let mut pairs = Self([0; _]);
        for pair in text.as_bytes().array_windows() {
            let bit = Self::bit(*pair);
            if let Some(bits) = pairs.0.get_mut(usize::from(bit / 64)) {
                *bits |= 1 << (bit % 64);
            }
        }
        pairs
    }

    fn bit([a, b]: [u8; 2]) -> u16 {
        (u16::from(a).wrapping_mul(37) ^ u16::from(b)) % Self::BITS
    }

    fn has(&self, bit: u16) -> bool {
        self.0.get(usize::from(bit / 64)).is_some_and(|bits| bits >> (bit % 64) & 1 == 1)
    }
}

impl Phrases {
    /// Each has at least two bytes; shorter ones are never found.
    pub(crate) fn new(phrases: impl IntoIterator<Item = (String, String)>) -> Self {
        let phrase = |(text, word): (String, String)| {
            let (first, last) = (*text.as_bytes().first_chunk()?, *text.as_bytes().last_chunk()?);
            Some(Phrase { first: Pairs::bit(first), last: Pairs::bit(last), text, word })
        };
        Self(phrases.into_iter().filter_map(phrase).collect())
    }

    /// Replaces each phrase that is there, one after the other.
    pub(crate) fn apply(&self, mut text: String, replace: impl Fn(&str, &str, &str) -> String) -> String {
        let mut pairs = Pairs::of(&text);
        for phrase in &self.0 {
            if pairs.has(phrase.first) && pairs.has(phrase.last) && text.contains(&phrase.text) {
                text = replace(&text, &phrase.text, &phrase.word);
                pairs = Pairs::of(&text);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_that_another_one_made_is_found_too() {
        let phrases =
            Phrases::new([("ab", "cd"), ("xcd", "y"), ("ab", "z")].map(|(a, b)| (a.to_owned(), b.to_owned())));
        let all = |text: &str, phrase: &str, word: &str| text.replace(phrase, word);
        assert_eq!(phrases.apply("xab ab".to_owned(), all), "y cd");
        assert_eq!(phrases.apply("nothing".to_owned(), all), "nothing");
        assert_eq!(phrases.apply(String::new(), all), "");
    }
}
