//! The hub: what every provider's format is translated from and to.
//!
//! A request of a client is a [`ChatRequest`], whatever API the client speaks. An answer is a
//! sequence of [`Event`]s, whatever API the provider speaks; a whole answer is the same events
//! collected into a [`Completion`]. So N client formats and M providers are N + M translations.

mod citation;
mod completion;
mod conversation;
mod event;
mod message;
mod parse;
mod passage;
mod read;
mod request;
pub(crate) mod seal;
mod stream;
mod uses;
mod write;

pub use citation::{Citation, Source, Unit};
pub use completion::{Block, Choice, Completion};
pub(crate) use conversation::{asks_for_citations, located};
pub use event::{Event, Finish, Sink};
pub use message::{Audio, Blob, CacheMark, Media, Message, Part, Role, ToolResult};
pub(crate) use parse::WireCache;
pub(crate) use passage::Passages;
pub use request::{ChatRequest, Effort, Format, Reasoning, Sampling, Schema, Tool, ToolChoice, WebSearch};
pub(crate) use stream::{Bridge, Decoder, Frame, collect};
pub(crate) use uses::check;
pub(crate) use write::{
    JSON_TOOL, arguments, by_tool, called, json_by_tool, json_tool, legal, line, parsed, trimmed, turns, untranslatable,
};
