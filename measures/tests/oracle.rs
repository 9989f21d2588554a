//! Hot spots against trying everything, on a thousand random sets of cells.
//!
//! The references are written apart from the crate's own search: for circles every
//! point where two circles about cells (or walls around fields chosen before) meet,
//! for squares every pair of places at which a cell or a field touches a side. Both
//! look at more positions than can be best.

#![allow(clippy::unwrap_used)]

use measures::{Field, FieldShape, Ground, HotSpot, hot_spots};
use rand_pcg::{Pcg64, rand_core::Rng};
use wsi_types::{Level0Point, Mpp};

struct Random(Pcg64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0.next_u64() % most
    }

    fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Cells in clumps, on a lattice (where many are equally far), or spread.
    fn cells(&mut self, count: u64) -> Vec<Level0Point> {
        let kind = self.below(3);
        let clumps: Vec<(f64, f64)> = (0..3).map(|_| (300.0 * self.unit(), 300.0 * self.unit())).collect();
        let cell = |_| match kind {
            0 => (300.0 * self.unit(), 300.0 * self.unit()),
            1 => (10.0 * self.below(20) as f64, 10.0 * self.below(20) as f64),
            _ => {
                let (x, y) = clumps[self.below(3) as usize];
                (x + 60.0 * self.unit(), y + 60.0 * self.unit())
            }
        };
        (0..count).map(cell).map(|(x, y)| euclid::point2(x, y)).collect()
    }
}

const SLACK: f64 = 1e-9;

fn circle_count(cells: &[Level0Point], centre: Level0Point, radius: f64, taken: &[Level0Point]) -> u64 {
    let free = taken.iter().all(|other| (centre - *other).length() >= 2.0 * radius * (1.0 - SLACK));
    let held =
        cells.iter().filter(|cell| (**cell - centre).length() <= radius * (1.0 + SLACK)).count() as u64;
    if free { held } else { 0 }
}

/// The highest count of any circle, given the fields that were chosen before.
fn circle_by_force(cells: &[Level0Point], radius: f64, taken: &[Level0Point]) -> u64 {
    let circles: Vec<(Level0Point, f64)> = (cells.iter().map(|cell| (*cell, radius)))
        .chain(taken.iter().map(|wall| (*wall, 2.0 * radius)))
        .collect();
    let mut best = 0;
    for (place, &(a, of_a)) in circles.iter().enumerate() {
        // A lone circle: points all around it.
        for step in 0..16 {
            let (sin, cos) = (f64::from(step) * std::f64::consts::TAU / 16.0).sin_cos();
            best = best.max(circle_count(cells, a + euclid::vec2(cos, sin) * of_a, radius, taken));
        }
        for &(b, of_b) in &circles[..place] {
            let (x, y) = ((b - a).x, (b - a).y);
            let distance = x.hypot(y);
            if distance == 0.0 {
                continue;
            }
            let angle = ((distance * distance + of_a * of_a - of_b * of_b) / (2.0 * distance * of_a))
                .clamp(-1.0, 1.0)
                .acos();
            for turn in [angle, -angle] {
                let (sin, cos) = (y.atan2(x) + turn).sin_cos();
                best = best.max(circle_count(cells, a + euclid::vec2(cos, sin) * of_a, radius, taken));
            }
        }
    }
    best
}

/// In 1024ths of a px, as the crate places squares.
fn steps(at: f64) -> i64 {
    (at * 1024.0).round() as i64
}

fn square_by_force(cells: &[Level0Point], half: f64, taken: &[Level0Point]) -> u64 {
    let side = steps(2.0 * half);
    let corner = |centre: f64| steps(centre - half);
    let stops = |axis: fn(&Level0Point) -> f64| -> Vec<i64> {
        let cells = cells.iter().map(|cell| steps(axis(cell)) - side);
        cells.chain(taken.iter().map(|centre| corner(axis(centre)) + side)).collect()
    };
    let (columns, rows) = (stops(|p| p.x), stops(|p| p.y));
    let mut best = 0;
    for &x in &columns {
        for &y in &rows {
            let free = taken
                .iter()
                .all(|centre| (corner(centre.x) - x).abs() >= side || (corner(centre.y) - y).abs() >= side);
            let held = cells.iter().filter(|cell| {
                (x..=x + side).contains(&steps(cell.x)) && (y..=y + side).contains(&steps(cell.y))
            });
            if free {
                best = best.max(held.count() as u64);
            }
        }
    }
    best
}

/// Each field is the best for the cells that are left and the fields before it.
fn assert_best(
    cells: &[Level0Point],
    found: &[HotSpot],
    by_force: impl Fn(&[Level0Point], &[Level0Point]) -> u64,
    name: &str,
) {
    let (mut left, mut taken) = (cells.to_vec(), Vec::new());
    for spot in found {
        assert_eq!(spot.cells, by_force(&left, &taken), "{name}, after {taken:?}");
        let before = left.len();
        left.retain(|cell| !spot.contains(*cell));
        assert_eq!((before - left.len()) as u64, spot.cells, "{name}: the field holds what it says");
        taken.push(spot.centre);
    }
    if found.len() < 3 {
        assert_eq!(by_force(&left, &taken), 0, "{name}: nothing is left");
    }
}

#[test]
fn a_thousand_random_sets_have_the_hot_spots_that_trying_everything_finds() {
    let mut random = Random(Pcg64::new(16, 2));
    let mpp = Mpp::new(1.0).unwrap();
    for case in 0..1000 {
        let count = 1 + random.below(45);
        let cells = random.cells(count);
        // Whole numbers too, so that cells of a lattice lie right on the border.
        let reach =
            if case % 3 == 0 { 10.0 * (1 + random.below(5)) as f64 } else { 5.0 + 45.0 * random.unit() };
        for shape in [FieldShape::Circle, FieldShape::Square] {
            let area = match shape {
                FieldShape::Circle => std::f64::consts::PI * reach * reach,
                FieldShape::Square => 4.0 * reach * reach,
            };
            let field = Field::new(shape, area * 1e-6).unwrap();
            let found = hot_spots(&cells, mpp, field, &Ground::everywhere(), 3).unwrap();
            let name = format!("case {case}, {count} cells, {shape:?} of {reach}");
            let reach = field.reach_um();
            match shape {
                FieldShape::Circle => {
                    assert_best(&cells, &found, |left, taken| circle_by_force(left, reach, taken), &name);
                }
                FieldShape::Square => {
                    assert_best(&cells, &found, |left, taken| square_by_force(left, reach, taken), &name);
                }
            }
        }
    }
}
