//! Server-sent events in bytes split anywhere (WHATWG HTML, section 9.2): finds where events end
//! and what their data is, copying nothing it does not have to.

use std::borrow::Cow;

use bytes::{Buf, Bytes, BytesMut};

use crate::adapter::TranslateError;

/// No provider sends events near this size; what grows past it is not an event stream.
pub(crate) const EVENT_CAP: usize = 4 * 1024 * 1024;

/// Splits a stream into whole events, each with its terminating blank line.
#[derive(Debug)]
pub(crate) struct Splitter {
    /// The beginning of an event whose end has not come.
    held: BytesMut,
    cap: usize,
    begun: bool,
}

impl Splitter {
    pub(crate) fn new(cap: usize) -> Self {
        Self { held: BytesMut::new(), cap, begun: false }
    }

    /// Adds bytes and returns all of the stream that ends with a whole event; what is left over
    /// is kept. In the common case (whole events arrive) this is `input` itself.
    pub(crate) fn push(&mut self, mut input: Bytes) -> Result<Bytes, TranslateError> {
        if self.held.is_empty() {
            if !self.begun && input.starts_with(b"\xEF\xBB\xBF") {
                input.advance(3);
            }
            let end = last_end(&input, 0);
            let rest = input.split_off(end);
            self.hold(&rest)?;
            self.begun |= end > 0;
            return Ok(input);
        }
        // An end may straddle the seam: look again at the last bytes held.
        let from = self.held.len().saturating_sub(3);
        self.held.extend_from_slice(&input);
        if !self.begun && self.held.starts_with(b"\xEF\xBB\xBF") {
            self.held.advance(3);
        }
        let end = last_end(&self.held, from.min(self.held.len()));
        if end == 0 {
            self.check()?;
            return Ok(Bytes::new());
        }
        self.begun = true;
        let rest = self.held.split_off(end);
        let whole = std::mem::replace(&mut self.held, rest).freeze();
        self.check()?;
        Ok(whole)
    }

    /// What is left when the stream has ended: an event without its blank line, or nothing.
    pub(crate) fn finish(&mut self) -> Bytes {
        self.held.split().freeze()
    }

    fn hold(&mut self, rest: &[u8]) -> Result<(), TranslateError> {
        self.held.extend_from_slice(rest);
        self.check()
    }

    fn check(&self) -> Result<(), TranslateError> {
        if self.held.len() > self.cap { Err(TranslateError::EventTooLarge(self.cap)) } else { Ok(()) }
    }
}

/// The end of the last whole event in `bytes`, or 0. Blank lines that begin before `from` minus
/// three bytes are known not to be there.
///
/// A final CR may be half of a CRLF, so an end there is only taken when more bytes follow; the
/// stream's last event is taken by `finish`.
fn last_end(bytes: &[u8], from: usize) -> usize {
    let mut at = bytes.len();
    while let Some(newline) = memchr::memrchr2(b'\n', b'\r', bytes.get(from..at).unwrap_or_default()) {
        let position = from + newline;
        if ends_event(bytes, position) {
            return position + 1;
        }
        at = position;
    }
    0
}

/// Whether the line break whose last byte is at `position` closes a blank line.
fn ends_event(bytes: &[u8], position: usize) -> bool {
    if bytes.get(position) == Some(&b'\r') {
        // Followed by LF it is not the last byte of its line break; at the end it may be yet.
        if bytes.get(position + 1).is_none_or(|next| *next == b'\n') {
            return false;
        }
    }
    let crlf = bytes.get(position) == Some(&b'\n') && position > 0 && bytes.get(position - 1) == Some(&b'\r');
    let before = if crlf { position.checked_sub(2) } else { position.checked_sub(1) };
    before.and_then(|before| bytes.get(before)).is_some_and(|byte| matches!(byte, b'\n' | b'\r'))
}

/// One event of a block.
pub(crate) struct Event<'a> {
    /// Where it stands in the block, with its blank line.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// The `event:` field.
    pub(crate) name: Option<&'a [u8]>,
    /// The `data:` lines, joined; `None` if there was none (a comment, a ping).
    pub(crate) data: Option<Cow<'a, [u8]>>,
}

/// The events of a block of whole events.
pub(crate) struct Events<'a> {
    block: &'a [u8],
    at: usize,
}

impl<'a> Events<'a> {
    pub(crate) fn new(block: &'a [u8]) -> Self {
        Self { block, at: 0 }
    }

    /// The next line without its break, and moves past it. `None` at the end.
    fn line(&mut self) -> Option<&'a [u8]> {
        let rest = self.block.get(self.at..).filter(|rest| !rest.is_empty())?;
        let Some(end) = memchr::memchr2(b'\n', b'\r', rest) else {
            self.at = self.block.len();
            return Some(rest);
        };
        let crlf = rest.get(end) == Some(&b'\r') && rest.get(end + 1) == Some(&b'\n');
        self.at += end + if crlf { 2 } else { 1 };
        rest.get(..end)
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        let mut event = Event { start: self.at, end: self.at, name: None, data: None };
        while let Some(line) = self.line() {
            event.end = self.at;
            if line.is_empty() {
                return Some(event);
            }
            if let Some(value) = field(line, b"data") {
                match &mut event.data {
                    None => event.data = Some(Cow::Borrowed(value)),
                    Some(data) => {
                        data.to_mut().push(b'\n');
                        data.to_mut().extend_from_slice(value);
                    }
                }
            } else if let Some(value) = field(line, b"event") {
                event.name = Some(value);
            }
        }
        (event.end > event.start).then_some(event)
    }
}

/// The value of a field line, with the one optional space after the colon removed.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name)?;
    if rest.is_empty() {
        return Some(rest);
    }
    let value = rest.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn datas(stream: &[u8], cuts: &[usize]) -> Vec<String> {
        let mut splitter = Splitter::new(EVENT_CAP);
        let mut all = Vec::new();
        let mut at = 0;
        let mut take = |block: &[u8]| {
            for event in Events::new(block) {
                all.extend(event.data.map(|data| String::from_utf8_lossy(&data).into_owned()));
            }
        };
        for cut in cuts.iter().copied().chain([stream.len()]) {
            let cut = cut.clamp(at, stream.len());
            take(&splitter.push(Bytes::copy_from_slice(&stream[at..cut])).unwrap());
            at = cut;
        }
        take(&splitter.finish());
        all
    }

    #[test]
    fn every_line_ending_and_odd_shape() {
        let stream = b"\xEF\xBB\xBFdata: a\r\n\r\ndata:b\n\n: ping\n\ndata: c\r\rdata: d\ndata:  e\n\nevent: x\ndata\n\ndata: last";
        assert_eq!(datas(stream, &[]), ["a", "b", "c", "d\n e", "", "last"]);
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut splitter = Splitter::new(10);
        assert!(splitter.push(Bytes::from_static(b"data: 0123")).is_ok());
        assert_eq!(splitter.push(Bytes::from_static(b"4")), Err(TranslateError::EventTooLarge(10)));
    }

    #[test]
    fn whole_events_are_not_copied() {
        let input = Bytes::from_static(b"data: a\n\ndata: b\n\n");
        let out = Splitter::new(EVENT_CAP).push(input.clone()).unwrap();
        assert_eq!((out.as_ptr(), out.len()), (input.as_ptr(), input.len()));
    }

    proptest! {
        #[test]
        fn splits_do_not_matter(
            parts in proptest::collection::vec("(data: ?[a-zé中 ]{0,5}|: c|event: x|)(\r\n|\n|\r)", 0..20),
            cuts in proptest::collection::vec(0..200usize, 0..10),
        ) {
            let stream = parts.concat();
            let mut cuts = cuts;
            cuts.sort_unstable();
            prop_assert_eq!(datas(stream.as_bytes(), &cuts), datas(stream.as_bytes(), &[]));
        }
    }
}
