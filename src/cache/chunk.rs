//! A chunk of a chat stream, read for what of it may be told again.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Number, Value};

use super::answer::{EMPTY_IS_NOTHING, is_nothing};

/// One chunk. Of the label only the first one's counts, so it is not read in the others.
#[derive(serde::Deserialize)]
pub(super) struct Chunk<'a> {
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
    pub(super) created: Option<Number>,
    #[serde(borrow)]
    pub(super) model: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) system_fingerprint: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) choices: Vec<Choice<'a>>,
    pub(super) usage: Option<Value>,
}

#[derive(serde::Deserialize)]
pub(super) struct Choice<'a> {
    #[serde(borrow)]
    pub(super) delta: Delta<'a>,
    #[serde(borrow)]
    pub(super) finish_reason: Option<Text<'a>>,
    pub(super) logprobs: Option<Value>,
}

/// A string, of the chunk's own bytes where it has no escapes.
#[derive(serde::Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// What a chunk adds to the message.
#[derive(Default)]
pub(super) struct Delta<'a> {
    pub(super) content: Option<Text<'a>>,
    /// It has something beside role and text.
    pub(super) more: bool,
}

impl<'de: 'a, 'a> Deserialize<'de> for Delta<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Delta<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a delta")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Delta<'de>, A::Error> {
        let mut delta = Delta::default();
        while let Some(Text(name)) = fields.next_key()? {
            match &*name {
                "content" => delta.content = fields.next_value()?,
                "role" => drop(fields.next_value::<IgnoredAny>()?),
                name => {
                    let value: Value = fields.next_value()?;
                    delta.more |= !EMPTY_IS_NOTHING.contains(&name) || !is_nothing(Some(&value));
                }
            }
        }
        Ok(delta)
    }
}
