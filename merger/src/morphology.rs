//! Shape of an outline, in the definitions that QuPath's measurement table
//! uses, and filters on it.

use serde::{Deserialize, Serialize};
use wsi_types::{Level0Point, Mpp};

use crate::geometry::{edges, ring_area};

/// The shape of one outline.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// Area inside the ring.
    pub area_um2: f64,
    /// Length of the ring.
    pub perimeter_um: f64,
    /// 4π·area / perimeter², 1 for a circle.
    pub circularity: f64,
    /// Area over that of the convex hull, 1 for a convex outline.
    pub solidity: f64,
    /// Of the ellipse with the same second moments: 0 for a circle, towards 1
    /// for a line.
    pub eccentricity: f64,
    /// Diameter of the smallest enclosing circle.
    pub max_diam_um: f64,
    /// The least distance between two parallel lines that enclose it.
    pub min_diam_um: f64,
    /// Long over short axis of the ellipse with the same second moments: 1 for a circle.
    pub elongation: f64,
    /// Direction of that long axis, degrees from the x axis (to the right) towards the y axis (down), from 0 to below 180.
    /// `None` where all directions are alike, as in circles and squares.
    pub orientation_deg: Option<f64>,
}

impl Shape {
    /// Measures the closed `ring` (level-0 px, last point not repeated).
    /// `None` when it has no area: fewer than three points, or all on a line.
    #[must_use]
    pub fn of(ring: &[Level0Point], mpp: Mpp) -> Option<Self> {
        let area = ring_area(ring).abs();
        let perimeter: f64 = edges(ring).map(|(p, q)| (q - p).length()).sum();
        let hull = convex_hull(ring);
        let hull_area = ring_area(&hull).abs();
        if !(area > 0.0 && hull_area > 0.0 && perimeter > 0.0) {
            return None;
        }
        let um = mpp.get();
        let moments = SecondMoments::of(ring);
        Some(Self {
            area_um2: area * um * um,
            perimeter_um: perimeter * um,
            circularity: (4.0 * std::f64::consts::PI * area / (perimeter * perimeter)).min(1.0),
            solidity: (area / hull_area).min(1.0),
            eccentricity: moments.eccentricity(),
            max_diam_um: 2.0 * enclosing_radius(&hull) * um,
            min_diam_um: min_width(&hull) * um,
            elongation: moments.elongation(),
            orientation_deg: moments.orientation_deg(),
        })
    }
}

/// The convex hull as a ring of positive area, corners only, by Andrew's
/// monotone chain (1979).
pub(crate) fn convex_hull(points: &[Level0Point]) -> Vec<Level0Point> {
    let mut sorted = points.to_vec();
    sorted.sort_unstable_by(|a, b| a.x.total_cmp(&b.x).then_with(|| a.y.total_cmp(&b.y)));
    sorted.dedup();
    if sorted.len() < 3 {
        return sorted;
    }
    let mut hull = half_hull(sorted.iter().copied());
    hull.pop();
    let mut back = half_hull(sorted.iter().rev().copied());
    back.pop();
    hull.append(&mut back);
    hull
}

fn half_hull(points: impl Iterator<Item = Level0Point>) -> Vec<Level0Point> {
    let mut hull: Vec<Level0Point> = Vec::new();
    for point in points {
        while let [.., a, b] = hull[..]
            && (b - a).cross(point - b) <= 0.0
        {
            hull.pop();
        }
        hull.push(point);
    }
    hull
}

/// The least width of a convex ring of positive area: one line lies on an edge,
/// so the farthest corner is followed around (rotating calipers).
fn min_width(hull: &[Level0Point]) -> f64 {
    let count = hull.len();
    if count < 3 {
        return 0.0;
    }
    let mut far = 1;
    let mut least = f64::INFINITY;
    for at in 0..count {
        let (start, end) = (hull[at], hull[(at + 1) % count]);
        let along = end - start;
        let height = |index: usize| along.cross(hull[index % count] - start);
        far = far.max(at + 1);
        // A convex ring's heights rise to one top and fall again.
        while far < at + count && height(far + 1) > height(far) {
            far += 1;
        }
        least = least.min(height(far) / along.length());
    }
    least
}

/// Radius of the smallest circle around `points`, by growing it point by point
/// (Welzl 1991, without recursion).
fn enclosing_radius(points: &[Level0Point]) -> f64 {
    let points = scattered(points);
    let mut circle = Circle { centre: Level0Point::zero(), radius: -1.0 };
    for (i, &p) in points.iter().enumerate() {
        if circle.holds(p) {
            continue;
        }
        circle = Circle { centre: p, radius: 0.0 };
        for (j, &q) in points[..i].iter().enumerate() {
            if circle.holds(q) {
                continue;
            }
            circle = Circle::across(p, q);
            for &r in &points[..j] {
                if !circle.holds(r) {
                    circle = Circle::through(p, q, r);
                }
            }
        }
    }
    circle.radius.max(0.0)
}

/// The same points in an order that jumps around: in ring order the growing
/// circle would change at nearly every point. The same every time.
fn scattered(points: &[Level0Point]) -> Vec<Level0Point> {
    let count = points.len();
    let mut order: Vec<(u32, usize)> =
        (0..count).map(|index| ((index as u32).wrapping_mul(0x9E37_79B9), index)).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, index)| points[index]).collect()
}

struct Circle {
    centre: Level0Point,
    radius: f64,
}

impl Circle {
    fn holds(&self, point: Level0Point) -> bool {
        // Points on the circle were used to make it; rounding must not put them
        // outside again.
        (point - self.centre).length() <= self.radius * (1.0 + 1e-12)
    }

    fn across(a: Level0Point, b: Level0Point) -> Self {
        Self { centre: a.lerp(b, 0.5), radius: (b - a).length() / 2.0 }
    }

    fn through(a: Level0Point, b: Level0Point, c: Level0Point) -> Self {
        let (to_b, to_c) = (b - a, c - a);
        let twice = 2.0 * to_b.cross(to_c);
        if twice == 0.0 {
            // On a line: the two farthest apart make the circle.
            let pairs = [Self::across(a, b), Self::across(a, c), Self::across(b, c)];
            return pairs.into_iter().fold(Self { centre: a, radius: 0.0 }, |best, next| {
                if next.radius > best.radius { next } else { best }
            });
        }
        let (b2, c2) = (to_b.square_length(), to_c.square_length());
        let offset = euclid::vec2(to_c.y * b2 - to_b.y * c2, to_b.x * c2 - to_c.x * b2) / twice;
        Self { centre: a + offset, radius: offset.length() }
    }
}

/// Second moments of the area inside a ring around its centre (Green's theorem), times a common factor.
#[derive(Debug, Clone, Copy)]
struct SecondMoments {
    xx: f64,
    yy: f64,
    xy: f64,
}

impl SecondMoments {
    fn of(ring: &[Level0Point]) -> Self {
        let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
        let centre = crate::geometry::ring_centroid(ring).unwrap_or_default();
        for (p, q) in edges(ring) {
            let (p, q) = (p - centre, q - centre);
            let cross = p.cross(q);
            xx += cross * (p.x * p.x + p.x * q.x + q.x * q.x);
            yy += cross * (p.y * p.y + p.y * q.y + q.y * q.y);
            xy += cross * (2.0 * p.x * p.y + p.x * q.y + q.x * p.y + 2.0 * q.x * q.y);
        }
        // Rings that run the other way have moments below 0.
        Self { xx: xx.abs(), yy: yy.abs(), xy: xy / 2.0 * if xx + yy < 0.0 { -1.0 } else { 1.0 } }
    }

    /// Difference of the moments along the long and the short axis.
    fn spread(&self) -> f64 {
        ((self.xx - self.yy) * (self.xx - self.yy) + 4.0 * self.xy * self.xy).sqrt()
    }

    /// Twice the moments along the long and the short axis.
    fn along_axes(&self) -> (f64, f64) {
        let (sum, spread) = (self.xx + self.yy, self.spread());
        (sum + spread, sum - spread)
    }

    fn eccentricity(&self) -> f64 {
        let (large, small) = self.along_axes();
        if large > 0.0 { (1.0 - small / large).max(0.0).sqrt() } else { 0.0 }
    }

    fn elongation(&self) -> f64 {
        let (large, small) = self.along_axes();
        // Rounding may leave less than nothing of the short axis of a sliver.
        (large / small.max(large * f64::EPSILON)).sqrt()
    }

    fn orientation_deg(&self) -> Option<f64> {
        /// Share of the moments that rounding can make of nothing.
        const ROUNDING: f64 = 1e-9;
        if self.spread() <= ROUNDING * (self.xx + self.yy) {
            return None;
        }
        let degrees = (0.5 * (2.0 * self.xy).atan2(self.xx - self.yy)).to_degrees();
        // As the table has it: rounding may not make 180 of it.
        Some(f64::from(degrees.rem_euclid(180.0) as f32 % 180.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ring;

    fn close(found: f64, expected: f64, within: f64) {
        assert!((found - expected).abs() <= within, "{found}, expected {expected}");
    }

    fn polygon(corners: u32, rx: f64, ry: f64) -> Vec<Level0Point> {
        let angles = (0..corners).map(|i| f64::from(i) * std::f64::consts::TAU / f64::from(corners));
        angles.map(|angle| Level0Point::new(5e4 + rx * angle.cos(), 9e4 + ry * angle.sin())).collect()
    }

    #[test]
    fn a_circle_is_round_and_its_diameters_agree() {
        let shape = Shape::of(&polygon(720, 20.0, 20.0), Mpp::new(0.5).unwrap()).unwrap();
        close(shape.area_um2, std::f64::consts::PI * 100.0, 0.02);
        close(shape.perimeter_um, std::f64::consts::PI * 20.0, 0.001);
        close(shape.circularity, 1.0, 1e-4);
        close(shape.solidity, 1.0, 1e-9);
        close(shape.eccentricity, 0.0, 1e-4);
        close(shape.max_diam_um, 20.0, 1e-3);
        close(shape.min_diam_um, 20.0, 1e-3);
    }

    #[test]
    fn an_ellipse_has_its_own_eccentricity_and_diameters() {
        let shape = Shape::of(&polygon(2000, 20.0, 12.0), Mpp::new(1.0).unwrap()).unwrap();
        close(shape.eccentricity, 0.8, 1e-4);
        close(shape.max_diam_um, 40.0, 1e-3);
        close(shape.min_diam_um, 24.0, 1e-3);
    }

    #[test]
    fn the_long_axis_of_a_turned_ellipse_is_found_in_either_direction_of_the_ring() {
        let mpp = Mpp::new(0.5).unwrap();
        for degrees in [0.0_f64, 17.0, 89.0, 90.0, 91.0, 135.0, 179.0] {
            let (sin, cos) = degrees.to_radians().sin_cos();
            let turned = polygon(500, 30.0, 12.0).into_iter().map(|corner| {
                let (x, y) = (corner.x - 5e4, corner.y - 9e4);
                Level0Point::new(5e4 + x * cos - y * sin, 9e4 + x * sin + y * cos)
            });
            let turned: Vec<Level0Point> = turned.collect();
            let other_way: Vec<Level0Point> = turned.iter().rev().copied().collect();
            for ring in [turned, other_way] {
                let shape = Shape::of(&ring, mpp).unwrap();
                close(shape.elongation, 2.5, 1e-3);
                let off = shape.orientation_deg.unwrap() - degrees;
                close(off - 180.0 * (off / 180.0).round(), 0.0, 1e-4);
            }
        }
    }

    #[test]
    fn circles_and_squares_have_no_direction() {
        let mpp = Mpp::new(1.0).unwrap();
        let square = ring(&[(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0)]);
        for round in [square, polygon(64, 9.0, 9.0)] {
            let shape = Shape::of(&round, mpp).unwrap();
            assert_eq!(shape.orientation_deg, None);
            close(shape.elongation, 1.0, 1e-6);
        }
        let flat = Shape::of(&ring(&[(0.0, 0.0), (8.0, 0.0), (8.0, 2.0), (0.0, 2.0)]), mpp).unwrap();
        close(flat.elongation, 4.0, 1e-9);
        assert_eq!(flat.orientation_deg, Some(0.0));
    }

    #[test]
    fn a_rectangle_and_an_angle() {
        let mpp = Mpp::new(1.0).unwrap();
        let flat = Shape::of(&ring(&[(0.0, 0.0), (4.0, 0.0), (4.0, 3.0), (0.0, 3.0)]), mpp).unwrap();
        close(flat.max_diam_um, 5.0, 1e-9);
        close(flat.min_diam_um, 3.0, 1e-9);
        close(flat.circularity, 4.0 * std::f64::consts::PI * 12.0 / 196.0, 1e-12);
        let angle = [(0.0, 0.0), (2.0, 0.0), (2.0, 1.0), (1.0, 1.0), (1.0, 2.0), (0.0, 2.0)];
        let angle = Shape::of(&ring(&angle), mpp).unwrap();
        close(angle.solidity, 3.0 / 3.5, 1e-12);
    }

    #[test]
    fn what_has_no_area_has_no_shape() {
        let mpp = Mpp::new(1.0).unwrap();
        assert!(Shape::of(&[], mpp).is_none());
        assert!(Shape::of(&ring(&[(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)]), mpp).is_none());
    }

    #[test]
    fn the_widths_agree_with_trying_every_direction() {
        for seed in 0..20_u32 {
            let points: Vec<Level0Point> = (0..17_u32)
                .map(|i| {
                    let radius = 5.0 + f64::from((i * 7 + seed * 13) % 11);
                    let angle = f64::from(i) * 0.37;
                    Level0Point::new(radius * angle.cos(), radius * angle.sin())
                })
                .collect();
            let hull = convex_hull(&points);
            let widths = (0..31416).map(|i| {
                let (sin, cos) = (f64::from(i) * 1e-4).sin_cos();
                let along: Vec<f64> = points.iter().map(|p| p.x * cos + p.y * sin).collect();
                along.iter().copied().fold(f64::MIN, f64::max)
                    - along.iter().copied().fold(f64::MAX, f64::min)
            });
            close(min_width(&hull), widths.fold(f64::MAX, f64::min), 2e-3);
            let farthest = points
                .iter()
                .flat_map(|p| points.iter().map(move |q| (*p - *q).length()))
                .fold(0.0, f64::max);
            let radius = enclosing_radius(&hull);
            assert!(2.0 * radius >= farthest - 1e-9 && radius <= farthest / 3.0_f64.sqrt() + 1e-9);
        }
    }
}
