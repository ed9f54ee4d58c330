//! A provider's stream on its way to the client: cut into messages, read as events, and either
//! written in the client's format or, where that is the provider's own, relayed as it came.

use bytes::Bytes;

use crate::adapter::{StreamOut, StreamTranslator, TranslateError};
use crate::dialect::Encoder;
use crate::eventstream::Messages;
use crate::hub::completion::Completion;
use crate::hub::event::{Event, Sink};
use crate::sse::{EVENT_CAP, Events, Splitter};

/// One message of a provider's stream.
pub(crate) struct Frame<'a> {
    /// The kind of message, where the framing has one.
    pub(crate) name: Option<&'a [u8]>,
    /// The framing itself says that it is an error.
    pub(crate) failed: bool,
    /// JSON.
    pub(crate) data: &'a [u8],
}

/// Reads one provider's messages as events.
pub(crate) trait Decoder: Send {
    /// Takes the next message.
    fn frame(&mut self, frame: &Frame<'_>, sink: &mut dyn Sink) -> Result<(), TranslateError>;
    /// Takes the end of the bytes; an error if the answer is not complete.
    fn finish(&mut self, sink: &mut dyn Sink) -> Result<(), TranslateError>;
}

/// How a provider's stream is cut into messages.
enum Framing {
    Sse(Splitter),
    Aws(Messages),
}

/// A decoder between its framing and the client's format.
pub(crate) struct Bridge<D> {
    framing: Framing,
    decoder: D,
    /// `None` relays the provider's bytes.
    encoder: Option<Box<dyn Encoder>>,
    /// Nothing more is read: the stream is over, or failed.
    closed: bool,
}

impl<D: Decoder> Bridge<D> {
    /// For server-sent events.
    pub(crate) fn sse(decoder: D, encoder: Option<Box<dyn Encoder>>) -> Self {
        Self { framing: Framing::Sse(Splitter::new(EVENT_CAP)), decoder, encoder, closed: false }
    }

    /// For AWS event streams.
    pub(crate) fn aws(decoder: D, encoder: Box<dyn Encoder>) -> Self {
        Self { framing: Framing::Aws(Messages::new(EVENT_CAP)), decoder, encoder: Some(encoder), closed: false }
    }

    fn block(&mut self, block: &Bytes, out: &mut StreamOut) -> Result<(), TranslateError> {
        let (closed, mut read) = (&mut self.closed, 0);
        let mut outlet = Outlet { out, encoder: self.encoder.as_deref_mut(), buffer: Vec::new(), failed: false };
        let mut result = Ok(());
        for event in Events::new(block) {
            if *closed {
                break;
            }
            if let Some(data) = &event.data {
                let frame = Frame { name: event.name, failed: false, data: data.trim_ascii() };
                result = self.decoder.frame(&frame, &mut outlet);
                *closed = result.is_err() || outlet.failed || outlet.out.done;
            }
            if result.is_ok() {
                read = event.end;
            }
        }
        outlet.flush();
        if self.encoder.is_none() && read > 0 {
            out.frames.push(block.slice(..read));
        }
        result
    }

    fn messages(&mut self, out: &mut StreamOut) -> Result<(), TranslateError> {
        let Framing::Aws(messages) = &mut self.framing else { return Ok(()) };
        let mut outlet = Outlet { out, encoder: self.encoder.as_deref_mut(), buffer: Vec::new(), failed: false };
        let mut result = Ok(());
        while !self.closed {
            match messages.next() {
                Ok(Some(message)) => {
                    let frame = Frame { name: message.name(), failed: message.failed(), data: message.payload() };
                    result = self.decoder.frame(&frame, &mut outlet);
                }
                Ok(None) => break,
                Err(error) => result = Err(error),
            }
            self.closed = result.is_err() || outlet.failed || outlet.out.done;
        }
        outlet.flush();
        result
    }
}

impl<D: Decoder> StreamTranslator for Bridge<D> {
    fn push(&mut self, input: Bytes, out: &mut StreamOut) -> Result<(), TranslateError> {
        if self.closed {
            return Ok(());
        }
        match &mut self.framing {
            Framing::Sse(splitter) => {
                let block = splitter.push(input)?;
                self.block(&block, out)
            }
            Framing::Aws(messages) => {
                messages.push(&input);
                self.messages(out)
            }
        }
    }

    fn finish(&mut self, out: &mut StreamOut) -> Result<(), TranslateError> {
        match &mut self.framing {
            Framing::Sse(splitter) => {
                let rest = splitter.finish();
                if !rest.is_empty() && !self.closed {
                    // A last event without its blank line: half of one is not JSON.
                    self.block(&rest, out).map_err(|_| TranslateError::Truncated)?;
                }
            }
            Framing::Aws(messages) if !messages.is_empty() && !self.closed => return Err(TranslateError::Truncated),
            Framing::Aws(_) => {}
        }
        if self.closed {
            return Ok(());
        }
        let mut outlet = Outlet { out, encoder: self.encoder.as_deref_mut(), buffer: Vec::new(), failed: false };
        let result = self.decoder.finish(&mut outlet);
        outlet.flush();
        self.closed = true;
        result
    }
}

/// Where events go in a stream: into the client's format and the gateway's books.
struct Outlet<'a> {
    out: &'a mut StreamOut,
    encoder: Option<&'a mut (dyn Encoder + 'static)>,
    buffer: Vec<u8>,
    failed: bool,
}

impl Outlet<'_> {
    fn flush(&mut self) {
        if !self.buffer.is_empty() {
            self.out.frames.push(Bytes::from(std::mem::take(&mut self.buffer)));
        }
    }
}

/// The first chunk of a push grows the buffer by this much.
const ROOM: usize = 512;

impl Sink for Outlet<'_> {
    fn emit(&mut self, event: Event<'_>) {
        let out = &mut *self.out;
        match event {
            Event::Text { text, .. } | Event::Refusal { text, .. } | Event::Reasoning { text, .. } => {
                out.text.push_str(text);
                out.content |= !text.is_empty();
            }
            Event::Tool { name, .. } => {
                out.text.push_str(name);
                out.content = true;
            }
            Event::Arguments { json, .. } => out.text.push_str(json),
            Event::Finish { .. } | Event::Redacted { .. } => out.content = true,
            Event::Usage(usage) => out.usage = Some(usage),
            Event::Error(error) => {
                out.error = Some(error.clone());
                self.failed = true;
            }
            Event::End => out.done = true,
            Event::Start { .. }
            | Event::Passage { .. }
            | Event::Signature { .. }
            | Event::TextSignature { .. }
            | Event::Citation { .. } => {}
        }
        if let Some(encoder) = &mut self.encoder {
            if self.buffer.capacity() == 0 {
                self.buffer.reserve(ROOM);
            }
            encoder.encode(&event, &mut self.buffer);
        }
    }
}

/// Collects a whole answer from whatever emits its events.
pub(crate) fn collect(
    read: impl FnOnce(&mut dyn Sink) -> Result<(), TranslateError>,
) -> Result<Completion, TranslateError> {
    let mut completion = Completion::default();
    read(&mut completion)?;
    Ok(completion)
}
