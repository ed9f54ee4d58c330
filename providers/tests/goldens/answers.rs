//! A provider's answer on its way to the client.
//!
//! The input begins with lines of `name: value` up to an empty one, then comes the body. `kind`,
//! `model` and `status` say who answers; `request` holds fields of the client's request; `stream`
//! says that the body is a stream; other names are headers.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};
use sluice_providers::{
    Adapter, Call, Endpoint, Exchange, Reply, ResponseHead, StreamOut, Target, TranslateError, Usage,
};

use crate::files::{Golden, check, goldens};
use crate::requests::{endpoint, pretty};
use crate::{aws, merge};

pub(crate) struct Answer {
    pub(crate) adapter: &'static dyn Adapter,
    pub(crate) stream: bool,
    pub(crate) body: Vec<u8>,
    call: Call,
    target: Target,
    status: StatusCode,
    headers: HeaderMap,
}

impl Answer {
    pub(crate) fn parse(input: &str) -> Self {
        Self::read(input, None)
    }

    /// The answer to a client that calls another endpoint with a plain question.
    pub(crate) fn to_client_of(input: &str, endpoint: Endpoint) -> Self {
        Self::read(input, Some(endpoint))
    }

    fn read(input: &str, other: Option<Endpoint>) -> Self {
        let (head, body) = input.split_once("\n\n").unwrap();
        let mut request = json!({"model": "public", "messages": [{"role": "user", "content": "hi"}]});
        let (mut kind, mut model, mut status, mut stream) = ("", "", StatusCode::OK, false);
        let mut headers = HeaderMap::new();
        for line in head.lines() {
            let (name, value) = line.split_once(": ").unwrap();
            match name {
                "kind" => kind = value,
                "model" => model = value,
                "status" => status = value.parse().unwrap(),
                "stream" => stream = value == "true",
                "request" => {
                    let fields: serde_json::Map<String, Value> = serde_json::from_str(value).unwrap();
                    if fields.contains_key("input") {
                        request.as_object_mut().unwrap().remove("messages");
                    }
                    request.as_object_mut().unwrap().extend(fields);
                }
                _ => {
                    headers.insert(HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap());
                }
            }
        }
        request["stream"] = stream.into();
        let body = if stream && kind == "bedrock" { aws::stream(body) } else { body.as_bytes().to_vec() };
        let asks = other.unwrap_or_else(|| endpoint(&request));
        match other {
            Some(Endpoint::Messages) => {
                request =
                    json!({"model": "public", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]});
            }
            Some(_) => request = json!({"model": "public", "input": "hi"}),
            None => {}
        }
        request["stream"] = stream.into();
        let call = Call::parse(asks, Bytes::from(request.to_string())).unwrap();
        let target = Target { model: model.to_owned(), max_output: 8192, api_version: None };
        Self { adapter: sluice_providers::adapter(kind).unwrap(), stream, body, call, target, status, headers }
    }

    fn head(&self) -> ResponseHead<'_> {
        ResponseHead { status: self.status, headers: &self.headers }
    }

    pub(crate) fn reply(&self) -> Result<Reply, TranslateError> {
        let exchange = Exchange { call: &self.call, target: &self.target, prompt: 7 };
        self.adapter.reply(&self.head(), Bytes::from(self.body.clone()), &exchange)
    }

    /// The stream, cut at these places.
    pub(crate) fn streamed(&self, cuts: &[usize]) -> (Result<(), TranslateError>, StreamOut) {
        let exchange = Exchange { call: &self.call, target: &self.target, prompt: 7 };
        let mut translator = self.adapter.stream(&self.head(), &exchange);
        let mut out = StreamOut::default();
        let mut at = 0;
        for cut in cuts.iter().copied().chain([self.body.len()]) {
            let cut = cut.clamp(at, self.body.len());
            if let Err(error) = translator.push(Bytes::copy_from_slice(&self.body[at..cut]), &mut out) {
                return (Err(error), out);
            }
            at = cut;
        }
        (translator.finish(&mut out), out)
    }

    /// What the client gets, and what the gateway learns.
    pub(crate) fn output(&self) -> String {
        if !self.status.is_success() {
            let error = self.adapter.error(&self.head(), &self.body);
            let retry = if error.retryable { "retryable" } else { "final" };
            let after = error.retry_after.map_or("-".to_owned(), |after| format!("{after:?}"));
            let (kind, status, code) = (error.kind, error.status.as_u16(), error.code.unwrap_or_default());
            return format!("{kind:?} {status} {} {code}, {retry} after {after}\n{}\n", error.err_type, error.message);
        }
        if !self.stream {
            return match self.reply() {
                Ok(reply) => format!("{}\n{}", pretty(&reply.body), usage(reply.usage)),
                Err(error) => format!("error: {error}\n"),
            };
        }
        let (result, out) = self.streamed(&[]);
        let client = String::from_utf8(out.frames.concat()).unwrap();
        let end = match (result, out.error) {
            (Err(error), _) => format!("error: {error}\n"),
            (Ok(()), Some(error)) => format!("{:?} {}\n", error.kind, error.message),
            (Ok(()), None) => format!("done: {}\n", out.done),
        };
        format!("{client}{}{end}", usage(out.usage))
    }
}

fn usage(usage: Option<Usage>) -> String {
    usage.map_or("no usage\n".to_owned(), |usage| format!("{usage:?}\n").replace(", units: 0", ""))
}

#[test]
fn answers_are_translated_as_before() {
    let cases = goldens("answers");
    let kinds: std::collections::BTreeSet<String> = cases.iter().map(Golden::folder).collect();
    for kind in ["anthropic", "azure", "bedrock", "gemini", "openai", "vertex"] {
        assert!(kinds.contains(kind), "no answers of {kind}");
    }
    check(
        cases
            .into_iter()
            .map(|golden| (Answer::parse(&golden.input).output(), golden))
            .map(|(output, golden)| (golden, output))
            .collect(),
    );
}

/// `x_stream` is the same answer as `x`: what is streamed adds up to it, and costs the same.
#[test]
fn streamed_deltas_add_up_to_the_whole_answer() {
    let cases = goldens("answers");
    let mut pairs = 0;
    for streamed in cases.iter().filter(|golden| golden.name().ends_with("_stream")) {
        let name = streamed.name();
        let twin = cases.iter().find(|golden| {
            golden.folder() == streamed.folder() && name.strip_suffix("_stream") == Some(&golden.name())
        });
        let Some(twin) = twin else { continue };
        pairs += 1;
        let at = format!("{}/{name}", streamed.folder());
        let whole = Answer::parse(&twin.input).reply().unwrap();
        let (result, out) = Answer::parse(&streamed.input).streamed(&[]);
        result.unwrap();
        assert_eq!(out.usage, whole.usage, "{at}");
        let whole: Value = serde_json::from_slice(&whole.body).unwrap();
        assert_eq!(merge::merged(&out.frames.concat()), merge::plain(&whole), "{at}");
    }
    assert!(pairs >= 40, "{pairs} pairs");
}
