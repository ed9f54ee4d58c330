//! Chat completions and their chunks as events, for clients that speak another API.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::errors;
use super::wire::WireUsage;
use crate::adapter::{TranslateError, Usage};
use crate::hub::{Decoder, Event, Finish, Frame, Sink};
use crate::text::{Text, some, str_of};

/// A number above it is a provider's mistake.
const MOST_CHOICES: usize = 128;

#[derive(Deserialize)]
struct WireAnswer<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    choices: Option<Vec<WireChoice<'a>>>,
    usage: Option<WireUsage>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireChoice<'a> {
    index: Option<u32>,
    #[serde(borrow, alias = "message")]
    delta: Option<WireSaid<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireSaid<'a> {
    #[serde(borrow)]
    content: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow, alias = "reasoning")]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<WireCall<'a>>>,
}

#[derive(Deserialize)]
struct WireCall<'a> {
    index: Option<u32>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    function: Option<WireFunction<'a>>,
}

#[derive(Deserialize)]
struct WireFunction<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<Text<'a>>,
}

/// What is known of one alternative.
#[derive(Clone, Copy, Default)]
struct Choice {
    calls: u32,
    finished: bool,
}

/// Reads a stream, or a whole answer as its one chunk.
#[derive(Default)]
pub(super) struct ChatDecoder {
    begun: bool,
    choices: Vec<Choice>,
    usage: Option<WireUsage>,
}

impl ChatDecoder {
    /// Takes one chunk.
    pub(super) fn chunk(&mut self, data: &[u8], sink: &mut dyn Sink) -> Result<(), TranslateError> {
        let answer: WireAnswer<'_> = serde_json::from_slice(data)
            .map_err(|error| TranslateError::Malformed(format!("the answer is not what it should be: {error}")))?;
        if some(answer.error).is_some() {
            sink.emit(Event::Error(&errors::of_event(data)));
            return Ok(());
        }
        let choices = answer.choices.unwrap_or_default();
        // Azure begins with a chunk that says nothing, not even who speaks.
        if !self.begun && !choices.is_empty() {
            self.begun = true;
            let text = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.as_str().to_owned());
            let (id, model) = (text(&answer.id), text(&answer.model));
            sink.emit(Event::Start { id: id.as_deref(), model: model.as_deref() });
        }
        self.usage = answer.usage.or(self.usage);
        choices.iter().try_for_each(|choice| self.choice(choice, sink))
    }

    fn choice(&mut self, wire: &WireChoice<'_>, sink: &mut dyn Sink) -> Result<(), TranslateError> {
        let number = wire.index.unwrap_or(0);
        let at = number as usize;
        if at >= MOST_CHOICES {
            return Err(TranslateError::Malformed(format!("there is no alternative number {number}")));
        }
        if self.choices.len() <= at {
            self.choices.resize(at + 1, Choice::default());
        }
        let Some(choice) = self.choices.get_mut(at) else { return Ok(()) };
        if let Some(said) = &wire.delta {
            for (text, event) in [
                (&said.reasoning_content, (|choice, text| Event::Reasoning { choice, text }) as Words),
                (&said.content, |choice, text| Event::Text { choice, text }),
                (&said.refusal, |choice, text| Event::Refusal { choice, text }),
            ] {
                let text = str_of(text.as_ref());
                if !text.is_empty() {
                    sink.emit(event(number, text));
                }
            }
            for call in said.tool_calls.iter().flatten() {
                self::call(number, choice, call, sink)?;
            }
        }
        if let Some(reason) = wire.finish_reason.as_ref().filter(|_| !choice.finished) {
            choice.finished = true;
            sink.emit(Event::Finish { choice: number, reason: finish(reason.as_str()), sequence: None });
        }
        Ok(())
    }
}

/// Makes an event of words.
type Words = for<'a> fn(u32, &'a str) -> Event<'a>;

fn call(number: u32, choice: &mut Choice, call: &WireCall<'_>, sink: &mut dyn Sink) -> Result<(), TranslateError> {
    let function = call.function.as_ref();
    let name = str_of(function.and_then(|function| function.name.as_ref()));
    let json = str_of(function.and_then(|function| function.arguments.as_ref()));
    // Whole answers do not number their calls.
    let index = call.index.unwrap_or(choice.calls);
    if index > choice.calls || (index == choice.calls && name.is_empty()) {
        return Err(TranslateError::Malformed("a piece belongs to a call that has not begun".to_owned()));
    }
    if index == choice.calls {
        choice.calls += 1;
        let id = str_of(call.id.as_ref());
        sink.emit(Event::Tool { choice: number, index, id, name, signature: None });
    }
    if !json.is_empty() {
        sink.emit(Event::Arguments { choice: number, index, json });
    }
    Ok(())
}

fn finish(reason: &str) -> Finish {
    match reason {
        "length" => Finish::Length,
        "tool_calls" | "function_call" => Finish::ToolCalls,
        "content_filter" => Finish::ContentFilter,
        _ => Finish::Stop,
    }
}

impl Decoder for ChatDecoder {
    fn frame(&mut self, frame: &Frame<'_>, sink: &mut dyn Sink) -> Result<(), TranslateError> {
        match frame.data {
            b"[DONE]" => self.finish(sink),
            data if frame.name == Some(b"error") => {
                sink.emit(Event::Error(&errors::of_event(data)));
                Ok(())
            }
            data => self.chunk(data, sink),
        }
    }

    fn finish(&mut self, sink: &mut dyn Sink) -> Result<(), TranslateError> {
        if self.choices.is_empty() || self.choices.iter().any(|choice| !choice.finished) {
            return Err(TranslateError::Truncated);
        }
        if let Some(usage) = self.usage.take() {
            sink.emit(Event::Usage(Usage::from(usage)));
        }
        sink.emit(Event::End);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::{Block, Completion};
    use crate::sse::Events;

    fn read(stream: &str) -> Completion {
        let (mut decoder, mut completion) = (ChatDecoder::default(), Completion::default());
        for event in Events::new(stream.as_bytes()) {
            let data = event.data.unwrap_or_default();
            decoder.frame(&Frame { name: event.name, failed: false, data: &data }, &mut completion).unwrap();
        }
        completion
    }

    #[test]
    fn chunks_are_events() {
        let plain = read(include_str!("../../testdata/chat_stream_usage.sse"));
        let said = Block::Text("Hello — \"wörld\"\n".to_owned());
        assert_eq!((plain.choices[0].blocks.as_slice(), plain.ended), ([said].as_slice(), true));
        assert_eq!(plain.usage.map(|usage| (usage.input, usage.cached_input)), Some((19, 4)));
        let tools = read(include_str!("../../testdata/chat_stream_tools.sse"));
        let [Block::Tool { name, arguments, .. }] = tools.choices[0].blocks.as_slice() else { panic!("{tools:?}") };
        assert_eq!((name.as_str(), arguments.as_str()), ("get_weather", "{\"city\":\"Paris\"}"));
        assert_eq!(tools.choices[0].finish, Some(Finish::ToolCalls));
    }
}
