//! Rings on the grid of a format, simple there.
//!
//! Rounding to a grid can make a ring cross or touch itself, and programs refuse such rings, some of them with the whole
//! file. So rings are rounded first and looked at afterwards, in whole steps of the grid, where every test is exact.
//! Rings that are not simple are repaired, and where that cannot be done a box stands for the ring; both are
//! counted.

use std::ops::Range;

use i_overlay::{
    core::{
        fill_rule::FillRule,
        overlay::{IntOverlayOptions, Overlay},
        overlay_rule::OverlayRule,
        simplify::Simplify,
        solver::Solver,
    },
    i_float::int::point::IntPoint,
};
use wsi_types::{Level0Box, Level0Point};

/// The grid that coordinates of a format lie on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    steps_per_px: i64,
}

impl Grid {
    /// Hundredths of a level-0 px: what formats of decimal text take.
    pub const HUNDREDTHS: Self = Self { steps_per_px: 100 };
    /// 1/64 of a level-0 px: exact as an `f32` up to 262,144 px, and as any `f64`.
    pub const DYADIC: Self = Self { steps_per_px: 64 };

    /// Coordinates beyond this are of no slide, px. Products of their differences stay within 64 bits.
    pub const REACH_PX: f64 = 1e7;

    /// Steps per level-0 px.
    #[must_use]
    pub fn steps_per_px(self) -> i64 {
        self.steps_per_px
    }

    /// The nearest place on the grid; what lies out of reach counts as its edge.
    #[must_use]
    pub fn place(self, point: Level0Point) -> Place {
        Place { x: self.steps(point.x), y: self.steps(point.y) }
    }

    /// The nearest number of steps.
    #[must_use]
    pub fn steps(self, px: f64) -> i64 {
        (px.clamp(-Self::REACH_PX, Self::REACH_PX) * self.steps_per_px as f64).round() as i64
    }

    /// Steps as level-0 px; exact for [`Grid::DYADIC`].
    #[must_use]
    pub fn px(self, steps: i64) -> f64 {
        steps as f64 / self.steps_per_px as f64
    }

    /// A place as a level-0 point.
    #[must_use]
    pub fn point(self, place: Place) -> Level0Point {
        Level0Point::new(self.px(place.x), self.px(place.y))
    }

    /// A ring as level-0 points.
    #[must_use]
    pub fn points(self, ring: &[Place]) -> Vec<Level0Point> {
        ring.iter().map(|&place| self.point(place)).collect()
    }
}

/// A corner of a ring, in steps of a grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// To the right.
    pub x: i64,
    /// Down.
    pub y: i64,
}

impl Place {
    fn minus(self, other: Self) -> Self {
        Self { x: self.x - other.x, y: self.y - other.y }
    }

    /// Twice the way from the middle of a box: doubled, so that it is a whole number of steps.
    fn off_middle(self, min: Self, max: Self) -> Self {
        Self { x: 2 * self.x - min.x - max.x, y: 2 * self.y - min.y - max.y }
    }
}

/// A closed line whose first place is not repeated.
pub type GridRing = Vec<Place>;

/// Outcome for a ring that was put on a grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was simple, but for repeated points.
    Kept,
    /// Spikes were taken off, or the largest part of what it encloses was taken.
    Repaired,
    /// Its box stands for it.
    Boxed,
}

/// `ring` on `grid`: simple, of an area above 0, and counter-clockwise in the sense of x right and y up. `bbox` is what
/// stands for a ring that cannot be repaired.
#[must_use]
pub fn on_grid(ring: &[Level0Point], bbox: &Level0Box, grid: Grid) -> (GridRing, Fate) {
    let mut places: GridRing = ring.iter().map(|&point| grid.place(point)).collect();
    let is_finite = ring.iter().all(|point| point.x.is_finite() && point.y.is_finite());
    drop_repeats(&mut places);
    let spikes = is_finite && drop_spikes(&mut places);
    let (mut places, fate) = if is_finite && is_simple(&places) {
        (places, if spikes { Fate::Repaired } else { Fate::Kept })
    } else if let Some(part) = largest_part(&places).filter(|_| is_finite) {
        (part, Fate::Repaired)
    } else {
        (box_ring(bbox, grid), Fate::Boxed)
    };
    if twice_area(&places) < 0 {
        places[1..].reverse();
    }
    (places, fate)
}

/// An area with holes on `grid`: parts, each an outer ring and its holes, valid in the sense of OGC. Even-odd rule.
/// Empty when nothing is left of it.
#[must_use]
pub fn area_on_grid(rings: &[Vec<Level0Point>], grid: Grid) -> Vec<Vec<GridRing>> {
    let places = rings.iter().map(|ring| ring.iter().map(|&point| grid.place(point)).collect::<GridRing>());
    let places: Vec<GridRing> = places.filter(|ring| ring.len() > 2).collect();
    parts(&places, FillRule::EvenOdd).unwrap_or_default()
}

/// The same, without what any of `cuts` covers, each of them by the even-odd rule.
#[must_use]
pub fn area_without_on_grid(
    rings: &[Vec<Level0Point>],
    cuts: &[&[Vec<Level0Point>]],
    grid: Grid,
) -> Vec<Vec<GridRing>> {
    let area = area_on_grid(rings, grid);
    if cuts.is_empty() {
        return area;
    }
    // Outer rings run one way and holes the other, so that cuts may overlap.
    let cuts: Vec<GridRing> = cuts.iter().flat_map(|cut| area_on_grid(cut, grid)).flatten().collect();
    left_of(&area.concat(), &cuts).unwrap_or_default()
}

/// Twice the area enclosed, in steps²; negative where the ring runs clockwise (x right, y up).
#[must_use]
pub fn twice_area(ring: &[Place]) -> i64 {
    let Some(&origin) = ring.first() else { return 0 };
    sides(ring).map(|(p, q)| cross(p.minus(origin), q.minus(origin))).sum()
}

/// `true` if a ring has at least three corners, an area, and no side that meets another but its neighbours at their
/// common corner.
#[must_use]
pub fn is_simple(ring: &[Place]) -> bool {
    if ring.len() < 3 || twice_area(ring) == 0 {
        return false;
    }
    turns_once(ring) || !sides_meet(ring)
}

/// The four corners of a box, at least one step wide and high.
fn box_ring(bbox: &Level0Box, grid: Grid) -> GridRing {
    let (min, mut max) = (grid.place(bbox.min), grid.place(bbox.max));
    max.x = max.x.max(min.x + 1);
    max.y = max.y.max(min.y + 1);
    vec![min, Place { x: max.x, y: min.y }, max, Place { x: min.x, y: max.y }]
}

fn cross(a: Place, b: Place) -> i64 {
    a.x * b.y - a.y * b.x
}

fn sides(ring: &[Place]) -> impl Iterator<Item = (Place, Place)> + '_ {
    ring.iter().copied().zip(ring.iter().copied().cycle().skip(1))
}

fn drop_repeats(ring: &mut GridRing) {
    ring.dedup();
    while ring.len() > 1 && ring.first() == ring.last() {
        ring.pop();
    }
}

/// Takes off corners where the ring goes back the way it came. Whether there were any.
fn drop_spikes(ring: &mut GridRing) -> bool {
    let before = ring.len();
    let mut at = 0;
    let mut calm = 0;
    while ring.len() > 2 && calm < ring.len() {
        let count = ring.len();
        let (a, b, c) = (ring[(at + count - 1) % count], ring[at % count], ring[(at + 1) % count]);
        if is_spike(a, b, c) || b == c {
            ring.remove(at % count);
            // The corner before may be one now.
            at = (at % count + ring.len() - 1) % ring.len();
            calm = 0;
        } else {
            at = (at + 1) % count;
            calm += 1;
        }
    }
    ring.len() < before
}

fn is_spike(a: Place, b: Place, c: Place) -> bool {
    let (there, back) = (b.minus(a), c.minus(b));
    cross(there, back) == 0 && there.x * back.x + there.y * back.y < 0
}

/// `true` if the ring goes round the middle of its box once and never back: then it cannot cross itself. Most nuclei do,
/// and this takes one look at each corner.
fn turns_once(ring: &[Place]) -> bool {
    const MOST_STEPS: i64 = 1 << 29;
    let Some(&first) = ring.first() else { return false };
    let (mut min, mut max) = (first, first);
    for place in ring {
        min = Place { x: min.x.min(place.x), y: min.y.min(place.y) };
        max = Place { x: max.x.max(place.x), y: max.y.max(place.y) };
    }
    if max.x - min.x > MOST_STEPS || max.y - min.y > MOST_STEPS {
        return false;
    }
    let (mut left, mut right, mut levels) = (false, false, 0);
    for (p, q) in sides(ring) {
        let (p, q) = (p.off_middle(min, max), q.off_middle(min, max));
        let turn = cross(p, q);
        left |= turn >= 0;
        right |= turn <= 0;
        levels += u32::from((p.y <= 0) != (q.y <= 0));
    }
    left != right && levels == 2
}

/// `true` if two sides that are no neighbours have a point in common.
fn sides_meet(ring: &[Place]) -> bool {
    let count = ring.len();
    let sides: Vec<Side> = sides(ring).map(|(from, to)| Side { from, to }).collect();
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_unstable_by_key(|&index| sides[index].left());
    let mut open: Vec<usize> = Vec::new();
    for &index in &order {
        let side = sides[index];
        open.retain(|&other| sides[other].right() >= side.left());
        if open.iter().any(|&other| !are_neighbours(index, other, count) && side.meets(sides[other])) {
            return true;
        }
        open.push(index);
    }
    false
}

/// `true` if two sides of a ring of `count` follow each other.
fn are_neighbours(one: usize, other: usize, count: usize) -> bool {
    (one + 1) % count == other || (other + 1) % count == one
}

/// A side of a ring.
#[derive(Debug, Clone, Copy)]
struct Side {
    from: Place,
    to: Place,
}

impl Side {
    fn left(self) -> i64 {
        self.from.x.min(self.to.x)
    }

    fn right(self) -> i64 {
        self.from.x.max(self.to.x)
    }

    fn top(self) -> i64 {
        self.from.y.min(self.to.y)
    }

    fn bottom(self) -> i64 {
        self.from.y.max(self.to.y)
    }

    /// `true` if two sides have a point in common, ends included.
    fn meets(self, other: Self) -> bool {
        if self.bottom() < other.top() || other.bottom() < self.top() {
            return false;
        }
        let [from, to] = [self.hand_of(other.from), self.hand_of(other.to)];
        let [own_from, own_to] = [other.hand_of(self.from), other.hand_of(self.to)];
        (from != to && own_from != own_to)
            || (from == 0 && self.spans(other.from))
            || (to == 0 && self.spans(other.to))
            || (own_from == 0 && other.spans(self.from))
            || (own_to == 0 && other.spans(self.to))
    }

    /// Hand of the side that a place lies on: 1, -1, or 0 on its line.
    fn hand_of(self, place: Place) -> i64 {
        cross(self.to.minus(self.from), place.minus(self.from)).signum()
    }

    /// `true` if a place lies in the box of the side.
    fn spans(self, place: Place) -> bool {
        (self.left()..=self.right()).contains(&place.x) && (self.top()..=self.bottom()).contains(&place.y)
    }
}

/// The outer ring of the largest part that the ring encloses by the even-odd rule; where that is nothing (a ring gone
/// round twice), of what it goes around at all.
fn largest_part(ring: &[Place]) -> Option<GridRing> {
    let rules = [FillRule::EvenOdd, FillRule::NonZero];
    rules.into_iter().find_map(|rule| {
        let found = parts(&[ring.to_vec()], rule)?;
        let outers = found.into_iter().filter_map(|part| part.into_iter().next());
        outers.max_by_key(|outer| twice_area(outer).abs()).filter(|outer| is_simple(outer))
    })
}

/// Areas that rings enclose, on the same grid; `None` where they reach too far to be worked on.
fn parts(rings: &[GridRing], rule: FillRule) -> Option<Vec<Vec<GridRing>>> {
    let corner = corner_of(rings)?;
    let shapes = contours(rings, corner)?.simplify(rule, IntOverlayOptions::ogc());
    Some(shapes.iter().map(|shape| shape.iter().map(|ring| back(ring, corner)).collect()).collect())
}

/// Returns what others do not cover of normal rings; `None` where they reach too far to be worked on.
fn left_of(area: &[GridRing], cuts: &[GridRing]) -> Option<Vec<Vec<GridRing>>> {
    let corner = corner_of(area)?;
    let (area, cuts) = (contours(area, corner)?, contours(cuts, corner)?);
    let options = IntOverlayOptions::ogc();
    let mut overlay = Overlay::from_subj_and_clip_custom(&area, &cuts, options, Solver::default());
    let shapes = overlay.overlay(OverlayRule::Difference, FillRule::NonZero);
    Some(shapes.iter().map(|shape| shape.iter().map(|ring| back(ring, corner)).collect()).collect())
}

/// The upper left corner of the box around all rings.
fn corner_of(rings: &[GridRing]) -> Option<Place> {
    let x = rings.iter().flatten().map(|place| place.x).min()?;
    let y = rings.iter().flatten().map(|place| place.y).min()?;
    Some(Place { x, y })
}

fn contours(rings: &[GridRing], corner: Place) -> Option<Vec<Vec<IntPoint<i32>>>> {
    rings.iter().map(|ring| ring.iter().map(|&place| near(place, corner)).collect()).collect()
}

/// A place as seen from a corner; `None` where that is too far.
fn near(place: Place, corner: Place) -> Option<IntPoint<i32>> {
    const REACH: i64 = (1 << 30) - 1;
    let Place { x, y } = place.minus(corner);
    if x.abs().max(y.abs()) > REACH {
        return None;
    }
    Some(IntPoint::new(i32::try_from(x).ok()?, i32::try_from(y).ok()?))
}

fn back(ring: &[IntPoint<i32>], corner: Place) -> GridRing {
    ring.iter()
        .map(|point| Place { x: corner.x + i64::from(point.x), y: corner.y + i64::from(point.y) })
        .collect()
}

/// `ring` with fewer corners: none further than `tolerance` from it (Douglas and Peucker 1973), and its area within
/// 1 %; the tolerance is halved until that holds. As it is when nothing can be left out.
#[must_use]
pub fn simplified(ring: &[Level0Point], tolerance: f64) -> Vec<Level0Point> {
    const AREA_OFF: f64 = 0.01;
    const TRIES: usize = 5;
    let area = area_px(ring);
    let mut tolerance = tolerance;
    for _ in 0..TRIES {
        let fewer = fewer_corners(ring, tolerance);
        if fewer.len() >= 3 && (area_px(&fewer) - area).abs() <= AREA_OFF * area.abs() {
            return fewer;
        }
        tolerance /= 2.0;
    }
    ring.to_vec()
}

fn area_px(ring: &[Level0Point]) -> f64 {
    let Some(&origin) = ring.first() else { return 0.0 };
    let next = ring.iter().cycle().skip(1);
    ring.iter().zip(next).map(|(&p, &q)| (p - origin).cross(q - origin)).sum::<f64>() / 2.0
}

/// `ring` with no corner left out that is further than `tolerance` from what is left. From the first corner to the one
/// furthest from it, both ways round.
pub(crate) fn fewer_corners(ring: &[Level0Point], tolerance: f64) -> Vec<Level0Point> {
    let Some(&first) = ring.first() else { return Vec::new() };
    let Some((opposite, _)) = furthest(1..ring.len(), |index| (ring[index] - first).square_length()) else {
        return ring.to_vec();
    };
    let closed: Vec<Level0Point> = ring.iter().copied().chain([first]).collect();
    let mut kept = vec![false; closed.len()];
    kept[0] = true;
    kept[opposite] = true;
    let mut todo = vec![(0, opposite), (opposite, ring.len())];
    while let Some((from, to)) = todo.pop() {
        let found = furthest(from + 1..to, |index| distance(closed[index], closed[from], closed[to]));
        if let Some((index, _)) = found.filter(|(_, off)| *off > tolerance) {
            kept[index] = true;
            todo.extend([(from, index), (index, to)]);
        }
    }
    ring.iter().zip(kept).filter(|(_, kept)| *kept).map(|(&point, _)| point).collect()
}

/// The index of the largest distance, and that distance.
fn furthest(indices: Range<usize>, distance: impl Fn(usize) -> f64) -> Option<(usize, f64)> {
    indices.map(|index| (index, distance(index))).max_by(|(_, a), (_, b)| a.total_cmp(b))
}

/// From a point to the segment between two others.
fn distance(point: Level0Point, a: Level0Point, b: Level0Point) -> f64 {
    let along = b - a;
    let length = along.square_length();
    let share = if length > 0.0 { ((point - a).dot(along) / length).clamp(0.0, 1.0) } else { 0.0 };
    (point - (a + along * share)).length()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(x: f64, y: f64, side: f64) -> Vec<Level0Point> {
        [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]
            .map(|(x, y)| Level0Point::new(x, y))
            .to_vec()
    }

    fn px2(parts: &[Vec<GridRing>]) -> f64 {
        let steps = Grid::DYADIC.steps_per_px() as f64;
        parts.iter().flatten().map(|ring| twice_area(ring)).sum::<i64>() as f64 / 2.0 / (steps * steps)
    }

    #[test]
    fn cuts_take_each_place_once_though_they_overlap() {
        let area = [square(0.0, 0.0, 10.0), square(8.0, 8.0, 1.0)];
        let whole = area_without_on_grid(&area, &[], Grid::DYADIC);
        assert_eq!(px2(&whole).abs(), 99.0);
        let ring_shaped = [square(-2.0, -2.0, 6.0), square(0.0, 0.0, 2.0)];
        let over_its_hole = [square(1.0, 1.0, 2.0)];
        let left = area_without_on_grid(&area, &[&ring_shaped, &over_its_hole], Grid::DYADIC);
        // Of the 16 px² under the first 4 are its hole, of which the second takes 1.
        assert_eq!(px2(&left).abs(), 99.0 - 12.0 - 1.0);
        assert_eq!(left.len(), 2, "what is left in the corner stands alone");
        assert!(area_without_on_grid(&area, &[&[square(-1.0, -1.0, 20.0)]], Grid::DYADIC).is_empty());
    }
}
