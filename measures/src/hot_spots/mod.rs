//! Hot spots: places where a field of a stated size holds most cells.
//!
//! The position is the best of *all* positions, not of a grid of them: a grid of
//! steps of half a field misses up to a quarter of the cells. For circles the best
//! position is found by branch and bound over the plane, which ends where the
//! remaining circles are few and can be compared pair by pair (`circles.rs`); for
//! squares by a sweep with a segment tree (`squares.rs`).

mod circles;
mod heap;
mod squares;

use wsi_types::{Level0Box, Level0Point, Mpp};

use crate::{
    error::Result,
    field::{Field, FieldShape},
    ground::{Ground, corners, refuse_infinite},
};

/// A field, and the cells in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HotSpot {
    /// Centre of the field, level-0 px.
    pub centre: Level0Point,
    /// Its outline.
    pub shape: FieldShape,
    /// Its reach from the centre in level-0 px: the radius of a circle, half the
    /// side of a square.
    pub reach_px: f64,
    /// Cells in it, those on its border included, but without those that lie on the border of a better field,
    /// too, and were counted there.
    pub cells: u64,
    /// Area of its part on the ground, in mm².
    pub area_mm2: f64,
    /// The share of the stated area that exists, 0 to 1; less than 1 for a field
    /// that reaches over the border of the ground.
    pub share: f64,
}

impl HotSpot {
    /// Cells per mm² of the area that exists; `None` when it is 0.
    #[must_use]
    pub fn per_mm2(&self) -> Option<f64> {
        (self.area_mm2 > 0.0).then(|| self.cells as f64 / self.area_mm2)
    }

    /// The smallest upright box around it, level-0 px.
    #[must_use]
    pub fn bounds(&self) -> Level0Box {
        Level0Box::new(self.centre, self.centre).inflate(self.reach_px, self.reach_px)
    }

    /// `true` if a cell at `point` is one of its cells.
    #[must_use]
    pub fn contains(&self, point: Level0Point) -> bool {
        match self.shape {
            FieldShape::Circle => circles::holds(self.centre, self.reach_px, point),
            FieldShape::Square => squares::holds(self.centre, self.reach_px, point),
        }
    }

    /// Its outline for drawing, level-0 px: a square's four corners, a circle's 72
    /// points.
    #[must_use]
    pub fn ring(&self) -> Vec<Level0Point> {
        const STEPS: u32 = 72;
        match self.shape {
            FieldShape::Square => corners(self.bounds()).to_vec(),
            FieldShape::Circle => (0..STEPS)
                .map(|step| {
                    let (sin, cos) = (f64::from(step) * std::f64::consts::TAU / f64::from(STEPS)).sin_cos();
                    self.centre + euclid::vec2(cos, sin) * self.reach_px
                })
                .collect(),
        }
    }
}

/// The fields with most cells: the best of all positions, then the best of all that
/// do not overlap it, and so on; at most `most`, and only fields with a cell.
///
/// `cells` are the centroids of the cells that are counted, in level-0 px. Only
/// those on `ground` count. Fields may reach over the border of the ground; then
/// [`HotSpot::area_mm2`] is less than the field's. Fields may touch each other.
///
/// The same for any order of the cells. Positions are resolved to a billionth of a circle's radius, or 1/1024
/// px for squares; a cell this near to the border of a field is in it.
///
/// # Errors
///
/// [`Point`](crate::MeasureError::Point) for a cell whose position is not finite.
pub fn hot_spots(
    cells: &[Level0Point],
    mpp: Mpp,
    field: Field,
    ground: &Ground,
    most: usize,
) -> Result<Vec<HotSpot>> {
    for (place, cell) in cells.iter().enumerate() {
        refuse_infinite(place, *cell)?;
    }
    let cells: Vec<Level0Point> = cells.iter().copied().filter(|cell| ground.contains(*cell)).collect();
    let reach_px = field.reach_um() / mpp.get();
    let found = match field.shape() {
        FieldShape::Circle => circles::best(&cells, reach_px, most),
        FieldShape::Square => squares::best(&cells, reach_px, most),
    };
    Ok(found.into_iter().map(|(centre, count)| spot(centre, count, mpp, field, ground)).collect())
}

/// A field that was found, with its area on the ground.
fn spot(centre: Level0Point, cells: u64, mpp: Mpp, field: Field, ground: &Ground) -> HotSpot {
    let reach_px = field.reach_um() / mpp.get();
    let exists_px2 = match field.shape() {
        FieldShape::Circle => ground.area_of_circle(centre, reach_px),
        FieldShape::Square => ground.area_of_box(Level0Box::new(centre, centre).inflate(reach_px, reach_px)),
    };
    let area_mm2 = (exists_px2 * mpp.get() * mpp.get() * 1e-6).min(field.area_mm2());
    let share = area_mm2 / field.area_mm2();
    HotSpot { centre, shape: field.shape(), reach_px, cells, area_mm2, share }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::MeasureError;

    fn point(x: f64, y: f64) -> Level0Point {
        euclid::point2(x, y)
    }

    /// One px per µm, so that a reach of 10 px is a field of 10 µm.
    fn spots(
        cells: &[Level0Point],
        shape: FieldShape,
        reach: f64,
        ground: &Ground,
        most: usize,
    ) -> Vec<HotSpot> {
        let area_um2 = match shape {
            FieldShape::Circle => std::f64::consts::PI * reach * reach,
            FieldShape::Square => 4.0 * reach * reach,
        };
        let field = Field::new(shape, area_um2 * 1e-6).unwrap();
        hot_spots(cells, Mpp::new(1.0).unwrap(), field, ground, most).unwrap()
    }

    const SHAPES: [FieldShape; 2] = [FieldShape::Circle, FieldShape::Square];

    #[test]
    fn cells_that_a_grid_of_fields_would_part_are_one_hot_spot() {
        // Five cells whose extent is just the field's.
        let cells = [(100.0, 100.0), (120.0, 100.0), (110.0, 110.0), (110.0, 90.0), (110.0, 100.0)];
        let cells = cells.map(|(x, y)| point(x, y));
        for shape in SHAPES {
            let found = spots(&cells, shape, 10.0, &Ground::everywhere(), 3);
            assert_eq!(found.len(), 1, "{shape:?}");
            assert_eq!(found[0].cells, 5, "{shape:?}");
            assert!((found[0].share - 1.0).abs() < 1e-12, "{shape:?}");
            assert!((found[0].centre - point(110.0, 100.0)).length() < 1e-3, "{:?}", found[0].centre);
            assert!(cells.iter().all(|cell| found[0].contains(*cell)), "{shape:?}");
            // Slightly smaller, and the outer ones are too far from each other.
            assert_eq!(spots(&cells, shape, 9.9, &Ground::everywhere(), 1)[0].cells, 3, "{shape:?}");
        }
    }

    #[test]
    fn the_next_do_not_overlap_and_may_touch() {
        let mut cells = Vec::new();
        for (x, count) in [(0.0, 5), (30.0, 4), (60.0, 3)] {
            cells.extend((0..count).map(|_| point(x, 0.0)));
        }
        for shape in SHAPES {
            let found = spots(&cells, shape, 15.0, &Ground::everywhere(), 9);
            let counts: Vec<u64> = found.iter().map(|spot| spot.cells).collect();
            // One field holds two heaps, 30 px apart; what is left is the third. The heap
            // on the border of both is counted once.
            assert_eq!(counts, [9, 3], "{shape:?}");
            let apart = (found[1].centre - found[0].centre).length();
            assert!(apart >= 30.0 - 1e-6, "{shape:?}: {apart}");
        }
    }

    #[test]
    fn only_the_ground_counts_and_the_density_is_of_what_exists() {
        let cells = [point(1.0, 50.0), point(2.0, 50.0), point(-1.0, 50.0), point(90.0, 50.0)];
        let bounds = Level0Box::new(point(0.0, 0.0), point(100.0, 100.0));
        for shape in SHAPES {
            let found = spots(&cells, shape, 10.0, &Ground::from_box(bounds), 1);
            assert_eq!(found[0].cells, 2);
            // Its middle is between both cells, 1.5 px from the border.
            assert!((found[0].centre - point(1.5, 50.0)).length() < 0.01, "{:?}", found[0].centre);
            assert!(found[0].share > 0.5 && found[0].share < 0.7, "{found:?}");
            let per_mm2 = 2.0 / found[0].area_mm2;
            assert_eq!(found[0].per_mm2(), Some(per_mm2));
        }
    }

    #[test]
    fn nothing_to_count_is_no_hot_spot() {
        for shape in SHAPES {
            assert!(spots(&[], shape, 10.0, &Ground::everywhere(), 3).is_empty());
            assert!(spots(&[point(1.0, 1.0)], shape, 10.0, &Ground::everywhere(), 0).is_empty());
        }
        let field = Field::new(FieldShape::Circle, 1.0).unwrap();
        let nowhere = [point(0.0, 0.0), point(f64::NAN, 0.0)];
        let refused = hot_spots(&nowhere, Mpp::new(1.0).unwrap(), field, &Ground::everywhere(), 1);
        assert!(matches!(refused, Err(MeasureError::Point { place: 1, .. })));
    }

    #[test]
    fn a_lattice_and_many_cells_at_one_place_have_exact_answers() {
        let mut cells: Vec<Level0Point> =
            (0..400).map(|i| point(f64::from(i % 20), f64::from(i / 20))).collect();
        // A circle of radius 1 holds a lattice point and its four neighbours.
        assert_eq!(spots(&cells, FieldShape::Circle, 1.0, &Ground::everywhere(), 1)[0].cells, 5);
        assert_eq!(spots(&cells, FieldShape::Square, 5.0, &Ground::everywhere(), 1)[0].cells, 121);
        cells.extend((0..1000).map(|_| point(3.0, 3.0)));
        assert_eq!(spots(&cells, FieldShape::Circle, 1.0, &Ground::everywhere(), 1)[0].cells, 1005);
        assert_eq!(spots(&cells, FieldShape::Square, 1.0, &Ground::everywhere(), 1)[0].cells, 1009);
    }

    #[test]
    fn the_order_of_cells_changes_nothing() {
        let cells: Vec<Level0Point> =
            (0..300).map(|i| point(f64::from(i * 37 % 211), f64::from(i * 91 % 197))).collect();
        let reversed: Vec<Level0Point> = cells.iter().rev().copied().collect();
        for shape in SHAPES {
            let [first, second] =
                [&cells, &reversed].map(|cells| spots(cells, shape, 20.0, &Ground::everywhere(), 4));
            assert_eq!(first, second);
        }
    }

    #[test]
    fn rings_are_drawn_around_the_field() {
        let square = spots(&[point(5.0, 5.0)], FieldShape::Square, 2.0, &Ground::everywhere(), 1)[0];
        assert_eq!(square.ring(), corners(square.bounds()));
        let circle = spots(&[point(5.0, 5.0)], FieldShape::Circle, 2.0, &Ground::everywhere(), 1)[0];
        assert!(circle.ring().iter().all(|corner| ((*corner - circle.centre).length() - 2.0).abs() < 1e-9));
    }
}
