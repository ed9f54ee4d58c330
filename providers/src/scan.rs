//! Where the members of a JSON object stand, found without reading what is in them.
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

    proptest! {
        #[test]
        fn it_finds_what_a_parser_finds(
            fields in proptest::collection::btree_map("[a-z]{1,5}", "\\PC{0,20}|[\"\\\\]{0,6}", 0..6),
            deep in any::<bool>(),
        ) {
            let wrap = |text: &String| if deep { serde_json::json!([{"x": [text]}, text]) } else { Value::from(text.as_str()) };
            let object: serde_json::Map<String, Value> = fields.iter().map(|(name, text)| (name.clone(), wrap(text))).collect();
            let text = Value::Object(object).to_string();
            let parsed: BTreeMap<String, &RawValue> = serde_json::from_str(&text).unwrap();
            let parsed: Vec<_> = parsed.into_iter().map(|(name, raw)| (name, raw.get().to_owned())).collect();
            prop_assert_eq!(found(&text), Some(parsed));
        }
    }
}
