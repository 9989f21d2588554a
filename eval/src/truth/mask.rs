//! Pixel masks into outlines along pixel edges.

use crate::polygon::{Polygon, Ring};

/// A rectangle of whole pixels, ends excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PixelBounds {
    /// First column.
    pub x0: u32,
    /// First row.
    pub y0: u32,
    /// Column after the last.
    pub x1: u32,
    /// Row after the last.
    pub y1: u32,
}

impl PixelBounds {
    /// One pixel.
    #[must_use]
    pub fn of_pixel(x: u32, y: u32) -> Self {
        Self { x0: x, y0: y, x1: x + 1, y1: y + 1 }
    }

    /// Grows to hold a pixel.
    pub fn include(&mut self, x: u32, y: u32) {
        self.x0 = self.x0.min(x);
        self.y0 = self.y0.min(y);
        self.x1 = self.x1.max(x + 1);
        self.y1 = self.y1.max(y + 1);
    }

    /// As a level-0 box.
    #[must_use]
    pub fn to_box(self) -> wsi_types::Level0Box {
        let [x0, y0, x1, y1] = [self.x0, self.y0, self.x1, self.y1].map(f64::from);
        wsi_types::Level0Box::new(euclid::point2(x0, y0), euclid::point2(x1, y1))
    }
}

/// East, south, west, north: each is the one before turned right (y down).
const STEPS: [(i64, i64); 4] = [(1, 0), (0, 1), (-1, 0), (0, -1)];

/// The outline of all pixels in `bounds` that are `inside`, along their edges:
/// its area is their number, and the area it shares with another such outline
/// is the number of common pixels. Pixels that touch at a corner only get rings
/// of their own.
#[must_use]
pub fn trace(bounds: PixelBounds, inside: impl Fn(u32, u32) -> bool) -> Polygon {
    let mut borders = Borders::new(bounds, inside);
    let mut rings = Vec::new();
    while let Some(ring) = borders.take_ring() {
        rings.push(ring);
    }
    Polygon { rings }
}

/// Pixel sides between inside and outside, as directions out of grid corners,
/// with the inside to the right.
struct Borders {
    bounds: PixelBounds,
    columns: usize,
    /// One bit per direction, by corner.
    out: Vec<u8>,
    /// Corners before this one have no sides left.
    from: usize,
}

impl Borders {
    fn new(bounds: PixelBounds, inside: impl Fn(u32, u32) -> bool) -> Self {
        let (width, height) = ((bounds.x1 - bounds.x0) as usize, (bounds.y1 - bounds.y0) as usize);
        let columns = width + 1;
        let mut out = vec![0_u8; columns * (height + 1)];
        let is_in = |x: i64, y: i64| {
            let within = x >= 0 && y >= 0 && (x as usize) < width && (y as usize) < height;
            within && inside(bounds.x0 + x as u32, bounds.y0 + y as u32)
        };
        for y in 0..height as i64 {
            for x in 0..width as i64 {
                if !is_in(x, y) {
                    continue;
                }
                // North, east, south, west neighbour; the side starts at this corner.
                let sides = [(0, -1, 0, 0), (1, 0, 1, 0), (0, 1, 1, 1), (-1, 0, 0, 1)];
                for (direction, (dx, dy, cx, cy)) in sides.into_iter().enumerate() {
                    if !is_in(x + dx, y + dy) {
                        out[(y + cy) as usize * columns + (x + cx) as usize] |= 1 << direction;
                    }
                }
            }
        }
        Self { bounds, columns, out, from: 0 }
    }

    /// Follows one ring from the first side that is left, and removes it.
    fn take_ring(&mut self) -> Option<Ring> {
        self.from += self.out[self.from..].iter().position(|&sides| sides != 0)?;
        let start = self.from;
        let mut corner = start;
        let mut direction = self.out[start].trailing_zeros() as usize;
        let first = direction;
        let mut ring = Ring::new();
        loop {
            self.out[corner] &= !(1 << direction);
            corner = self.after(corner, direction);
            let next = if corner == start && self.out[corner] & turns(direction) == 0 {
                first
            } else {
                self.turn(corner, direction)
            };
            if next != direction {
                ring.push(self.point(corner));
            }
            if corner == start && next == first {
                return Some(ring);
            }
            direction = next;
        }
    }

    /// The direction to go on in: right first, so that pixels meeting at a corner stay apart.
    fn turn(&self, corner: usize, direction: usize) -> usize {
        let candidates = [direction + 1, direction, direction + 3].map(|d| d % 4);
        candidates.into_iter().find(|&d| self.out[corner] & (1 << d) != 0).unwrap_or(direction)
    }

    fn after(&self, corner: usize, direction: usize) -> usize {
        let (dx, dy) = STEPS[direction];
        (corner as i64 + dy * self.columns as i64 + dx) as usize
    }

    fn point(&self, corner: usize) -> wsi_types::Level0Point {
        let (x, y) = (corner % self.columns, corner / self.columns);
        euclid::point2(f64::from(self.bounds.x0) + x as f64, f64::from(self.bounds.y0) + y as f64)
    }
}

/// Directions to go on in, a bit each: all but back.
fn turns(direction: usize) -> u8 {
    !(1 << ((direction + 2) % 4)) & 0b1111
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::polygon::shared_area;

    fn traced(rows: &[&str]) -> Polygon {
        let bounds = PixelBounds { x0: 5, y0: 7, x1: 5 + rows[0].len() as u32, y1: 7 + rows.len() as u32 };
        trace(bounds, |x, y| rows[(y - 7) as usize].as_bytes()[(x - 5) as usize] == b'#')
    }

    #[test]
    fn one_pixel_has_four_corners() {
        let pixel = traced(&["#"]);
        let corners: Vec<(f64, f64)> = pixel.rings[0].iter().map(|p| (p.x, p.y)).collect();
        assert_eq!(corners, [(6.0, 7.0), (6.0, 8.0), (5.0, 8.0), (5.0, 7.0)]);
    }

    #[test]
    fn holes_and_corner_contacts_are_rings_of_their_own() {
        let ring = traced(&["###", "#.#", "###"]);
        assert_eq!((ring.rings.len(), ring.area()), (2, 8.0));
        let diagonal = traced(&["#.", ".#"]);
        assert_eq!((diagonal.rings.len(), diagonal.area()), (2, 2.0));
        let anti = traced(&[".#", "#."]);
        assert_eq!((anti.rings.len(), anti.area()), (2, 2.0));
    }

    proptest! {
        #[test]
        fn areas_are_numbers_of_pixels(a in prop::collection::vec(any::<bool>(), 48),
                                       b in prop::collection::vec(any::<bool>(), 48)) {
            let bounds = PixelBounds { x0: 0, y0: 0, x1: 8, y1: 6 };
            let [one, other] = [&a, &b].map(|mask| trace(bounds, |x, y| mask[(y * 8 + x) as usize]));
            prop_assert_eq!(one.area(), a.iter().filter(|inside| **inside).count() as f64);
            let both = a.iter().zip(&b).filter(|(a, b)| **a && **b).count() as f64;
            prop_assert_eq!(shared_area(&one, &other), both);
        }
    }
}
