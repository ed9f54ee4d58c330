//! The static embedding: one int8 vector for each token, their sum for a text.

use serde::Deserialize;

use crate::LoadError;
use crate::wordpiece::WordPiece;

/// Dimensions of an embedding.
pub const DIMENSIONS: usize = 256;

static TABLE: &[u8] = include_bytes!("../data/model.safetensors");

/// [PAD], [UNK], [CLS] and [SEP] say nothing about a text.
const SKIPPED: [u32; 4] = [0, 100, 101, 102];

/// A vector of length 1, or all zeros for a text without known tokens, and the length it had.
#[derive(Clone, Debug)]
pub(crate) struct Embedding {
    pub(crate) unit: [f32; DIMENSIONS],
    pub(crate) length: f32,
}

/// The model in the binary.
#[derive(Debug)]
pub(crate) struct Model {
    pieces: WordPiece,
    rows: &'static [[u8; DIMENSIONS]],
    scales: Vec<f32>,
}

#[derive(Deserialize)]
struct Header {
    embeddings: Tensor,
    scales: Tensor,
}

#[derive(Deserialize)]
struct Tensor {
    dtype: String,
    data_offsets: (usize, usize),
}

impl Model {
    /// Reads the layout of <https://github.com/huggingface/safetensors>: a length, a JSON header, the tensors.
    pub(crate) fn built_in() -> Result<Self, LoadError> {
        let bad = |what: &str| LoadError::Model(what.to_owned());
        let (length, rest) = TABLE.split_first_chunk::<8>().ok_or_else(|| bad("it is too short"))?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| bad("its header is too long"))?;
        let (header, data) = rest.split_at_checked(length).ok_or_else(|| bad("its header is cut"))?;
        let header: Header = serde_json::from_slice(header).map_err(|e| bad(&e.to_string()))?;
        let tensor = |t: &Tensor, dtype: &str| {
            if t.dtype != dtype {
                return Err(bad("a tensor has another type"));
            }
            data.get(t.data_offsets.0..t.data_offsets.1).ok_or_else(|| bad("a tensor is cut"))
        };
        let (rows, rest) = tensor(&header.embeddings, "I8")?.as_chunks::<DIMENSIONS>();
        let (scales, _) = tensor(&header.scales, "F32")?.as_chunks::<4>();
        let scales: Vec<f32> = scales.iter().map(|b| f32::from_le_bytes(*b)).collect();
        if !rest.is_empty() || rows.len() != scales.len() {
            return Err(bad("its tensors do not match"));
        }
        Ok(Self { pieces: WordPiece::built_in(), rows, scales })
    }

    pub(crate) fn embed(&self, text: &str) -> Embedding {
        self.embed_with(text, &mut Vec::with_capacity(text.len() / 3 + 4))
    }

    /// The same with room for the tokens, for whoever embeds many.
    pub(crate) fn embed_with(&self, text: &str, ids: &mut Vec<u32>) -> Embedding {
        ids.clear();
        self.pieces.encode(text, ids);
        pulp::Arch::new().dispatch(Sum { model: self, ids })
    }
}

/// The embedding of a text's tokens, compiled for each instruction set and chosen at run time.
struct Sum<'a> {
    model: &'a Model,
    ids: &'a [u32],
}

impl pulp::NullaryFnOnce for Sum<'_> {
    type Output = Embedding;

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "only what is inlined is compiled for the instruction set")]
    fn call(self) -> Embedding {
        let mut sum = [0.0_f32; DIMENSIONS];
        for id in self.ids {
            if SKIPPED.contains(id) {
                continue;
            }
            let id = *id as usize;
            if let (Some(row), Some(scale)) = (self.model.rows.get(id), self.model.scales.get(id)) {
                for (s, &byte) in sum.iter_mut().zip(row) {
                    *s += scale * f32::from(byte.cast_signed());
                }
            }
        }
        let length = dot(&sum, &sum).sqrt();
        if length > 0.0 {
            for x in &mut sum {
                *x /= length;
            }
        }
        Embedding { unit: sum, length }
    }
}

/// The sum is kept in lanes, so that it does not depend on the order in which the compiler would have to add.
pub(crate) fn dot(a: &[f32; DIMENSIONS], b: &[f32; DIMENSIONS]) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [0.0_f32; LANES];
    let (a, _) = a.as_chunks::<LANES>();
    let (b, _) = b.as_chunks::<LANES>();
    for (x, y) in a.iter().zip(b) {
        for ((lane, x), y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += x * y;
        }
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_texts_are_near_and_unlike_ones_are_not() {
        let model = Model::built_in().unwrap();
        let e = |t: &str| model.embed(t).unit;
        let capital = e("What is the capital of France?");
        assert!(dot(&capital, &e("Tell me the capital of France")) > 0.85);
        assert!(dot(&capital, &e("How do I fry an egg?")) < 0.3);
        assert!((dot(&capital, &capital) - 1.0).abs() < 1e-5);
    }

    #[test]
    fn a_text_without_known_tokens_is_the_zero_vector() {
        let model = Model::built_in().unwrap();
        for text in ["", "  \n", "[CLS] [PAD]"] {
            let e = model.embed(text);
            assert!(e.length == 0.0 && e.unit.iter().all(|x| *x == 0.0), "{text:?}");
        }
    }
}
