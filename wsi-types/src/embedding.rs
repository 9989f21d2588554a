//! Embeddings: the vector that a model gives for a window as a whole.

/// A vector of half-precision numbers, as bits of IEEE 754 binary16: all of them finite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Embedding(Box<[u16]>);

impl Embedding {
    /// The most numbers of a vector.
    pub const MOST: usize = 65_536;
    /// The bits of the exponent of a half, all set in infinity and in NaN.
    const EXPONENT: u16 = 0x7c00;

    /// Makes a vector of halves; `None` when there are none, more than [`Embedding::MOST`], or one is not finite.
    #[must_use]
    pub fn from_halves(halves: impl Into<Box<[u16]>>) -> Option<Self> {
        let halves = halves.into();
        let is_finite = halves.iter().all(|half| half & Self::EXPONENT != Self::EXPONENT);
        (is_finite && (1..=Self::MOST).contains(&halves.len())).then_some(Self(halves))
    }

    /// Its numbers, as bits.
    #[must_use]
    pub fn halves(&self) -> &[u16] {
        &self.0
    }

    /// How many numbers it has, at least 1.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_of_finite_numbers() {
        // 1, the largest, and minus the smallest.
        let halves = [0x3c00, 0x7bff, 0x8001];
        let embedding = Embedding::from_halves(halves).unwrap();
        assert_eq!((embedding.halves(), embedding.dimensions()), (&halves[..], 3));
        for wrong in [&[][..], &[0x7c00], &[0x3c00, 0xfc00], &[0x7e00], &[0; Embedding::MOST + 1]] {
            assert_eq!(Embedding::from_halves(wrong), None);
        }
    }
}
