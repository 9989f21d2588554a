//! Round objects with uneven outlines: pieces of tissue, glands, nests, vessels.

use crate::{
    dice::Dice,
    micron::{PointUm, VectorUm},
};

/// An ellipse whose radius wobbles with the direction.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Blob {
    pub(crate) centre: PointUm,
    /// Direction of the first radius, of length 1.
    axis: VectorUm,
    radii: (f64, f64),
    /// Cosine and sine parts of the wobble of order 2, 3, 4 and 5.
    wobble: [(f64, f64); 4],
    /// The largest factor the wobble can put on a radius.
    swell: f64,
}

impl Blob {
    /// A new blob; `wobble` is the largest change of radius per order, as a share.
    pub(crate) fn new(
        dice: &mut Dice,
        centre: PointUm,
        axis: VectorUm,
        radii: (f64, f64),
        wobble: f64,
    ) -> Self {
        let wobble = [1.0, 0.7, 0.5, 0.35].map(|weight| {
            let part = dice.direction() * (dice.unit() * wobble * weight);
            (part.x, part.y)
        });
        let swell = 1.0 + wobble.iter().map(|(c, s)| (c * c + s * s).sqrt()).sum::<f64>();
        Self { centre, axis, radii, wobble, swell }
    }

    /// Largest distance of a point of the blob from its centre, in µm.
    pub(crate) fn reach_um(&self) -> f64 {
        self.radii.0.max(self.radii.1) * self.swell
    }

    /// Approximate depth of a point inside the outline, in µm; negative outside.
    pub(crate) fn depth_um(&self, point: PointUm) -> f64 {
        let away = point - self.centre;
        let (along, across) = (away.dot(self.axis), self.axis.cross(away));
        let (x, y) = (along / self.radii.0, across / self.radii.1);
        let scaled = (x * x + y * y).sqrt();
        if scaled < 1e-6 {
            return self.radii.0.min(self.radii.1);
        }
        (self.factor(x / scaled, y / scaled) - scaled) * away.length() / scaled
    }

    /// The point `depth` µm inside the outline, towards a unit direction of the
    /// blob's own, stretched frame.
    pub(crate) fn point_at(&self, direction: VectorUm, depth: f64) -> PointUm {
        let factor = self.factor(direction.x, direction.y);
        let (along, across) = (direction.x * self.radii.0 * factor, direction.y * self.radii.1 * factor);
        let out = self.axis * along + VectorUm::new(-self.axis.y, self.axis.x) * across;
        self.centre + out * (1.0 - depth / out.length()).max(0.0)
    }

    /// The wobble towards the unit vector (cos t, sin t); orders by the
    /// addition theorem.
    fn factor(&self, cos: f64, sin: f64) -> f64 {
        let (mut c, mut s) = (cos, sin);
        let mut factor = 1.0;
        for (cos_part, sin_part) in self.wobble {
            (c, s) = (c * cos - s * sin, s * cos + c * sin);
            factor += cos_part * c + sin_part * s;
        }
        factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_on_the_outline_have_depth_zero() {
        let mut dice = Dice::new(5);
        let axis = dice.direction();
        let blob = Blob::new(&mut dice, PointUm::new(300.0, 200.0), axis, (80.0, 50.0), 0.1);
        for _ in 0..200 {
            let direction = dice.direction();
            assert!(blob.depth_um(blob.point_at(direction, 0.0)).abs() < 1e-6);
            let inside = blob.depth_um(blob.point_at(direction, 10.0));
            assert!((inside - 10.0).abs() < 1e-6, "{inside}");
            assert!((blob.point_at(direction, 0.0) - blob.centre).length() <= blob.reach_um());
        }
    }
}
