//! Random numbers for laying out the slide.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::micron::{PointUm, VectorUm};

/// Seeded dice. Numbers are made from raw bits here, so that a new version of
/// `rand` cannot change a painted slide.
pub(crate) struct Dice(Pcg64Mcg);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Pcg64Mcg::seed_from_u64(seed))
    }

    /// 0 to 1 (1 excluded).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// Between `from` and `to`.
    pub(crate) fn range(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.unit()
    }

    /// Returns `true` in this share of calls.
    pub(crate) fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// A direction of length 1.
    pub(crate) fn direction(&mut self) -> VectorUm {
        loop {
            let v = VectorUm::new(self.range(-1.0, 1.0), self.range(-1.0, 1.0));
            let square = v.square_length();
            if square > 0.01 && square < 1.0 {
                return v / square.sqrt();
            }
        }
    }

    /// A random point of the rectangle from `from` to `to`.
    pub(crate) fn point(&mut self, from: PointUm, to: PointUm) -> PointUm {
        PointUm::new(self.range(from.x, to.x), self.range(from.y, to.y))
    }
}
