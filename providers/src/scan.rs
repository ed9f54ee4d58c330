//! Where the members of a JSON object and the elements of an array stand, found without reading what is in them.
//!
//! Most of a request is text in strings, and most of its cost is looking at each byte of them. Here
//! many bytes are looked at together, and only for what ends a string or a nested value. Brackets are
//! only counted: whoever uses a member parses it, and a member nobody uses is the provider's to refuse.

use std::ops::Range;

use serde::de::IgnoredAny;
use walk::Ends;

/// Calls `found` with the name and the place of every member of the object that is all of `body`.
/// `None` for whatever is not plain: broken JSON, and names with escapes.
pub(crate) fn members(body: &[u8], mut found: impl FnMut(&[u8], Range<usize>) -> Option<()>) -> Option<()> {
    let ends = Ends::new();
    let mut at = blanks(body, 0);
    expect(body, at, b'{')?;
    at = blanks(body, at + 1);
    if body.get(at) == Some(&b'}') {
        return (blanks(body, at + 1) == body.len()).then_some(());
    }
    loop {
        expect(body, at, b'"')?;
        let end = at + 1 + ends.string(body.get(at + 1..)?)?;
        let name = body.get(at + 1..end - 1)?;
        if name.contains(&b'\\') {
            return None;
        }
        at = blanks(body, end);
        expect(body, at, b':')?;
        let start = blanks(body, at + 1);
        let end = value_end(ends, body, start)?;
        found(name, start..end)?;
        at = blanks(body, end);
        match body.get(at)? {
            b',' => at = blanks(body, at + 1),
            b'}' => return (blanks(body, at + 1) == body.len()).then_some(()),
            _ => return None,
        }
    }
}

/// The elements of the array that is all of `list`. `None` for whatever is not plain. An element is only known to end
/// where it does: whether it is JSON is for whoever reads it.
pub fn elements(list: &str) -> Option<Vec<&str>> {
    let (body, ends, mut found) = (list.as_bytes(), Ends::new(), Vec::new());
    let mut at = blanks(body, 0);
    expect(body, at, b'[')?;
    at = blanks(body, at + 1);
    if body.get(at) == Some(&b']') {
        return (blanks(body, at + 1) == body.len()).then_some(found);
    }
    loop {
        let end = value_end(ends, body, at)?;
        found.push(list.get(at..end)?);
        at = blanks(body, end);
        match body.get(at)? {
            b',' => at = blanks(body, at + 1),
            b']' => return (blanks(body, at + 1) == body.len()).then_some(found),
            _ => return None,
        }
    }
}

fn expect(body: &[u8], at: usize, byte: u8) -> Option<()> {
    (body.get(at) == Some(&byte)).then_some(())
}

fn blanks(body: &[u8], at: usize) -> usize {
    let rest = body.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count()
}

fn value_end(ends: Ends, body: &[u8], start: usize) -> Option<usize> {
    let rest = || body.get(start + 1..);
    match body.get(start)? {
        b'"' => Some(start + 1 + ends.string(rest()?)?),
        b'{' | b'[' => Some(start + 1 + ends.nested(rest()?)?),
        _ => {
            let length = body.get(start..)?.iter().take_while(|byte| !b",]} \n\r\t".contains(byte)).count();
            let end = start + length;
            serde_json::from_slice::<IgnoredAny>(body.get(start..end)?).ok().map(|_| end)
        }
    }
}

mod lanes;
mod walk;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::Value;
    use serde_json::value::RawValue;

    use super::*;

    fn found(text: &str) -> Option<Vec<(String, String)>> {
        let mut all = Vec::new();
        members(text.as_bytes(), |name, span| {
            all.push((
                String::from_utf8(name.to_vec()).unwrap(),
                String::from_utf8(text.as_bytes()[span].to_vec()).unwrap(),
            ));
            Some(())
        })?;
        Some(all)
    }

    #[test]
    fn members_are_found_whatever_is_in_them() {
        let text = " {\"a\" : \"x\\\"}\\\\\" ,\n\"b\":[1,{\"c\":\"]\"},[ ]], \"d\":-1.5e3,\"e\":null } ";
        let expected = [("a", r#""x\"}\\""#), ("b", r#"[1,{"c":"]"},[ ]]"#), ("d", "-1.5e3"), ("e", "null")];
        let expected: Vec<_> = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(found(text), Some(expected));
        assert_eq!(found("{}"), Some(Vec::new()));
    }

    #[test]
    fn what_is_not_plain_is_left_to_others() {
        for text in [
            "",
            "[]",
            "{",
            "{\"a\"",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":1}x",
            "{\"a\":tru}",
            "{\"a\":[}",
            "{\"a\":\"x\\\"}",
            "{\"\\u0061\":1}",
            "{\"a\" 1}",
            "{\"a\":1 \"b\":2}",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    /// JSON with every escape there is, and runs of backslashes and quotes, in strings of every length.
    fn json() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            "\\PC{0,40}",
            "[\"\\\\/\u{0}-\u{1f}\u{7f}éÿ😀]{0,80}",
            (0..200usize, 0..3usize).prop_map(|(slashes, quotes)| "\\".repeat(slashes) + &"\"".repeat(quotes)),
            "[a-z{}\\[\\],: \n\"]{0,200}",
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text.prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 5, |inner| {
            let name = "[a-z\"\\\\{}]{0,6}";
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map(name, inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// A value as text: densely or spaciously, with what is not ASCII as it is or escaped.
    fn written(value: &Value, pretty: bool, escaped: bool) -> String {
        let text = if pretty { serde_json::to_string_pretty(value).unwrap() } else { value.to_string() };
        if !escaped {
            return text;
        }
        let mut units = [0; 2];
        let escape = |all: String, sign: char| match sign {
            ' '..='~' | '\n' => all + sign.encode_utf8(&mut [0; 4]),
            _ => sign.encode_utf16(&mut units).iter().fold(all, |all, unit| format!("{all}\\u{unit:04x}")),
        };
        text.chars().fold(String::new(), escape)
    }

    fn parsed(text: &str) -> Option<Vec<(String, String)>> {
        let parsed: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
        Some(parsed.into_iter().map(|(name, raw)| (name, raw.get().to_owned())).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn it_finds_what_a_parser_finds(
            fields in proptest::collection::btree_map("[a-z]{1,5}", json(), 0..5),
            (pretty, escaped, shift) in (any::<bool>(), any::<bool>(), 0..130usize),
        ) {
            let value = Value::Object(fields.into_iter().collect());
            let text = " ".repeat(shift) + &written(&value, pretty, escaped);
            prop_assert_eq!(found(&text), parsed(&text));
            let list: Vec<Value> = value.as_object().unwrap().values().cloned().collect();
            let text = " ".repeat(shift) + &written(&Value::from(list), pretty, escaped);
            let parsed: Vec<&RawValue> = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(elements(&text), Some(parsed.into_iter().map(RawValue::get).collect::<Vec<_>>()));
        }

        #[test]
        fn what_breaks_off_or_is_wrong_is_never_taken_for_another(
            fields in proptest::collection::btree_map("[a-z]{1,5}", json(), 1..4),
            at in any::<proptest::sample::Index>(),
            byte in proptest::sample::select(&b"\"\\{}[],: x1"[..]),
        ) {
            let text = Value::Object(fields.into_iter().collect()).to_string();
            let at = at.index(text.len());
            if let Some(part) = text.get(..at) {
                prop_assert_eq!(found(part), None, "{}", part);
            }
            let mut bytes = text.into_bytes();
            bytes[at] = byte;
            // What is no JSON may be found or not: it is refused by whoever reads it.
            let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
            if let (Some(found), Some(mut parsed)) = (found(&text), parsed(&text)) {
                let mut found: Vec<_> = found.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect();
                found.sort();
                parsed.sort();
                prop_assert_eq!(found, parsed);
            }
        }
    }

    #[test]
    fn a_list_is_its_elements() {
        assert_eq!(elements(" [ 1 , \"a,]\",[2,3],{\"b\":[]} ] "), Some(vec!["1", "\"a,]\"", "[2,3]", "{\"b\":[]}"]));
        assert_eq!(elements("[ ]"), Some(Vec::new()));
        for text in ["", "{}", "[", "[1", "[1,]", "[,1]", "[1 2]", "[1]x", "[\"a]", "[[]"] {
            assert_eq!(elements(text), None, "{text}");
        }
    }
}
