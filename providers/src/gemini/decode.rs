//! Gemini's answers as events: a stream is whole answers that go on from each other.

use std::sync::Arc;

use super::generation::Generation;
use super::request::json_by_tool;
use super::wire::{WireAnswer, WireCandidate, WirePart, WireUsage};
use super::{cite, errors};
use crate::adapter::{Exchange, TranslateError, Usage};
use crate::hub::{Citation, Decoder, Event, Finish, Frame, JSON_TOOL, Sink, line};
use crate::text::{Text, some, str_of};

/// A number above it is a provider's mistake.
const MOST_CHOICES: usize = 128;

/// What is known of one alternative.
#[derive(Default)]
struct Choice {
    calls: u32,
    finished: bool,
    /// The text so far: places of what it cites are counted in its bytes.
    said: String,
    /// What it cites, told when all has been said: pieces may repeat each other.
    cited: Vec<Citation>,
    /// The seal on the text, told after what the text cites.
    seal: Option<String>,
}

impl Choice {
    fn seal(&mut self, choice: u32, sink: &mut dyn Sink) {
        if let Some(signature) = self.seal.take() {
            sink.emit(Event::TextSignature { choice, signature: &signature });
        }
    }

    /// Takes what a piece says of sources.
    fn cite(&mut self, candidate: &WireCandidate<'_>) {
        if candidate.grounding_metadata.is_none() && candidate.citation_metadata.is_none() {
            return;
        }
        for citation in cite::read(candidate, &self.said) {
            if !self.cited.contains(&citation) {
                self.cited.push(citation);
            }
        }
    }
}

/// Reads a stream, or the one piece of a whole answer.
pub(super) struct ContentDecoder {
    /// Calls of `JSON_TOOL` are text.
    json: bool,
    begun: bool,
    choices: Vec<Choice>,
    usage: Option<WireUsage>,
    /// Before Gemini 3 a prompt that was searched for is billed once, from then on each search is.
    each_search: bool,
    searches: u64,
    /// What ids of calls are made of where the model gives none.
    id: Arc<str>,
}

impl ContentDecoder {
    pub(super) fn new(exchange: &Exchange<'_>) -> Self {
        let model = &exchange.target.model;
        Self {
            json: json_by_tool(exchange.call, model),
            begun: false,
            choices: Vec::new(),
            usage: None,
            each_search: Generation::of(model).levels(),
            searches: 0,
            id: Arc::clone(&exchange.call.stamp.id),
        }
    }

    /// Takes one piece.
    pub(super) fn piece(&mut self, data: &[u8], sink: &mut dyn Sink) -> Result<(), TranslateError> {
        let answer: WireAnswer<'_> = serde_json::from_slice(data)
            .map_err(|error| TranslateError::Malformed(format!("the answer is not what it should be: {error}")))?;
        if some(answer.error).is_some() {
            sink.emit(Event::Error(&errors::of_event(data)));
            return Ok(());
        }
        if !self.begun {
            self.begun = true;
            let id = answer.response_id.as_ref().map(Text::as_str);
            if let Some(id) = id {
                self.id = Arc::from(id);
            }
            let prompt = answer.usage_metadata.map(|usage| Usage { output: 0, reasoning: 0, ..Usage::from(usage) });
            sink.emit(Event::Start { id, model: answer.model_version.as_ref().map(Text::as_str), prompt });
        }
        self.usage = answer.usage_metadata.or(self.usage);
        for candidate in answer.candidates.iter().flatten() {
            self.candidate(candidate, sink)?;
        }
        let blocked = answer.prompt_feedback.is_some_and(|feedback| feedback.block_reason.is_some());
        if blocked && self.choices.is_empty() {
            self.choices.push(Choice { finished: true, ..Choice::default() });
            sink.emit(Event::Finish { choice: 0, reason: Finish::ContentFilter, sequence: None });
        }
        Ok(())
    }

    fn candidate(&mut self, candidate: &WireCandidate<'_>, sink: &mut dyn Sink) -> Result<(), TranslateError> {
        let number = candidate.index.unwrap_or(0);
        let at = number as usize;
        if at >= MOST_CHOICES {
            return Err(TranslateError::Malformed(format!("there is no alternative number {number}")));
        }
        if self.choices.len() <= at {
            self.choices.resize_with(at + 1, Choice::default);
        }
        let mut choice = self.choices.get_mut(at).map(std::mem::take).unwrap_or_default();
        for part in candidate.content.iter().filter_map(|content| content.parts.as_ref()).flatten() {
            self.part(number, &mut choice, part, sink);
        }
        choice.cite(candidate);
        self.searches = self.searches.max(searches(candidate, self.each_search));
        let ended = candidate.finish_reason.as_ref().filter(|_| !choice.finished);
        choice.finished |= ended.is_some();
        if choice.finished {
            for citation in choice.cited.drain(..) {
                sink.emit(Event::Citation { choice: number, citation: &citation });
            }
            choice.seal(number, sink);
        }
        if let Some(reason) = ended {
            sink.emit(Event::Finish { choice: number, reason: finish(reason.as_str(), &choice), sequence: None });
        }
        if let Some(slot) = self.choices.get_mut(at) {
            *slot = choice;
        }
        Ok(())
    }

    fn part(&self, number: u32, choice: &mut Choice, part: &WirePart<'_>, sink: &mut dyn Sink) {
        let text = str_of(part.text.as_ref());
        if !text.is_empty() || part.function_call.is_some() {
            choice.seal(number, sink);
        }
        if !text.is_empty() {
            sink.emit(match part.thought {
                Some(true) => Event::Reasoning { choice: number, text },
                _ => {
                    choice.said.push_str(text);
                    Event::Text { choice: number, text }
                }
            });
        }
        let seal = part.thought_signature.as_ref().map(Text::as_str);
        match (&part.function_call, seal) {
            (Some(call), _) if self.json && call.name.as_str() == JSON_TOOL => {
                let json = some(call.args).map_or_else(|| "{}".to_owned(), line);
                sink.emit(Event::Text { choice: number, text: &json });
            }
            (Some(call), signature) => {
                let index = choice.calls;
                choice.calls += 1;
                let made = format!("call_{}_{index}", self.id);
                let id = call.id.as_ref().map_or(made.as_str(), Text::as_str);
                sink.emit(Event::Tool { choice: number, index, id, name: call.name.as_str(), signature });
                let json = some(call.args).map_or_else(|| "{}".to_owned(), line);
                sink.emit(Event::Arguments { choice: number, index, json: &json });
            }
            (None, Some(signature)) => choice.seal = Some(signature.to_owned()),
            (None, None) => {}
        }
    }
}

/// Searches that are billed.
fn searches(candidate: &WireCandidate<'_>, each: bool) -> u64 {
    let queries = candidate.grounding_metadata.as_ref().and_then(|found| found.web_search_queries.as_ref());
    let count = queries.map_or(0, Vec::len) as u64;
    if each { count } else { count.min(1) }
}

fn finish(reason: &str, choice: &Choice) -> Finish {
    match reason {
        "MAX_TOKENS" => Finish::Length,
        "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "IMAGE_SAFETY" => {
            Finish::ContentFilter
        }
        _ if choice.calls > 0 => Finish::ToolCalls,
        _ => Finish::Stop,
    }
}

impl Decoder for ContentDecoder {
    fn frame(&mut self, frame: &Frame<'_>, sink: &mut dyn Sink) -> Result<(), TranslateError> {
        self.piece(frame.data, sink)
    }

    /// The API marks no end but that of its bytes, and may report usage last.
    fn finish(&mut self, sink: &mut dyn Sink) -> Result<(), TranslateError> {
        if self.choices.is_empty() || self.choices.iter().any(|choice| !choice.finished) {
            return Err(TranslateError::Truncated);
        }
        if let Some(usage) = self.usage {
            sink.emit(Event::Usage(Usage { units: self.searches, ..Usage::from(usage) }));
        }
        sink.emit(Event::End);
        Ok(())
    }
}
