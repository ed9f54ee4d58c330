//! The request body: the client's bytes with `model` replaced and usage asked for.

use std::ops::Range;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::adapter::Target;
use crate::call::{Call, Endpoint, Field};

/// The body for a target. Everything but the edited values keeps its bytes; if nothing needs to
/// change, it is the client's own buffer.
pub(super) fn body(call: &Call, target: &Target) -> Bytes {
    let mut edits: Vec<(Range<usize>, String)> = Vec::with_capacity(2);
    if call.model != target.model {
        edits.push((call.model_span.clone(), Value::from(target.model.as_str()).to_string()));
    }
    if call.stream && !call.include_usage && call.endpoint != Endpoint::Embeddings {
        edits.push(ask_for_usage(call));
    }
    if edits.is_empty() {
        return call.body.clone();
    }
    edits.sort_by_key(|(span, _)| span.start);
    let grown: usize = edits.iter().map(|(_, text)| text.len()).sum();
    let mut out = Vec::with_capacity(call.body.len() + grown);
    let mut at = 0;
    for (span, text) in edits {
        out.extend_from_slice(call.body.get(at..span.start).unwrap_or_default());
        out.extend_from_slice(text.as_bytes());
        at = span.end;
    }
    out.extend_from_slice(call.body.get(at..).unwrap_or_default());
    Bytes::from(out)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sent(text: &str, model: &str) -> String {
        let call = Call::parse(Endpoint::ChatCompletions, Bytes::copy_from_slice(text.as_bytes())).unwrap();
        let body = body(&call, &Target { model: model.to_owned() });
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[test]
    fn only_the_model_changes() {
        let text = "{ \"zeta\" : 1.0e2,\"messages\":[{\"model\":\"m\"}],\n \"model\":\t\"m\" , \"x\":{\"y\":[ ]}}";
        assert_eq!(sent(text, "n\"2"), text.replace("\t\"m\"", "\t\"n\\\"2\""));
        assert_eq!(sent(text, "m"), text);
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
