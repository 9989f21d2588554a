//! Random numbers of the virtual stage.

use std::f64::consts::TAU;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Seeded dice. Numbers are made from raw bits here, so that a new version of `rand` cannot change a frame.
#[derive(Debug, Clone)]
pub(crate) struct Dice(Pcg64Mcg);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Pcg64Mcg::seed_from_u64(seed))
    }

    /// Between `from` and `to`.
    pub(crate) fn range(&mut self, from: f64, to: f64) -> f64 {
        let unit = (self.0.next_u64() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0);
        from + (to - from) * unit
    }

    /// Normally distributed around 0 with the standard deviation 1 (Box and Muller, Ann. Math. Statist. 29, 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.range(0.0, 1.0)).ln()).sqrt();
        radius * (TAU * self.range(0.0, 1.0)).cos()
    }
}
