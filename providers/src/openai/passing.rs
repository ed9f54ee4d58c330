//! Streams that go through as they come and are not chat: responses, pictures, speech and
//! transcripts. What is read of them is what they used, and whether they came to their end.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::errors;
use super::wire::WireUsage;
use crate::adapter::{StreamOut, StreamTranslator, TranslateError, Usage};
use crate::error::UpstreamError;
use crate::sse::{EVENT_CAP, Events, Splitter};
use crate::text::{Text, some, str_of};

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    r#type: Option<Text<'a>>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<Response<'a>>,
    usage: Option<WireUsage>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Response<'a> {
    usage: Option<WireUsage>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// Events before the model has said anything: an item or a part that begins is empty.
const PRELUDES: [&str; 7] = [
    "",
    "response.created",
    "response.in_progress",
    "response.queued",
    "response.output_item.added",
    "response.content_part.added",
    "response.reasoning_summary_part.added",
];

/// The translator.
pub(super) struct Passing {
    splitter: Splitter,
    /// The event that says that all has been said was seen.
    complete: bool,
}

impl Passing {
    pub(super) fn new() -> Self {
        Self { splitter: Splitter::new(EVENT_CAP), complete: false }
    }

    fn block(&mut self, block: &Bytes, out: &mut StreamOut) -> Result<(), TranslateError> {
        let mut read = 0;
        let mut result = Ok(());
        for event in Events::new(block) {
            if let Some(data) = &event.data {
                result = self.event(data.trim_ascii(), event.name == Some(b"error"), out);
            }
            if result.is_err() {
                break;
            }
            read = event.end;
        }
        if read > 0 {
            out.frames.push(block.slice(..read));
        }
        result
    }

    fn event(&mut self, data: &[u8], failed: bool, out: &mut StreamOut) -> Result<(), TranslateError> {
        if data == b"[DONE]" {
            out.done = true;
            return Ok(());
        }
        let event: Event<'_> = serde_json::from_slice(data)
            .map_err(|error| TranslateError::Malformed(format!("an event is not JSON: {error}")))?;
        let kind = str_of(event.r#type.as_ref());
        if failed || kind == "error" || (kind.is_empty() && some(event.error).is_some()) {
            out.error = Some(errors::of_event(data));
            return Ok(());
        }
        if let Some(delta) = event.delta {
            // Deltas of sound are objects or base64: neither is text.
            if kind.ends_with("text.delta") || kind.ends_with("arguments.delta") || kind.ends_with("refusal.delta") {
                let text = serde_json::from_str::<Cow<'_, str>>(delta.get()).unwrap_or_default();
                out.text.push_str(&text);
            }
        }
        out.content |= !PRELUDES.contains(&kind);
        let usage = event.usage.or(event.response.as_ref().and_then(|response| response.usage));
        if let Some(usage) = usage {
            let more = Usage::from(usage);
            // Several pictures are several events, each with its own.
            out.usage = Some(match out.usage.filter(|_| kind.starts_with("image")) {
                Some(before) => before.plus(&more),
                None => more,
            });
        }
        match kind {
            "response.completed" | "response.incomplete" | "speech.audio.done" | "transcript.text.done" => {
                (self.complete, out.done, out.content) = (true, true, true);
            }
            "response.failed" => out.error = Some(failure(event.response.and_then(|response| response.error))),
            _ if kind.starts_with("image") && kind.ends_with(".completed") => {
                (self.complete, out.content) = (true, true);
            }
            _ => {}
        }
        Ok(())
    }
}

fn failure(error: Option<&RawValue>) -> UpstreamError {
    errors::of_event(error.map_or(&b"{}"[..], |error| error.get().as_bytes()))
}

impl StreamTranslator for Passing {
    fn push(&mut self, input: Bytes, out: &mut StreamOut) -> Result<(), TranslateError> {
        let block = self.splitter.push(input)?;
        self.block(&block, out)
    }

    fn finish(&mut self, out: &mut StreamOut) -> Result<(), TranslateError> {
        let rest = self.splitter.finish();
        if !rest.is_empty() {
            self.block(&rest, out).map_err(|_| TranslateError::Truncated)?;
            out.frames.push(Bytes::from_static(b"\n\n"));
        }
        if !self.complete && !out.done {
            return Err(TranslateError::Truncated);
        }
        out.done = true;
        Ok(())
    }
}
