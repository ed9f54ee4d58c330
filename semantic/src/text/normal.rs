//! Different spellings of one thing, made the same.

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::lexicon::Lexicon;
use crate::text::Phrases;
use crate::text::scan::collapse;

const CONTRACTIONS: [(&str, &str); 19] = [
    ("what's", "what is"),
    ("can't", "can not"),
    ("cannot", "can not"),
    ("won't", "will not"),
    ("let's", "let us"),
    ("where's", "where is"),
    ("who's", "who is"),
    ("how's", "how is"),
    ("it's", "it is"),
    ("that's", "that is"),
    ("when's", "when is"),
    ("i'm", "i am"),
    ("n't", " not"),
    ("'re", " are"),
    ("'ve", " have"),
    ("'ll", " will"),
    ("'m", " am"),
    ("'d", " would"),
    ("-free", " without"),
];

static WRITTEN_OUT: LazyLock<Phrases> =
    LazyLock::new(|| Phrases::new(CONTRACTIONS.map(|(short, long)| (short.to_owned(), long.to_owned()))));

/// Typographic quotation marks as those of a keyboard.
pub(crate) fn straight(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return text.into();
    }
    text.replace('’', "'").replace(['“', '”'], "\"").into()
}

/// Lower case; copied only if it is not so already.
pub(crate) fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
        return text.into();
    }
    text.to_lowercase().into()
}

/// Lower case, single spaces, contractions written out, phrases as one word.
pub(crate) fn plain(text: &str, lexicon: &Lexicon) -> String {
    let low = collapse(&text.to_lowercase());
    let low = WRITTEN_OUT.apply(low, |text, short, long| text.replace(short, long));
    let mut low = lexicon.phrases().apply(low, replace_words);
    low.truncate(low.trim_end().len());
    if low.starts_with(char::is_whitespace) { low.trim_start().to_owned() } else { low }
}

/// Replaces `phrase` where no letter touches it.
fn replace_words(text: &str, phrase: &str, word: &str) -> String {
    let letter = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase());
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(phrase) {
        let previous = before.chars().next_back().or_else(|| out.chars().next_back());
        out.push_str(before);
        out.push_str(if letter(previous) || letter(after.chars().next()) { phrase } else { word });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// "1,000" without its separators, "3:00" without its minutes.
pub(crate) fn number(digits: &str) -> String {
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(w, f)| (w, Some(f)));
    let mut groups = whole.split(',');
    let all_digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    let thousands = groups.next().is_some_and(|g| (1..=3).contains(&g.len()) && all_digits(g))
        && whole.contains(',')
        && groups.all(|g| g.len() == 3 && all_digits(g))
        && fraction.is_none_or(all_digits);
    let plain = if thousands { digits.replace(',', "") } else { digits.to_owned() };
    match plain.strip_suffix(":00") {
        Some(hour) if !hour.contains(':') => hour.to_owned(),
        _ => plain,
    }
}

/// "the 1980s" and "the 80s" are one decade; `number` is the digits before the "s".
pub(crate) fn decade(number: &str) -> &str {
    let short = match number.len() {
        4 => number.strip_prefix("19").or_else(|| number.strip_prefix("20")).unwrap_or(number),
        _ => number,
    };
    let tens = short.len() == 2 && short.ends_with('0') && short.bytes().all(|b| b.is_ascii_digit());
    if tens { short } else { number }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling() {
        let lexicon = Lexicon::built_in().unwrap();
        assert_eq!(plain("I can't  Sign In\nto the United States", lexicon), "i can not login to the us");
        assert_eq!(plain("resign into it", lexicon), "resign into it");
        assert_eq!(plain("Gluten-free k8s?", lexicon), "gluten without kubernetes?");
        assert_eq!(
            (number("1,000.5"), number("1,00"), number("10:30")),
            ("1000.5".into(), "1,00".into(), "10:30".into())
        );
        assert_eq!((decade("1980"), decade("80"), decade("1985"), number("3:00")), ("80", "80", "1985", "3".into()));
    }
}
