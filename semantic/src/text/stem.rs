//! Word endings taken off, cheaply: enough to match "installs" with "installing".

/// A stem, the same for "file" and "filing".
pub(crate) fn suffixless(word: &str) -> String {
    let once = inflection(word);
    match once.strip_suffix('e') {
        Some(short) if once.chars().count() > 3 => short.to_owned(),
        _ => once,
    }
}

fn inflection(word: &str) -> String {
    let n = word.chars().count();
    if n > 4 {
        if let Some(short) = word.strip_suffix("ies") {
            return format!("{short}y");
        }
        if ["sses", "xes", "ches", "shes"].iter().any(|s| word.ends_with(s)) {
            return cut(word, 2).to_owned();
        }
    }
    let singular = if n > 3 { singular(word) } else { word };
    let n = n - (word.len() - singular.len());
    match (singular.strip_suffix("ing"), singular.strip_suffix("ed")) {
        (Some(short), _) if n > 5 => undouble(short).to_owned(),
        (_, Some(short)) if n > 4 => undouble(short).to_owned(),
        _ if n > 4 => singular.strip_suffix('e').unwrap_or(singular).to_owned(),
        _ => singular.to_owned(),
    }
}

/// Only the plural taken off: the form that lists of words use.
pub(crate) fn base(word: &str) -> String {
    if word.chars().count() <= 3 || ["ss", "us", "is"].iter().any(|s| word.ends_with(s)) {
        return word.to_owned();
    }
    if let Some(short) = word.strip_suffix("ies") {
        return format!("{short}y");
    }
    if ["sses", "xes", "ches", "shes"].iter().any(|s| word.ends_with(s)) {
        return cut(word, 2).to_owned();
    }
    word.strip_suffix('s').unwrap_or(word).to_owned()
}

fn singular(word: &str) -> &str {
    match word.strip_suffix('s') {
        Some(short) if !["ss", "us", "is"].iter().any(|s| word.ends_with(s)) => short,
        _ => word,
    }
}

/// "stopp" to "stop", but not "fall" to "fal".
fn undouble(word: &str) -> &str {
    let mut last = word.chars().rev();
    match (last.next(), last.next()) {
        (Some(a), Some(b)) if a == b && word.chars().count() > 2 && !matches!(a, 'l' | 's' | 'e') => {
            cut(word, a.len_utf8())
        }
        _ => word,
    }
}

fn cut(word: &str, bytes: usize) -> &str {
    word.get(..word.len().saturating_sub(bytes)).unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_word_have_one_stem() {
        for (a, b) in [
            ("files", "file"),
            ("installing", "installs"),
            ("stopped", "stop"),
            ("cities", "city"),
            ("boxes", "box"),
            ("makes", "making"),
        ] {
            assert_eq!(suffixless(a), suffixless(b), "{a} {b}");
        }
        assert_eq!(suffixless("virus"), "virus");
        assert_eq!(base("wishes"), "wish");
        assert_eq!(base("running"), "running");
    }
}
