//! A name of 128 bits for a text, much cheaper than a hash that the world may see.
//!
//! It is the tag of AES-GCM (NIST SP 800-38D) under a random key of this process and one nonce, which makes it GHASH
//! plus a constant: two texts have one tag with a probability of at most their length in blocks of 16 bytes over 2^128,
//! whoever chose them, as long as nobody sees a tag. So tags are keys of a map here, and are neither shown nor stored.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// The tag.
pub(super) type Digest = [u8; 16];

/// Makes names.
pub(super) struct Digester(Option<LessSafeKey>);

impl Digester {
    /// With a key of its own: no two give the same names.
    pub(super) fn new() -> Self {
        let key: [u8; 16] = rand::random();
        Self(UnboundKey::new(&AES_128_GCM, &key).ok().map(LessSafeKey::new))
    }

    /// The name of a text in some context. `None` if there is none to be had.
    pub(super) fn of(&self, mut context: [u8; 11], text: &str) -> Option<Digest> {
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        // The context is sealed and the text only authenticated: the tag is over both.
        let tag = self.0.as_ref()?.seal_in_place_separate_tag(nonce, Aad::from(text), &mut context).ok()?;
        tag.as_ref().try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_text_in_every_context_has_its_own_name() {
        let digester = Digester::new();
        let texts: Vec<String> = (0..200).map(|length| "x".repeat(length)).chain(["y".to_owned()]).collect();
        let contexts: Vec<[u8; 11]> = (0..11).map(|at| std::array::from_fn(|index| u8::from(index == at))).collect();
        let names: HashSet<Digest> =
            texts.iter().flat_map(|text| contexts.iter().map(|context| digester.of(*context, text).unwrap())).collect();
        assert_eq!(names.len(), texts.len() * contexts.len());
        assert_eq!(digester.of([0; 11], "hello"), digester.of([0; 11], "hello"));
        assert_ne!(digester.of([0; 11], "hello"), Digester::new().of([0; 11], "hello"));
    }
}
