//! Embedding heads: `[B, D]`, a vector for each window, kept as halves.

use half::f16;
use wsi_types::Embedding;

use crate::{Manifest, WindowFault, manifest::Head, yolo::TensorView};

/// Rule that makes a vector of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VectorRule {
    dimensions: usize,
}

impl VectorRule {
    /// The rule of a model of vectors; `None` for others.
    pub(crate) fn of(manifest: &Manifest) -> Option<Self> {
        match manifest.head {
            Head::Embedding { dimensions } => Some(Self { dimensions }),
            _ => None,
        }
    }

    /// The vector of the window at `place`, each number rounded to the nearest half.
    ///
    /// # Errors
    ///
    /// [`WindowFault`] when the answer has another shape, or numbers that no half can be.
    pub(crate) fn vector(self, output: &TensorView<'_>, place: usize) -> Result<Embedding, WindowFault> {
        let numbers = match output.window(place) {
            Some((&[found], numbers)) if found == self.dimensions => numbers,
            _ => return Err(self.shape_fault(output)),
        };
        let halves = numbers.iter().map(|&number| half_of(number)).collect::<Result<Vec<u16>, _>>()?;
        Embedding::from_halves(halves).ok_or_else(|| self.shape_fault(output))
    }

    fn shape_fault(self, output: &TensorView<'_>) -> WindowFault {
        output.fault(format!("[batch, {}]", self.dimensions))
    }
}

/// The bits of the half nearest to a number.
fn half_of(number: f32) -> Result<u16, WindowFault> {
    let half = f16::from_f32(number);
    match half.is_finite() {
        true => Ok(half.to_bits()),
        false if number.is_finite() => Err(WindowFault::TooLargeForHalf { number }),
        false => Err(WindowFault::NotFinite { part: "vector" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(shape: &[usize], data: &[f32]) -> Result<Vec<f32>, WindowFault> {
        let output = TensorView { name: "vectors", shape, data };
        let vector = VectorRule { dimensions: 3 }.vector(&output, shape[0] - 1)?;
        Ok(vector.halves().iter().map(|&half| f16::from_bits(half).to_f32()).collect())
    }

    #[test]
    fn a_vector_is_that_of_its_window_in_halves() {
        let both = [9.0, 9.0, 9.0, 0.5, -2.0, 0.1];
        // The half nearest to 0.1.
        assert_eq!(vector(&[2, 3], &both).unwrap(), [0.5, -2.0, 0.099_975_586]);
        for shape in [&[2, 2][..], &[2, 3, 1], &[6]] {
            assert!(matches!(vector(shape, &both), Err(WindowFault::Shape { .. })), "{shape:?}");
        }
    }

    #[test]
    fn numbers_that_are_no_halves_fail_their_window() {
        assert_eq!(vector(&[1, 3], &[0.0, 65_504.0, -65_504.0]).unwrap(), [0.0, 65_504.0, -65_504.0]);
        let fault = vector(&[1, 3], &[0.0, 70_000.0, 0.0]).unwrap_err();
        assert_eq!(fault, WindowFault::TooLargeForHalf { number: 70_000.0 });
        for number in [f32::NAN, f32::INFINITY] {
            let fault = vector(&[1, 3], &[0.0, 0.0, number]).unwrap_err();
            assert_eq!(fault, WindowFault::NotFinite { part: "vector" });
        }
    }
}
