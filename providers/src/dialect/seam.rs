//! Where a provider's format meets a client's: relay if they are the same, translate if not.

use bytes::Bytes;
use http::HeaderMap;

use super::chat_stream::ChatStream;
use super::kind::Dialect;
use super::messages::MessagesStream;
use super::responses::ResponsesStream;
use super::{chat, messages, responses};
use crate::adapter::{Exchange, Reply, StreamTranslator, TranslateError, Usage};
use crate::call::Endpoint;
use crate::hub::{Bridge, Completion, Decoder, Event, Sink, collect};

/// Writes the events of one stream in a client's format.
pub trait Encoder: Send {
    /// Appends what an event is in the client's format: whole server-sent events, or nothing.
    fn encode(&mut self, event: &Event<'_>, out: &mut Vec<u8>);
}

/// The encoder of the client's format.
pub(crate) fn encoder(exchange: &Exchange<'_>) -> Box<dyn Encoder> {
    match Dialect::of(exchange.call.endpoint) {
        Some(Dialect::AnthropicMessages) => Box::new(MessagesStream::new(exchange)),
        Some(Dialect::OpenAiResponses) => Box::new(ResponsesStream::new(exchange)),
        // Endpoints without a conversation are never translated: adapters refuse them in `supports`.
        Some(Dialect::OpenAiChat) | None => Box::new(ChatStream::new(exchange)),
    }
}

/// A translator for server-sent events of a provider that speaks `own`, if anything.
pub(crate) fn stream<D: Decoder + 'static>(
    decoder: D,
    exchange: &Exchange<'_>,
    own: Option<Dialect>,
) -> Box<dyn StreamTranslator> {
    let same = own.is_some() && Dialect::of(exchange.call.endpoint) == own;
    Box::new(Bridge::sse(decoder, (!same).then(|| encoder(exchange))))
}

/// Reads a provider's whole answer as events.
type Reader<'r> = &'r dyn Fn(&[u8], &HeaderMap, &mut dyn Sink) -> Result<(), TranslateError>;

/// A provider's whole answer in the client's format, from a provider that speaks `own`, if anything.
pub(crate) fn reply(
    body: Bytes,
    headers: &HeaderMap,
    exchange: &Exchange<'_>,
    own: Option<Dialect>,
    read: Reader<'_>,
) -> Result<Reply, TranslateError> {
    if exchange.call.endpoint == Endpoint::CountTokens {
        // Counting spends nothing.
        return Ok(Reply { body, usage: Some(Usage::default()), text: String::new() });
    }
    let answer = collect(|sink| read(&body, headers, sink))?;
    let same = own.is_some() && Dialect::of(exchange.call.endpoint) == own;
    let (usage, text) = (answer.usage, if answer.usage.is_none() { answer.text() } else { String::new() });
    Ok(Reply { body: if same { body } else { whole(&answer, exchange) }, usage, text })
}

fn whole(answer: &Completion, exchange: &Exchange<'_>) -> Bytes {
    let value = match Dialect::of(exchange.call.endpoint) {
        Some(Dialect::AnthropicMessages) => messages::whole(answer, exchange),
        Some(Dialect::OpenAiResponses) => responses::whole(answer, exchange),
        Some(Dialect::OpenAiChat) | None => chat::whole(answer, exchange),
    };
    Bytes::from(value.to_string())
}
