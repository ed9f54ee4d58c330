//! Strings and lenient fields of borrowed JSON.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A string that borrows when it has no escapes, also inside an `Option`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

impl Text<'_> {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The string in a field, or an empty one.
pub(crate) fn str_of<'t>(text: Option<&'t Text<'_>>) -> &'t str {
    text.map_or("", Text::as_str)
}

/// The JSON of a field that is there and not `null`.
pub(crate) fn some(raw: Option<&RawValue>) -> Option<&RawValue> {
    raw.filter(|raw| raw.get() != "null")
}

/// Appends a string as JSON, with its quotes.
pub(crate) fn quote(text: &str, out: &mut Vec<u8>) {
    // Writing into memory does not fail, nor does a string.
    if serde_json::to_writer(&mut *out, text).is_err() {
        out.extend_from_slice(b"\"\"");
    }
}

/// Appends a number.
pub(crate) fn number(value: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut left = value;
    loop {
        at -= 1;
        if let (Some(digit), Ok(byte)) = (digits.get_mut(at), u8::try_from(left % 10)) {
            *digit = b'0' + byte;
        }
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_strings_are_json() {
        for value in [0, 7, 10, 1234, u64::MAX] {
            let mut out = Vec::new();
            number(value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
        }
        let mut out = Vec::new();
        quote("a\"\n\u{1}é", &mut out);
        assert_eq!(out, "\"a\\\"\\n\\u0001é\"".as_bytes());
    }
}
