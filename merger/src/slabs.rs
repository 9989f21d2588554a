//! Closed rings by horizontal slabs, so that a point is compared with few of their sides: tissue has tens of thousands.

use wsi_types::Level0Point;

use crate::mask::is_right_of;

/// The sides of closed rings by the slabs they reach into.
pub(crate) struct Slabs {
    top: f64,
    slabs_per_px: f64,
    /// Per slab: the sides that reach into it.
    sides: Vec<Vec<(Level0Point, Level0Point)>>,
}

impl Slabs {
    /// Approximate number of sides per slab.
    const SIDES: usize = 8;

    /// The slabs of all sides of some rings.
    pub(crate) fn new(sides: &[(Level0Point, Level0Point)]) -> Self {
        let count = (sides.len() / Self::SIDES).max(1);
        let heights = sides.iter().map(|(from, _)| from.y);
        let top = heights.clone().fold(f64::INFINITY, f64::min);
        let height = heights.fold(f64::NEG_INFINITY, f64::max) - top;
        let slabs_per_px = if height > 0.0 { count as f64 / height } else { 0.0 };
        let mut slabs = Self { top, slabs_per_px, sides: vec![Vec::new(); count] };
        for &(p, q) in sides {
            for slab in slabs.at(p.y.min(q.y))..=slabs.at(p.y.max(q.y)) {
                slabs.sides[slab].push((p, q));
            }
        }
        slabs
    }

    fn at(&self, y: f64) -> usize {
        (((y - self.top) * self.slabs_per_px).max(0.0) as usize).min(self.sides.len() - 1)
    }

    /// `true` if an odd number of rings go around a point.
    pub(crate) fn contains(&self, point: Level0Point) -> bool {
        self.sides[self.at(point.y)].iter().filter(|side| is_right_of(point, side)).count() % 2 == 1
    }
}
