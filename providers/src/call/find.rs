//! Where the fields of a body stand: a quick scan, and a full parse of what is unusual.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{BadRequest, not_json};
use crate::scan;

/// The fields of every endpoint that are of use, by name; those of [`Field`] come first, in its order.
pub(super) const NAMES: [&str; 31] = [
    "messages",
    "prompt",
    "input",
    "tools",
    "tool_choice",
    "functions",
    "response_format",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "dimensions",
    "encoding_format",
    "system",
    "prompt_cache_key",
    "model",
    "stream",
    "n",
    "best_of",
    "user",
    "instructions",
    "max_output_tokens",
    "text",
    "output_config",
    "output_format",
    "metadata",
    "background",
    "previous_response_id",
    "conversation",
    "query",
    "documents",
    "stream_format",
];

/// Where the fields of a body stand, in the order of [`NAMES`].
pub(super) type Spans = [Option<Range<usize>>; NAMES.len()];

/// Finds the fields; others are passed over: the body itself goes on.
pub(super) fn find(body: &[u8]) -> Result<Spans, BadRequest> {
    let mut spans = Spans::default();
    let quick = scan::members(body, |name, span| {
        let slot = NAMES.iter().position(|known| known.as_bytes() == name).and_then(|at| spans.get_mut(at));
        match slot {
            // Which of two counts is a matter of taste, and the provider's may be another.
            Some(Some(_)) => None,
            Some(slot) => {
                *slot = Some(span);
                Some(())
            }
            None => Some(()),
        }
    });
    if quick.is_some() {
        return Ok(spans);
    }
    // Slowly, for what is unusual, and for an error that says what is wrong and where.
    let Members(spans) = serde_json::from_slice(body).map_err(|error| {
        // Serde's text names the fault and the place, and never quotes the body at length.
        not_json(format!("the request body is not valid JSON for this endpoint: {error}"))
    })?;
    let start = body.as_ptr() as usize;
    Ok(spans.map(|raw| {
        raw.map(|raw| {
            let from = (raw.as_ptr() as usize).saturating_sub(start);
            from..from + raw.len()
        })
    }))
}

/// The same by a full parse.
struct Members<'a>([Option<&'a str>; NAMES.len()]);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut found = [None; NAMES.len()];
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let raw: &'de RawValue = map.next_value()?;
            let Some(at) = NAMES.iter().position(|known| *known == name) else { continue };
            if found.get(at).is_some_and(Option::is_some) {
                return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
            }
            if let Some(slot) = found.get_mut(at) {
                *slot = Some(raw.get());
            }
        }
        Ok(Members(found))
    }
}
