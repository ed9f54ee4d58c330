//! Server-sent events (WHATWG HTML section 9.2.6) of a kept answer.

/// The text in one event, in characters.
const PIECE: usize = 24;
/// Of a longer text the pieces are longer: a megabyte of answer is not ten of events.
const MOST_PIECES: usize = 1024;

/// The data of each event that has one line of it.
pub(super) fn data(stream: &[u8]) -> impl Iterator<Item = &str> {
    let lines = stream.split(|byte| *byte == b'\n');
    lines.filter_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let data = line.strip_prefix(b"data:")?;
        std::str::from_utf8(data.strip_prefix(b" ").unwrap_or(data)).ok()
    })
}

/// A stream in its events, each with the empty line that ends it; what follows the last one is an event too.
pub(super) fn blocks(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = stream;
    std::iter::from_fn(move || {
        let mut lines = rest.split_inclusive(|byte| *byte == b'\n').scan(0, |end, line| {
            *end += line.len();
            Some((*end, matches!(line, b"\n" | b"\r\n")))
        });
        let end = lines.find(|(_, empty)| *empty).map_or(rest.len(), |(end, _)| end);
        let (block, after) = rest.split_at(end);
        rest = after;
        (!block.is_empty()).then_some(block)
    })
}

pub(super) fn push(out: &mut Vec<u8>, data: &str) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(data.as_bytes());
    out.extend_from_slice(b"\n\n");
}

/// The text in pieces that end after a space where there is one; about [`MOST_PIECES`] of a long one.
pub(super) fn pieces(text: &str) -> Vec<&str> {
    let (mut found, mut rest) = (Vec::new(), text);
    let longest = PIECE.max(text.len() / MOST_PIECES);
    while !rest.is_empty() {
        let limit = rest.char_indices().nth(longest).map_or(rest.len(), |(at, _)| at);
        let (begin, _) = rest.split_at(limit);
        let end = if limit == rest.len() { limit } else { begin.rfind(' ').map_or(limit, |at| at + 1) };
        let (piece, after) = rest.split_at(end);
        found.push(piece);
        rest = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_all_of_the_text() {
        for text in ["", "a", "one two three four five six seven", &"é".repeat(100), "  lead and\n\ntrail  "] {
            let found = pieces(text);
            assert_eq!(found.concat(), text);
            assert!(found.iter().all(|p| !p.is_empty() && p.chars().count() <= PIECE), "{found:?}");
        }
    }

    #[test]
    fn a_long_answer_is_no_flood_of_events() {
        let words = "some words of an answer ".repeat(40_000);
        for text in ["x".repeat(1 << 20), words, "é ".repeat(1 << 19)] {
            let found = pieces(&text);
            assert_eq!(found.concat(), text);
            assert!(found.len() <= 2 * MOST_PIECES, "{}", found.len());
        }
    }
}
