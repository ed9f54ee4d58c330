//! Which of 64 bytes are the ones that make the structure of JSON, as bits: with the vector
//! instructions of the machine where there are some, else with what every compiler vectorises.

/// Bytes that are looked at together.
pub(super) type Block = [u8; 64];

/// A way of looking. The first byte of a block is the lowest bit.
pub(super) trait Lanes: Copy {
    /// The quotes and the backslashes.
    fn quotes(self, block: &Block) -> (u64, u64);
    /// The opening and the closing brackets, of both kinds.
    fn brackets(self, block: &Block) -> (u64, u64);
}

/// Makes the lower case of two brackets of it, and of nothing else: `[` and `{`, `]` and `}` differ in one bit.
const KIND: u8 = 0x20;

/// Without instructions of its own.
#[derive(Clone, Copy)]
pub(super) struct Plain;

/// The bytes for which `is` holds.
fn gather(block: &Block, is: impl Fn(u8) -> bool) -> u64 {
    let marks = block.map(|byte| u8::from(is(byte)));
    let (words, _) = marks.as_chunks::<8>();
    // Of eight bytes that are 0 or 1 the product has the eight bits in its highest byte.
    let bits = words.iter().map(|word| u64::from_le_bytes(*word).wrapping_mul(0x0102_0408_1020_4080) >> 56);
    bits.enumerate().fold(0, |all, (at, bits)| all | bits << (8 * at))
}

impl Lanes for Plain {
    #[inline]
    fn quotes(self, block: &Block) -> (u64, u64) {
        // Most blocks of prose have neither.
        let any = block.iter().fold(0, |any, byte| any | u8::from(*byte == b'"') | u8::from(*byte == b'\\'));
        if any == 0 {
            return (0, 0);
        }
        (gather(block, |byte| byte == b'"'), gather(block, |byte| byte == b'\\'))
    }

    #[inline]
    fn brackets(self, block: &Block) -> (u64, u64) {
        (gather(block, |byte| byte | KIND == b'{'), gather(block, |byte| byte | KIND == b'}'))
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    #![expect(clippy::inline_always, reason = "only what is inlined is compiled for the instruction set")]

    use std::arch::x86_64::__m256i;

    use pulp::x86::V3;

    use super::{Block, KIND, Lanes};

    #[inline(always)]
    fn halves(block: &Block) -> [__m256i; 2] {
        pulp::cast(*block)
    }

    #[inline(always)]
    fn equal(with: V3, halves: [__m256i; 2], byte: u8) -> u64 {
        let byte = with.avx._mm256_set1_epi8(byte.cast_signed());
        let [low, high] = halves.map(|half| with.avx2._mm256_movemask_epi8(with.avx2._mm256_cmpeq_epi8(half, byte)));
        u64::from(low.cast_unsigned()) | u64::from(high.cast_unsigned()) << 32
    }

    /// AVX2.
    impl Lanes for V3 {
        #[inline(always)]
        fn quotes(self, block: &Block) -> (u64, u64) {
            let halves = halves(block);
            (equal(self, halves, b'"'), equal(self, halves, b'\\'))
        }

        #[inline(always)]
        fn brackets(self, block: &Block) -> (u64, u64) {
            let kind = self.avx._mm256_set1_epi8(KIND.cast_signed());
            let halves = halves(block).map(|half| self.avx2._mm256_or_si256(half, kind));
            (equal(self, halves, b'{'), equal(self, halves, b'}'))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one_by_one(block: &Block, is: impl Fn(u8) -> bool) -> u64 {
        block.iter().enumerate().fold(0, |bits, (at, byte)| bits | u64::from(is(*byte)) << at)
    }

    fn check(lanes: impl Lanes, block: &Block) {
        let is = |bytes: &'static [u8]| one_by_one(block, move |byte| bytes.contains(&byte));
        assert_eq!(lanes.quotes(block), (is(b"\""), is(b"\\")));
        assert_eq!(lanes.brackets(block), (is(b"{["), is(b"}]")));
    }

    proptest! {
        #[test]
        fn all_ways_see_the_same(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), proptest::sample::select(&b"\"\\[]{}"[..])], 64),
        ) {
            let block: Block = bytes.try_into().unwrap();
            check(Plain, &block);
            #[cfg(target_arch = "x86_64")]
            if let Some(v3) = pulp::x86::V3::try_new() {
                check(v3, &block);
            }
        }
    }
}
