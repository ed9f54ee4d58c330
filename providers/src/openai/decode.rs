//! Chat answers as events, for clients that speak another API.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::wire::{Choice, ToolCall, WireUsage};
use super::{cite, errors};
use crate::adapter::{TranslateError, Usage};
use crate::hub::{Decoder, Event, Finish, Frame, Sink};
use crate::text::{Text, some, str_of};

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    choices: Option<Vec<Choice<'a>>>,
    usage: Option<WireUsage>,
    /// Perplexity's sources, by URL and in full.
    #[serde(borrow)]
    citations: Option<&'a RawValue>,
    #[serde(borrow)]
    search_results: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// Reads a stream of chat chunks.
#[derive(Default)]
pub(super) struct ChatDecoder {
    begun: bool,
    /// Calls that have begun, by the provider's index.
    calls: Vec<u32>,
    refused: bool,
    sources: Sources,
    finished: bool,
}

/// How sources are told.
#[derive(Default)]
enum Sources {
    #[default]
    None,
    /// In a list beside the choices, which each chunk may repeat.
    Listed(String),
    /// As annotations; a list beside them says the same again.
    Annotated,
}

impl ChatDecoder {
    fn chunk(&mut self, chunk: &Chunk<'_>, sink: &mut dyn Sink) {
        // Azure begins with a chunk that says nothing, not even who speaks.
        if !self.begun && chunk.choices.as_ref().is_some_and(|choices| !choices.is_empty()) {
            self.begun = true;
            let (id, model) = (chunk.id.as_ref().map(Text::as_str), chunk.model.as_ref().map(Text::as_str));
            sink.emit(Event::Start { id, model, prompt: None });
        }
        let list = some(chunk.search_results).or(some(chunk.citations)).map(RawValue::get);
        match (&mut self.sources, list.filter(|list| *list != "[]")) {
            (Sources::Listed(known), Some(list)) if known == list => {}
            (Sources::Listed(_) | Sources::None, Some(list)) => self.sources = Sources::Listed(list.to_owned()),
            _ => {}
        }
        for choice in chunk.choices.iter().flatten() {
            self.choice(choice, sink);
        }
        if let Some(usage) = chunk.usage {
            sink.emit(Event::Usage(Usage::from(usage)));
        }
    }

    fn choice(&mut self, read: &Choice<'_>, sink: &mut dyn Sink) {
        let choice = read.index.unwrap_or(0);
        if let Some(said) = read.said() {
            let reasoning = said.reasoning_content.as_ref().or(said.reasoning.as_ref());
            if !str_of(reasoning).is_empty() {
                sink.emit(Event::Reasoning { choice, text: str_of(reasoning) });
            }
            if !str_of(said.content.as_ref()).is_empty() {
                sink.emit(Event::Text { choice, text: str_of(said.content.as_ref()) });
            }
            if !str_of(said.refusal.as_ref()).is_empty() {
                self.refused = true;
                sink.emit(Event::Refusal { choice, text: str_of(said.refusal.as_ref()) });
            }
            for annotation in said.annotations.iter().flatten() {
                self.sources = Sources::Annotated;
                sink.emit(Event::Citation { choice, citation: &cite::annotation(annotation) });
            }
            for (number, call) in (0..).zip(said.tool_calls.iter().flatten()) {
                self.call(choice, call.index.unwrap_or(number), call, sink);
            }
        }
        if let Some(reason) = &read.finish_reason {
            self.finished = true;
            self.cite_listed(choice, sink);
            let reason = match reason.as_str() {
                "length" => Finish::Length,
                "tool_calls" | "function_call" => Finish::ToolCalls,
                "content_filter" => Finish::ContentFilter,
                // Some servers say `stop` whatever the answer is.
                _ if !self.calls.is_empty() => Finish::ToolCalls,
                _ if self.refused => Finish::Refusal,
                _ => Finish::Stop,
            };
            sink.emit(Event::Finish { choice, reason, sequence: None });
        }
    }

    fn cite_listed(&mut self, choice: u32, sink: &mut dyn Sink) {
        let Sources::Listed(list) = &self.sources else { return };
        for citation in cite::listed(list) {
            sink.emit(Event::Citation { choice, citation: &citation });
        }
    }

    fn call(&mut self, choice: u32, index: u32, call: &ToolCall<'_>, sink: &mut dyn Sink) {
        let Some(function) = &call.function else { return };
        if !self.calls.contains(&index) {
            self.calls.push(index);
            let (id, name) = (str_of(call.id.as_ref()), str_of(function.name.as_ref()));
            let own = self.number(index);
            sink.emit(Event::Tool { choice, index: own, id, name, signature: None });
        }
        let json = str_of(function.arguments.as_ref());
        if !json.is_empty() {
            sink.emit(Event::Arguments { choice, index: self.number(index), json });
        }
    }

    /// The calls are counted from 0 in the order of their beginning.
    fn number(&self, index: u32) -> u32 {
        let place = self.calls.iter().position(|begun| *begun == index).unwrap_or(0);
        u32::try_from(place).unwrap_or(u32::MAX)
    }
}

impl Decoder for ChatDecoder {
    fn frame(&mut self, frame: &Frame<'_>, sink: &mut dyn Sink) -> Result<(), TranslateError> {
        if frame.data == b"[DONE]" {
            if !self.finished {
                return Err(TranslateError::Truncated);
            }
            sink.emit(Event::End);
            return Ok(());
        }
        if frame.name == Some(b"error") {
            sink.emit(Event::Error(&errors::of_event(frame.data)));
            return Ok(());
        }
        let chunk: Chunk<'_> = serde_json::from_slice(frame.data)
            .map_err(|error| TranslateError::Malformed(format!("an event cannot be read: {error}")))?;
        if some(chunk.error).is_some() {
            sink.emit(Event::Error(&errors::of_event(frame.data)));
            return Ok(());
        }
        self.chunk(&chunk, sink);
        Ok(())
    }

    fn finish(&mut self, sink: &mut dyn Sink) -> Result<(), TranslateError> {
        if !self.finished {
            return Err(TranslateError::Truncated);
        }
        sink.emit(Event::End);
        Ok(())
    }
}

/// Reads a whole answer.
pub(super) fn read_whole(body: &[u8], sink: &mut dyn Sink) -> Result<(), TranslateError> {
    let chunk: Chunk<'_> = serde_json::from_slice(body)
        .map_err(|error| TranslateError::Malformed(format!("the body is not the JSON it should be: {error}")))?;
    if chunk.choices.as_ref().is_none_or(Vec::is_empty) {
        return Err(TranslateError::Malformed("the answer has no choices".to_owned()));
    }
    ChatDecoder::default().chunk(&chunk, sink);
    sink.emit(Event::End);
    Ok(())
}
