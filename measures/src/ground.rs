//! The ground that counts: regions of interest, or a tissue mask.

use wsi_types::{
    Level0Box, Level0Point, Level0Px,
    ring::{clip_ring, segments},
};

use crate::error::{MeasureError, Result};

/// A vector in level-0 px.
type Level0Vector = euclid::Vector2D<f64, Level0Px>;

/// Part of a slide where cells count and area exists, in level-0 px. Cells elsewhere
/// are not counted, and a field that reaches over its border has less area.
#[derive(Debug, Clone, PartialEq)]
pub struct Ground(Kind);

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Everywhere,
    Rings(Rings),
    Grid(Grid),
}

/// A tissue mask: squares of the slide, row by row, that count or do not.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// Upper left corner of the first square, level-0 px.
    pub origin: Level0Point,
    /// Side of a square, level-0 px.
    pub cell_px: f64,
    /// Squares in a row.
    pub columns: usize,
    /// `counts[row * columns + column]`.
    pub counts: Vec<bool>,
}

impl Ground {
    /// No limits: not even those of the slide.
    #[must_use]
    pub fn everywhere() -> Self {
        Self(Kind::Everywhere)
    }

    /// The points that an odd number of rings go around, as of polygons with holes
    /// and separate parts. Rings are closed, in level-0 px, without repeating their
    /// first point, in any order and orientation; they may touch but must not cross
    /// themselves or each other.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Point`] for a corner that is not finite.
    pub fn from_rings(rings: Vec<Vec<Level0Point>>) -> Result<Self> {
        for (place, corner) in rings.iter().flatten().enumerate() {
            refuse_infinite(place, *corner)?;
        }
        Ok(Self(Kind::Rings(Rings::new(rings))))
    }

    /// An upright rectangle, such as the slide.
    #[must_use]
    pub fn from_box(bounds: Level0Box) -> Self {
        Self(Kind::Rings(Rings::new(vec![corners(bounds).to_vec()])))
    }

    /// The squares of a mask.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Value`] when the squares do not fill rows or have no size.
    pub fn from_grid(grid: Grid) -> Result<Self> {
        if !(grid.cell_px > 0.0 && grid.cell_px.is_finite()) {
            return Err(MeasureError::value(
                "the side of a mask's square",
                grid.cell_px,
                "a positive number",
            ));
        }
        if grid.columns == 0 || !grid.counts.len().is_multiple_of(grid.columns) {
            let found = format!("{} squares in rows of {}", grid.counts.len(), grid.columns);
            return Err(MeasureError::value("the size of a mask", found, "whole rows"));
        }
        Ok(Self(Kind::Grid(grid)))
    }

    /// `true` if a cell there counts. On the border of a ring either may be.
    #[must_use]
    pub fn contains(&self, point: Level0Point) -> bool {
        match &self.0 {
            Kind::Everywhere => true,
            Kind::Rings(rings) => rings.contains(point),
            Kind::Grid(grid) => grid.contains(point),
        }
    }

    /// Area in px² of a circle that exists.
    #[must_use]
    pub fn area_of_circle(&self, centre: Level0Point, radius: f64) -> f64 {
        match &self.0 {
            Kind::Everywhere => std::f64::consts::PI * radius * radius,
            Kind::Rings(rings) => {
                let areas = rings.rings.iter().map(|ring| circle_and_ring(ring, centre, radius));
                areas.sum::<f64>().max(0.0)
            }
            Kind::Grid(grid) => grid.area_of_circle(centre, radius),
        }
    }

    /// Area in px² of an upright rectangle that exists.
    #[must_use]
    pub fn area_of_box(&self, bounds: Level0Box) -> f64 {
        match &self.0 {
            Kind::Everywhere => bounds.area(),
            Kind::Rings(rings) => {
                rings.rings.iter().map(|ring| shoelace(&clip_ring(ring, bounds))).sum::<f64>().max(0.0)
            }
            Kind::Grid(grid) => grid.area_of_box(bounds),
        }
    }
}

pub(crate) fn refuse_infinite(place: usize, point: Level0Point) -> Result<()> {
    let finite = point.x.is_finite() && point.y.is_finite();
    if finite { Ok(()) } else { Err(MeasureError::Point { place, x: point.x, y: point.y }) }
}

pub(crate) fn corners(bounds: Level0Box) -> [Level0Point; 4] {
    let Level0Box { min, max } = bounds;
    [min, euclid::point2(max.x, min.y), max, euclid::point2(min.x, max.y)]
}

/// Rings that run around what is inside in one direction and around holes in the
/// other, so that signed areas add up; and their sides by rows.
#[derive(Debug, Clone, PartialEq)]
struct Rings {
    rings: Vec<Vec<Level0Point>>,
    top: f64,
    /// Height of a row of `rows`.
    height: f64,
    /// The sides that touch each row.
    rows: Vec<Vec<(Level0Point, Level0Point)>>,
}

impl Rings {
    /// Rows of sides, at most: more do not make it faster.
    const MOST_ROWS: usize = 4096;

    fn new(rings: Vec<Vec<Level0Point>>) -> Self {
        let mut rings: Vec<Vec<Level0Point>> = rings.into_iter().filter(|ring| ring.len() > 2).collect();
        let depths: Vec<usize> = (0..rings.len()).map(|place| depth(&rings, place)).collect();
        for (ring, depth) in rings.iter_mut().zip(depths) {
            let is_hole = !depth.is_multiple_of(2);
            if (shoelace(ring) < 0.0) != is_hole {
                ring.reverse();
            }
        }
        let heights = rings.iter().flatten().map(|corner| corner.y);
        let top = heights.clone().fold(f64::INFINITY, f64::min);
        let bottom = heights.fold(f64::NEG_INFINITY, f64::max);
        let count = rings.iter().map(Vec::len).sum::<usize>().clamp(1, Self::MOST_ROWS);
        let height = ((bottom - top) / count as f64).max(f64::MIN_POSITIVE);
        let mut by_row = Self { rings, top, height, rows: vec![Vec::new(); count] };
        for ring in &by_row.rings {
            for (a, b) in segments(ring) {
                let (first, last) = (row_of(top, height, a.y.min(b.y)), row_of(top, height, a.y.max(b.y)));
                let last = last.min(count - 1);
                by_row.rows[first.min(last)..=last].iter_mut().for_each(|row| row.push((a, b)));
            }
        }
        by_row
    }

    fn contains(&self, point: Level0Point) -> bool {
        if point.y < self.top {
            return false;
        }
        let row = row_of(self.top, self.height, point.y);
        // The very bottom belongs to the last row.
        let row = self.rows.get(row).or(self.rows.last().filter(|_| row == self.rows.len()));
        row.is_some_and(|sides| sides.iter().filter(|side| crosses(**side, point)).count() % 2 == 1)
    }
}

fn row_of(top: f64, height: f64, y: f64) -> usize {
    ((y - top) / height) as usize
}

/// Counts the other rings that go around a ring, told by the middle of its first side.
fn depth(rings: &[Vec<Level0Point>], place: usize) -> usize {
    let middle = rings[place][0].lerp(rings[place][1], 0.5);
    let others = rings.iter().enumerate().filter(|(other, _)| *other != place);
    others.filter(|(_, ring)| segments(ring).filter(|side| crosses(*side, middle)).count() % 2 == 1).count()
}

/// `true` if a line from `point` to the right crosses a side.
fn crosses((a, b): (Level0Point, Level0Point), point: Level0Point) -> bool {
    (a.y > point.y) != (b.y > point.y) && point.x < a.x + (point.y - a.y) / (b.y - a.y) * (b.x - a.x)
}

/// Signed area of a ring, from its own corner, so that large coordinates cost no
/// digits.
fn shoelace(ring: &[Level0Point]) -> f64 {
    let Some(&origin) = ring.first() else { return 0.0 };
    segments(ring).map(|(a, b)| (a - origin).cross(b - origin)).sum::<f64>() / 2.0
}

/// Signed area that a circle and what a ring goes around share: the sum over its
/// sides of what the circle shares with the triangle of side and centre.
fn circle_and_ring(ring: &[Level0Point], centre: Level0Point, radius: f64) -> f64 {
    segments(ring).map(|(a, b)| circle_and_triangle(a - centre, b - centre, radius)).sum()
}

/// Signed area of a circle about the origin in the triangle of the origin, `a` and
/// `b`: a triangle where the side runs inside of the circle, sectors where it does
/// not.
fn circle_and_triangle(a: Level0Vector, b: Level0Vector, radius: f64) -> f64 {
    let along = b - a;
    let (length2, ahead) = (along.square_length(), -a.dot(along));
    if length2 == 0.0 {
        return 0.0;
    }
    // Places where the side's line enters and leaves the circle, as shares of the side.
    let root = ahead * ahead - length2 * (a.square_length() - radius * radius);
    if root <= 0.0 {
        return sector(a, b, radius);
    }
    let (enters, leaves) = ((ahead - root.sqrt()) / length2, (ahead + root.sqrt()) / length2);
    let (from, to) = (enters.max(0.0), leaves.min(1.0));
    if from >= to {
        return sector(a, b, radius);
    }
    let (first, last) = (a + along * from, a + along * to);
    let mut area = first.cross(last) / 2.0;
    if enters > 0.0 {
        area += sector(a, first, radius);
    }
    if leaves < 1.0 {
        area += sector(last, b, radius);
    }
    area
}

fn sector(a: Level0Vector, b: Level0Vector, radius: f64) -> f64 {
    a.cross(b).atan2(a.dot(b)) * radius * radius / 2.0
}

impl Grid {
    fn rows(&self) -> usize {
        self.counts.len() / self.columns
    }

    fn contains(&self, point: Level0Point) -> bool {
        let place = (point - self.origin) / self.cell_px;
        if place.x < 0.0 || place.y < 0.0 {
            return false;
        }
        let (column, row) = (place.x as usize, place.y as usize);
        column < self.columns && row < self.rows() && self.counts[row * self.columns + column]
    }

    /// The squares that count and touch `bounds`.
    fn near(&self, bounds: Level0Box) -> impl Iterator<Item = Level0Box> + '_ {
        let (min, max) =
            ((bounds.min - self.origin) / self.cell_px, (bounds.max - self.origin) / self.cell_px);
        let columns = squares_between(min.x, max.x, self.columns);
        let rows = squares_between(min.y, max.y, self.rows());
        let places = rows.flat_map(move |row| columns.clone().map(move |column| (row, column)));
        places.filter(move |(row, column)| self.counts[row * self.columns + column]).map(
            move |(row, column)| {
                let corner = self.origin + Level0Vector::new(column as f64, row as f64) * self.cell_px;
                Level0Box::new(corner, corner + Level0Vector::new(self.cell_px, self.cell_px))
            },
        )
    }

    fn area_of_circle(&self, centre: Level0Point, radius: f64) -> f64 {
        let bounds = Level0Box::new(centre, centre).inflate(radius, radius);
        self.near(bounds).map(|square| circle_and_box(square, centre, radius)).sum()
    }

    fn area_of_box(&self, bounds: Level0Box) -> f64 {
        let shared = self.near(bounds).filter_map(|square| square.intersection(&bounds));
        shared.map(|shared| shared.area()).sum()
    }
}

/// Returns those of `most` squares along one axis that touch the stretch between two places.
fn squares_between(from: f64, to: f64, most: usize) -> std::ops::Range<usize> {
    let to = (to.ceil().max(0.0) as usize).min(most);
    (from.floor().max(0.0) as usize).min(to)..to
}

/// Area in px² that a circle and an upright box share.
fn circle_and_box(bounds: Level0Box, centre: Level0Point, radius: f64) -> f64 {
    let nearest = centre.clamp(bounds.min, bounds.max);
    if (nearest - centre).length() >= radius {
        return 0.0;
    }
    let ring = corners(bounds);
    if ring.iter().all(|corner| (*corner - centre).length() <= radius) {
        return bounds.area();
    }
    circle_and_ring(&ring, centre, radius)
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use proptest::prelude::*;

    use super::*;

    fn point(x: f64, y: f64) -> Level0Point {
        euclid::point2(x, y)
    }

    fn rect(x0: f64, y0: f64, x1: f64, y1: f64) -> Level0Box {
        Level0Box::new(point(x0, y0), point(x1, y1))
    }

    fn ring(bounds: Level0Box) -> Vec<Level0Point> {
        corners(bounds).to_vec()
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn circles_at_an_edge_and_in_a_corner_have_half_and_a_quarter() {
        let ground = Ground::from_box(rect(0.0, 0.0, 100.0, 100.0));
        assert!(close(ground.area_of_circle(point(50.0, 50.0), 10.0), 100.0 * PI));
        assert!(close(ground.area_of_circle(point(0.0, 50.0), 10.0), 50.0 * PI));
        assert!(close(ground.area_of_circle(point(100.0, 100.0), 10.0), 25.0 * PI));
        assert!(close(ground.area_of_circle(point(50.0, 50.0), 500.0), 10_000.0));
        assert!(close(ground.area_of_circle(point(500.0, 50.0), 10.0), 0.0));
        assert!(close(ground.area_of_box(rect(90.0, 90.0, 110.0, 110.0)), 100.0));
    }

    #[test]
    fn a_hole_is_no_ground_however_its_ring_runs() {
        let (outer, hole) = (ring(rect(0.0, 0.0, 100.0, 100.0)), ring(rect(40.0, 40.0, 60.0, 60.0)));
        let island = ring(rect(48.0, 48.0, 52.0, 52.0));
        for reversed in 0..8 {
            let mut rings = vec![outer.clone(), hole.clone(), island.clone()];
            for (place, ring) in rings.iter_mut().enumerate() {
                if reversed >> place & 1 == 1 {
                    ring.reverse();
                }
            }
            let ground = Ground::from_rings(rings).unwrap();
            assert!(close(ground.area_of_box(rect(-9.0, -9.0, 200.0, 200.0)), 10_000.0 - 400.0 + 16.0));
            assert!(close(ground.area_of_circle(point(50.0, 50.0), 40.0), 1600.0 * PI - 400.0 + 16.0));
            let inside = [(10.0, 10.0), (45.0, 45.0), (50.0, 50.0), (-1.0, 5.0), (5.0, 101.0), (5.0, 100.5)];
            let inside = inside.map(|(x, y)| ground.contains(point(x, y)));
            assert_eq!(inside, [true, false, true, false, false, false]);
        }
    }

    #[test]
    fn a_mask_is_its_squares() {
        let grid = Grid {
            origin: point(10.0, 0.0),
            cell_px: 4.0,
            columns: 2,
            counts: vec![true, false, true, true],
        };
        let ground = Ground::from_grid(grid.clone()).unwrap();
        let inside = [(11.0, 1.0), (15.0, 1.0), (15.0, 5.0), (9.9, 1.0), (18.0, 5.0), (11.0, 8.0)];
        assert_eq!(
            inside.map(|(x, y)| ground.contains(point(x, y))),
            [true, false, true, false, false, false]
        );
        assert!(close(ground.area_of_box(rect(12.0, 2.0, 100.0, 100.0)), 4.0 + 8.0 + 16.0));
        assert!(close(ground.area_of_circle(point(14.0, 4.0), 4.0), 12.0 * PI));
        assert!(Ground::from_grid(Grid { columns: 3, ..grid.clone() }).is_err());
        assert!(Ground::from_grid(Grid { cell_px: 0.0, ..grid }).is_err());
    }

    proptest! {
        /// A star, against the share of a fine lattice that is in both.
        #[test]
        fn areas_are_those_of_counting(radii in prop::collection::vec(5.0..20.0, 3..9),
                                       x in -15.0..15.0, y in -15.0..15.0, reach in 2.0..15.0) {
            let turn = std::f64::consts::TAU / radii.len() as f64;
            let corners = radii.iter().enumerate().map(|(place, radius)| {
                let (sin, cos) = (turn * place as f64).sin_cos();
                point(radius * cos, radius * sin)
            });
            let ground = Ground::from_rings(vec![corners.collect()]).unwrap();
            let (centre, step): (_, f64) = (point(x, y), reach / 100.0);
            let (mut in_circle, mut in_box) = (0_u32, 0_u32);
            for row in -100..100 {
                for column in -100..100 {
                    let offset: Level0Vector = Level0Vector::new(f64::from(column) + 0.5, f64::from(row) + 0.5) * step;
                    if ground.contains(centre + offset) {
                        in_box += 1;
                        in_circle += u32::from(offset.length() <= reach);
                    }
                }
            }
            let slack = reach * reach * 0.05;
            let [in_circle, in_box] = [in_circle, in_box].map(|count| f64::from(count) * step * step);
            prop_assert!((ground.area_of_circle(centre, reach) - in_circle).abs() < slack);
            let bounds = Level0Box::new(centre, centre).inflate(reach, reach);
            prop_assert!((ground.area_of_box(bounds) - in_box).abs() < slack);
        }
    }
}
