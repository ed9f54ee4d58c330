//! One attempt at one target: the request for it, and all that its answer says. A failed attempt is
//! dropped whole, so nothing of it can reach the next.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use sluice_providers::{
    Call, Endpoint, Exchange, ResponseHead, StreamOut, StreamTranslator, TranslateError, UpstreamError,
    UpstreamRequest, Usage,
};

use super::settle::Output;
use crate::config::{ModelRoute, TargetRoute};
use crate::tokens::Counter;
use crate::upstream::{Blame, Serving, Tail, Why};

/// One attempt. Dropping it tells its target's health nothing.
pub struct Attempt {
    route: Arc<ModelRoute>,
    index: usize,
    /// Tokens of the prompt, as counted.
    prompt: u64,
    /// Let go with the first content: it holds the body, and the body the buffer it was read into.
    call: Option<Arc<Call>>,
    serving: Option<Serving>,
    why: Why,
    translator: Option<Box<dyn StreamTranslator>>,
    out: StreamOut,
    output: Output,
    usage: Option<Usage>,
    departed: Option<Instant>,
    first_token: Option<Duration>,
    /// Bytes for the client.
    bytes: u64,
    /// The text so far, where the stream may have to be continued.
    said: Option<String>,
    /// The rest of the client's body.
    tail: Option<Tail>,
    /// The answer as the client gets it, where it is to be kept.
    copy: Option<Copied>,
}

/// The pieces of an answer, which are not copied before its end, as long as it is not too large to keep.
struct Copied {
    pieces: Vec<Bytes>,
    bytes: usize,
    room: usize,
}

impl Attempt {
    pub(super) fn new(
        route: Arc<ModelRoute>,
        call: Arc<Call>,
        serving: Serving,
        why: Why,
        counter: Arc<Counter>,
        prompt: u64,
    ) -> Self {
        let index = serving.index();
        let tokenizer = route.targets.get(index).map(|target| target.model.tokenizer);
        Self {
            index,
            prompt,
            call: Some(call),
            serving: Some(serving),
            why,
            translator: None,
            out: StreamOut::default(),
            output: Output::new(counter, tokenizer),
            usage: None,
            departed: None,
            first_token: None,
            bytes: 0,
            said: None,
            tail: None,
            copy: None,
            route,
        }
    }

    /// Where it goes; `None` only if the config has no such target.
    pub fn target(&self) -> Option<&TargetRoute> {
        self.route.targets.get(self.index)
    }

    /// Gives it the rest of the client's body, which can be sent once.
    pub(super) fn give_tail(&mut self, tail: Option<Tail>) {
        self.tail = tail;
    }

    /// The rest of the client's body.
    pub fn take_tail(&mut self) -> Option<Tail> {
        self.tail.take()
    }

    /// Whether the client sent a form: what it asks for may stand behind the file.
    pub fn is_form(&self) -> bool {
        self.call.as_ref().is_some_and(|call| call.endpoint.is_form())
    }

    /// Whether the client asked for sound.
    pub fn is_speech(&self) -> bool {
        self.call.as_ref().is_some_and(|call| call.endpoint == Endpoint::Speech)
    }

    /// Whether its answer is relayed as it comes.
    pub(super) fn relays(&self) -> bool {
        self.translator.is_some()
    }

    /// `provider/model`.
    pub fn label(&self) -> &str {
        self.target().map_or("none", |target| &target.label)
    }

    /// Why this target was picked.
    pub fn why(&self) -> &Why {
        &self.why
    }

    /// The request for the target, built from the client's own.
    pub(super) fn request(&self) -> Result<UpstreamRequest, TranslateError> {
        match (self.target(), &self.call) {
            (Some(target), Some(call)) => target.provider.adapter.request(call, &target.target),
            _ => Err(TranslateError::Malformed("the target is gone".to_owned())),
        }
    }

    /// Marks the moment the request leaves for the provider.
    pub fn departed(&mut self) {
        let now = Instant::now();
        self.departed = Some(now);
        if let Some(serving) = &mut self.serving {
            serving.departed(now);
        }
    }

    /// When it left; `None` if it has not.
    pub(super) fn left_at(&self) -> Option<Instant> {
        self.departed
    }

    /// What a provider's error status means.
    pub fn refused(&self, head: &ResponseHead<'_>, body: &[u8]) -> Option<UpstreamError> {
        Some(self.target()?.provider.adapter.error(head, body))
    }

    /// The whole answer of a call that does not stream.
    pub fn reply(&mut self, head: &ResponseHead<'_>, body: Bytes) -> Result<Bytes, TranslateError> {
        let (Some(target), Some(call)) = (self.target(), &self.call) else { return Ok(body) };
        let exchange = Exchange { call, target: &target.target, prompt: self.prompt };
        let reply = target.provider.adapter.reply(head, body, &exchange)?;
        self.usage = reply.usage;
        if self.usage.is_none() {
            self.output.push(&reply.text);
        }
        self.spoke();
        self.bytes += reply.body.len() as u64;
        self.copy(&reply.body);
        Ok(reply.body)
    }

    /// Prepares for a stream.
    pub fn begin_stream(&mut self, head: &ResponseHead<'_>) {
        if let (Some(target), Some(call)) = (self.target(), &self.call) {
            let exchange = Exchange { call, target: &target.target, prompt: self.prompt };
            self.translator = Some(target.provider.adapter.stream(head, &exchange));
        }
    }

    /// Translates one chunk of the provider's stream; `None` when nothing is to be sent yet. Bytes
    /// that belong together come as one.
    pub fn chunk(&mut self, input: Bytes) -> Result<Option<Bytes>, TranslateError> {
        let Some(translator) = &mut self.translator else { return Ok(Some(input)) };
        translator.push(input, &mut self.out)?;
        Ok(self.drain())
    }

    /// Ends the provider's stream: what was held back, or the error that it ended too early.
    pub fn finish(&mut self) -> Result<Option<Bytes>, TranslateError> {
        let Some(translator) = &mut self.translator else { return Ok(None) };
        translator.finish(&mut self.out)?;
        Ok(self.drain())
    }

    /// What was translated before an error stopped the translator.
    pub fn rest(&mut self) -> Option<Bytes> {
        self.drain()
    }

    /// True once the model has begun to say something.
    pub fn has_content(&self) -> bool {
        self.out.content
    }

    /// True once the provider said that the stream is over.
    pub fn is_done(&self) -> bool {
        self.out.done
    }

    /// The error event the provider put into its stream, if any.
    pub fn take_stream_error(&mut self) -> Option<UpstreamError> {
        self.out.error.take()
    }

    fn drain(&mut self) -> Option<Bytes> {
        if self.out.content && self.out.error.is_none() {
            self.spoke();
        }
        self.output.push(&self.out.text);
        if let Some(said) = &mut self.said {
            said.push_str(&self.out.text);
        }
        self.out.text.clear();
        if let Some(usage) = self.out.usage {
            self.usage = Some(usage);
        }
        let bytes = match self.out.frames.len() {
            0 => return None,
            1 => self.out.frames.pop()?,
            _ => {
                let total = self.out.frames.iter().map(Bytes::len).sum();
                let mut joined = BytesMut::with_capacity(total);
                self.out.frames.drain(..).for_each(|frame| joined.extend_from_slice(&frame));
                joined.freeze()
            }
        };
        self.bytes += bytes.len() as u64;
        self.copy(&bytes);
        Some(bytes)
    }

    fn spoke(&mut self) {
        if self.first_token.is_some() {
            return;
        }
        let now = Instant::now();
        self.first_token = self.departed.map(|departed| now.saturating_duration_since(departed));
        if let Some(serving) = &mut self.serving {
            serving.spoke(now);
        }
    }

    /// From the dial to the first content.
    pub(super) fn first_token(&self) -> Option<Duration> {
        self.first_token
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Tokens generated so far, as counted here.
    pub(super) fn generated(&mut self) -> u64 {
        self.output.total()
    }

    /// The same, estimated.
    pub(super) fn so_far(&self) -> u64 {
        self.output.so_far()
    }

    /// The target of this label answers instead: whoever calls it has moved on by itself, and nobody's health is told
    /// of it. False if the model has no such target.
    pub fn moved_to(&mut self, label: &str) -> bool {
        let Some(index) = self.route.targets.iter().position(|target| &*target.label == label) else { return false };
        if index != self.index {
            self.index = index;
            self.serving = None;
        }
        true
    }

    /// Copies the answer from now on, up to so many bytes.
    pub(super) fn keep_answer(&mut self, room: usize) {
        self.copy = Some(Copied { pieces: Vec::new(), bytes: 0, room });
    }

    fn copy(&mut self, bytes: &Bytes) {
        let Some(copy) = &mut self.copy else { return };
        copy.bytes += bytes.len();
        if copy.bytes > copy.room {
            self.copy = None;
        } else {
            copy.pieces.push(bytes.clone());
        }
    }

    /// The copy, if all of the answer is in it.
    pub(super) fn take_answer(&mut self) -> Option<Bytes> {
        let copy = self.copy.take()?;
        Some(match copy.pieces.as_slice() {
            [one] => one.clone(),
            pieces => pieces.concat().into(),
        })
    }

    /// Keeps the generated text from now on.
    pub(super) fn keep_text(&mut self) {
        self.said = Some(String::new());
    }

    /// The text it kept.
    pub(super) fn said(&self) -> Option<&str> {
        self.said.as_deref()
    }

    /// Lets the request body go.
    pub(super) fn let_go(&mut self) {
        self.call = None;
    }

    /// Ends the translation: the books are closed.
    pub(super) fn over(&mut self) {
        self.translator = None;
    }

    /// The answer came to its end.
    pub(super) fn succeeded(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.success(Instant::now());
        }
    }

    /// Tells the target's health what went wrong.
    pub fn blame(&mut self, blame: Blame, kind: &str) {
        let Some(serving) = self.serving.take() else { return };
        serving.blame(Instant::now(), blame, kind);
    }
}
