//! Anthropic's answers as events: every event of a stream, and a whole message.

use super::wire::{WireBlock, WireDelta, WireEvent, WireMessage, WireUsage};
use super::{cite, errors};
use crate::adapter::{TranslateError, Usage};
use crate::hub::{Decoder, Event, Finish, Frame, JSON_TOOL, Passages, Sink, line};
use crate::text::{Text, str_of};

/// What the block that is being sent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
    Tool {
        /// Its number among the calls.
        index: u32,
        /// Whether arguments have come.
        argued: bool,
    },
    /// The tool whose arguments are the answer.
    Json,
    /// A kind that has no place in a chat answer.
    Other,
}

/// Reads a stream. Blocks come one after the other; what comes out of turn is an error.
pub(crate) struct MessagesDecoder {
    /// Calls of `JSON_TOOL` are text.
    json: bool,
    begun: bool,
    open: Option<(u32, Open)>,
    passages: Passages,
    signature: String,
    calls: u32,
    usage: WireUsage,
    finished: bool,
}

impl MessagesDecoder {
    /// `json` says that the answer is made by the JSON tool.
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            begun: false,
            open: None,
            passages: Passages::default(),
            signature: String::new(),
            calls: 0,
            usage: WireUsage::default(),
            finished: false,
        }
    }

    fn start(&mut self, message: Option<WireMessage<'_>>, sink: &mut dyn Sink) {
        self.begun = true;
        let Some(message) = message else { return sink.emit(Event::Start { id: None, model: None, prompt: None }) };
        self.usage = message.usage.unwrap_or_default();
        let (id, model) = (message.id.as_ref().map(Text::as_str), message.model.as_ref().map(Text::as_str));
        let prompt = message.usage.map(|usage| Usage { output: 0, ..Usage::from(usage) });
        sink.emit(Event::Start { id, model, prompt });
    }

    fn open(&mut self, index: u32, block: &WireBlock<'_>, sink: &mut dyn Sink) -> Result<(), TranslateError> {
        if self.open.is_some() {
            return Err(out_of_turn("a content block begins before the one before it has ended"));
        }
        let kind = match str_of(block.r#type.as_ref()) {
            "text" => Open::Text,
            "thinking" => Open::Thinking,
            "redacted_thinking" => {
                sink.emit(Event::Redacted { choice: 0, data: str_of(block.data.as_ref()) });
                Open::Other
            }
            "tool_use" if self.json && str_of(block.name.as_ref()) == JSON_TOOL => Open::Json,
            "tool_use" => {
                let (id, name) = (str_of(block.id.as_ref()), str_of(block.name.as_ref()));
                let index = self.calls;
                self.calls += 1;
                sink.emit(Event::Tool { choice: 0, index, id, name, signature: None });
                Open::Tool { index, argued: false }
            }
            _ => Open::Other,
        };
        self.open = Some((index, kind));
        // Some servers send a block's first words with its beginning.
        self.words(block.text.as_ref(), block.thinking.as_ref(), sink);
        if let Some(input) = block.input.filter(|input| !matches!(input.get(), "{}" | "null" | "\"\"")) {
            self.argue(&line(input), sink);
        }
        Ok(())
    }

    fn argue(&mut self, json: &str, sink: &mut dyn Sink) {
        match &mut self.open {
            Some((_, Open::Tool { index, argued })) if !json.is_empty() => {
                *argued = true;
                sink.emit(Event::Arguments { choice: 0, index: *index, json });
            }
            Some((_, Open::Json)) if !json.is_empty() => sink.emit(Event::Text { choice: 0, text: json }),
            _ => {}
        }
    }

    fn delta(&mut self, index: u32, delta: &WireDelta<'_>, sink: &mut dyn Sink) -> Result<(), TranslateError> {
        if self.open.is_none_or(|(open, _)| open != index) {
            return Err(out_of_turn("a piece belongs to a content block that is not open"));
        }
        self.words(delta.text.as_ref(), delta.thinking.as_ref(), sink);
        self.argue(str_of(delta.partial_json.as_ref()), sink);
        self.signature.push_str(str_of(delta.signature.as_ref()));
        if let Some(citation) = delta.citation {
            self.passages.cite(cite::read(citation));
        }
        Ok(())
    }

    fn words(&mut self, text: Option<&Text<'_>>, thinking: Option<&Text<'_>>, sink: &mut dyn Sink) {
        self.passages.text(str_of(text), sink);
        if !str_of(thinking).is_empty() {
            sink.emit(Event::Reasoning { choice: 0, text: str_of(thinking) });
        }
    }

    fn close(&mut self, index: u32, sink: &mut dyn Sink) -> Result<(), TranslateError> {
        match self.open.take() {
            Some((open, kind)) if open == index => {
                if let Open::Tool { index, argued: false } = kind {
                    sink.emit(Event::Arguments { choice: 0, index, json: "{}" });
                }
                self.passages.close(sink);
                self.seal(sink);
                Ok(())
            }
            _ => Err(out_of_turn("a content block ends that is not open")),
        }
    }

    fn seal(&mut self, sink: &mut dyn Sink) {
        if !self.signature.is_empty() {
            sink.emit(Event::Signature { choice: 0, signature: &self.signature });
            self.signature.clear();
        }
    }

    fn stop(&mut self, reason: &str, sequence: Option<&str>, sink: &mut dyn Sink) {
        self.finished = true;
        let reason = match reason {
            "max_tokens" | "model_context_window_exceeded" => Finish::Length,
            "stop_sequence" => Finish::StopSequence,
            "tool_use" if self.calls > 0 => Finish::ToolCalls,
            "refusal" => Finish::Refusal,
            "pause_turn" => Finish::Pause,
            _ => Finish::Stop,
        };
        sink.emit(Event::Finish { choice: 0, reason, sequence });
    }

    fn event(&mut self, event: WireEvent<'_>, sink: &mut dyn Sink) -> Result<(), TranslateError> {
        let kind = str_of(event.r#type.as_ref());
        if kind == "message_start" {
            self.start(event.message, sink);
            return Ok(());
        }
        if !self.begun && (kind.starts_with("content_block") || kind.starts_with("message_")) {
            return Err(out_of_turn("the stream does not begin with message_start"));
        }
        let index = event.index.unwrap_or(0);
        match (kind, event.content_block, event.delta) {
            ("content_block_start", Some(block), _) => self.open(index, &block, sink),
            ("content_block_delta", _, Some(delta)) => self.delta(index, &delta, sink),
            ("content_block_stop", ..) => self.close(index, sink),
            ("message_delta", _, delta) => {
                if let Some(usage) = event.usage {
                    self.usage.update(usage);
                }
                if let Some(reason) = delta.as_ref().and_then(|delta| delta.stop_reason.as_ref()) {
                    let sequence = delta.as_ref().and_then(|delta| delta.stop_sequence.as_ref());
                    self.stop(reason.as_str(), sequence.map(Text::as_str), sink);
                    sink.emit(Event::Usage(Usage::from(self.usage)));
                }
                Ok(())
            }
            ("message_stop", ..) if !self.finished => {
                Err(out_of_turn("the stream ends without saying why the model stopped"))
            }
            ("message_stop", ..) => {
                sink.emit(Event::End);
                Ok(())
            }
            // `ping`, and kinds yet to come.
            _ => Ok(()),
        }
    }
}

impl Decoder for MessagesDecoder {
    fn frame(&mut self, frame: &Frame<'_>, sink: &mut dyn Sink) -> Result<(), TranslateError> {
        if frame.name == Some(b"error") {
            sink.emit(Event::Error(&errors::of_event(frame.data)));
            return Ok(());
        }
        let event: WireEvent<'_> = serde_json::from_slice(frame.data)
            .map_err(|error| TranslateError::Malformed(format!("an event cannot be read: {error}")))?;
        if str_of(event.r#type.as_ref()) == "error" {
            sink.emit(Event::Error(&errors::of_event(frame.data)));
            return Ok(());
        }
        self.event(event, sink)
    }

    fn finish(&mut self, sink: &mut dyn Sink) -> Result<(), TranslateError> {
        if !self.finished {
            return Err(TranslateError::Truncated);
        }
        sink.emit(Event::End);
        Ok(())
    }
}

fn out_of_turn(what: &str) -> TranslateError {
    TranslateError::Malformed(what.to_owned())
}

/// Reads a whole answer.
pub(crate) fn read_whole(body: &[u8], json: bool, sink: &mut dyn Sink) -> Result<(), TranslateError> {
    let message: WireMessage<'_> = serde_json::from_slice(body)
        .map_err(|error| TranslateError::Malformed(format!("the body is not the JSON it should be: {error}")))?;
    let Some(reason) = &message.stop_reason else {
        return Err(TranslateError::Malformed("the message has no stop_reason".to_owned()));
    };
    let mut decoder = MessagesDecoder::new(json);
    let (id, model) = (message.id.as_ref().map(Text::as_str), message.model.as_ref().map(Text::as_str));
    sink.emit(Event::Start { id, model, prompt: None });
    for (index, block) in (0..).zip(&message.content) {
        decoder.open(index, block, sink)?;
        decoder.signature.push_str(str_of(block.signature.as_ref()));
        for citation in block.citations.iter().flatten() {
            decoder.passages.cite(cite::read(citation));
        }
        decoder.close(index, sink)?;
    }
    decoder.stop(reason.as_str(), message.stop_sequence.as_ref().map(Text::as_str), sink);
    if let Some(usage) = message.usage {
        sink.emit(Event::Usage(Usage::from(usage)));
    }
    sink.emit(Event::End);
    Ok(())
}
