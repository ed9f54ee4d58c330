//! What a wire format is to the server: it reads a request, and writes an answer or a stream.

use bytes::Bytes;
use http::request::Parts;
use serde_json::Value;

use crate::answer::Asked;
use crate::behaviour::Behaviour;
use crate::refusal::{Dialect, Refusal};
use crate::wire::Events;

/// A request whose body could be read.
pub(crate) struct Heard<'a> {
    pub(crate) parts: &'a Parts,
    pub(crate) raw: &'a Bytes,
    /// Its fields, without `mock`.
    pub(crate) body: Value,
    pub(crate) behaviour: Behaviour,
    /// Model or deployment, where the path names it.
    pub(crate) model: &'a str,
}

impl Heard<'_> {
    /// A header's value as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }
}

/// The value of a query parameter, as it stands.
pub(crate) fn query<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    let pairs = parts.uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next()
}

/// A format in which models generate.
pub(crate) trait Format: Sync + Send {
    /// Whose errors it has.
    fn dialect(&self) -> Dialect;

    /// Checks the request as the provider would, and reads it.
    fn read(&self, heard: &Heard<'_>) -> Result<Asked, Refusal>;

    /// The whole answer.
    fn whole(&self, asked: &Asked, id: u64) -> Value;

    /// The answer as a stream.
    fn events(&self, asked: &Asked, id: u64) -> Events;

    /// The type of its streams.
    fn stream_type(&self) -> &'static str {
        "text/event-stream; charset=utf-8"
    }
}

/// The first key of `value` that is not one of `known`.
pub(crate) fn stranger<'a>(value: &'a Value, known: &[&str]) -> Option<&'a str> {
    value.as_object()?.keys().map(String::as_str).find(|key| !known.contains(key))
}

/// The items of an array; none of anything else.
pub(crate) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
