//! AWS's binary event stream (`application/vnd.amazon.eventstream`) in bytes split anywhere: finds
//! the messages and checks both of their checksums.
//!
//! A message is, in network byte order: its length, the length of its headers, the CRC-32 of those
//! eight bytes; headers; payload; the CRC-32 of all before.

use bytes::{Buf, Bytes, BytesMut};

use crate::adapter::TranslateError;

const PRELUDE: usize = 12;
const CHECKSUM: usize = 4;
/// What a header's value may be; only strings are of use here.
const STRING: u8 = 7;

/// Splits a stream into messages.
#[derive(Debug)]
pub(crate) struct Messages {
    held: BytesMut,
    cap: usize,
}

/// One message whose checksums are right.
pub(crate) struct Message {
    bytes: Bytes,
    headers: usize,
}

impl Messages {
    pub(crate) fn new(cap: usize) -> Self {
        Self { held: BytesMut::new(), cap }
    }

    /// Adds bytes.
    pub(crate) fn push(&mut self, input: &[u8]) {
        self.held.extend_from_slice(input);
    }

    /// Whether nothing of an unfinished message is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The next whole message; `None` when more bytes are needed.
    pub(crate) fn next(&mut self) -> Result<Option<Message>, TranslateError> {
        let Some(mut prelude) = self.held.get(..PRELUDE) else { return Ok(None) };
        let sum = crc32fast::hash(&prelude[..PRELUDE - CHECKSUM]);
        let (total, headers) = (prelude.get_u32() as usize, prelude.get_u32() as usize);
        if prelude.get_u32() != sum {
            return Err(malformed("the checksum of a message's prelude is wrong"));
        }
        if total > self.cap {
            return Err(TranslateError::EventTooLarge(self.cap));
        }
        if total < PRELUDE + CHECKSUM || headers > total - PRELUDE - CHECKSUM {
            return Err(malformed("the lengths of a message contradict each other"));
        }
        if self.held.len() < total {
            return Ok(None);
        }
        let bytes = self.held.split_to(total).freeze();
        let (body, mut checksum) = bytes.split_at(total - CHECKSUM);
        if checksum.get_u32() != crc32fast::hash(body) {
            return Err(malformed("the checksum of a message is wrong"));
        }
        Ok(Some(Message { bytes, headers }))
    }
}

fn malformed(what: &str) -> TranslateError {
    TranslateError::Malformed(what.to_owned())
}

impl Message {
    /// The body.
    pub(crate) fn payload(&self) -> &[u8] {
        self.bytes.get(PRELUDE + self.headers..self.bytes.len() - CHECKSUM).unwrap_or_default()
    }

    /// The string of a header.
    fn header(&self, wanted: &[u8]) -> Option<&[u8]> {
        let mut rest = self.bytes.get(PRELUDE..PRELUDE + self.headers)?;
        while let Some((length, after)) = rest.split_first() {
            let (name, after) = after.split_at_checked(usize::from(*length))?;
            let (kind, after) = after.split_first()?;
            let (skip, length) = match kind {
                0 | 1 => (0, 0),
                2 => (0, 1),
                3 => (0, 2),
                4 => (0, 4),
                5 | 8 => (0, 8),
                6 | &STRING => (2, usize::from(u16::from_be_bytes([*after.first()?, *after.get(1)?]))),
                9 => (0, 16),
                _ => return None,
            };
            let (value, after) = after.get(skip..)?.split_at_checked(length)?;
            if name == wanted && *kind == STRING {
                return Some(value);
            }
            rest = after;
        }
        None
    }

    /// What happened: the type of the event or of the exception, or the code of the error.
    pub(crate) fn name(&self) -> Option<&[u8]> {
        [b":event-type".as_slice(), b":exception-type", b":error-code"].into_iter().find_map(|name| self.header(name))
    }

    /// Whether it is an exception or an error.
    pub(crate) fn failed(&self) -> bool {
        self.header(b":message-type").is_some_and(|kind| kind != b"event")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Writes a message as AWS does.
    pub(crate) fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
        let mut head = Vec::new();
        for (name, value) in headers {
            head.push(u8::try_from(name.len()).unwrap());
            head.extend_from_slice(name.as_bytes());
            head.push(STRING);
            head.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
            head.extend_from_slice(value.as_bytes());
        }
        let total = PRELUDE + head.len() + payload.len() + CHECKSUM;
        let mut out = u32::try_from(total).unwrap().to_be_bytes().to_vec();
        out.extend_from_slice(&u32::try_from(head.len()).unwrap().to_be_bytes());
        out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
        out.extend_from_slice(&head);
        out.extend_from_slice(payload);
        out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
        out
    }

    #[test]
    fn a_message_that_aws_published_is_read() {
        // The example of the service's documentation: no headers, no payload.
        let empty = [0, 0, 0, 0x10, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff];
        assert_eq!(message(&[], b""), empty);
        let mut messages = Messages::new(100);
        messages.push(&empty);
        assert!(messages.next().unwrap().is_some_and(|message| message.payload().is_empty()));
        assert!(messages.next().unwrap().is_none() && messages.is_empty());
    }

    #[test]
    fn a_wrong_byte_anywhere_is_an_error() {
        let good = message(&[(":message-type", "event"), (":event-type", "messageStop")], b"{\"a\":1}");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            let mut messages = Messages::new(1000);
            messages.push(&bad);
            assert!(messages.next().is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_message_of_100_mb_is_refused_by_its_length() {
        let mut out = (100_u32 << 20).to_be_bytes().to_vec();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
        let mut messages = Messages::new(4 << 20);
        messages.push(&out);
        assert!(matches!(messages.next(), Err(TranslateError::EventTooLarge(_))));
    }

    proptest! {
        #[test]
        fn splits_do_not_matter(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 1..6),
            cut in 1..40_usize,
        ) {
            let stream: Vec<u8> = payloads.iter().flat_map(|payload| message(&[(":event-type", "x")], payload)).collect();
            let mut messages = Messages::new(1000);
            let mut read = Vec::new();
            for piece in stream.chunks(cut) {
                messages.push(piece);
                while let Some(message) = messages.next().unwrap() {
                    prop_assert_eq!(message.name(), Some(b"x".as_slice()));
                    read.push(message.payload().to_vec());
                }
            }
            prop_assert_eq!(read, payloads);
        }

        #[test]
        fn any_bytes_are_no_crash(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut messages = Messages::new(1000);
            messages.push(&bytes);
            while let Ok(Some(message)) = messages.next() {
                let _name = message.name();
            }
        }
    }
}
