//! The request body: the client's bytes with `model` replaced and usage asked for.

use std::ops::Range;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::adapter::Quirks;
use crate::adapter::Target;
use crate::body::Body;
use crate::call::{Call, Endpoint, Field};

/// The body for a target. Everything but the edited values keeps its bytes; if nothing needs to
/// change, it is the client's own buffer.
pub(crate) fn body(call: &Call, target: &Target, quirks: Quirks) -> Body {
    let mut edits: Vec<(Range<usize>, String)> = Vec::with_capacity(3);
    if call.model != target.model {
        edits.push((call.model_span.clone(), Value::from(target.model.as_str()).to_string()));
    }
    if !quirks.stream_options {
        edits.extend(without_options(call));
    } else if call.stream && !call.include_usage && in_chunks(call.endpoint) {
        edits.push(ask_for_usage(call));
    }
    if quirks.max_tokens {
        edits.extend(old_bound(call));
    }
    splice(call, edits)
}

/// Whether a stream is one of chunks, the last of which has the usage if it is asked for. Others say it unasked, and
/// their APIs know no such option.
pub(super) fn in_chunks(endpoint: Endpoint) -> bool {
    matches!(endpoint, Endpoint::ChatCompletions | Endpoint::Completions)
}

/// Bodies below this many bytes are copied: that is cheaper than to send more slices.
const SLICED_FROM: usize = 16 * 1024;

/// The client's body with some ranges replaced. What is kept of a large one is not copied.
pub(crate) fn splice(call: &Call, mut edits: Vec<(Range<usize>, String)>) -> Body {
    if edits.is_empty() {
        return call.body.clone().into();
    }
    edits.sort_by_key(|(span, _)| span.start);
    let whole = &call.body;
    let kept = |from: usize, to: usize| whole.get(from..to).unwrap_or_default();
    let mut at = 0;
    if whole.len() < SLICED_FROM {
        let grown: usize = edits.iter().map(|(_, text)| text.len()).sum();
        let mut out = Vec::with_capacity(whole.len() + grown);
        for (span, text) in edits {
            out.extend_from_slice(kept(at, span.start));
            out.extend_from_slice(text.as_bytes());
            at = span.end;
        }
        out.extend_from_slice(kept(at, whole.len()));
        return Bytes::from(out).into();
    }
    let mut out = Body::default();
    for (span, text) in edits {
        out.push(whole.slice_ref(kept(at, span.start)));
        out.push(Bytes::from(text));
        at = span.end;
    }
    out.push(whole.slice_ref(kept(at, whole.len())));
    out
}

/// The edit that sets `stream_options.include_usage`, keeping other options.
fn ask_for_usage(call: &Call) -> (Range<usize>, String) {
    let mut options = Map::new();
    let Some(span) = call.span(Field::StreamOptions) else {
        // The body is an object with at least a model in it: a first field and a comma fit.
        let open = call.body.iter().position(|byte| *byte == b'{').map_or(0, |at| at + 1);
        return (open..open, r#""stream_options":{"include_usage":true},"#.to_owned());
    };
    if let Some(Value::Object(own)) = call.raw(Field::StreamOptions).and_then(|raw| serde_json::from_str(raw).ok()) {
        options = own;
    }
    options.insert("include_usage".to_owned(), Value::Bool(true));
    (span, Value::Object(options).to_string())
}

/// The edit that renames `max_completion_tokens` to what came before it.
fn old_bound(call: &Call) -> Option<(Range<usize>, String)> {
    if call.span(Field::MaxTokens).is_some() {
        return None;
    }
    key(call, Field::MaxCompletionTokens, "\"max_completion_tokens\"").map(|span| (span, "\"max_tokens\"".to_owned()))
}

/// The edit that turns `stream_options` into nothing: `null` under a name no API has would be an
/// unknown field, so the whole member goes, with one comma.
fn without_options(call: &Call) -> Option<(Range<usize>, String)> {
    let value = call.span(Field::StreamOptions)?;
    let name = key(call, Field::StreamOptions, "\"stream_options\"")?;
    let after = call.body.get(value.end..)?;
    let blank = after.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    if after.get(blank) == Some(&b',') {
        return Some((name.start..value.end + blank + 1, String::new()));
    }
    // The last member: the comma before it goes. `model` stands somewhere before.
    let comma = call.body.get(..name.start)?.iter().rposition(|byte| *byte == b',')?;
    Some((comma..value.end, String::new()))
}

/// Where the name of a top-level field stands.
fn key(call: &Call, field: Field, name: &str) -> Option<Range<usize>> {
    let before = call.body.get(..call.span(field)?.start)?.trim_ascii_end();
    let before = before.strip_suffix(b":")?.trim_ascii_end();
    before.ends_with(name.as_bytes()).then(|| before.len() - name.len()..before.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sent(text: &str, model: &str) -> String {
        narrow(text, model, crate::openai::kinds::PLAIN)
    }

    fn chat(text: &str) -> Call {
        Call::parse(Endpoint::ChatCompletions, Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    fn narrow(text: &str, model: &str, quirks: Quirks) -> String {
        let call = chat(text);
        let body = body(&call, &Target { model: model.to_owned(), ..Target::default() }, quirks);
        String::from_utf8(body.into_bytes().to_vec()).unwrap()
    }

    #[test]
    fn narrower_apis_get_what_they_know() {
        let old = |text| narrow(text, "m", crate::openai::kinds::OLD);
        assert_eq!(
            old(r#"{"model":"m","messages":[1],"max_completion_tokens" : 5}"#),
            r#"{"model":"m","messages":[1],"max_tokens" : 5}"#
        );
        let both = r#"{"model":"m","messages":[1],"max_completion_tokens":5,"max_tokens":6}"#;
        assert_eq!(old(both), both);
        let plain = r#"{"model":"m","messages":[1],"stream":true}"#;
        assert_eq!(old(plain), plain);
        for text in [
            r#"{"model":"m","messages":[1],"stream":true,"stream_options":{"include_usage":true}}"#,
            r#"{"model":"m","messages":[1],"stream_options":{"a":[1,2]} ,"stream":true}"#,
            r#"{"stream_options":null,"model":"m","messages":[1],"stream":true}"#,
        ] {
            let sent: Value = serde_json::from_str(&old(text)).unwrap();
            assert_eq!(sent, serde_json::json!({"model":"m","messages":[1],"stream":true}), "{text}");
        }
    }

    #[test]
    fn only_the_model_changes() {
        let text = "{ \"zeta\" : 1.0e2,\"messages\":[{\"model\":\"m\"}],\n \"model\":\t\"m\" , \"x\":{\"y\":[ ]}}";
        assert_eq!(sent(text, "n\"2"), text.replace("\t\"m\"", "\t\"n\\\"2\""));
        assert_eq!(sent(text, "m"), text);
    }

    #[test]
    fn only_streams_of_chunks_are_asked_for_usage() {
        for (endpoint, text) in [
            (
                Endpoint::Responses,
                r#"{"model":"m","input":"hi","stream":true,"stream_options":{"include_obfuscation":false}}"#,
            ),
            (Endpoint::Responses, r#"{"model":"m","input":"hi","stream":true}"#),
            (Endpoint::Speech, r#"{"model":"m","input":"hi","voice":"v","stream_format":"sse"}"#),
            (Endpoint::Images, r#"{"model":"m","prompt":"hi","stream":true}"#),
        ] {
            let call = Call::parse(endpoint, Bytes::from_static(text.as_bytes())).unwrap();
            assert!(call.stream, "{text}");
            let target = Target { model: "m".into(), ..Target::default() };
            assert_eq!(body(&call, &target, crate::openai::kinds::PLAIN).into_bytes(), text);
        }
    }

    #[test]
    fn usage_is_asked_for_once() {
        let with = |options: &str| sent(&format!(r#"{{"model":"m","messages":[1],"stream":true{options}}}"#), "m");
        assert_eq!(with(""), r#"{"stream_options":{"include_usage":true},"model":"m","messages":[1],"stream":true}"#);
        for (own, expected) in [
            ("null", r#"{"include_usage":true}"#),
            (r#"{"include_usage":false}"#, r#"{"include_usage":true}"#),
            (r#"{"a":[1],"include_usage":null}"#, r#"{"a":[1],"include_usage":true}"#),
            ("{}", r#"{"include_usage":true}"#),
        ] {
            let sent = with(&format!(r#","stream_options":{own}"#));
            assert!(sent.ends_with(&format!(r#","stream_options":{expected}}}"#)), "{sent}");
        }
        let asked = r#"{"model":"m","messages":[1],"stream":true,"stream_options":{"include_usage": true}}"#;
        assert_eq!(sent(asked, "m"), asked);
        let whole = r#"{"model":"m","messages":[1],"stream_options":{}}"#;
        assert_eq!(sent(whole, "m"), whole);
    }

    #[test]
    fn a_large_body_is_not_copied() {
        let body = Bytes::from(format!(r#"{{"model":"m","messages":["{}"]}}"#, "x".repeat(SLICED_FROM)));
        let call = Call::parse(Endpoint::ChatCompletions, body.clone()).unwrap();
        let slices: Vec<Bytes> = splice(&call, vec![(call.model_span.clone(), r#""n""#.to_owned())]).slices().collect();
        assert_eq!(slices.iter().map(Bytes::len).collect::<Vec<_>>(), [9, 3, body.len() - 12]);
        assert_eq!(slices[2].as_ptr(), body[12..].as_ptr());
        let small = chat(r#"{"model":"m","messages":[1]}"#);
        assert_eq!(splice(&small, vec![(small.model_span.clone(), r#""n""#.to_owned())]).slices().count(), 1);
    }

    proptest! {
        #[test]
        fn any_other_field_keeps_its_bytes(
            fields in proptest::collection::vec(("[a-z]{1,4}_x", "(-?[1-9][0-9]{0,2}(\\.[0-9]{1,2})?|\"[a-zé ]{0,5}\"|true|null|\\[ *\\])"), 0..6),
            at in 0..7usize,
            model in "\\PC{1,10}",
        ) {
            let mut parts: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\" :{value}")).collect();
            parts.insert(at.min(parts.len()), r#""model": "m""#.to_owned());
            let text = format!("{{{},\"messages\":[1]}}", parts.join(" ,"));
            let expected = text.replace(r#": "m""#, &format!(": {}", Value::from(model.as_str())));
            prop_assert_eq!(sent(&text, &model), expected);
        }
    }
}
