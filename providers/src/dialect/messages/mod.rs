//! Anthropic's Messages API as a client speaks it: requests read into the hub, answers written
//! whole and as a stream.

mod content;
mod native;
mod request;
mod stream;
#[cfg(test)]
mod tests;
mod whole;

pub(crate) use native::native;
pub(crate) use request::request;
pub(super) use stream::MessagesStream;
pub(super) use whole::whole;
