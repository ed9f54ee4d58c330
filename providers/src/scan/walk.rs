//! Where a string or a nested value ends, 64 bytes at a time: a few operations on words of bits tell
//! which quotes are escaped and which brackets stand in strings.
//!
//! The arithmetic is that of Langdale and Lemire, "Parsing Gigabytes of JSON per Second" (2019).
#![expect(clippy::inline_always, reason = "only what is inlined is compiled for the instruction set")]

use std::ops::ControlFlow::{self, Break, Continue};

use super::lanes::{Block, Lanes, Plain};

const EVEN: u64 = 0x5555_5555_5555_5555;

/// Looks for ends in the way this machine is best at.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    #[cfg(target_arch = "x86_64")]
    v3: Option<pulp::x86::V3>,
}

impl Ends {
    pub(super) fn new() -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            v3: pulp::x86::V3::try_new(),
        }
    }

    /// How many bytes there are to the end of a string, of which `rest` is what follows its first quote.
    pub(super) fn string(self, rest: &[u8]) -> Option<usize> {
        #[cfg(target_arch = "x86_64")]
        if let Some(v3) = self.v3 {
            return v3.vectorize(
                #[inline(always)]
                || walk(v3, rest, InString::default()),
            );
        }
        walk(Plain, rest, InString::default())
    }

    /// How many bytes there are to the end of an array or object, of which `rest` is what follows its first bracket.
    pub(super) fn nested(self, rest: &[u8]) -> Option<usize> {
        #[cfg(target_arch = "x86_64")]
        if let Some(v3) = self.v3 {
            return v3.vectorize(
                #[inline(always)]
                || walk(v3, rest, Nested::default()),
            );
        }
        walk(Plain, rest, Nested::default())
    }
}

/// What is looked for.
trait Seek {
    /// Looks at the next block. Ends with the place of the last byte, or with `None` where that cannot be told.
    fn look(&mut self, lanes: impl Lanes, block: &Block) -> ControlFlow<Option<u32>>;
}

#[inline(always)]
fn walk(lanes: impl Lanes, rest: &[u8], mut seek: impl Seek) -> Option<usize> {
    let (blocks, last) = rest.as_chunks();
    for (index, block) in blocks.iter().enumerate() {
        if let Break(at) = seek.look(lanes, block) {
            return Some(index * size_of::<Block>() + at? as usize + 1);
        }
    }
    let mut block: Block = [0; _];
    block.iter_mut().zip(last).for_each(|(to, from)| *to = *from);
    match seek.look(lanes, &block) {
        Break(at) => Some(size_of_val(blocks) + at? as usize + 1),
        Continue(()) => None,
    }
}

/// Backslashes before what was looked at last.
#[derive(Default)]
struct Escapes {
    /// 1 if the next byte is escaped.
    pending: u64,
}

impl Escapes {
    /// Which bytes are no backslashes that escape others, but escaped: those after an odd number of backslashes.
    #[inline(always)]
    fn escaped(&mut self, slashes: u64) -> u64 {
        let first = self.pending;
        let slashes = slashes & !first;
        let starts = slashes & !(slashes << 1);
        // To add the start of a run to it leaves a bit behind the run. Behind an odd run that bit is at an odd place
        // if the run began at an even one, and the other way round.
        let (behind_even, _) = slashes.overflowing_add(starts & EVEN);
        let (behind_odd, over) = slashes.overflowing_add(starts & !EVEN);
        self.pending = u64::from(over);
        (behind_even & !EVEN | behind_odd & EVEN) & !slashes | first
    }
}

/// The end of a string.
#[derive(Default)]
struct InString {
    escapes: Escapes,
}

impl Seek for InString {
    #[inline(always)]
    fn look(&mut self, lanes: impl Lanes, block: &Block) -> ControlFlow<Option<u32>> {
        let (quotes, slashes) = lanes.quotes(block);
        let ends = quotes & !self.escapes.escaped(slashes);
        if ends == 0 { Continue(()) } else { Break(Some(ends.trailing_zeros())) }
    }
}

/// The end of an array or object.
struct Nested {
    escapes: Escapes,
    /// All bits if the last block ended in a string, none if not.
    inside: u64,
    depth: u32,
}

impl Default for Nested {
    fn default() -> Self {
        Self { escapes: Escapes::default(), inside: 0, depth: 1 }
    }
}

impl Seek for Nested {
    #[inline(always)]
    fn look(&mut self, lanes: impl Lanes, block: &Block) -> ControlFlow<Option<u32>> {
        let (quotes, slashes) = lanes.quotes(block);
        let quotes = quotes & !self.escapes.escaped(slashes);
        if quotes == 0 && self.inside != 0 {
            return Continue(());
        }
        let strings = alternate(quotes) ^ self.inside;
        self.inside = 0_u64.wrapping_sub(strings >> 63);
        if slashes & !strings != 0 {
            // Not JSON: what it would escape is for a parser to say.
            return Break(None);
        }
        let (opens, closes) = lanes.brackets(block);
        self.count(opens & !strings, closes & !strings)
    }
}

impl Nested {
    #[inline(always)]
    fn count(&mut self, opens: u64, closes: u64) -> ControlFlow<Option<u32>> {
        if closes.count_ones() < self.depth {
            self.depth += opens.count_ones();
            self.depth -= closes.count_ones();
            return Continue(());
        }
        let mut rest = opens | closes;
        while rest != 0 {
            let at = rest.trailing_zeros();
            if opens >> at & 1 == 1 {
                self.depth += 1;
            } else {
                self.depth -= 1;
                if self.depth == 0 {
                    return Break(Some(at));
                }
            }
            rest &= rest - 1;
        }
        Continue(())
    }
}

/// Each bit says whether an odd number of bits is set up to it, itself included.
#[inline(always)]
fn alternate(bits: u64) -> u64 {
    [1, 2, 4, 8, 16, 32].into_iter().fold(bits, |bits, by| bits ^ bits << by)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Where the string ends, byte by byte.
    fn string_end(rest: &[u8]) -> Option<usize> {
        let mut escaped = false;
        let is_end = |byte: &u8| {
            let end = !escaped && *byte == b'"';
            escaped = !escaped && *byte == b'\\';
            end
        };
        rest.iter().position(is_end).map(|at| at + 1)
    }

    /// Where the nested value ends, byte by byte; `None` also for a backslash outside of strings.
    fn nested_end(rest: &[u8]) -> Option<usize> {
        let (mut at, mut depth) = (0, 1);
        while depth > 0 {
            match rest.get(at)? {
                b'"' => at += string_end(&rest[at + 1..])?,
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth -= 1,
                b'\\' => return None,
                _ => {}
            }
            at += 1;
        }
        Some(at)
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let few = |bytes: &'static [u8]| proptest::sample::select(bytes);
        let piece = prop_oneof![
            proptest::collection::vec(few(b"\\\\\\\""), 1..8),
            proptest::collection::vec(few(b"[]{}\" a"), 1..8),
            proptest::collection::vec(few(b"ab{\xc3\xbf"), 1..140),
            (1..140usize).prop_map(|length| vec![b'\\'; length]),
        ];
        proptest::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn ends_are_where_one_sees_them_byte_by_byte(bytes in bytes()) {
            let string = string_end(&bytes);
            prop_assert_eq!(Ends::new().string(&bytes), string);
            prop_assert_eq!(walk(Plain, &bytes, InString::default()), string);
            // What is looked at in one block with the end may hold a backslash behind it.
            let nested = nested_end(&bytes);
            for found in [Ends::new().nested(&bytes), walk(Plain, &bytes, Nested::default())] {
                let odd = nested.is_some_and(|end| bytes[end..].contains(&b'\\'));
                prop_assert!(found == nested || odd && found.is_none(), "{:?} for {:?}", found, nested);
            }
        }
    }
}
