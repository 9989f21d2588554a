//! The circle that holds most cells.
//!
//! A circle of radius r about c holds a cell when c lies in the circle of radius r
//! about the cell, so the best centre is a point that most of these circles cover.
//! It can be taken where two of them meet (Chazelle and Lee, Computing 36, 1986).
//! Looking at all such points takes quadratic time; here the plane is cut into squares. For each square it is
//! known how many circles cover all of it and how many touch it: no centre in it can have more than both
//! together. The most promising square is looked at first and cut in four, until few circles touch it and
//! their meeting points can be tried, and no square that is left can be better.
//!
//! A circle that was chosen before keeps the centres of others two radii away: its wall, the circle of that
//! radius about its centre, takes part with its meeting points, and no centre may lie inside the wall.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BinaryHeap},
};

use wsi_types::{Level0Box, Level0Point, Level0Px};

use super::heap::{Heap, heaps};

type Level0Vector = euclid::Vector2D<f64, Level0Px>;

/// Tolerance of a distance, as a share of the radius.
const SLACK: f64 = 1e-9;
/// A square touched by at most this many circles is decided by their meeting points.
const FEW: usize = 24;
/// A square this small, as a share of the radius, is not cut any more.
const SMALLEST: f64 = 1e-7;

/// `true` if the circle holds a cell.
pub(super) fn holds(centre: Level0Point, radius: f64, cell: Level0Point) -> bool {
    (cell - centre).length() <= radius * (1.0 + SLACK)
}

/// The best centres, one after the other, each with the number of cells that its circle holds and none before
/// it.
pub(super) fn best(cells: &[Level0Point], radius: f64, most: usize) -> Vec<(Level0Point, u64)> {
    let mut plane = Plane::new(heaps(cells), radius);
    let mut taken = Vec::new();
    let mut found = Vec::new();
    while found.len() < most {
        let Some((centre, count)) = plane.best(&taken) else { break };
        let centre = plane.centred(centre, count, &taken);
        taken.push(centre);
        found.push((centre, count));
        let left = plane.heaps.into_iter().filter(|heap| !holds(centre, radius, heap.at));
        plane = Plane::new(left.collect(), radius);
    }
    found
}

/// The cells in square bins, to find those near a place.
struct Plane {
    heaps: Vec<Heap>,
    radius: f64,
    bins: BTreeMap<(i64, i64), Vec<u32>>,
}

/// Sides of the bins, and of the first squares, as a share of the radius.
const BIN: f64 = 0.5;

impl Plane {
    fn new(heaps: Vec<Heap>, radius: f64) -> Self {
        let mut plane = Self { heaps, radius, bins: BTreeMap::new() };
        for (heap, place) in plane.heaps.iter().zip(0..) {
            plane.bins.entry(plane.bin_of(heap.at)).or_default().push(place);
        }
        plane
    }

    fn side(&self) -> f64 {
        self.radius * BIN
    }

    fn bin_of(&self, at: Level0Point) -> (i64, i64) {
        let bin = (at / self.side()).floor();
        (bin.y as i64, bin.x as i64)
    }

    fn square_of(&self, (row, column): (i64, i64)) -> Level0Box {
        let corner = Level0Point::new(column as f64, row as f64) * self.side();
        Level0Box::new(corner, corner + Level0Vector::new(self.side(), self.side()))
    }

    /// Bins that a circle about a point in `bin` can reach into.
    fn bins_near((row, column): (i64, i64)) -> impl Iterator<Item = (i64, i64)> {
        let reach = (1.0 / BIN).ceil() as i64;
        (row - reach..=row + reach)
            .flat_map(move |row| (column - reach..=column + reach).map(move |column| (row, column)))
    }

    /// The best centre that keeps its distance from those `taken`; `None` when no
    /// circle holds a cell.
    fn best(&self, taken: &[Level0Point]) -> Option<(Level0Point, u64)> {
        let mut queue: BinaryHeap<Square> = self.first_squares().into();
        let mut best: Option<(Level0Point, u64)> = None;
        while let Some(square) = queue.pop() {
            if best.is_some_and(|(_, count)| square.bound <= count) {
                break;
            }
            let square = self.gathered(square);
            let walls = self.walls_near(square.area, taken);
            let Some(walls) = walls else { continue };
            let known = best.map_or(0, |(_, count)| count);
            if square.bound <= known {
                continue;
            }
            let few = square.touching.len() + walls.len() <= FEW;
            let decided = few || square.area.width() <= self.radius * SMALLEST;
            let tried =
                if decided { self.meeting_points(&square, &walls) } else { vec![square.area.center()] };
            for centre in tried {
                let count = self.count(&square, &walls, centre);
                if count > best.map_or(0, |(_, count)| count) {
                    best = Some((centre, count));
                }
            }
            if !decided {
                let known = best.map_or(0, |(_, count)| count);
                let parts = quarters(square.area).map(|area| self.part(&square, area));
                queue.extend(parts.into_iter().filter(|part| part.bound > known));
            }
        }
        best
    }

    /// Squares over all places from which a circle reaches a cell, with bounds from
    /// the bins around.
    fn first_squares(&self) -> Vec<Square> {
        let mut bounds: BTreeMap<(i64, i64), u64> = BTreeMap::new();
        for (bin, heaps) in &self.bins {
            let cells: u64 = heaps.iter().map(|&heap| self.heaps[heap as usize].cells).sum();
            Self::bins_near(*bin).for_each(|near| *bounds.entry(near).or_default() += cells);
        }
        let squares = bounds.into_iter().map(|(bin, bound)| Square {
            area: self.square_of(bin),
            inside: 0,
            touching: Vec::new(),
            bound,
            bin: Some(bin),
        });
        squares.collect()
    }

    /// A first square with its circles.
    fn gathered(&self, square: Square) -> Square {
        let Some(bin) = square.bin else { return square };
        let near = Self::bins_near(bin).filter_map(|bin| self.bins.get(&bin)).flatten().copied();
        let all = Square { touching: near.collect(), bin: None, ..square };
        self.part(&all, all.area)
    }

    /// A part of a square: circles that cover all of it are counted, those that do
    /// not touch it left out.
    fn part(&self, square: &Square, area: Level0Box) -> Square {
        let mut part = Square { area, inside: square.inside, touching: Vec::new(), bound: 0, bin: None };
        for &heap in &square.touching {
            let Heap { at, cells } = self.heaps[heap as usize];
            if farthest(area, at) <= self.radius {
                part.inside += cells;
            } else if nearest(area, at) <= self.radius * (1.0 + SLACK) {
                part.touching.push(heap);
                part.bound += cells;
            }
        }
        part.bound += part.inside;
        part
    }

    /// Centres of circles taken whose wall runs through the square; `None` when all of it is inside one wall.
    fn walls_near(&self, area: Level0Box, taken: &[Level0Point]) -> Option<Vec<Level0Point>> {
        let wall = 2.0 * self.radius;
        if taken.iter().any(|centre| farthest(area, *centre) < wall * (1.0 - SLACK)) {
            return None;
        }
        Some(taken.iter().copied().filter(|centre| nearest(area, *centre) < wall * (1.0 + SLACK)).collect())
    }

    /// Cells held by a circle about `centre`, a point of the square; 0 for a centre inside a wall.
    fn count(&self, square: &Square, walls: &[Level0Point], centre: Level0Point) -> u64 {
        if !self.keeps_away(centre, walls) {
            return 0;
        }
        let touching = square.touching.iter().map(|&heap| self.heaps[heap as usize]);
        let held = touching.filter(|heap| holds(centre, self.radius, heap.at));
        square.inside + held.map(|heap| heap.cells).sum::<u64>()
    }

    fn keeps_away(&self, centre: Level0Point, taken: &[Level0Point]) -> bool {
        taken.iter().all(|other| (centre - *other).length() >= 2.0 * self.radius * (1.0 - SLACK))
    }

    /// All points of a square at which the count can be highest: where two circles
    /// or walls meet, and for a circle that meets nothing its outermost points.
    fn meeting_points(&self, square: &Square, walls: &[Level0Point]) -> Vec<Level0Point> {
        let circles = square.touching.iter().map(|&heap| (self.heaps[heap as usize].at, self.radius));
        let all: Vec<(Level0Point, f64)> =
            circles.chain(walls.iter().map(|wall| (*wall, 2.0 * self.radius))).collect();
        let mut points = vec![square.area.center()];
        for (place, &(centre, radius)) in all.iter().enumerate() {
            let outermost = [(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)];
            points.extend(outermost.map(|(x, y)| centre + Level0Vector::new(x, y) * radius));
            for &other in &all[place + 1..] {
                points.extend(meetings((centre, radius), other).into_iter().flatten());
            }
        }
        let slack = self.radius * SLACK;
        let around = square.area.inflate(slack, slack);
        points.retain(|point| around.contains_inclusive(*point));
        points
    }

    /// A centre near `centre` whose circle holds the same cells with as much room to its border as possible:
    /// that of the smallest circle around them (by the steps of Bădoiu and Clarkson, SODA 2003), where that
    /// is free.
    fn centred(&self, centre: Level0Point, count: u64, taken: &[Level0Point]) -> Level0Point {
        const STEPS: u32 = 2000;
        let near = Self::bins_near(self.bin_of(centre)).filter_map(|bin| self.bins.get(&bin)).flatten();
        let near: Vec<Heap> = near.map(|&heap| self.heaps[heap as usize]).collect();
        let held: Vec<Level0Point> =
            near.iter().map(|heap| heap.at).filter(|at| holds(centre, self.radius, *at)).collect();
        let mut middle = centre;
        for step in 1..=STEPS {
            let offsets = held.iter().map(|&at| at - middle);
            let farthest = offsets.max_by(|a, b| a.square_length().total_cmp(&b.square_length()));
            let Some(off) = farthest else { break };
            middle += off / f64::from(step + 1);
        }
        let holds_all: u64 =
            near.iter().filter(|heap| holds(middle, self.radius, heap.at)).map(|heap| heap.cells).sum();
        if holds_all == count && self.keeps_away(middle, taken) { middle } else { centre }
    }
}

/// Centres that are looked at together.
struct Square {
    area: Level0Box,
    /// Cells whose circles cover all of it.
    inside: u64,
    /// Heaps whose circles cover a part of it.
    touching: Vec<u32>,
    /// No centre in it has more cells.
    bound: u64,
    /// Bin of a first square whose circles are not gathered yet.
    bin: Option<(i64, i64)>,
}

impl Ord for Square {
    /// The most promising last, as the queue wants it; of equals the topmost, then
    /// the leftmost.
    fn cmp(&self, other: &Self) -> Ordering {
        let (at, other_at) = (self.area.min, other.area.min);
        let by_place = other_at.y.total_cmp(&at.y).then(other_at.x.total_cmp(&at.x));
        self.bound.cmp(&other.bound).then(by_place)
    }
}

impl PartialOrd for Square {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Square {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Square {}

/// Distance from `at` to the nearest point of a box.
fn nearest(area: Level0Box, at: Level0Point) -> f64 {
    (at.clamp(area.min, area.max) - at).length()
}

/// Distance from `at` to the farthest corner of a box.
fn farthest(area: Level0Box, at: Level0Point) -> f64 {
    let x = (at.x - area.min.x).abs().max((at.x - area.max.x).abs());
    let y = (at.y - area.min.y).abs().max((at.y - area.max.y).abs());
    Level0Vector::new(x, y).length()
}

fn quarters(area: Level0Box) -> [Level0Box; 4] {
    let half = area.size() / 2.0;
    [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)].map(|(right, down)| {
        let corner = area.min + Level0Vector::new(right * half.width, down * half.height);
        Level0Box::new(corner, corner + half.to_vector())
    })
}

/// Points where two circles meet; twice the same point where they only touch, also when rounding parts them
/// slightly.
fn meetings((a, of_a): (Level0Point, f64), (b, of_b): (Level0Point, f64)) -> Option<[Level0Point; 2]> {
    let between = b - a;
    let distance = between.length();
    let reach = of_a + of_b;
    if distance == 0.0 || distance > reach * (1.0 + SLACK) || distance < (of_a - of_b).abs() * (1.0 - SLACK) {
        return None;
    }
    let along = (distance * distance + of_a * of_a - of_b * of_b) / (2.0 * distance);
    let aside = (of_a * of_a - along * along).max(0.0).sqrt();
    let ahead = between / distance;
    let foot = a + ahead * along;
    let sideways = Level0Vector::new(-ahead.y, ahead.x) * aside;
    Some([foot + sideways, foot - sideways])
}
