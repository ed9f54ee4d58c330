//! A client's request: what the gateway needs of it, typed, beside the client's own bytes.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// What a client can call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/v1/chat/completions`
    ChatCompletions,
    /// `/v1/completions`
    Completions,
    /// `/v1/embeddings`
    Embeddings,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ChatCompletions, Self::Completions, Self::Embeddings];

    /// The path at the gateway.
    pub fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
        }
    }

    /// The endpoint at a path.
    pub fn from_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|endpoint| endpoint.path() == path)
    }
}

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
    /// `response_format`
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
}

const FIELDS: usize = 12;

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
    /// `max_completion_tokens`, or `max_tokens`.
    pub max_output: Option<u64>,
    /// Choices that are generated, at least 1: the larger of `n` and `best_of`, per prompt.
    pub n: u64,
    /// The end user.
    pub user: Option<String>,
    /// What answers without a label of their own are labelled with.
    pub stamp: Stamp,
    pub(crate) model_span: Range<usize>,
    spans: [Option<Range<usize>>; FIELDS],
}

/// The top level of every endpoint, borrowed from the body. Unknown fields are skipped, not kept:
/// the body itself goes on.
#[derive(Deserialize)]
struct Top<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_choice: Option<&'a RawValue>,
    #[serde(borrow)]
    functions: Option<&'a RawValue>,
    #[serde(borrow)]
    response_format: Option<&'a RawValue>,
    // `null` must be seen as standing there: it is edited in place.
    #[serde(borrow, default, deserialize_with = "present")]
    stream_options: Option<&'a RawValue>,
    #[serde(borrow)]
    stream: Option<&'a RawValue>,
    #[serde(borrow)]
    max_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    max_completion_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    n: Option<&'a RawValue>,
    #[serde(borrow)]
    best_of: Option<&'a RawValue>,
    #[serde(borrow)]
    user: Option<&'a RawValue>,
    #[serde(borrow)]
    dimensions: Option<&'a RawValue>,
    #[serde(borrow)]
    encoding_format: Option<&'a RawValue>,
}

fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

impl Call {
    /// Parses a body in one pass. Costs time linear in the body; unknown fields are not looked
    /// into, known ones standing twice are an error.
    pub fn parse(endpoint: Endpoint, body: Bytes) -> Result<Self, BadRequest> {
        if body.first().is_none_or(|_| !starts_object(&body)) {
            return Err(not_json("the request body must be a JSON object"));
        }
        let top: Top<'_> = serde_json::from_slice(&body).map_err(|error| {
            // Serde's text names the fault and the place, and never quotes the body at length.
            not_json(format!("the request body is not valid JSON for this endpoint: {error}"))
        })?;
        let model_raw = top.model.filter(|raw| raw.get() != "null");
        let model_raw = model_raw.ok_or_else(|| BadRequest::field("model", "you must provide a model parameter"))?;
        let model: Cow<'_, str> = typed(model_raw, "model", "a string")?;
        if model.is_empty() {
            return Err(BadRequest::field("model", "you must provide a model parameter"));
        }
        require(endpoint, &top)?;
        let flag = |raw, name| optional::<bool>(raw, name, "true or false");
        let count = |raw, name| optional::<u64>(raw, name, "a number of 0 or more");
        let stream = flag(top.stream, "stream")?.unwrap_or(false) && endpoint != Endpoint::Embeddings;
        let options = optional::<StreamOptions>(top.stream_options, "stream_options", "an object")?;
        let max_output = count(top.max_completion_tokens, "max_completion_tokens")?;
        let max_output = max_output.or(count(top.max_tokens, "max_tokens")?);
        let n = count(top.n, "n")?.unwrap_or(1).max(count(top.best_of, "best_of")?.unwrap_or(1));
        let user = optional::<String>(top.user, "user", "a string")?;
        let span = |raw: Option<&RawValue>| raw.map(|raw| span_in(&body, raw.get()));
        let spans = [
            span(top.messages),
            span(top.prompt),
            span(top.input),
            span(top.tools),
            span(top.tool_choice),
            span(top.functions),
            span(top.response_format),
            span(top.stream_options),
            span(top.max_tokens),
            span(top.max_completion_tokens),
            span(top.dimensions),
            span(top.encoding_format),
        ];
        let (model_span, model) = (span_in(&body, model_raw.get()), model.into_owned());
        let include_usage = options.and_then(|options| options.include_usage).unwrap_or(false);
        Ok(Self {
            endpoint,
            model,
            stream,
            include_usage,
            max_output,
            n: n.max(1),
            user,
            stamp: Stamp::default(),
            model_span,
            spans,
            body,
        })
    }

    /// The raw JSON of a field, if the client sent it.
    pub fn raw(&self, field: Field) -> Option<&str> {
        std::str::from_utf8(self.body.get(self.span(field)?)?).ok()
    }

    pub(crate) fn span(&self, field: Field) -> Option<Range<usize>> {
        self.spans.get(field as usize)?.clone()
    }
}

fn starts_object(body: &[u8]) -> bool {
    body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

fn not_json(message: impl Into<String>) -> BadRequest {
    BadRequest { message: message.into(), param: None, code: Some("invalid_json") }
}

/// Where `part`, a slice of `body`, stands in it.
fn span_in(body: &Bytes, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
    start..start + part.len()
}

fn typed<'a, T: Deserialize<'a>>(raw: &'a RawValue, name: &str, what: &str) -> Result<T, BadRequest> {
    serde_json::from_str(raw.get()).map_err(|_| BadRequest::field(name, format!("`{name}` must be {what}")))
}

pub(crate) fn optional<'a, T: Deserialize<'a>>(
    raw: Option<&'a RawValue>,
    name: &str,
    what: &str,
) -> Result<Option<T>, BadRequest> {
    raw.filter(|raw| raw.get() != "null").map(|raw| typed(raw, name, what)).transpose()
}

/// The field that makes the request, with the JSON types it may have.
fn require(endpoint: Endpoint, top: &Top<'_>) -> Result<(), BadRequest> {
    let (name, raw, first, what) = match endpoint {
        Endpoint::ChatCompletions => ("messages", top.messages, "[", "an array of messages"),
        Endpoint::Completions => ("prompt", top.prompt, "[\"", "a string or an array"),
        Endpoint::Embeddings => ("input", top.input, "[\"", "a string or an array"),
    };
    let Some(raw) = raw.map(RawValue::get).filter(|raw| *raw != "null") else {
        return Err(BadRequest::field(name, format!("missing required parameter: `{name}`")));
    };
    if !raw.starts_with(|c| first.contains(c)) {
        return Err(BadRequest::field(name, format!("`{name}` must be {what}")));
    }
    let empty = raw.strip_prefix('[').is_some_and(|rest| rest.trim_start().starts_with(']'));
    if empty {
        return Err(BadRequest::field(name, format!("`{name}` must not be empty")));
    }
    Ok(())
}

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
