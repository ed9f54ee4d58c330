//! What streams are made of: server-sent events, and AWS event-stream frames.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::Value;

/// The events of a stream in the order they are sent. Only content is paced, counted and broken.
pub(crate) struct Events {
    pub(crate) prelude: Vec<Bytes>,
    pub(crate) content: Box<dyn Iterator<Item = Bytes> + Send>,
    pub(crate) end: Vec<Bytes>,
    /// Says that the provider failed in the middle.
    pub(crate) error: Bytes,
    /// Stands for an event and cannot be read.
    pub(crate) malformed: Bytes,
}

/// An event without a name.
pub(crate) fn data(value: &Value) -> Bytes {
    Bytes::from(format!("data: {value}\n\n"))
}

/// An event with a name.
pub(crate) fn named(name: &str, value: &Value) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {value}\n\n"))
}

/// An event as Google writes it.
pub(crate) fn google(value: &Value) -> Bytes {
    Bytes::from(format!("data: {value}\r\n\r\n"))
}

/// Several events in one piece.
pub(crate) fn join(parts: &[Bytes]) -> Bytes {
    match parts {
        [one] => one.clone(),
        _ => parts.concat().into(),
    }
}

/// An event of an AWS stream: `application/vnd.amazon.eventstream`, smithy.io "Amazon Event
/// Stream" specification. `kind` is `event` or `exception`.
pub(crate) fn aws(kind: &str, name: &str, payload: &[u8]) -> Bytes {
    let mut headers = BytesMut::new();
    let pairs = [
        (format!(":{kind}-type"), name),
        (":content-type".to_owned(), "application/json"),
        (":message-type".to_owned(), kind),
    ];
    for (header, value) in &pairs {
        headers.put_u8(u8::try_from(header.len()).unwrap_or(u8::MAX));
        headers.put_slice(header.as_bytes());
        // 7 is a string with a length of two bytes.
        headers.put_u8(7);
        headers.put_u16(u16::try_from(value.len()).unwrap_or(u16::MAX));
        headers.put_slice(value.as_bytes());
    }
    // Two lengths and their checksum before, the checksum of all behind.
    let total = 12 + headers.len() + payload.len() + 4;
    let mut frame = BytesMut::with_capacity(total);
    frame.put_u32(u32::try_from(total).unwrap_or(u32::MAX));
    frame.put_u32(u32::try_from(headers.len()).unwrap_or(u32::MAX));
    let prelude = crc32fast::hash(&frame);
    frame.put_u32(prelude);
    frame.put_slice(&headers);
    frame.put_slice(payload);
    let message = crc32fast::hash(&frame);
    frame.put_u32(message);
    frame.freeze()
}

/// The frame with its last checksum made wrong.
pub(crate) fn corrupt(frame: &Bytes) -> Bytes {
    let mut bytes = frame.to_vec();
    if let Some(last) = bytes.last_mut() {
        *last ^= 0xff;
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_those_of_the_specification() {
        let frame = aws("event", "messageStart", b"{\"role\":\"assistant\"}");
        let read = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
        assert_eq!(read(0) as usize, frame.len());
        assert_eq!(read(8), crc32fast::hash(&frame[..8]));
        assert_eq!(read(frame.len() - 4), crc32fast::hash(&frame[..frame.len() - 4]));
        let headers = &frame[12..12 + read(4) as usize];
        assert_eq!(&headers[..12], b"\x0b:event-type");
        assert!(frame[12 + headers.len()..].starts_with(b"{\"role\""));
        // The empty message of the specification's test vectors.
        let empty = [0, 0, 0, 16, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb];
        assert_eq!((crc32fast::hash(&empty[..8]), crc32fast::hash(&empty)), (0x05c2_48eb, 0x7d98_c8ff));
        assert_ne!(corrupt(&frame), frame);
    }
}
