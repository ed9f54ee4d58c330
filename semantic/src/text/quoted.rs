//! What a text sets apart: code in backticks, quotations, calls, names with digits in them.

use crate::text::scan::collapse;

/// What stands in backticks, and the text without the backticks.
pub(crate) fn code_spans(text: &str) -> (Vec<String>, String) {
    let (mut spans, mut plain) = (Vec::new(), String::with_capacity(text.len() + 8));
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('`') {
        let inside = after.trim_start_matches('`');
        match inside.split_once('`') {
            Some((code, tail)) if !code.is_empty() => {
                plain.push_str(before);
                plain.push(' ');
                plain.push_str(code);
                plain.push(' ');
                spans.push(collapse(code));
                rest = tail.trim_start_matches('`');
            }
            _ => break,
        }
    }
    plain.push_str(rest);
    (spans, plain)
}

/// What stands in double quotes, or in single quotes that are no apostrophes. Lower case, sorted.
pub(crate) fn quotations(text: &str) -> Vec<String> {
    const LONGEST: usize = 200;
    let mut found = Vec::new();
    if !text.contains(['"', '\'']) {
        return found;
    }
    let (mut rest, mut before) = (text, None);
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        let closed = match c {
            '"' => after.find('"'),
            '\'' if before.is_none_or(char::is_whitespace) => {
                after.find('\'').filter(|end| ends_quotation(after, *end))
            }
            _ => None,
        };
        let inside = closed.and_then(|end| after.get(..end)).filter(|q| (1..=LONGEST).contains(&q.chars().count()));
        rest = match inside {
            Some(quoted) => {
                found.push(quoted.trim().to_lowercase());
                after.get(quoted.len() + 1..).unwrap_or_default()
            }
            None => after,
        };
        before = Some(c);
    }
    found.sort_unstable();
    found
}

fn ends_quotation(text: &str, end: usize) -> bool {
    let next = text.get(end + 1..).and_then(|t| t.chars().next());
    next.is_none_or(|c| c.is_whitespace() || matches!(c, '.' | ',' | '?' | '!'))
}

/// Names directly before an opening bracket: `len(`. Sorted, each once.
pub(crate) fn calls(plain: &str) -> Vec<String> {
    let mut found: Vec<String> = plain
        .match_indices('(')
        .filter_map(|(at, _)| plain.get(..at))
        .map(|before| {
            let name = before.trim_end_matches(|c: char| c.is_ascii_lowercase() || c == '_');
            before.get(name.len()..).unwrap_or_default().to_owned()
        })
        .filter(|name| !name.is_empty())
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Names with letters and digits in them that are no number with its unit: "v1.2b", "s22". Sorted, each once.
pub(crate) fn mixed(plain: &str) -> Vec<String> {
    if !plain.bytes().any(|b| b.is_ascii_digit()) {
        return Vec::new();
    }
    let mut found: Vec<String> = plain
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '.'))
        .map(|t| t.trim_matches('.'))
        .filter(|t| t.bytes().any(|b| b.is_ascii_digit()) && t.bytes().any(|b| b.is_ascii_alphabetic()))
        .filter(|t| !is_quantity(t) && !is_versioned(t))
        .map(str::to_owned)
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Names of hosts. Sorted, each once.
pub(crate) fn addresses(plain: &str) -> Vec<String> {
    if !plain.contains('.') {
        return Vec::new();
    }
    let mut found: Vec<String> = plain
        .split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-')))
        .map(|t| t.trim_matches('.'))
        .filter(|t| is_address(t))
        .map(str::to_owned)
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Keys with values: "sort:new". Sorted, each once.
pub(crate) fn labels(plain: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(colon) = plain.get(from..).and_then(|rest| rest.find(':')).map(|at| from + at) {
        let before = plain.get(from..colon).unwrap_or_default();
        let after = plain.get(colon + 1..).unwrap_or_default();
        let name = before.trim_end_matches(|c: char| c.is_ascii_lowercase());
        let key = before.get(name.len()..).unwrap_or_default();
        let part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.' | '-');
        let value = after.get(..after.find(|c| !part(c)).unwrap_or(after.len())).unwrap_or_default();
        let begins = !plain.get(..colon - key.len()).unwrap_or_default().ends_with(|c: char| c.is_ascii_alphanumeric());
        from = colon + 1;
        if key.len() > 1 && begins && !value.is_empty() {
            found.push((key.to_owned(), value.to_owned()));
            from += value.len();
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Labels and a top-level domain; "node.js" is a library.
fn is_address(token: &str) -> bool {
    let Some((labels, domain)) = token.rsplit_once('.') else { return false };
    domain.len() >= 2
        && domain != "js"
        && domain.bytes().all(|b| b.is_ascii_lowercase())
        && labels.split('.').all(|label| !label.is_empty())
}

/// "5km", "3pm", "2nd".
fn is_quantity(token: &str) -> bool {
    const UNITS: &str = "km kg cm mm m g mg lb lbs oz ft in mi mph kmh gb mb kb tb hz ghz mhz w kw v am pm s ms sec min \
        mins h hr hrs d k x st nd rd th c f usd eur px p";
    let unit = token.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    unit.len() < token.len() && UNITS.split_ascii_whitespace().any(|u| u == unit)
}

/// "python3.11" is the word and the number.
fn is_versioned(token: &str) -> bool {
    let version = token.trim_start_matches(|c: char| c.is_ascii_lowercase());
    token.len() - version.len() >= 3
        && version.starts_with(|c: char| c.is_ascii_digit())
        && version.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_quotations() {
        let (spans, plain) = code_spans("run `ls  -la` and ``x``, not `open");
        assert_eq!(spans, ["ls -la", "x"]);
        assert_eq!(plain, "run  ls  -la  and  x , not `open");
        assert_eq!(quotations("say 'Good Morning' or \"hi\", don't"), ["good morning", "hi"]);
        assert_eq!(calls("print(len(\"abc\")) (x)"), ["len", "print"]);
    }

    #[test]
    fn keys_have_values_right_behind_them() {
        let labels: Vec<String> = labels("tag:go sort:new at 10:30 c: x http://a.b x9:y note: z")
            .into_iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        assert_eq!(labels, ["sort=new", "tag=go"]);
    }

    #[test]
    fn versions_and_models_are_names_and_quantities_are_not() {
        assert_eq!(mixed("is the s22 on v1.2b. or 5km at 3pm with python3.11"), ["s22", "v1.2b"]);
    }
}
