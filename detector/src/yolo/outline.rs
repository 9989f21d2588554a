//! Outlines of masks.
//!
//! The outline is the zero line of the mask's field, interpolated between pixel centres (marching squares,
//! Lorensen & Cline 1987 in two dimensions): a pixel centre is inside the outline exactly where the mask
//! is. Where the box cuts the mask, the outline runs along pixel borders.
//!
//! One ring per object: of several parts (joined over edges, not corners) the largest, the first of equals;
//! holes are filled.

use fearless_simd::{Level, Select, Simd, SimdBase, SimdFloat, SimdFrom, SimdMask, dispatch, f32x8};
use wsi_types::Outline;

use super::segment::Mask;
use crate::parts::Parts;

/// The outline of `mask` in window px, clockwise as seen (y down); corners that lie within `tolerance` px
/// of the line without them are left out. `None` for a mask without a pixel.
#[must_use]
pub fn outline(mask: &Mask, tolerance: f32) -> Option<Outline> {
    Outliner::default().outline(mask, tolerance)
}

/// Draws the outlines of many masks in one room.
#[derive(Debug, Default)]
pub(crate) struct Outliner {
    part: Part,
    ring: Ring,
}

impl Outliner {
    /// As [`outline`].
    pub(crate) fn outline(&mut self, mask: &Mask, tolerance: f32) -> Option<Outline> {
        let Self { part, ring } = self;
        let start = part.take(mask)?;
        part.trace(start, mask, ring);
        Some(ring.simplified(Level::new(), tolerance))
    }
}

/// One part of a mask: the mask's field, with a border around it, where whatever belongs neither to the part nor to what is
/// beside it is NaN.
#[derive(Debug, Default)]
struct Part {
    field: Vec<f32>,
    /// Places per row, the border's with them.
    width: usize,
}

impl Part {
    /// Takes the largest part of a mask; gives the place of its first pixel in scan order, above which there is nothing of
    /// it. `None` if there is none.
    fn take(&mut self, mask: &Mask) -> Option<usize> {
        self.width = mask.width + 2;
        self.field.clear();
        self.field.resize(self.width, f32::NAN);
        let mut rows = Rows::default();
        for (number, row) in mask.field.chunks_exact(mask.width.max(1)).enumerate() {
            rows.push(number, row);
            self.field.push(f32::NAN);
            self.field.extend_from_slice(row);
            self.field.push(f32::NAN);
        }
        self.field.resize(self.field.len() + self.width, f32::NAN);
        match rows {
            Rows::None => None,
            Rows::OnePart { first, .. } => Some(self.place(first, mask.width)),
            Rows::Unknown => self.take_largest(mask),
        }
    }

    /// Place of a mask's pixel in the field with its border.
    fn place(&self, pixel: usize, width: usize) -> usize {
        (pixel / width + 1) * self.width + pixel % width + 1
    }

    fn take_largest(&mut self, mask: &Mask) -> Option<usize> {
        let parts = Parts::new(&mask.field, mask.width, is_inside);
        let sizes = parts.sizes();
        // Of equals `max_by_key` gives the last.
        let largest = (0..sizes.len()).rev().max_by_key(|&part| sizes[part])?;
        for run in parts.runs().iter().filter(|run| run.part != largest) {
            let start = self.place(run.start, mask.width);
            self.field[start..start + run.len()].fill(f32::NAN);
        }
        parts.runs().get(largest).map(|run| self.place(run.start, mask.width))
    }

    fn value(&self, place: usize) -> f32 {
        self.field.get(place).copied().unwrap_or(f32::NAN)
    }

    /// Walks around the part along pixel borders, the part at the right hand, and notes where the zero
    /// line crosses from the pixel inside to the one outside at each step.
    fn trace(&self, start: usize, mask: &Mask, ring: &mut Ring) {
        ring.clear();
        let (left, top) = (mask.left as f32, mask.top as f32);
        // As counted without the border.
        let [mut column, mut row] = [start % self.width - 1, start / self.width - 1].map(|n| n as f32);
        let (mut inside, mut heading) = (start, 0_usize);
        let down = self.width as isize;
        let along = [1, down, -1, -down];
        loop {
            let left_hand = (heading + 3) % 4;
            let (to_ahead, to_outside) = (along[heading], along[left_hand]);
            let ([by_x, by_y], [to_x, to_y]) = (STEPS[heading], STEPS[left_hand]);
            let share = share_inside(self.value(inside), self.value(inside.wrapping_add_signed(to_outside)));
            ring.push(left + (column + 0.5 + to_x * share), top + (row + 0.5 + to_y * share));
            let ahead = inside.wrapping_add_signed(to_ahead);
            let beyond = ahead.wrapping_add_signed(to_outside);
            if !is_inside(self.value(ahead)) {
                heading = (heading + 1) % 4;
            } else if !is_inside(self.value(beyond)) {
                inside = ahead;
                (column, row) = (column + by_x, row + by_y);
            } else {
                inside = beyond;
                (column, row) = (column + by_x + to_x, row + by_y + to_y);
                heading = left_hand;
            }
            if (inside, heading) == (start, 0) {
                return;
            }
        }
    }
}

/// Steps along pixel borders: right, down, left, up.
const STEPS: [[f32; 2]; 4] = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]];

/// Share of the way from the centre of a pixel inside to that of its neighbour outside at which the field is zero; half of
/// it where the neighbour has no value.
fn share_inside(inside: f32, outside: f32) -> f32 {
    // Not positive outside, so the difference is at least the positive value inside.
    if outside <= 0.0 { inside / (inside - outside) } else { 0.5 }
}

fn is_inside(value: f32) -> bool {
    value > 0.0
}

/// Parts of a mask, as far as its rows so far tell.
#[derive(Debug, Default, Clone, Copy)]
enum Rows {
    #[default]
    None,
    /// One run in each row since the first, each over the one before; no row after the run ended.
    OnePart { first: usize, above: u64 },
    /// Perhaps several.
    Unknown,
}

/// The bit of each pixel inside, of a row of at most 64.
fn bits_of(row: &[f32]) -> u64 {
    row.iter().rev().fold(0, |bits, &value| bits << 1 | u64::from(is_inside(value)))
}

impl Rows {
    /// Takes in the next row, the one of that number.
    fn push(&mut self, number: usize, row: &[f32]) {
        if row.len() > u64::BITS as usize {
            *self = Self::Unknown;
            return;
        }
        let bits = bits_of(row);
        let gap_or_end = bits.checked_shr(bits.trailing_zeros()).unwrap_or(0);
        let is_one_run = gap_or_end & gap_or_end.wrapping_add(1) == 0;
        *self = match *self {
            Self::None if bits == 0 => Self::None,
            Self::None if is_one_run => {
                Self::OnePart { first: number * row.len() + bits.trailing_zeros() as usize, above: bits }
            }
            Self::OnePart { first, .. } if bits == 0 => Self::OnePart { first, above: 0 },
            Self::OnePart { first, above } if is_one_run && above & bits != 0 => {
                Self::OnePart { first, above: bits }
            }
            _ => Self::Unknown,
        };
    }
}

/// A ring of corners, window px.
#[derive(Debug, Default)]
struct Ring {
    x: Vec<f32>,
    y: Vec<f32>,
    /// By corner: `true` if it stays.
    keep: Vec<bool>,
    /// Stretches of the ring that are looked at next.
    open: Vec<(usize, usize)>,
}

/// Corners that are looked at together.
const LANES: usize = 8;

impl Ring {
    fn clear(&mut self) {
        self.x.clear();
        self.y.clear();
    }

    fn push(&mut self, x: f32, y: f32) {
        self.x.push(x);
        self.y.push(y);
    }

    /// Leaves out corners that lie within `tolerance` of the line without them (Douglas & Peucker 1973), started from the
    /// first point and the one farthest from it. Never fewer than 3 points.
    fn simplified(&mut self, level: Level, tolerance: f32) -> Outline {
        let corners = self.x.len();
        if !(tolerance > 0.0 && corners > 4) {
            return self.whole();
        }
        self.keep.clear();
        self.keep.resize(corners, false);
        // After the last comes the first again, and room to look at several at once.
        for axis in [&mut self.x, &mut self.y] {
            let first = axis[0];
            axis.resize(corners + LANES, first);
        }
        let Self { x, y, keep, open } = self;
        dispatch!(level, simd => mark(simd, x, y, tolerance, keep, open));
        self.x.truncate(corners);
        self.y.truncate(corners);
        let kept = self.keep.iter().filter(|keep| **keep).count();
        if kept < 3 {
            return self.whole();
        }
        let mut outline = Vec::with_capacity(kept);
        let corners = self.x.iter().zip(&self.y).zip(&self.keep);
        outline.extend(corners.filter(|(_, keep)| **keep).map(|((&x, &y), _)| euclid::point2(x, y)));
        outline.into_boxed_slice()
    }

    fn whole(&self) -> Outline {
        self.x.iter().zip(&self.y).map(|(&x, &y)| euclid::point2(x, y)).collect()
    }
}

/// Marks the corners of a ring that stay; after the last there are [`LANES`] more numbers, of which the first is the first
/// corner's.
#[inline(always)]
fn mark<S: Simd>(
    simd: S,
    x: &[f32],
    y: &[f32],
    tolerance: f32,
    keep: &mut [bool],
    open: &mut Vec<(usize, usize)>,
) {
    let corners = keep.len();
    let (first_x, first_y) = (x[0], y[0]);
    let far = farthest(
        simd,
        x,
        y,
        (0, corners),
        #[inline(always)]
        |x, y| {
            let (x, y) = (x - first_x, y - first_y);
            x * x + y * y
        },
    );
    let far = far.map_or(1, |(far, _)| far);
    keep[0] = true;
    keep[far] = true;
    open.clear();
    open.extend([(0, far), (far, corners)]);
    while let Some((from, to)) = open.pop() {
        let (a_x, a_y) = (x[from], y[from]);
        let (along_x, along_y) = (x[to] - a_x, y[to] - a_y);
        let length = along_x * along_x + along_y * along_y;
        let off = farthest(
            simd,
            x,
            y,
            (from, to),
            #[inline(always)]
            |x, y| {
                let (to_x, to_y) = (x - a_x, y - a_y);
                let share = if length > 0.0 {
                    ((to_x * along_x + to_y * along_y) / length).max(0.0).min(1.0)
                } else {
                    f32x8::splat(simd, 0.0)
                };
                let (off_x, off_y) = (to_x - share * along_x, to_y - share * along_y);
                (off_x * off_x + off_y * off_y).sqrt()
            },
        );
        if let Some((corner, _)) = off.filter(|(_, distance)| *distance > tolerance) {
            keep[corner] = true;
            // Neighbours have nothing between them.
            open.extend([(from, corner), (corner, to)].into_iter().filter(|(from, to)| to - from > 1));
        }
    }
}

/// The corner between two others with the greatest distance, the last of equals, and that distance.
#[inline(always)]
fn farthest<S: Simd>(
    simd: S,
    x: &[f32],
    y: &[f32],
    (from, to): (usize, usize),
    distance: impl Fn(f32x8<S>, f32x8<S>) -> f32x8<S>,
) -> Option<(usize, f32)> {
    let lanes = f32x8::simd_from(simd, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    let mut best = None;
    let mut start = from + 1;
    while start < to {
        let (Some(&x), Some(&y)) = (x[start..].first_chunk(), y[start..].first_chunk()) else { break };
        let distances = distance(f32x8::simd_from(simd, x), f32x8::simd_from(simd, y));
        let distances = lanes.simd_lt((to - start) as f32).select(distances, f32x8::splat(simd, -1.0));
        let greatest = distances.reduce_max();
        if best.is_none_or(|(_, distance)| greatest >= distance) {
            let last = distances.simd_eq(greatest).to_bitmask().checked_ilog2().unwrap_or(0);
            best = Some((start + last as usize, greatest));
        }
        start += LANES;
    }
    best
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wsi_types::WindowPoint;

    use super::*;
    use crate::yolo::levels;

    fn mask(left: usize, top: usize, rows: &[&str]) -> Mask {
        let width = rows[0].len();
        let field =
            rows.iter().flat_map(|row| row.bytes().map(|b| if b == b'#' { 1.0 } else { -1.0 })).collect();
        Mask { left, top, width, height: rows.len(), field }
    }

    fn points(ring: &[WindowPoint]) -> Vec<(f32, f32)> {
        ring.iter().map(|p| (p.x, p.y)).collect()
    }

    /// Twice the area, positive for clockwise rings with y down.
    fn area(ring: &[WindowPoint]) -> f32 {
        let next = ring.iter().cycle().skip(1);
        ring.iter().zip(next).map(|(a, b)| a.x * b.y - b.x * a.y).sum::<f32>() / 2.0
    }

    /// Even-odd rule.
    fn contains(ring: &[WindowPoint], x: f32, y: f32) -> bool {
        let next = ring.iter().cycle().skip(1);
        ring.iter().zip(next).fold(false, |inside, (a, b)| {
            let crosses = (a.y > y) != (b.y > y) && x < (b.x - a.x) * (y - a.y) / (b.y - a.y) + a.x;
            inside != crosses
        })
    }

    #[test]
    fn one_pixel_is_a_diamond() {
        let ring = outline(&mask(10, 20, &["...", ".#.", "..."]), 0.0).unwrap();
        assert_eq!(points(&ring), [(11.5, 21.0), (12.0, 21.5), (11.5, 22.0), (11.0, 21.5)]);
    }

    #[test]
    fn the_largest_part_is_taken_and_holes_are_filled() {
        let ring = outline(&mask(0, 0, &["#.....", "..###.", "..#.#.", "..###.", "......"]), 0.0).unwrap();
        assert!(!contains(&ring, 0.5, 0.5));
        assert!(contains(&ring, 3.5, 2.5), "the hole");
        assert_eq!(area(&ring), 9.0 - 4.0 * 0.125);
        assert!(outline(&mask(0, 0, &["..", ".."]), 0.0).is_none());
    }

    #[test]
    fn corners_do_not_join() {
        let ring = outline(&mask(0, 0, &["##.", "##.", "..#"]), 0.0).unwrap();
        assert!(contains(&ring, 0.5, 0.5) && !contains(&ring, 2.5, 2.5));
    }

    #[test]
    fn the_line_is_where_the_field_is_zero() {
        let mut mask = mask(0, 0, &["...", ".#.", "..."]);
        mask.field[4] = 3.0;
        let ring = outline(&mask, 0.0).unwrap();
        assert_eq!(points(&ring)[1], (1.5 + 0.75, 1.5));
    }

    #[test]
    fn straight_runs_lose_their_corners() {
        let long = mask(0, 0, &["########", "########"]);
        assert_eq!(outline(&long, 0.0).unwrap().len(), 20);
        let ring = outline(&long, 0.01).unwrap();
        assert!(ring.len() <= 8, "{}", ring.len());
        assert_eq!(area(&ring), area(&outline(&long, 0.0).unwrap()));
    }

    /// The pixels of the part that `start` is in, joined one by one.
    fn flooded(mask: &Mask, start: usize) -> Vec<bool> {
        let mut inside = vec![false; mask.field.len()];
        let mut open = vec![start];
        while let Some(at) = open.pop() {
            if mask.field[at] <= 0.0 || std::mem::replace(&mut inside[at], true) {
                continue;
            }
            let (x, y) = (at % mask.width, at / mask.width);
            let steps = [(x > 0, -1), (x + 1 < mask.width, 1), (y > 0, -9), (y + 1 < mask.height, 9)];
            open.extend(steps.iter().filter(|(there, _)| *there).map(|(_, by)| at.strict_add_signed(*by)));
        }
        inside
    }

    /// The first pixel of the largest part, and whether each pixel is in it.
    fn taken(mask: &Mask) -> Option<(usize, Vec<bool>)> {
        let mut part = Part::default();
        let first = part.take(mask)?;
        let places = (0..mask.field.len()).map(|pixel| part.place(pixel, mask.width));
        let pixel = places.clone().position(|place| place == first)?;
        Some((pixel, places.map(|place| is_inside(part.field[place])).collect()))
    }

    fn plainly_simplified(ring: &[WindowPoint], tolerance: f32) -> Vec<WindowPoint> {
        if ring.len() <= 4 {
            return ring.to_vec();
        }
        let farthest = |(from, to): (usize, usize), distance: &dyn Fn(WindowPoint) -> f32| {
            let each = (from + 1..to).map(|corner| (corner, distance(ring[corner])));
            each.max_by(|(_, a), (_, b)| a.total_cmp(b))
        };
        let far = farthest((0, ring.len()), &|corner| (corner - ring[0]).square_length()).unwrap().0;
        let mut stays = vec![0, far];
        let mut open = vec![(0, far), (far, ring.len())];
        while let Some((from, to)) = open.pop() {
            let (a, along) = (ring[from], ring[to % ring.len()] - ring[from]);
            let off = farthest((from, to), &|corner| {
                let length = along.square_length();
                let share =
                    if length > 0.0 { ((corner - a).dot(along) / length).clamp(0.0, 1.0) } else { 0.0 };
                (corner - a - along * share).length()
            });
            if let Some((corner, _)) = off.filter(|(_, distance)| *distance > tolerance) {
                stays.push(corner);
                open.extend([(from, corner), (corner, to)]);
            }
        }
        stays.sort_unstable();
        if stays.len() < 3 { ring.to_vec() } else { stays.into_iter().map(|corner| ring[corner]).collect() }
    }

    proptest! {
        #[test]
        fn the_largest_part_is_that_of_a_flood_fill(field in proptest::collection::vec(-1f32..1.0, 9 * 12)) {
            let mask = Mask { left: 0, top: 0, width: 9, height: 12, field };
            let parts = (0..mask.field.len()).filter(|&at| mask.field[at] > 0.0).map(|at| (at, flooded(&mask, at)));
            let size = |inside: &[bool]| inside.iter().filter(|&&pixel| pixel).count();
            let largest = parts.reduce(|a, b| if size(&b.1) > size(&a.1) { b } else { a });
            prop_assert_eq!(taken(&mask), largest);
        }

        /// A part that is one run in each row is known without joining runs.
        #[test]
        fn a_round_part_is_that_of_a_flood_fill(
            centre in (0f32..9.0, 0f32..12.0), radius in 0f32..7.0, noise in proptest::collection::vec(-1f32..1.0, 9 * 12)
        ) {
            let field = noise.iter().enumerate().map(|(at, noise)| {
                let (x, y) = ((at % 9) as f32 - centre.0, (at / 9) as f32 - centre.1);
                radius - x.hypot(y) + noise * 0.7
            });
            let mask = Mask { left: 0, top: 0, width: 9, height: 12, field: field.collect() };
            let parts = (0..mask.field.len()).filter(|&at| mask.field[at] > 0.0).map(|at| (at, flooded(&mask, at)));
            let size = |inside: &[bool]| inside.iter().filter(|&&pixel| pixel).count();
            let largest = parts.reduce(|a, b| if size(&b.1) > size(&a.1) { b } else { a });
            prop_assert_eq!(taken(&mask), largest);
        }

        /// Corners are looked at eight by eight, and that must not show.
        #[test]
        fn eight_corners_at_once_give_what_one_by_one_gives(
            corners in proptest::collection::vec((0u8..12, 0u8..12), 3..60), tolerance in prop_oneof![Just(0.05f32), 0f32..3.0]
        ) {
            // Places of a grid, so that distances are often equal.
            let corners: Vec<WindowPoint> =
                corners.iter().map(|&(x, y)| euclid::point2(f32::from(x) * 0.5, f32::from(y) * 0.3)).collect();
            let mut ring = Ring::default();
            corners.iter().for_each(|corner| ring.push(corner.x, corner.y));
            let expected = plainly_simplified(&corners, tolerance);
            for level in levels::all() {
                prop_assert_eq!(ring.simplified(level, tolerance).into_vec(), &expected[..], "{:?}", level);
            }
        }

        /// The outline holds exactly the pixel centres of its part, holes filled.
        #[test]
        fn pixel_centres_tell_inside_from_outside(
            field in proptest::collection::vec(-1f32..1.0, 63), tolerance in prop_oneof![Just(0f32), Just(1e-4)]
        ) {
            let mask = Mask { left: 5, top: 3, width: 9, height: 7, field };
            if let Some(ring) = outline(&mask, tolerance) {
                let (_, part) = taken(&mask).unwrap();
                prop_assert!(area(&ring) > 0.0);
                for y in 0..7 {
                    for x in 0..9 {
                        let held = contains(&ring, 5.5 + x as f32, 3.5 + y as f32);
                        let inside = part[y * 9 + x];
                        // A pixel the part encloses is held too.
                        prop_assert!(held || !inside, "({x}, {y})");
                        let on_border = x == 0 || y == 0 || x == 8 || y == 6;
                        prop_assert!(!(on_border && held && !inside), "({x}, {y})");
                    }
                }
            }
        }
    }
}
