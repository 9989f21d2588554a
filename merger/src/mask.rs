//! Yes/no pictures of areas: cleaning, parts and outlines.
//!
//! One bit per pixel. Operations need as much again for their answer, and a band of rows; those that look at parts, some
//! bytes per run of pixels in a row. A slide of 25 × 25 mm takes 5 MB at 4 µm per pixel and 20 MB at 2 µm.
//!
//! Distances are Euclidean between pixel centres and exact. The area outside the picture neither grows into
//! it nor erodes it.

mod bit_rows;
mod dilation;
mod parts;

use std::ops::Range;

use wsi_types::Level0Point;

pub use self::parts::Parts;
use self::{bit_rows::BitRows, dilation::dilated};
use crate::geometry::{edges, ring_area};

/// A yes/no picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    bits: BitRows,
}

/// A closed ring on the corners of mask pixels, its first point not repeated.
pub type Ring = Vec<Level0Point>;

/// One part of a mask as a polygon, in px of the mask.
#[derive(Debug, Clone, PartialEq)]
pub struct Polygon {
    /// The outer ring, of positive area (clockwise as seen on a screen).
    pub outer: Ring,
    /// Holes, of negative area.
    pub holes: Vec<Ring>,
}

impl Polygon {
    /// Area without the holes, px².
    #[must_use]
    pub fn area(&self) -> f64 {
        ring_area(&self.outer).abs() - self.holes.iter().map(|hole| ring_area(hole).abs()).sum::<f64>()
    }

    /// The outer ring, then the holes.
    pub fn rings(&self) -> impl Iterator<Item = &Ring> {
        std::iter::once(&self.outer).chain(&self.holes)
    }

    /// All sides of its rings.
    pub(crate) fn sides(&self) -> Vec<(Level0Point, Level0Point)> {
        self.rings().flat_map(|ring| edges(ring)).collect()
    }

    /// The polygon with every corner moved by `to`.
    #[must_use]
    pub fn mapped(&self, to: impl Fn(Level0Point) -> Level0Point) -> Self {
        let mut mapped = self.clone();
        let rings = std::iter::once(&mut mapped.outer).chain(&mut mapped.holes);
        rings.flatten().for_each(|corner| *corner = to(*corner));
        mapped
    }

    /// Length of all rings, px.
    #[must_use]
    pub fn perimeter(&self) -> f64 {
        let lengths = self.rings().map(|ring| edges(ring).map(|(p, q)| (q - p).length()).sum::<f64>());
        lengths.sum()
    }

    /// `true` if `point` lies inside, holes left out (even-odd rule).
    #[must_use]
    pub fn contains(&self, point: Level0Point) -> bool {
        self.rings().flat_map(|ring| edges(ring)).filter(|side| is_right_of(point, side)).count() % 2 == 1
    }
}

impl Mask {
    /// A mask of `width` × `height` pixels, all "no".
    #[must_use]
    pub fn new(width: usize, height: usize) -> Self {
        Self { bits: BitRows::new(width, height) }
    }

    /// A mask with the pixels for which `is_in` returns `true`; it gets x and y.
    #[must_use]
    pub fn from_fn(width: usize, height: usize, is_in: impl Fn(usize, usize) -> bool) -> Self {
        let mut mask = Self::new(width, height);
        for y in 0..height {
            (0..width).filter(|&x| is_in(x, y)).for_each(|x| mask.fill(y, x..x + 1));
        }
        mask
    }

    /// Pixels per row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.bits.width()
    }

    /// Rows.
    #[must_use]
    pub fn height(&self) -> usize {
        self.bits.height()
    }

    /// `true` if a pixel is in; outside the picture none is.
    #[must_use]
    pub fn get(&self, x: usize, y: usize) -> bool {
        self.bits.get(x, y)
    }

    /// Pixels that are in.
    #[must_use]
    pub fn area(&self) -> u64 {
        self.bits.count()
    }

    /// Pixels of a row that are in, from `columns.start` to before `columns.end`; both may lie past its end.
    pub(crate) fn area_of_row(&self, row: usize, columns: Range<usize>) -> u64 {
        let width = self.width();
        self.bits.count_in(row, &(columns.start.min(width)..columns.end.min(width)))
    }

    /// Adds the inside of `ring` (even-odd): pixels whose centre it holds.
    pub fn paint(&mut self, ring: &[Level0Point]) {
        self.paint_rings(&[ring]);
    }

    /// Adds what an odd number of rings go around: pixels whose centre lies there.
    pub fn paint_rings(&mut self, rings: &[&[Level0Point]]) {
        let (width, height) = (self.width(), self.height());
        for_each_span(rings, width, height, |row, from, to| self.fill(row, from..to));
    }

    /// Adds the pixels of a row from `columns.start` to before `columns.end`, which lie in the picture.
    pub(crate) fn fill(&mut self, row: usize, columns: Range<usize>) {
        self.bits.fill(row, columns);
    }

    /// The share of the pixels inside `polygon`, its holes left out, that are
    /// in; `None` when it holds no pixel's centre.
    #[must_use]
    pub fn share_within(&self, polygon: &Polygon) -> Option<f64> {
        let rings: Vec<&[Level0Point]> =
            std::iter::once(&polygon.outer).chain(&polygon.holes).map(Vec::as_slice).collect();
        let (mut inside, mut both) = (0_u64, 0_u64);
        for_each_span(&rings, self.width(), self.height(), |row, from, to| {
            inside += (to - from) as u64;
            both += self.bits.count_in(row, &(from..to));
        });
        (inside > 0).then(|| both as f64 / inside as f64)
    }

    /// Adds the pixels of `other`, a mask of the same size.
    pub fn add(&mut self, other: &Self) {
        self.bits.add(&other.bits);
    }

    /// Keeps only pixels that are also in `other`, a mask of the same size.
    pub fn keep_within(&mut self, other: &Self) {
        self.bits.keep_within(&other.bits);
    }

    /// The mask with "no" and "yes" exchanged.
    #[must_use]
    pub fn inverted(&self) -> Self {
        Self { bits: self.bits.inverted() }
    }

    /// The mask with all pixels within `radius` px of it.
    #[must_use]
    pub fn dilated(&self, radius: f64) -> Self {
        if radius <= 0.0 { self.clone() } else { Self { bits: dilated(&self.bits, radius) } }
    }

    /// The mask without all pixels within `radius` px of one that is not in it.
    #[must_use]
    pub fn eroded(&self, radius: f64) -> Self {
        self.inverted().dilated(radius).inverted()
    }

    /// The mask without the places that no disc of `radius` px fits into.
    #[must_use]
    pub fn opened(&self, radius: f64) -> Self {
        self.eroded(radius).dilated(radius)
    }

    /// The mask with the gaps closed that no disc of `radius` px fits into.
    #[must_use]
    pub fn closed(&self, radius: f64) -> Self {
        self.dilated(radius).eroded(radius)
    }

    /// The mask with its holes of up to `most_px` pixels filled; a hole is a part of the rest that does not
    /// reach the picture's edge.
    #[must_use]
    pub fn filled(&self, most_px: u64) -> Self {
        let parts = self.inverted().parts();
        let (width, height) = (self.width(), self.height());
        let mut is_open = vec![false; parts.count() as usize + 1];
        for row in 0..height {
            for (run, part) in parts.runs(row) {
                is_open[part as usize] |= row == 0 || row + 1 == height || run.start == 0 || run.end == width;
            }
        }
        let mut filled = self.clone();
        filled.fill_parts(&parts, |part| !is_open[part as usize] && parts.size(part) <= most_px);
        filled
    }

    /// The mask without its parts of fewer than `least_px` pixels.
    #[must_use]
    pub fn without_small(&self, least_px: u64) -> Self {
        let parts = self.parts();
        let mut large = Self::new(self.width(), self.height());
        large.fill_parts(&parts, |part| parts.size(part) >= least_px);
        large
    }

    /// Adds the wanted ones of the parts of another picture of the same size.
    fn fill_parts(&mut self, parts: &Parts, is_wanted: impl Fn(u32) -> bool) {
        for row in 0..self.height() {
            let wanted = parts.runs(row).filter(|(_, part)| is_wanted(*part));
            wanted.for_each(|(run, _)| self.fill(row, run));
        }
    }

    /// Its parts, pixels that share an edge being in one.
    #[must_use]
    pub fn parts(&self) -> Parts {
        Parts::new(&self.bits)
    }

    /// The outlines of all parts, in the order of the parts, exact: along the
    /// edges of pixels.
    #[must_use]
    pub fn polygons(&self) -> Vec<Polygon> {
        let parts = self.parts();
        let mut polygons: Vec<Polygon> = Vec::new();
        polygons.resize_with(parts.count() as usize, || Polygon { outer: Vec::new(), holes: Vec::new() });
        let mut walked = Self::new(self.width(), self.height());
        for y in 0..self.height() {
            for (run, part) in parts.runs(y) {
                for x in run {
                    let is_top = !(y > 0 && self.get(x, y - 1));
                    if !is_top || walked.get(x, y) {
                        continue;
                    }
                    let polygon = &mut polygons[part as usize - 1];
                    for ring in simple_rings(self.walk(x, y, &mut walked)) {
                        if ring_area(&ring) > 0.0 { polygon.outer = ring } else { polygon.holes.push(ring) }
                    }
                }
            }
        }
        polygons
    }

    /// `true` if the pixel ahead of a corner is set, on one side of the direction of the walk.
    fn is_set_ahead(&self, (x, y): (isize, isize), heading: (isize, isize), side: (isize, isize)) -> bool {
        let [across, down] = [heading.0 + side.0, heading.1 + side.1].map(|to| if to > 0 { 0 } else { -1 });
        let (x, y) = (x + across, y + down);
        x >= 0 && y >= 0 && self.get(x as usize, y as usize)
    }

    /// Walks the border of a part from the top left corner of pixel (x, y), the part always on the right,
    /// back to the start. Returns the corners at which it turns. If two pixels meet only at a corner, it
    /// stays with its own.
    fn walk(&self, x: usize, y: usize, walked: &mut Self) -> Vec<(usize, usize)> {
        const EAST: (isize, isize) = (1, 0);
        let start = (x as isize, y as isize);
        let (mut at, mut heading) = (start, EAST);
        let mut corners = Vec::new();
        loop {
            if heading == EAST {
                walked.fill(at.1 as usize, at.0 as usize..at.0 as usize + 1);
            }
            at = (at.0 + heading.0, at.1 + heading.1);
            let right = (-heading.1, heading.0);
            let left = (heading.1, -heading.0);
            let next = if !self.is_set_ahead(at, heading, right) {
                right
            } else if self.is_set_ahead(at, heading, left) {
                left
            } else {
                heading
            };
            if next != heading {
                corners.push((at.0 as usize, at.1 as usize));
            }
            heading = next;
            if at == start && heading == EAST {
                return corners;
            }
        }
    }
}

/// Calls `span` with row, first and end of each run of pixels whose centres lie
/// in an odd number of `rings`, within a picture of `width` × `height`.
fn for_each_span(
    rings: &[&[Level0Point]],
    width: usize,
    height: usize,
    mut span: impl FnMut(usize, usize, usize),
) {
    let bounds = rings.iter().filter_map(|ring| crate::geometry::ring_bounds(ring));
    let Some(bounds) = bounds.reduce(|all, next| all.union(&next)) else { return };
    let sides: Vec<(Level0Point, Level0Point)> = rings.iter().flat_map(|ring| edges(ring)).collect();
    let first = bounds.min.y.floor().max(0.0) as usize;
    let last = (bounds.max.y.ceil().max(0.0) as usize).min(height);
    let mut crossings = Vec::new();
    for row in first..last {
        let y = row as f64 + 0.5;
        let crossed = sides.iter().filter(|(p, q)| (p.y <= y) != (q.y <= y));
        crossings.clear();
        crossings.extend(crossed.map(|(p, q)| p.x + (y - p.y) / (q.y - p.y) * (q.x - p.x)));
        crossings.sort_unstable_by(f64::total_cmp);
        for ends in crossings.chunks_exact(2) {
            span(row, first_pixel_from(ends[0], width), first_pixel_from(ends[1], width));
        }
    }
}

/// The first pixel of a row of `width` whose centre lies at `x` or right of it; `width` if there is none.
pub(crate) fn first_pixel_from(x: f64, width: usize) -> usize {
    ((x - 0.5).ceil().max(0.0) as usize).min(width)
}

/// `true` if a ray from `point` to the left crosses a side, of which the upper end counts and the lower does
/// not.
pub(crate) fn is_right_of(point: Level0Point, (p, q): &(Level0Point, Level0Point)) -> bool {
    (p.y <= point.y) != (q.y <= point.y) && point.x < p.x + (point.y - p.y) / (q.y - p.y) * (q.x - p.x)
}

/// Cuts a walk that passes a corner twice into rings that do not.
fn simple_rings(corners: Vec<(usize, usize)>) -> Vec<Ring> {
    let mut rings = Vec::new();
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut place = std::collections::BTreeMap::new();
    for corner in corners {
        if let Some(&from) = place.get(&corner) {
            let ring: Vec<(usize, usize)> = open.drain(from..).collect();
            ring.iter().for_each(|corner| {
                place.remove(corner);
            });
            rings.push(ring_of_corners(&ring));
        }
        place.insert(corner, open.len());
        open.push(corner);
    }
    rings.push(ring_of_corners(&open));
    rings
}

fn ring_of_corners(corners: &[(usize, usize)]) -> Ring {
    corners.iter().map(|&(x, y)| Level0Point::new(x as f64, y as f64)).collect()
}

/// The ring with as few corners as keep every dropped one within `tolerance` px
/// of the new line (Douglas and Peucker 1973); at least three.
#[must_use]
pub fn simplified(ring: &[Level0Point], tolerance: f64) -> Ring {
    if ring.len() <= 4 || tolerance <= 0.0 {
        return ring.to_vec();
    }
    // A ring has no ends: the corner farthest from the first is the other one.
    let far = (0..ring.len())
        .max_by(|&a, &b| (ring[a] - ring[0]).square_length().total_cmp(&(ring[b] - ring[0]).square_length()))
        .unwrap_or(0);
    let closed: Ring = ring.iter().chain(ring.first()).copied().collect();
    let mut keep = vec![false; closed.len()];
    keep[0] = true;
    keep[far] = true;
    let mut spans = vec![(0, far), (far, closed.len() - 1)];
    while let Some((from, to)) = spans.pop() {
        let farthest = (from + 1..to)
            .map(|at| (at, squared_distance_to_segment(closed[at], closed[from], closed[to])))
            .max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((at, _)) = farthest.filter(|(_, off)| *off > tolerance * tolerance) {
            keep[at] = true;
            spans.extend([(from, at), (at, to)]);
        }
    }
    let kept: Ring = ring.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(point, _)| *point).collect();
    if kept.len() < 3 { ring.to_vec() } else { kept }
}

fn squared_distance_to_segment(point: Level0Point, from: Level0Point, to: Level0Point) -> f64 {
    let along = to - from;
    let length = along.square_length();
    let share = if length > 0.0 { ((point - from).dot(along) / length).clamp(0.0, 1.0) } else { 0.0 };
    (from + along * share - point).square_length()
}

/// The polygon with simpler rings that neither cross themselves nor each other: if `tolerance` px would make
/// them cross, a finer one is taken.
#[must_use]
pub fn simplified_polygon(polygon: &Polygon, tolerance: f64) -> Polygon {
    let mut tolerance = tolerance;
    for _ in 0..6 {
        let simpler = Polygon {
            outer: simplified(&polygon.outer, tolerance),
            holes: polygon.holes.iter().map(|hole| simplified(hole, tolerance)).collect(),
        };
        if rings_keep_apart(&simpler) {
            return simpler;
        }
        tolerance /= 2.0;
    }
    polygon.clone()
}

type Segment = rstar::primitives::GeomWithData<rstar::primitives::Line<[f64; 2]>, (usize, usize)>;

/// `true` if no two sides cross or lie on each other, and all rings keep their orientation. Touching at a
/// point is allowed where the exact outline does too.
fn rings_keep_apart(polygon: &Polygon) -> bool {
    let right_way = ring_area(&polygon.outer) > 0.0 && polygon.holes.iter().all(|hole| ring_area(hole) < 0.0);
    let rings: Vec<&Ring> = std::iter::once(&polygon.outer).chain(&polygon.holes).collect();
    let sides: Vec<(Level0Point, Level0Point)> = rings.iter().flat_map(|ring| edges(ring)).collect();
    let segments = sides.iter().enumerate().map(|(index, (p, q))| {
        Segment::new(rstar::primitives::Line::new(p.to_array(), q.to_array()), (index, 0))
    });
    let tree = rstar::RTree::bulk_load(segments.collect::<Vec<_>>());
    right_way
        && tree
            .intersection_candidates_with_other_tree(&tree)
            .filter(|(a, b)| a.data.0 < b.data.0)
            .all(|(a, b)| !cross(sides[a.data.0], sides[b.data.0]))
}

/// `true` if two sides cross, or one ends within the other.
fn cross(a: (Level0Point, Level0Point), b: (Level0Point, Level0Point)) -> bool {
    let [b0, b1] = [b.0, b.1].map(|end| (a.1 - a.0).cross(end - a.0));
    let [a0, a1] = [a.0, a.1].map(|end| (b.1 - b.0).cross(end - b.0));
    if a.0 == b.0 || a.0 == b.1 || a.1 == b.0 || a.1 == b.1 {
        // Neighbours share a corner, which is no crossing unless one lies on the other.
        let (shared_back, other_a, other_b) = if a.1 == b.0 {
            (a.1, a.0, b.1)
        } else if a.0 == b.1 {
            (a.0, a.1, b.0)
        } else if a.0 == b.0 {
            (a.0, a.1, b.1)
        } else {
            (a.1, a.0, b.0)
        };
        let (u, v) = (other_a - shared_back, other_b - shared_back);
        return u.cross(v) == 0.0 && u.dot(v) > 0.0;
    }
    b0 * b1 <= 0.0 && a0 * a1 <= 0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ring;

    #[test]
    fn rings_that_run_the_wrong_way_or_meet_do_not_keep_apart() {
        let outer = ring(&[(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0)]);
        let hole = ring(&[(2.0, 2.0), (2.0, 8.0), (8.0, 8.0), (8.0, 2.0)]);
        let across = ring(&[(2.0, 2.0), (2.0, 12.0), (8.0, 12.0), (8.0, 2.0)]);
        let [turned_outer, turned_hole] = [&outer, &hole].map(|ring| ring.iter().rev().copied().collect());
        for (outer, hole, apart) in [
            (&outer, &hole, true),
            (&outer, &across, false),
            (&outer, &turned_hole, false),
            (&turned_outer, &hole, false),
            (&turned_outer, &turned_hole, false),
        ] {
            let polygon = Polygon { outer: outer.clone(), holes: vec![hole.clone()] };
            assert_eq!(rings_keep_apart(&polygon), apart, "{polygon:?}");
        }
    }

    #[test]
    fn corners_along_a_side_are_dropped_and_three_are_enough() {
        let triangle = [(0.0, 0.0), (4.0, 0.1), (8.0, 0.0), (8.1, 4.0), (8.0, 8.0), (4.0, 4.1)];
        assert_eq!(simplified(&ring(&triangle), 0.5), ring(&[(0.0, 0.0), (8.0, 0.0), (8.0, 8.0)]));
        assert_eq!(simplified(&ring(&triangle), 0.05), ring(&triangle));
    }
}
