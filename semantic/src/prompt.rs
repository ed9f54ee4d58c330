//! A prompt, ready to be compared with others.

use crate::card::{Card, Glance};
use crate::lexicon::Lexicon;
use crate::model::{DIMENSIONS, Embedding, Model};
use crate::text::Document;
use crate::vector::Quantised;

/// A prompt taken apart, with its embedding and those of its words.
#[derive(Clone, Debug)]
pub struct Prompt {
    pub(crate) document: Document,
    pub(crate) embedding: Box<Embedding>,
    /// One for each word of the content.
    pub(crate) vectors: Vec<[f32; DIMENSIONS]>,
    /// How much each word of the content says: rare words weigh more.
    pub(crate) weights: Vec<f64>,
    /// Three bytes each, sorted, each once.
    pub(crate) trigrams: Vec<u32>,
}

/// Keeps a word without a vector from weighing nothing.
const LEAST_WEIGHT: f64 = 1e-3;

impl Prompt {
    pub(crate) fn new(text: &str, model: &Model, lexicon: &'static Lexicon) -> Self {
        Self::of(Document::new(text, lexicon), text, model)
    }

    /// With the vectors of a text that has been taken apart already.
    pub(crate) fn of(document: Document, text: &str, model: &Model) -> Self {
        let words = document.content.len();
        let (mut vectors, mut weights) = (Vec::with_capacity(words), Vec::with_capacity(words));
        let mut ids = Vec::with_capacity(text.len() / 3 + 4);
        for word in document.content.iter().filter_map(|at| document.words.get(*at)) {
            let embedding = model.embed_with(word.word(), &mut ids);
            weights.push(f64::from(embedding.length) + LEAST_WEIGHT);
            vectors.push(embedding.unit);
        }
        let trigrams = trigrams(&document.plain);
        Self { document, embedding: Box::new(model.embed_with(text, &mut ids)), vectors, weights, trigrams }
    }

    /// The embedding, of length 1, for an index elsewhere.
    pub fn embedding(&self) -> &[f32] {
        &self.embedding.unit
    }

    /// What a partition keeps of it.
    pub fn card(&self) -> Card {
        Card { vector: Quantised::new(&self.embedding), glance: Glance::of(&self.document) }
    }
}

/// Of the letters and digits, with one space for any run of other characters.
fn trigrams(text: &str) -> Vec<u32> {
    let mut plain = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' => plain.push(byte),
            _ if plain.last() == Some(&b' ') => {}
            _ => plain.push(b' '),
        }
    }
    let mut found: Vec<u32> = plain.array_windows().map(|[a, b, c]| u32::from_be_bytes([0, *a, *b, *c])).collect();
    found.sort_unstable();
    found.dedup();
    found
}
