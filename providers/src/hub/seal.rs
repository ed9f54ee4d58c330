//! Providers' seals in the fields that other APIs have for sealed reasoning: a mark before the seal says what it
//! seals, so that it finds its place again when the client sends it back.

use std::borrow::Cow;

use super::message::Part;

/// Before reasoning that only its provider can read.
const REDACTED: &str = "redacted:";
/// Before the seal on the text.
const TEXT: &str = "text:";
/// Before the seal on the call of a tool that follows.
const CALL: &str = "call:";

/// Reasoning that only its provider can read, where an API has one field for all seals.
pub(crate) fn redacted(data: &str) -> String {
    format!("{REDACTED}{data}")
}

/// The seal on the text before.
pub(crate) fn of_text(seal: &str) -> String {
    format!("{TEXT}{seal}")
}

/// The seal on the call of a tool that follows.
pub(crate) fn of_call(seal: &str) -> String {
    format!("{CALL}{seal}")
}

/// Puts the seals in one turn of the model's where they belong: on calls, or on the text, whose seal is returned.
pub(crate) fn unsealed(parts: Vec<Part<'_>>) -> (Vec<Part<'_>>, Option<Cow<'_, str>>) {
    let (mut text, mut pending) = (None, None);
    let mut kept = Vec::with_capacity(parts.len());
    for mut part in parts {
        match &mut part {
            Part::Thinking { signature: seal, .. } | Part::Redacted(seal) => {
                if let Some(seal) = without(seal, TEXT) {
                    text = Some(seal);
                } else if let Some(seal) = without(seal, CALL) {
                    pending = Some(seal);
                } else if let Some(data) = without(seal, REDACTED) {
                    kept.push(Part::Redacted(data));
                } else {
                    kept.push(part);
                }
                continue;
            }
            Part::ToolCall { signature, .. } if signature.is_none() => *signature = pending.take(),
            _ => {}
        }
        kept.push(part);
    }
    (kept, text)
}

fn without<'a>(seal: &Cow<'a, str>, mark: &str) -> Option<Cow<'a, str>> {
    Some(match seal {
        Cow::Borrowed(seal) => Cow::Borrowed(seal.strip_prefix(mark)?),
        Cow::Owned(seal) => Cow::Owned(seal.strip_prefix(mark)?.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_seal_finds_its_place_again() {
        let call = |id: &'static str, signature: Option<&'static str>| Part::ToolCall {
            id: id.into(),
            name: "f".into(),
            arguments: "{}".into(),
            signature: signature.map(Cow::Borrowed),
        };
        let thinking = |seal: String| Part::Thinking { text: "hm".into(), signature: seal.into() };
        let sent = vec![
            thinking("claude".to_owned()),
            Part::Redacted("plain".into()),
            Part::Redacted(redacted("dark").into()),
            Part::Text("I look.".into()),
            Part::Redacted(of_text("T").into()),
            thinking(of_call("A")),
            call("1", None),
            call("2", None),
        ];
        let (parts, text) = unsealed(sent);
        assert_eq!(text.as_deref(), Some("T"));
        let expected = vec![
            thinking("claude".to_owned()),
            Part::Redacted("plain".into()),
            Part::Redacted("dark".into()),
            Part::Text("I look.".into()),
            call("1", Some("A")),
            call("2", None),
        ];
        assert_eq!(parts, expected);
    }
}
