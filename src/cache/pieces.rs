//! A stream of events, kept small: each event is written as what it has not in common with the one before it.

use bytes::Bytes;

use super::events;

/// A stream, byte for byte. Most events of an answer differ in a word.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pieces {
    packed: Bytes,
    /// Bytes of the whole stream.
    length: usize,
}

impl Pieces {
    pub(super) fn of(stream: &[u8]) -> Self {
        let (mut packed, mut before): (Vec<u8>, &[u8]) = (Vec::new(), &[]);
        for block in events::blocks(stream) {
            let shorter = before.len().min(block.len());
            let head = before.iter().zip(block).take_while(|(a, b)| a == b).count();
            let tails = before.iter().rev().zip(block.iter().rev());
            let tail = tails.take(shorter - head).take_while(|(a, b)| a == b).count();
            let own = block.get(head..block.len() - tail).unwrap_or_default();
            for number in [head, tail, own.len()] {
                write(&mut packed, number);
            }
            packed.extend_from_slice(own);
            before = block;
        }
        packed.shrink_to_fit();
        Self { packed: packed.into(), length: stream.len() }
    }

    /// Bytes held.
    pub(super) fn size(&self) -> usize {
        self.packed.len()
    }

    /// The stream as it was.
    pub(super) fn stream(&self) -> Bytes {
        let mut out: Vec<u8> = Vec::with_capacity(self.length);
        let (mut rest, mut begin) = (&*self.packed, 0);
        while let Some(at) = append(&mut rest, &mut out, begin) {
            begin = at;
        }
        Bytes::from(out)
    }
}

/// Appends the next event to those that end with the one that begins at `begin`, and returns where it begins.
fn append(rest: &mut &[u8], out: &mut Vec<u8>, begin: usize) -> Option<usize> {
    let (head, tail, own) = (read(rest)?, read(rest)?, read(rest)?);
    let (own, after) = rest.split_at_checked(own)?;
    *rest = after;
    let end = out.len();
    out.extend_from_within(begin..begin.checked_add(head).filter(|to| *to <= end)?);
    out.extend_from_slice(own);
    out.extend_from_within(end.checked_sub(tail).filter(|from| *from >= begin)?..end);
    Some(end)
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn write(out: &mut Vec<u8>, mut number: usize) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return out.push(low & 0x7f);
        }
        out.push(low | 0x80);
    }
}

fn read(from: &mut &[u8]) -> Option<usize> {
    let mut number = 0;
    for shift in (0..usize::BITS).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        number |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_stream_of_words_is_small() {
        let chunk = |word: &str| {
            format!("data: {{\"id\":\"c\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{word}\"}}}}]}}\n\n")
        };
        let words = ["One", " two", " three", " four", " five", " six"];
        let stream: String = words.map(chunk).concat() + "data: [DONE]\n\n";
        let pieces = Pieces::of(stream.as_bytes());
        assert_eq!(pieces.stream(), stream);
        assert!(pieces.size() < chunk("").len() + 6 * 10 + 20, "{} of {}", pieces.size(), stream.len());
        assert_eq!(Pieces::of(b"").stream(), "");
    }

    proptest! {
        #[test]
        fn every_stream_comes_back_byte_for_byte(
            parts in prop::collection::vec("(data: [ab]{0,300}\n\n|: c\n\n|event: x\r\ndata: [ab]{0,9}\r\n\r\n|\n|[ab]{0,3})", 0..30)
        ) {
            let stream = parts.concat();
            prop_assert_eq!(Pieces::of(stream.as_bytes()).stream(), stream);
        }

        #[test]
        fn what_is_packed_wrongly_does_no_harm(packed in prop::collection::vec(any::<u8>(), 0..60)) {
            let pieces = Pieces { packed: packed.into(), length: 0 };
            prop_assert!(pieces.stream().len() < 1 << 20);
        }
    }
}
