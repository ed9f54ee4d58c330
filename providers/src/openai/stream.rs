//! A stream of chat or completion chunks: relayed as it is, but for the usage chunk that only
//! the gateway asked for.

use bytes::Bytes;
use serde::de::IgnoredAny;

use super::errors;
use super::wire::Chunk;
use crate::adapter::{StreamOut, StreamTranslator, TranslateError, Usage};
use crate::sse::{EVENT_CAP, Event, Events, Splitter};

/// The end of every stream.
const DONE: &[u8] = b"[DONE]";

/// The translator.
pub(super) struct OpenAiStream {
    splitter: Splitter,
    /// The client did not ask for the usage chunk: a chunk with no choices would crash it.
    strip_usage: bool,
    /// A finish reason was seen.
    finished: bool,
}

/// What becomes of one event.
#[derive(PartialEq, Eq)]
enum Fate {
    Relay,
    Remove,
}

impl OpenAiStream {
    pub(super) fn new(strip_usage: bool) -> Self {
        Self { splitter: Splitter::new(EVENT_CAP), strip_usage, finished: false }
    }

    /// Relays a block of whole events as the fewest slices.
    fn block(&mut self, block: &Bytes, out: &mut StreamOut) -> Result<(), TranslateError> {
        let mut from = 0;
        for event in Events::new(block) {
            match self.event(&event, out) {
                Ok(Fate::Relay) => {}
                Ok(Fate::Remove) => {
                    relay(block, from, event.start, out);
                    from = event.end;
                }
                Err(error) => {
                    // What came before it is good, however the bytes were cut.
                    relay(block, from, event.start, out);
                    return Err(error);
                }
            }
        }
        relay(block, from, block.len(), out);
        Ok(())
    }

    fn event(&mut self, event: &Event<'_>, out: &mut StreamOut) -> Result<Fate, TranslateError> {
        let Some(data) = &event.data else { return Ok(Fate::Relay) };
        let data = data.trim_ascii();
        if data == DONE {
            out.done = true;
            return Ok(Fate::Relay);
        }
        let named_error = event.name == Some(b"error");
        match serde_json::from_slice::<Chunk<'_>>(data) {
            Ok(chunk) if named_error || chunk.error.is_some_and(|error| error.get() != "null") => {
                out.error = Some(errors::of_event(data));
                Ok(Fate::Relay)
            }
            Ok(chunk) => Ok(self.chunk(&chunk, out)),
            Err(_) if named_error => {
                out.error = Some(errors::of_event(data));
                Ok(Fate::Relay)
            }
            // Legal JSON of a shape that is not known still goes to the client.
            Err(_) if serde_json::from_slice::<IgnoredAny>(data).is_ok() => {
                out.content = true;
                Ok(Fate::Relay)
            }
            Err(error) => Err(TranslateError::Malformed(format!("an event is not JSON: {error}"))),
        }
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, out: &mut StreamOut) -> Fate {
        if let Some(usage) = chunk.usage {
            out.usage = Some(Usage::from(usage));
        }
        let before = out.text.len();
        for choice in chunk.choices.iter().flatten() {
            choice.read(&mut out.text);
            self.finished |= choice.is_finished();
        }
        out.content |= self.finished || out.text.len() > before;
        let only_usage = chunk.usage.is_some() && chunk.choices.as_ref().is_none_or(Vec::is_empty);
        if only_usage && self.strip_usage { Fate::Remove } else { Fate::Relay }
    }
}

fn relay(block: &Bytes, from: usize, to: usize, out: &mut StreamOut) {
    if from < to {
        out.frames.push(block.slice(from..to));
    }
}

impl StreamTranslator for OpenAiStream {
    fn push(&mut self, input: Bytes, out: &mut StreamOut) -> Result<(), TranslateError> {
        let block = self.splitter.push(input)?;
        self.block(&block, out)
    }

    fn finish(&mut self, out: &mut StreamOut) -> Result<(), TranslateError> {
        let rest = self.splitter.finish();
        if !rest.is_empty() {
            let kept = out.frames.len();
            // A last event without its blank line: half of one is not JSON.
            self.block(&rest, out).map_err(|_| TranslateError::Truncated)?;
            if out.frames.len() > kept {
                out.frames.push(Bytes::from_static(b"\n\n"));
            }
        }
        if out.done {
            return Ok(());
        }
        if !self.finished {
            return Err(TranslateError::Truncated);
        }
        // Some compatible servers leave it out; clients wait for it.
        out.frames.push(Bytes::from_static(b"data: [DONE]\n\n"));
        out.done = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: &str = include_str!("../../testdata/chat_stream_usage.sse");
    const TOOLS: &str = include_str!("../../testdata/chat_stream_tools.sse");

    fn run(stream: &[u8], strip: bool, cuts: &[usize]) -> (Result<(), TranslateError>, StreamOut) {
        let mut translator = OpenAiStream::new(strip);
        let mut out = StreamOut::default();
        let mut at = 0;
        for cut in cuts.iter().copied().chain([stream.len()]) {
            let cut = cut.clamp(at, stream.len());
            if let Err(error) = translator.push(Bytes::copy_from_slice(&stream[at..cut]), &mut out) {
                return (Err(error), out);
            }
            at = cut;
        }
        (translator.finish(&mut out), out)
    }

    fn text(out: &StreamOut) -> String {
        String::from_utf8(out.frames.concat()).unwrap()
    }

    #[test]
    fn the_usage_chunk_is_seen_and_taken_out() {
        let (result, out) = run(PLAIN.as_bytes(), true, &[]);
        result.unwrap();
        let usage = Usage { input: 19, cached_input: 4, output: 10, reasoning: 2, ..Usage::default() };
        assert_eq!((out.usage, out.done, out.content), (Some(usage), true, true));
        assert_eq!(out.text, "Hello — \"wörld\"\n");
        assert!(!text(&out).contains("\"choices\":[]"));
        assert_eq!(out.frames.len(), 2, "one slice before the removed event and one after");
        let (_, kept) = run(PLAIN.as_bytes(), false, &[]);
        assert_eq!(text(&kept), PLAIN);
        assert_eq!(kept.frames.len(), 1, "nothing is copied or cut");
    }

    #[test]
    fn tool_calls_are_content() {
        let (result, out) = run(TOOLS.as_bytes(), true, &[]);
        result.unwrap();
        assert_eq!(out.text, "get_weather{\"city\":\"Paris\"}");
        assert_eq!(text(&out), TOOLS);
    }

    #[test]
    fn a_role_alone_is_not_content() {
        let mut translator = OpenAiStream::new(true);
        let mut out = StreamOut::default();
        let role =
            Bytes::from_static(b"data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n");
        translator.push(role, &mut out).unwrap();
        assert!(!out.content && out.frames.len() == 1);
    }

    #[test]
    fn ends_that_are_too_early_are_told() {
        let cut = PLAIN.find("data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},").unwrap();
        assert_eq!(run(&PLAIN.as_bytes()[..cut], true, &[]).0, Err(TranslateError::Truncated));
        assert_eq!(run(&PLAIN.as_bytes()[..cut + 20], true, &[]).0, Err(TranslateError::Truncated));
        assert_eq!(run(b"", true, &[]).0, Err(TranslateError::Truncated));
        let without_done = PLAIN.replace("data: [DONE]\n\n", "");
        let (result, out) = run(without_done.as_bytes(), true, &[]);
        result.unwrap();
        assert!(text(&out).ends_with("data: [DONE]\n\n"));
        let unterminated = PLAIN.trim_end();
        assert!(text(&run(unterminated.as_bytes(), true, &[]).1).ends_with("data: [DONE]\n\n"));
    }

    #[test]
    fn errors_in_the_stream_are_seen_and_relayed() {
        for event in [
            "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}\n\n",
            "event: error\ndata: {\"message\":\"overloaded\"}\n\n",
        ] {
            let (_, out) = run(event.as_bytes(), true, &[]);
            assert!(out.error.is_some_and(|error| error.message.contains("overloaded")), "{event}");
            assert_eq!(out.frames.concat(), event.as_bytes());
        }
        let (result, _) = run(b"data: {\"choices\":[{\"del\n\n", true, &[]);
        assert!(matches!(result, Err(TranslateError::Malformed(_))));
    }

    proptest! {
        #[test]
        fn splits_do_not_matter(cuts in proptest::collection::vec(0..1500usize, 0..12), strip in any::<bool>(), tools in any::<bool>()) {
            let stream = if tools { TOOLS } else { PLAIN };
            let mut cuts = cuts;
            cuts.sort_unstable();
            let (whole, split) = (run(stream.as_bytes(), strip, &[]), run(stream.as_bytes(), strip, &cuts));
            prop_assert_eq!(whole.0, split.0);
            prop_assert_eq!(text(&whole.1), text(&split.1));
            prop_assert_eq!((whole.1.text, whole.1.usage, whole.1.done), (split.1.text, split.1.usage, split.1.done));
        }

        #[test]
        fn any_bytes_are_an_error_and_not_a_crash(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(run(&bytes, true, &[]).0.is_err());
        }
    }
}
