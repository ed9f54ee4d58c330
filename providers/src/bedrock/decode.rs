//! Converse's answers as events: the messages of a stream, and a whole answer.

use super::wire::{WireAnswer, WireBlock, WireDelta, WireEvent, WireReasoning, WireTool, WireUsage};
use super::{cite, errors};
use crate::adapter::{TranslateError, Usage};
use crate::hub::{Decoder, Event, Finish, Frame, JSON_TOOL, Passages, Sink, line};
use crate::text::{Text, str_of};

/// What the block that is being sent is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    /// Text or reasoning: their beginning is not announced.
    Words,
    Tool {
        index: u32,
        argued: bool,
    },
    /// The tool whose arguments are the answer.
    Json,
}

/// Reads a stream. Blocks come one after the other; what comes out of turn is an error.
pub(super) struct ConverseDecoder {
    json: bool,
    /// The id of the request at AWS.
    id: Option<String>,
    begun: bool,
    open: Option<(u32, Open)>,
    passages: Passages,
    signature: String,
    calls: u32,
    finished: bool,
}

impl ConverseDecoder {
    pub(super) fn new(json: bool, id: Option<String>) -> Self {
        let (passages, signature) = (Passages::default(), String::new());
        Self { json, id, begun: false, open: None, passages, signature, calls: 0, finished: false }
    }

    fn begin(&mut self, sink: &mut dyn Sink) {
        self.begun = true;
        sink.emit(Event::Start { id: self.id.as_deref(), model: None, prompt: None });
    }

    fn tool(&mut self, at: u32, tool: &WireTool<'_>, sink: &mut dyn Sink) {
        let (id, name) = (str_of(tool.tool_use_id.as_ref()), str_of(tool.name.as_ref()));
        if self.json && name == JSON_TOOL {
            self.open = Some((at, Open::Json));
            return;
        }
        let index = self.calls;
        self.calls += 1;
        self.open = Some((at, Open::Tool { index, argued: false }));
        sink.emit(Event::Tool { choice: 0, index, id, name, signature: None });
    }

    fn argue(&mut self, json: &str, sink: &mut dyn Sink) -> Result<(), TranslateError> {
        match &mut self.open {
            Some((_, Open::Tool { index, argued })) => {
                *argued |= !json.is_empty();
                if !json.is_empty() {
                    sink.emit(Event::Arguments { choice: 0, index: *index, json });
                }
                Ok(())
            }
            Some((_, Open::Json)) => {
                sink.emit(Event::Text { choice: 0, text: json });
                Ok(())
            }
            _ => Err(out_of_turn("input comes for a call that has not begun")),
        }
    }

    fn reasoning(&mut self, reasoning: &WireReasoning<'_>, sink: &mut dyn Sink) {
        let sealed = reasoning.reasoning_text.as_ref();
        let texts = [reasoning.text.as_ref(), sealed.and_then(|sealed| sealed.text.as_ref())];
        for text in texts.into_iter().flatten().map(Text::as_str).filter(|text| !text.is_empty()) {
            sink.emit(Event::Reasoning { choice: 0, text });
        }
        self.signature.push_str(str_of(reasoning.signature.as_ref()));
        self.signature.push_str(str_of(sealed.and_then(|sealed| sealed.signature.as_ref())));
        if let Some(data) = &reasoning.redacted_content {
            sink.emit(Event::Redacted { choice: 0, data: data.as_str() });
        }
    }

    fn delta(&mut self, at: u32, delta: &WireDelta<'_>, sink: &mut dyn Sink) -> Result<(), TranslateError> {
        match self.open {
            None => self.open = Some((at, Open::Words)),
            Some((open, _)) if open == at => {}
            Some(_) => return Err(out_of_turn("a piece belongs to a content block that is not open")),
        }
        self.passages.text(str_of(delta.text.as_ref()), sink);
        if let Some(reasoning) = &delta.reasoning_content {
            self.reasoning(reasoning, sink);
        }
        if let Some(citation) = delta.citation {
            self.passages.cite(cite::read(citation));
        }
        match delta.tool_use.as_ref().and_then(|tool| tool.input) {
            Some(input) => {
                let piece: Text<'_> = serde_json::from_str(input.get())
                    .map_err(|_| TranslateError::Malformed("a piece of a call's input is not a string".to_owned()))?;
                self.argue(piece.as_str(), sink)
            }
            None => Ok(()),
        }
    }

    fn close(&mut self, at: u32, sink: &mut dyn Sink) -> Result<(), TranslateError> {
        match self.open.take() {
            Some((open, _)) if open != at => return Err(out_of_turn("a content block ends that is not open")),
            Some((_, Open::Tool { index, argued: false })) => {
                sink.emit(Event::Arguments { choice: 0, index, json: "{}" });
            }
            // A block without a piece is not announced either.
            _ => {}
        }
        self.passages.close(sink);
        if !self.signature.is_empty() {
            sink.emit(Event::Signature { choice: 0, signature: &self.signature });
            self.signature.clear();
        }
        Ok(())
    }

    fn stop(&mut self, reason: &str, sink: &mut dyn Sink) {
        self.finished = true;
        let reason = match reason {
            "max_tokens" | "model_context_window_exceeded" => Finish::Length,
            "stop_sequence" => Finish::StopSequence,
            "tool_use" if self.calls > 0 => Finish::ToolCalls,
            "guardrail_intervened" | "content_filtered" => Finish::ContentFilter,
            _ => Finish::Stop,
        };
        sink.emit(Event::Finish { choice: 0, reason, sequence: None });
    }

    fn end(usage: Option<WireUsage>, sink: &mut dyn Sink) {
        if let Some(usage) = usage {
            sink.emit(Event::Usage(Usage::from(usage)));
        }
        sink.emit(Event::End);
    }

    fn event(&mut self, name: &[u8], event: &WireEvent<'_>, sink: &mut dyn Sink) -> Result<(), TranslateError> {
        if name == b"messageStart" {
            self.begin(sink);
            return Ok(());
        }
        if !self.begun && (name.starts_with(b"contentBlock") || name == b"messageStop") {
            return Err(out_of_turn("the stream does not begin with messageStart"));
        }
        let at = event.content_block_index.unwrap_or(0);
        match name {
            b"contentBlockStart" => {
                if self.open.is_some() {
                    return Err(out_of_turn("a content block begins before the one before it has ended"));
                }
                if let Some(tool) = event.start.as_ref().and_then(|start| start.tool_use.as_ref()) {
                    self.tool(at, tool, sink);
                }
                Ok(())
            }
            b"contentBlockDelta" => event.delta.as_ref().map_or(Ok(()), |delta| self.delta(at, delta, sink)),
            b"contentBlockStop" => self.close(at, sink),
            b"messageStop" => {
                self.stop(str_of(event.stop_reason.as_ref()), sink);
                Ok(())
            }
            b"metadata" if !self.finished => Err(out_of_turn("metadata comes before the model has stopped")),
            b"metadata" => {
                Self::end(event.usage, sink);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Decoder for ConverseDecoder {
    fn frame(&mut self, frame: &Frame<'_>, sink: &mut dyn Sink) -> Result<(), TranslateError> {
        let name = frame.name.unwrap_or_default();
        if frame.failed {
            sink.emit(Event::Error(&errors::of_event(name, frame.data)));
            return Ok(());
        }
        let event: WireEvent<'_> = serde_json::from_slice(frame.data)
            .map_err(|error| TranslateError::Malformed(format!("an event cannot be read: {error}")))?;
        self.event(name, &event, sink)
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
pub(super) fn read_whole(
    body: &[u8],
    json: bool,
    id: Option<String>,
    sink: &mut dyn Sink,
) -> Result<(), TranslateError> {
    let answer: WireAnswer<'_> = serde_json::from_slice(body)
        .map_err(|error| TranslateError::Malformed(format!("the body is not the JSON it should be: {error}")))?;
    let mut decoder = ConverseDecoder::new(json, id);
    decoder.begin(sink);
    for (at, block) in (0..).zip(&answer.output.message.content) {
        whole_block(&mut decoder, at, block, sink)?;
        decoder.close(at, sink)?;
    }
    decoder.stop(answer.stop_reason.as_str(), sink);
    ConverseDecoder::end(answer.usage, sink);
    Ok(())
}

fn whole_block(
    decoder: &mut ConverseDecoder,
    at: u32,
    block: &WireBlock<'_>,
    sink: &mut dyn Sink,
) -> Result<(), TranslateError> {
    let cited = block.citations_content.as_ref();
    let texts = cited.and_then(|cited| cited.content.as_ref()).into_iter().flatten().map(|part| part.text.as_ref());
    texts.chain([block.text.as_ref()]).for_each(|text| decoder.passages.text(str_of(text), sink));
    let citations = cited.and_then(|cited| cited.citations.as_ref()).into_iter().flatten();
    citations.for_each(|raw| decoder.passages.cite(cite::read(raw)));
    if let Some(reasoning) = &block.reasoning_content {
        decoder.reasoning(reasoning, sink);
    }
    if let Some(tool) = &block.tool_use {
        decoder.tool(at, tool, sink);
        let input = tool.input.map_or_else(String::new, line);
        return decoder.argue(&input, sink);
    }
    Ok(())
}
