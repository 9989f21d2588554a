//! Value noise from integer hashes.
//!
//! Only additions, multiplications, divisions and square roots are used here
//! and in the painter, in a fixed order: IEEE 754 defines each of them to the
//! last bit, so a seed gives the same picture on every machine.

/// Random values on a lattice, smoothly joined; one of these per purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Noise(u32);

impl Noise {
    /// A noise of its own for each `purpose` under one slide's seed.
    pub(crate) fn new(seed: u64, purpose: u32) -> Self {
        let folded = (seed as u32) ^ ((seed >> 32) as u32).rotate_left(16);
        Self(mix(folded ^ purpose.wrapping_mul(0x9E37_79B1)))
    }

    /// The value of one lattice point, 0 to 1 (1 excluded).
    #[inline]
    pub(crate) fn at(self, x: i32, y: i32) -> f32 {
        unit(self.bits(x, y))
    }

    /// 32 random bits of one lattice point.
    #[inline]
    pub(crate) fn bits(self, x: i32, y: i32) -> u32 {
        let across = (x as u32).wrapping_mul(0x85EB_CA77);
        let down = (y as u32).wrapping_mul(0xC2B2_AE3D);
        mix(self.0 ^ across ^ down.rotate_left(13))
    }

    /// The lattice joined by smooth steps, 0 to 1; the lattice pitch is 1.
    #[inline]
    pub(crate) fn value(self, x: f32, y: f32) -> f32 {
        let (column, across) = cell_of(x);
        let (row, down) = cell_of(y);
        let (right, below) = (column.wrapping_add(1), row.wrapping_add(1));
        let upper = lerp(self.at(column, row), self.at(right, row), across);
        let lower = lerp(self.at(column, below), self.at(right, below), across);
        lerp(upper, lower, down)
    }

    /// Two lattices, one turned and moved, so that no grid shows; 0 to 1.
    #[inline]
    pub(crate) fn soft(self, x: f32, y: f32) -> f32 {
        0.5 * (self.value(x, y) + self.value(0.8 * x - 0.6 * y + 0.37, 0.6 * x + 0.8 * y + 0.71))
    }

    /// Three octaves, each half as strong and half as wide as the one before;
    /// −1 to 1.
    pub(crate) fn rough(self, x: f32, y: f32) -> f32 {
        let turned = (0.8 * x - 0.6 * y, 0.6 * x + 0.8 * y);
        let coarse = self.value(x, y) - 0.5;
        let middle = self.value(turned.0 * 2.0 + 2.3, turned.1 * 2.0) - 0.5;
        let fine = self.value(x * 4.0 + 4.0, y * 4.0 - 4.0) - 0.5;
        (coarse * 4.0 + middle * 2.0 + fine) * (2.0 / 7.0)
    }
}

/// The lattice cell of a coordinate, and the smoothed share of the way across it.
#[inline]
fn cell_of(x: f32) -> (i32, f32) {
    let truncated = x as i32;
    let floor = if x < truncated as f32 { truncated.wrapping_sub(1) } else { truncated };
    let part = x - floor as f32;
    (floor, part * part * (3.0 - 2.0 * part))
}

/// Scrambles 32 bits, the upper ones best (most of the finaliser of
/// `MurmurHash3`: enough for pictures, and a third faster).
#[inline]
fn mix(mut bits: u32) -> u32 {
    bits = bits.wrapping_mul(0x85EB_CA6B);
    bits ^= bits >> 13;
    bits = bits.wrapping_mul(0xC2B2_AE35);
    bits ^ (bits >> 16)
}

/// 0 to 1 (1 excluded) from the upper 24 bits.
#[inline]
fn unit(bits: u32) -> f32 {
    (bits >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// From `a` to `b`.
#[inline]
pub(crate) fn lerp(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// 0 at and before `from`, 1 at and after `to`, smooth between; `from` may be
/// the larger one.
#[inline]
pub(crate) fn smooth_step(from: f32, to: f32, x: f32) -> f32 {
    let t = ((x - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// A smooth bump: 1 at `centre`, 0 from `half_width` away.
#[inline]
pub(crate) fn bump(centre: f32, half_width: f32, x: f32) -> f32 {
    let t = ((x - centre) / half_width).abs().min(1.0);
    1.0 - t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_stays_in_range_and_meets_the_lattice() {
        let noise = Noise::new(7, 1);
        for i in -200..200 {
            let (x, y) = (i as f32 * 0.37, i as f32 * -0.73);
            assert!((0.0..=1.0).contains(&noise.value(x, y)));
            assert!((-1.0..=1.0).contains(&noise.rough(x, y)));
        }
        assert_eq!(noise.value(-3.0, 5.0), noise.at(-3, 5));
        assert_ne!(noise.at(-3, 5), Noise::new(7, 2).at(-3, 5));
    }

    #[test]
    fn noise_has_no_step_where_coordinates_change_sign() {
        let noise = Noise::new(3, 9);
        let jump = noise.value(1e-4, 0.5) - noise.value(-1e-4, 0.5);
        assert!(jump.abs() < 1e-3, "{jump}");
    }
}
