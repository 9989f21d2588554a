//! Areas with holes, and the exact areas they share.
//!
//! Pixel masks and drawn outlines are one type here: a mask is traced along its
//! pixel edges, so the area two traced masks share is their number of common
//! pixels, exactly. Drawn outlines are not rasterised at all (COCO does, with
//! an error of about half a pixel along the outline, which for a nucleus of
//! 20 px is several percent of its area); see `docs/decisions/0013`.

use std::collections::BTreeMap;

pub use wsi_types::ring::clip_ring;
use wsi_types::{Level0Box, Level0Point, ring::segments};

/// A closed ring in level-0 px; the last point joins the first and is not
/// repeated.
pub type Ring = Vec<Level0Point>;

/// An area in level-0 px: the points that an odd number of rings go around.
/// Holes and separate parts are further rings; orientation carries no meaning.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Polygon {
    /// Outer rings and holes in any order.
    pub rings: Vec<Ring>,
}

impl Polygon {
    /// One ring, no holes.
    #[must_use]
    pub fn from_ring(ring: Ring) -> Self {
        Self { rings: vec![ring] }
    }

    /// The four corners of `bounds`.
    #[must_use]
    pub fn from_box(bounds: Level0Box) -> Self {
        let Level0Box { min, max } = bounds;
        let corner = euclid::point2;
        Self::from_ring(vec![min, corner(max.x, min.y), max, corner(min.x, max.y)])
    }

    /// The polygon with every corner moved by `to`.
    #[must_use]
    pub fn mapped(&self, to: impl Fn(Level0Point) -> Level0Point) -> Self {
        Self {
            rings: self.rings.iter().map(|ring| ring.iter().map(|&corner| to(corner)).collect()).collect(),
        }
    }

    /// The smallest upright box around all rings; empty at the origin when
    /// there are no points.
    #[must_use]
    pub fn bounds(&self) -> Level0Box {
        Level0Box::from_points(self.rings.iter().flatten())
    }

    /// Area in px².
    #[must_use]
    pub fn area(&self) -> f64 {
        let mut total = 0.0;
        sweep(&[self], (f64::NEG_INFINITY, f64::INFINITY), |inside| inside[0], |t| total += t.area());
        total
    }

    /// Centre of mass; the centre of the bounds when the area is zero.
    #[must_use]
    pub fn centroid(&self) -> Level0Point {
        let (area, moment) = match self.rings.as_slice() {
            [ring] => ring_moments(ring),
            _ => self.moments(),
        };
        if area.abs() < 1e-12 {
            return self.bounds().center();
        }
        euclid::point2(moment.0 / area, moment.1 / area)
    }

    fn moments(&self) -> (f64, (f64, f64)) {
        let mut area = 0.0;
        let mut moment = (0.0, 0.0);
        sweep(
            &[self],
            (f64::NEG_INFINITY, f64::INFINITY),
            |inside| inside[0],
            |t| {
                let (x, y) = t.moments();
                area += t.area();
                moment.0 += x;
                moment.1 += y;
            },
        );
        (area, moment)
    }

    /// `true` if `point` lies inside; for points on the outline the answer may be either.
    #[must_use]
    pub fn contains(&self, point: Level0Point) -> bool {
        self.rings.iter().filter(|ring| ring_contains(ring, point)).count() % 2 == 1
    }

    /// The ring of the largest area, which for an area without separate parts
    /// is its outer ring.
    #[must_use]
    pub fn largest_ring(&self) -> Option<&Ring> {
        self.rings.iter().max_by(|a, b| ring_moments(a).0.abs().total_cmp(&ring_moments(b).0.abs()))
    }
}

impl Polygon {
    /// Its separate parts, each with the holes in it: an outer ring is one that an
    /// even number of others go around.
    #[must_use]
    pub fn parts(&self) -> Vec<Self> {
        let nest = Nest::new(&self.rings);
        let depths: Vec<usize> = (0..self.rings.len()).map(|ring| nest.around(ring).count()).collect();
        let outer = (0..self.rings.len()).filter(|ring| depths[*ring].is_multiple_of(2));
        let mut parts: BTreeMap<usize, Self> =
            outer.map(|ring| (ring, Self::from_ring(self.rings[ring].clone()))).collect();
        for hole in (0..self.rings.len()).filter(|ring| !depths[*ring].is_multiple_of(2)) {
            let own = nest.around(hole).find(|ring| depths[*ring] + 1 == depths[hole]);
            if let Some(part) = own.and_then(|ring| parts.get_mut(&ring)) {
                part.rings.push(self.rings[hole].clone());
            }
        }
        parts.into_values().collect()
    }
}

/// Rings with the rings around them. Corners may touch, so the middle of a ring's first side stands for the
/// ring.
struct Nest<'a> {
    rings: &'a [Ring],
    bounds: Vec<Level0Box>,
}

impl<'a> Nest<'a> {
    fn new(rings: &'a [Ring]) -> Self {
        Self { rings, bounds: rings.iter().map(Level0Box::from_points).collect() }
    }

    fn around(&self, inner: usize) -> impl Iterator<Item = usize> + '_ {
        let ring = &self.rings[inner];
        let middle = ring.first().zip(ring.get(1)).map(|(a, b)| a.lerp(*b, 0.5));
        let others = (0..self.rings.len()).filter(move |outer| *outer != inner);
        others.filter(move |&outer| {
            middle.is_some_and(|middle| {
                self.bounds[outer].contains_inclusive(middle) && ring_contains(&self.rings[outer], middle)
            })
        })
    }
}

/// `true` if `point` lies inside of one ring; for a point on the ring the answer may be either.
fn ring_contains(ring: &[Level0Point], point: Level0Point) -> bool {
    let crossings = segments(ring).filter(|(a, b)| {
        (a.y > point.y) != (b.y > point.y) && point.x < a.x + (point.y - a.y) / (b.y - a.y) * (b.x - a.x)
    });
    crossings.count() % 2 == 1
}

/// Area in px² that both polygons cover. Exact but for rounding.
#[must_use]
pub fn shared_area(a: &Polygon, b: &Polygon) -> f64 {
    let (bounds_a, bounds_b) = (a.bounds(), b.bounds());
    let rows = (bounds_a.min.y.max(bounds_b.min.y), bounds_a.max.y.min(bounds_b.max.y));
    let mut total = 0.0;
    sweep(&[a, b], rows, |inside| inside[0] && inside[1], |t| total += t.area());
    total
}

/// Area in px² that at least one of `polygons` covers inside `within`.
#[must_use]
pub fn covered_area(polygons: &[&Polygon], within: Level0Box) -> f64 {
    let frame = Polygon::from_box(within);
    let all: Vec<&Polygon> = std::iter::once(&frame).chain(polygons.iter().copied()).collect();
    let mut total = 0.0;
    sweep(
        &all,
        (within.min.y, within.max.y),
        |inside: &[bool]| inside[0] && inside[1..].contains(&true),
        |t| total += t.area(),
    );
    total
}

/// Signed shoelace area and first moments of one ring, for a ring that
/// does not cross itself.
fn ring_moments(ring: &[Level0Point]) -> (f64, (f64, f64)) {
    // From the ring's own corner, so that slide coordinates of 1e5 px do not cost precision.
    let origin = ring.first().copied().unwrap_or_default();
    let (mut area, mut x, mut y) = (0.0, 0.0, 0.0);
    for (p, q) in segments(ring) {
        let (p, q) = (p - origin, q - origin);
        let cross = p.x * q.y - q.x * p.y;
        area += cross / 2.0;
        x += (p.x + q.x) * cross / 6.0;
        y += (p.y + q.y) * cross / 6.0;
    }
    (area, (x + area * origin.x, y + area * origin.y))
}

/// A side of some polygon, going down.
struct Edge {
    top: Level0Point,
    bottom: Level0Point,
    owner: usize,
}

impl Edge {
    fn x_at(&self, y: f64) -> f64 {
        let share = (y - self.top.y) / (self.bottom.y - self.top.y);
        self.top.x + share * (self.bottom.x - self.top.x)
    }
}

/// A piece of covered area between two rows: left and right sides are straight.
struct Trapezoid {
    rows: (f64, f64),
    left: (f64, f64),
    right: (f64, f64),
}

impl Trapezoid {
    fn height(&self) -> f64 {
        self.rows.1 - self.rows.0
    }

    fn area(&self) -> f64 {
        let width = (self.right.0 - self.left.0) + (self.right.1 - self.left.1);
        self.height() * width / 2.0
    }

    /// First moments about the axes; Simpson's rule is exact for them.
    fn moments(&self) -> (f64, f64) {
        let slice =
            |left: f64, right: f64, y: f64| ((right - left) * (right + left) / 2.0, (right - left) * y);
        let middle = ((self.left.0 + self.left.1) / 2.0, (self.right.0 + self.right.1) / 2.0);
        let top = slice(self.left.0, self.right.0, self.rows.0);
        let half = slice(middle.0, middle.1, (self.rows.0 + self.rows.1) / 2.0);
        let low = slice(self.left.1, self.right.1, self.rows.1);
        let sixth = self.height() / 6.0;
        (sixth * (top.0 + 4.0 * half.0 + low.0), sixth * (top.1 + 4.0 * half.1 + low.1))
    }
}

/// Walks down `rows` and returns every piece whose points satisfy `covered`, which gets for each polygon
/// `true` if the piece is inside it.
///
/// Between two neighbouring corner rows all sides are straight and complete;
/// where sides cross, the slab is cut once more, so order never changes within.
fn sweep(
    polygons: &[&Polygon],
    rows: (f64, f64),
    covered: impl Fn(&[bool]) -> bool,
    mut piece: impl FnMut(&Trapezoid),
) {
    let edges = edges_between(polygons, rows);
    let cuts = corner_rows(&edges, rows);
    let mut next = 0;
    let mut active: Vec<&Edge> = Vec::new();
    let mut inside = vec![false; polygons.len()];
    for slab in cuts.windows(2) {
        let (top, bottom) = (slab[0], slab[1]);
        active.retain(|edge| edge.bottom.y > top);
        while let Some(edge) = edges.get(next).filter(|edge| edge.top.y <= top) {
            next += 1;
            if edge.bottom.y > top {
                active.push(edge);
            }
        }
        let mut sides: Vec<Side> = active.iter().map(|edge| Side::new(edge, top, bottom)).collect();
        let mut from = 0.0;
        for to in crossings(&sides).into_iter().chain([1.0]) {
            let span = (from, to);
            sides.sort_by(|a, b| a.at((from + to) / 2.0).total_cmp(&b.at((from + to) / 2.0)));
            give_covered(&sides, span, (top, bottom), &mut inside, &covered, &mut piece);
            from = to;
        }
    }
}

fn edges_between(polygons: &[&Polygon], rows: (f64, f64)) -> Vec<Edge> {
    let mut edges = Vec::new();
    for (owner, polygon) in polygons.iter().enumerate() {
        for (a, b) in polygon.rings.iter().flat_map(|ring| segments(ring)) {
            let (top, bottom) = if a.y <= b.y { (a, b) } else { (b, a) };
            if top.y < bottom.y && bottom.y > rows.0 && top.y < rows.1 {
                edges.push(Edge { top, bottom, owner });
            }
        }
    }
    edges.sort_by(|a, b| a.top.y.total_cmp(&b.top.y));
    edges
}

fn corner_rows(edges: &[Edge], rows: (f64, f64)) -> Vec<f64> {
    let mut cuts: Vec<f64> =
        edges.iter().flat_map(|e| [e.top.y, e.bottom.y]).map(|y| y.clamp(rows.0, rows.1)).collect();
    cuts.sort_by(f64::total_cmp);
    cuts.dedup();
    cuts
}

/// The part of an edge within one slab: x at its top and at its bottom.
struct Side {
    x: (f64, f64),
    owner: usize,
}

impl Side {
    fn new(edge: &Edge, top: f64, bottom: f64) -> Self {
        Self { x: (edge.x_at(top), edge.x_at(bottom)), owner: edge.owner }
    }

    /// x at a share of the slab's height, 0 at its top.
    fn at(&self, share: f64) -> f64 {
        self.x.0 + share * (self.x.1 - self.x.0)
    }
}

/// Crossings of sides within the slab, as rising shares of its height.
fn crossings(sides: &[Side]) -> Vec<f64> {
    let mut shares = Vec::new();
    for (i, a) in sides.iter().enumerate() {
        for b in &sides[i + 1..] {
            let (above, below) = (a.x.0 - b.x.0, a.x.1 - b.x.1);
            if above * below < 0.0 {
                shares.push(above / (above - below));
            }
        }
    }
    shares.sort_by(f64::total_cmp);
    shares
}

fn give_covered(
    sides: &[Side],
    span: (f64, f64),
    slab: (f64, f64),
    inside: &mut [bool],
    covered: &impl Fn(&[bool]) -> bool,
    piece: &mut impl FnMut(&Trapezoid),
) {
    let row = |share: f64| slab.0 + share * (slab.1 - slab.0);
    inside.fill(false);
    let mut start: Option<&Side> = None;
    for side in sides {
        inside[side.owner] = !inside[side.owner];
        match (start, covered(inside)) {
            (None, true) => start = Some(side),
            (Some(left), false) => {
                piece(&Trapezoid {
                    rows: (row(span.0), row(span.1)),
                    left: (left.at(span.0), left.at(span.1)),
                    right: (side.at(span.0), side.at(span.1)),
                });
                start = None;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rect(x0: f64, y0: f64, x1: f64, y1: f64) -> Polygon {
        Polygon::from_box(Level0Box::new(euclid::point2(x0, y0), euclid::point2(x1, y1)))
    }

    fn ring(points: &[(f64, f64)]) -> Ring {
        points.iter().map(|&(x, y)| euclid::point2(x, y)).collect()
    }

    #[test]
    fn a_hole_is_not_area() {
        let mut frame = rect(0.0, 0.0, 10.0, 10.0);
        frame.rings.extend(rect(2.0, 2.0, 4.0, 4.0).rings);
        assert_eq!(frame.area(), 96.0);
        assert!(frame.contains(euclid::point2(1.0, 1.0)));
        assert!(!frame.contains(euclid::point2(3.0, 3.0)));
        // 100·5 − 4·3 over 96, both ways.
        let centre = (500.0 - 12.0) / 96.0;
        assert!((frame.centroid() - euclid::point2(centre, centre)).length() < 1e-12);
    }

    #[test]
    fn parts_have_their_own_holes() {
        let whole = [
            rect(0.0, 0.0, 30.0, 30.0),
            rect(5.0, 5.0, 25.0, 25.0),
            rect(10.0, 10.0, 20.0, 20.0),
            rect(12.0, 12.0, 14.0, 14.0),
            rect(40.0, 0.0, 50.0, 10.0),
        ];
        let whole = Polygon { rings: whole.into_iter().flat_map(|part| part.rings).collect() };
        let parts = whole.parts();
        assert_eq!(parts.iter().map(Polygon::area).collect::<Vec<_>>(), [500.0, 96.0, 100.0]);
        assert!(Polygon::default().parts().is_empty());
    }

    #[test]
    fn crossing_triangles_share_a_hexagon() {
        // Each triangle loses three corners of a ninth of its area to the other.
        let height = 27.0_f64.sqrt();
        let up = Polygon::from_ring(ring(&[(0.0, 0.0), (6.0, 0.0), (3.0, height)]));
        let third = height * 2.0 / 3.0;
        let down = Polygon::from_ring(ring(&[(0.0, third), (6.0, third), (3.0, third - height)]));
        assert!((shared_area(&up, &down) - up.area() * 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn a_figure_of_eight_has_both_its_loops() {
        let eight = Polygon::from_ring(ring(&[(0.0, 0.0), (2.0, 2.0), (2.0, 0.0), (0.0, 2.0)]));
        assert!((eight.area() - 2.0).abs() < 1e-12);
    }

    #[test]
    fn the_union_counts_overlaps_once() {
        let (a, b) = (rect(0.0, 0.0, 4.0, 4.0), rect(2.0, 2.0, 8.0, 8.0));
        let within = Level0Box::new(euclid::point2(0.0, 0.0), euclid::point2(6.0, 6.0));
        assert_eq!(covered_area(&[&a, &b], within), 16.0 + 16.0 - 4.0);
        assert_eq!(covered_area(&[], within), 0.0);
    }

    #[test]
    fn clipping_keeps_the_part_inside() {
        let bounds = Level0Box::new(euclid::point2(1.0, 1.0), euclid::point2(9.0, 9.0));
        let clipped = clip_ring(&ring(&[(5.0, -5.0), (15.0, 5.0), (5.0, 15.0), (-5.0, 5.0)]), bounds);
        assert!((Polygon::from_ring(clipped).area() - 64.0).abs() < 1e-9);
        assert!(clip_ring(&ring(&[(20.0, 20.0), (30.0, 20.0), (30.0, 30.0)]), bounds).is_empty());
    }

    fn star() -> impl Strategy<Value = Polygon> {
        (0.0..20.0, 0.0..20.0, prop::collection::vec(2.0..9.0, 3..14)).prop_map(
            |(x, y, radii): (f64, f64, Vec<f64>)| {
                let turn = std::f64::consts::TAU / radii.len() as f64;
                let corners = radii.iter().enumerate().map(|(i, r)| {
                    let (sin, cos) = (turn * i as f64).sin_cos();
                    euclid::point2(x + r * cos, y + r * sin)
                });
                Polygon::from_ring(corners.collect())
            },
        )
    }

    proptest! {
        #[test]
        fn shared_area_is_symmetric_and_adds_up(a in star(), b in star()) {
            let shared = shared_area(&a, &b);
            prop_assert!((shared - shared_area(&b, &a)).abs() < 1e-9);
            prop_assert!(shared <= a.area().min(b.area()) + 1e-9);
            let all = Level0Box::new(euclid::point2(-50.0, -50.0), euclid::point2(50.0, 50.0));
            let union = covered_area(&[&a, &b], all);
            prop_assert!((union + shared - a.area() - b.area()).abs() < 1e-9);
        }

        #[test]
        fn sweep_and_shoelace_agree(a in star()) {
            let (area, moment) = ring_moments(&a.rings[0]);
            let (swept, swept_moment) = a.moments();
            prop_assert!((area.abs() - swept).abs() < 1e-9);
            prop_assert!((moment.0 / area - swept_moment.0 / swept).abs() < 1e-9);
            prop_assert!((moment.1 / area - swept_moment.1 / swept).abs() < 1e-9);
        }
    }
}
