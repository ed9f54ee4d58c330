//! A client's request: what the gateway needs of it, typed, beside the client's own bytes.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::value::RawValue;

pub use crate::endpoint::Endpoint;
use crate::form::FormScanner;
use find::{NAMES, Spans, find};
use top::Top;

/// Top-level fields whose raw JSON is of use later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `messages`
    Messages,
    /// `prompt`
    Prompt,
    /// `input`
    Input,
    /// `tools`
    Tools,
    /// `tool_choice`
    ToolChoice,
    /// `functions`
    Functions,
    /// `response_format`, or what stands for it: `text.format`, `output_config.format`
    ResponseFormat,
    /// `stream_options`
    StreamOptions,
    /// `max_tokens`
    MaxTokens,
    /// `max_completion_tokens`
    MaxCompletionTokens,
    /// `dimensions`
    Dimensions,
    /// `encoding_format`
    EncodingFormat,
    /// `system`, `instructions`
    System,
    /// `prompt_cache_key`
    PromptCacheKey,
}

const FIELDS: usize = 14;
const MODEL: usize = FIELDS;

/// What an answer is labelled with where the provider's own has no label. Set by the caller, who
/// has a clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The id of the request.
    pub id: Arc<str>,
    /// When it came, Unix seconds.
    pub created: u64,
}

impl Default for Stamp {
    fn default() -> Self {
        Self { id: Arc::from("chatcmpl-0"), created: 0 }
    }
}

/// A request the gateway will not send on. In OpenAI's terms.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadRequest {
    /// What is wrong.
    pub message: String,
    /// The field at fault.
    pub param: Option<String>,
    /// OpenAI's `code`.
    pub code: Option<&'static str>,
}

impl BadRequest {
    /// A fault in one field.
    pub fn field(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { message: message.into(), param: Some(param.into()), code: None }
    }
}

/// A parsed request.
#[derive(Clone, Debug)]
pub struct Call {
    /// What is called.
    pub endpoint: Endpoint,
    /// The body as the client sent it.
    pub body: Bytes,
    /// The public model name.
    pub model: String,
    /// Whether the answer is a stream.
    pub stream: bool,
    /// Whether the client asked for the usage chunk of a stream.
    pub include_usage: bool,
    /// `max_completion_tokens`, or `max_tokens`, or `max_output_tokens`.
    pub max_output: Option<u64>,
    /// Choices that are generated, at least 1: the larger of `n` and `best_of`, per prompt.
    pub n: u64,
    /// The end user.
    pub user: Option<String>,
    /// What answers without a label of their own are labelled with.
    pub stamp: Stamp,
    /// Headers of the client's that a provider that speaks its API gets too.
    pub passed: HeaderMap,
    /// Where the model's name stands in `body`, with its quotes if it is JSON.
    pub(crate) model_span: Range<usize>,
    /// Of each [`Field`].
    spans: Box<[Option<Range<usize>>]>,
}

impl Call {
    /// Finds what is needed in a body. Costs one quick look at its bytes; unknown fields are not
    /// looked into, nor are those that are only handed on, such as `messages`: whoever needs one
    /// parses it. Known fields standing twice are an error.
    pub fn parse(endpoint: Endpoint, body: Bytes) -> Result<Self, BadRequest> {
        if body.first().is_none_or(|_| !starts_object(&body)) {
            return Err(not_json("the request body must be a JSON object"));
        }
        let spans = find(&body)?;
        let top = Top::new(&body, &spans);
        let model_raw =
            top.raw("model").ok_or_else(|| BadRequest::field("model", "you must provide a model parameter"))?;
        let model: Cow<'_, str> = typed(model_raw, "model", "a string")?;
        if model.is_empty() {
            return Err(BadRequest::field("model", "you must provide a model parameter"));
        }
        require::fields(endpoint, &top)?;
        let (format, told) = (top.format(endpoint), top.raw("system").or(top.raw("instructions")));
        let mut fields: Box<[_]> = spans.iter().take(FIELDS).cloned().collect();
        for (field, raw) in [(Field::ResponseFormat, format), (Field::System, told)] {
            if let Some(slot) = fields.get_mut(field as usize) {
                *slot = raw.map(|raw| span_in(&body, raw));
            }
        }
        Ok(Self {
            endpoint,
            stream: top.streams(endpoint)?,
            include_usage: top.include_usage()?,
            max_output: top.max_output()?,
            n: top.choices()?,
            user: top.user(endpoint)?,
            stamp: Stamp::default(),
            passed: HeaderMap::new(),
            model_span: spans.get(MODEL).cloned().flatten().unwrap_or_default(),
            model: model.into_owned(),
            spans: fields,
            body,
        })
    }

    /// A call whose body is a form, or the beginning of one with the model in it.
    pub fn form(endpoint: Endpoint, body: Bytes, headers: &HeaderMap) -> Result<Self, BadRequest> {
        let mut scanner = FormScanner::new(headers)?;
        scanner.look(&body)?;
        let fields = scanner.fields();
        let Some((model, model_span)) = fields.model.filter(|(model, _)| !model.is_empty()) else {
            return Err(BadRequest::field("model", "you must provide a model parameter"));
        };
        let mut passed = HeaderMap::new();
        passed.extend(headers.get(header::CONTENT_TYPE).map(|kind| (header::CONTENT_TYPE, kind.clone())));
        Ok(Self {
            endpoint,
            body,
            model,
            stream: fields.stream,
            include_usage: false,
            max_output: None,
            n: 1,
            user: None,
            stamp: Stamp::default(),
            passed,
            model_span,
            spans: Box::default(),
        })
    }

    /// Refuses bytes that are no text, which would hide from whoever counts fields.
    pub fn utf8(&self) -> Result<(), BadRequest> {
        if text(&self.body).is_some() {
            return Ok(());
        }
        let valid = std::str::from_utf8(&self.body).map_or_else(|error| error.valid_up_to(), str::len);
        Err(not_json(format!("the request body is not UTF-8 at byte {valid}")))
    }

    /// The raw JSON of a field, if the client sent it. `None` also for what is not UTF-8.
    pub fn raw(&self, field: Field) -> Option<&str> {
        text(self.body.get(self.span(field)?)?)
    }

    pub(crate) fn span(&self, field: Field) -> Option<Range<usize>> {
        self.spans.get(field as usize)?.clone()
    }
}

/// Text, if it is UTF-8: much sooner found out than by the standard library where it is not ASCII.
fn text(bytes: &[u8]) -> Option<&str> {
    simdutf8::basic::from_utf8(bytes).ok()
}

fn starts_object(body: &[u8]) -> bool {
    body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

fn not_json(message: impl Into<String>) -> BadRequest {
    BadRequest { message: message.into(), param: None, code: Some("invalid_json") }
}

fn typed<'a, T: Deserialize<'a>>(raw: &'a str, name: &str, what: &str) -> Result<T, BadRequest> {
    serde_json::from_str(raw).map_err(|_| BadRequest::field(name, format!("`{name}` must be {what}")))
}

/// A field that may be left out or `null`.
pub(crate) fn optional<'a, T: Deserialize<'a>>(
    raw: Option<&'a RawValue>,
    name: &str,
    what: &str,
) -> Result<Option<T>, BadRequest> {
    raw.map(RawValue::get).filter(|raw| *raw != "null").map(|raw| typed(raw, name, what)).transpose()
}

/// Where `part`, a slice of `body`, stands in it.
fn span_in(body: &[u8], part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
    start..start + part.len()
}

mod find;
mod require;
mod top;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chat(body: &str) -> Result<Call, BadRequest> {
        Call::parse(Endpoint::ChatCompletions, Bytes::copy_from_slice(body.as_bytes()))
    }

    #[test]
    fn what_is_needed_is_typed() {
        let call = chat(
            r#"{"messages":[{"role":"user","model":"decoy"}], "model" : "a\u0062c", "stream":true,
               "stream_options":{"include_usage":true,"x":1},"max_tokens":5,"max_completion_tokens":7,"n":3,"user":"u"}"#,
        )
        .unwrap();
        assert_eq!((call.model.as_str(), call.stream, call.include_usage), ("abc", true, true));
        assert_eq!((call.max_output, call.n, call.user.as_deref()), (Some(7), 3, Some("u")));
        assert_eq!(&call.body[call.model_span.clone()], br#""a\u0062c""#);
        assert_eq!(call.raw(Field::Messages), Some(r#"[{"role":"user","model":"decoy"}]"#));
        assert_eq!(call.raw(Field::Tools), None);
    }

    #[test]
    fn errors_name_the_field() {
        for (body, param) in [
            ("", None),
            ("[]", None),
            ("{", None),
            (r#"{"model":"a","model":"b","messages":[1]}"#, None),
            (r#"{"messages":[1]}"#, Some("model")),
            (r#"{"model":null,"messages":[1]}"#, Some("model")),
            (r#"{"model":5,"messages":[1]}"#, Some("model")),
            (r#"{"model":"m"}"#, Some("messages")),
            (r#"{"model":"m","messages":"hi"}"#, Some("messages")),
            (r#"{"model":"m","messages":[ ]}"#, Some("messages")),
            (r#"{"model":"m","messages":[1],"stream":"yes"}"#, Some("stream")),
            (r#"{"model":"m","messages":[1],"max_tokens":-1}"#, Some("max_tokens")),
            (r#"{"model":"m","messages":[1],"n":1.5}"#, Some("n")),
            (r#"{"model":"m","messages":[1],"user":{}}"#, Some("user")),
            (r#"{"model":"m","messages":[1],"stream_options":[]}"#, Some("stream_options")),
        ] {
            let error = chat(body).unwrap_err();
            assert_eq!(error.param.as_deref(), param, "{body}: {error}");
        }
        assert!(chat("{\"model\": \"m\",\n oops}").unwrap_err().message.contains("line 2"));
    }

    #[test]
    fn text_that_is_none_is_refused_before_it_is_counted() {
        let body = Bytes::from_static(b"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}");
        let call = Call::parse(Endpoint::ChatCompletions, body).unwrap();
        assert!(call.utf8().unwrap_err().message.contains("byte 51"), "{:?}", call.utf8());
    }

    #[test]
    fn ten_thousand_nested_arrays_do_not_overflow_the_stack() {
        let nested = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(chat(&format!(r#"{{"model":"m","messages":[1],"x":{nested}}}"#)).is_ok());
        assert!(chat(&nested).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_error_and_not_a_crash(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for endpoint in Endpoint::ALL {
                prop_assert!(Call::parse(endpoint, Bytes::from(bytes.clone())).is_err());
            }
        }
    }
}
