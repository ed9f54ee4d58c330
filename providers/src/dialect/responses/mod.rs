//! OpenAI's Responses API as a client speaks it: requests read into the hub, answers written whole
//! and as a stream of numbered events.

mod items;
mod output;
mod request;
mod stream;
#[cfg(test)]
mod tests;

pub(super) use output::whole;
pub(crate) use request::request;
pub(super) use stream::ResponsesStream;
