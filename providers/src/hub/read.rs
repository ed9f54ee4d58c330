//! A client's request, whatever API it speaks, as a [`ChatRequest`].

use crate::call::{BadRequest, Call};
use crate::dialect::{Dialect, messages, responses};
use crate::hub::request::ChatRequest;

impl<'a> ChatRequest<'a> {
    /// Reads the request of a call, whatever API the client speaks. Costs time linear in the body;
    /// strings without escapes are not copied.
    pub fn of(call: &'a Call) -> Result<Self, BadRequest> {
        match Dialect::of(call.endpoint) {
            Some(Dialect::AnthropicMessages) => messages::request(call),
            Some(Dialect::OpenAiResponses) => responses::request(call),
            Some(Dialect::OpenAiChat) | None => Self::of_chat(call),
        }
    }
}
