//! A vector as an index keeps it: of length 1, in int8.

use crate::model::Embedding;

/// A vector that cannot be compared, or not with those of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VectorError {
    /// It points nowhere.
    #[error("the vector is empty or all its values are 0")]
    Zero,
    /// A value is infinite or not a number.
    #[error("value {0} of the vector is not a finite number")]
    NotFinite(usize),
    /// Vectors of different models.
    #[error("the vector has {given} dimensions, those of the index have {expected}")]
    Dimensions {
        /// Of the vectors in the index.
        expected: usize,
        /// Of this one.
        given: usize,
    },
}

/// A vector of length 1 in int8: `unit ≈ values × scale`.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantised {
    pub(crate) values: Box<[i8]>,
    pub(crate) scale: f32,
}

impl Quantised {
    /// Any vector, for instance of an embeddings endpoint; its length does not matter, its direction does.
    ///
    /// # Errors
    /// When it has no direction.
    #[expect(clippy::cast_possible_truncation, reason = "lengths of f32 vectors fit an f32")]
    pub fn from_vector(vector: &[f32]) -> Result<Self, VectorError> {
        if let Some(at) = vector.iter().position(|x| !x.is_finite()) {
            return Err(VectorError::NotFinite(at));
        }
        let length = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        if length <= 0.0 {
            return Err(VectorError::Zero);
        }
        let unit: Vec<f32> = vector.iter().map(|x| (f64::from(*x) / length) as f32).collect();
        Ok(Self::of_unit(&unit))
    }

    pub(crate) fn new(embedding: &Embedding) -> Self {
        Self::of_unit(&embedding.unit)
    }

    #[expect(clippy::cast_possible_truncation, reason = "within -127..=127 by the division")]
    fn of_unit(unit: &[f32]) -> Self {
        let largest = unit.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
        let scale = if largest > 0.0 { largest / 127.0 } else { 1.0 };
        Self { values: unit.iter().map(|x| (x / scale).round() as i8).collect(), scale }
    }

    /// Number of values.
    pub fn dimensions(&self) -> usize {
        self.values.len()
    }

    /// Cosine of two vectors; 0 if they have different dimensions.
    pub fn similarity(&self, other: &Self) -> f32 {
        if self.values.len() != other.values.len() {
            return 0.0;
        }
        let sum: i32 = self.values.iter().zip(&other.values).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
        as_similarity(sum, self.scale * other.scale)
    }
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the instruction set")]
#[expect(clippy::cast_precision_loss, reason = "256 × 127² fits; of longer vectors the last of 24 bits is rounded")]
pub(crate) fn as_similarity(sum: i32, scale: f32) -> f32 {
    sum as f32 * scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_direction_counts_and_not_the_length() {
        let of = |v: &[f32]| Quantised::from_vector(v).unwrap();
        let (a, b) = (of(&[3.0, 4.0, 0.0]), of(&[0.3e-20, 0.4e-20, 0.0]));
        assert!((a.similarity(&b) - 1.0).abs() < 0.01);
        assert!(a.similarity(&of(&[0.0, 0.0, -2.0])).abs() < 0.01);
        assert!(a.similarity(&of(&[1.0, 0.0])).abs() < f32::EPSILON);
    }

    #[test]
    fn a_vector_without_direction_is_refused() {
        assert_eq!(Quantised::from_vector(&[]), Err(VectorError::Zero));
        assert_eq!(Quantised::from_vector(&[0.0; 4]), Err(VectorError::Zero));
        assert_eq!(Quantised::from_vector(&[1.0, f32::NAN]), Err(VectorError::NotFinite(1)));
        assert_eq!(Quantised::from_vector(&[f32::INFINITY]), Err(VectorError::NotFinite(0)));
    }
}
