//! The upright square that holds most cells.
//!
//! A square with its upper left corner at c holds a cell at p when c lies in the
//! square of the same size whose *lower right* corner is p. The best corner is
//! covered by most of these; a line swept over the plane from left to right keeps
//! in a segment tree how many cover each height (Imai and Asano, J. Algorithms 4,
//! 1983). A square that was chosen before forbids corners nearer than its side.
//!
//! Places are whole 1024ths of a px, so that all comparisons are exact.

use wsi_types::Level0Point;

/// Steps per px.
const STEPS: f64 = 1024.0;
/// Amount that forbids a place: more than any number of cells.
const FORBIDDEN: i64 = 1 << 48;

/// A place in steps.
type Place = (i64, i64);

fn place(at: Level0Point) -> Place {
    ((at.x * STEPS).round() as i64, (at.y * STEPS).round() as i64)
}

fn side(half: f64) -> i64 {
    (2.0 * half * STEPS).round() as i64
}

/// `true` if the square about `centre` holds a cell.
pub(super) fn holds(centre: Level0Point, half: f64, cell: Level0Point) -> bool {
    covers(corner_of(centre, half), side(half), place(cell))
}

fn corner_of(centre: Level0Point, half: f64) -> Place {
    // The centre may lie half a step between.
    let corner = centre.to_array().map(|at| ((2.0 * at * STEPS).round() as i64 - side(half)).div_euclid(2));
    corner.into()
}

fn centre_of((x, y): Place, side: i64) -> Level0Point {
    Level0Point::from([x, y].map(|corner| (corner as f64 + side as f64 / 2.0) / STEPS))
}

fn covers((x, y): Place, side: i64, (cell_x, cell_y): Place) -> bool {
    (x..=x + side).contains(&cell_x) && (y..=y + side).contains(&cell_y)
}

/// The best centres, one after the other, each with the number of cells that its square holds and none before
/// it.
pub(super) fn best(cells: &[Level0Point], half: f64, most: usize) -> Vec<(Level0Point, u64)> {
    let side = side(half);
    let mut cells: Vec<Place> = cells.iter().map(|cell| place(*cell)).collect();
    cells.sort_unstable();
    let mut taken: Vec<Place> = Vec::new();
    let mut found = Vec::new();
    while found.len() < most {
        let Some((corner, count)) = best_corner(&cells, side, &taken) else { break };
        let corner = centred(corner, count, &cells, side, &taken);
        taken.push(corner);
        found.push((centre_of(corner, side), count));
        cells.retain(|cell| !covers(corner, side, *cell));
    }
    found
}

/// The best corner that keeps its distance from those `taken`; `None` when no
/// square holds a cell. `cells` are sorted by x.
fn best_corner(cells: &[Place], side: i64, taken: &[Place]) -> Option<(Place, u64)> {
    // The best corner can be moved up and left until a cell reaches its lower or right
    // side, or it touches a square that is taken.
    let columns = stops(cells.iter().map(|cell| cell.0), side, taken.iter().map(|corner| corner.0));
    let rows = stops(cells.iter().map(|cell| cell.1), side, taken.iter().map(|corner| corner.1));
    let mut heights = SegmentTree::new(rows.len());
    let (mut enter, mut leave) = (0, 0);
    let mut walls = vec![false; taken.len()];
    let mut best: Option<(Place, i64)> = None;
    for &x in &columns {
        while let Some(cell) = cells.get(enter).filter(|cell| cell.0 - side <= x) {
            heights.add(between(&rows, cell.1 - side, cell.1), 1);
            enter += 1;
        }
        while let Some(cell) = cells.get(leave).filter(|cell| cell.0 < x) {
            heights.add(between(&rows, cell.1 - side, cell.1), -1);
            leave += 1;
        }
        for (corner, stands) in taken.iter().zip(&mut walls) {
            let stood = std::mem::replace(stands, (corner.0 - x).abs() < side);
            if stood != *stands {
                let change = if *stands { -FORBIDDEN } else { FORBIDDEN };
                heights.add(between(&rows, corner.1 - side + 1, corner.1 + side - 1), change);
            }
        }
        let (count, row) = heights.most();
        if count > best.map_or(0, |(_, count)| count) {
            best = Some(((x, rows[row]), count));
        }
    }
    best.map(|(corner, count)| (corner, count as u64))
}

/// Coordinates at which corners have to be tried along one axis, ascending.
fn stops(cells: impl Iterator<Item = i64>, side: i64, taken: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut stops: Vec<i64> = cells.map(|at| at - side).chain(taken.map(|at| at + side)).collect();
    stops.sort_unstable();
    stops.dedup();
    stops
}

/// Places of those of the ascending `rows` that lie from `first` to `last`, both included.
fn between(rows: &[i64], first: i64, last: i64) -> std::ops::Range<usize> {
    rows.partition_point(|row| *row < first)..rows.partition_point(|row| *row <= last)
}

/// The corner whose square holds the same cells with as much room on all sides as possible, where that is
/// free.
fn centred(corner: Place, count: u64, cells: &[Place], side: i64, taken: &[Place]) -> Place {
    let extent = held(cells, corner, side).fold(None, |extent: Option<[i64; 4]>, &(x, y)| {
        let [x0, y0, x1, y1] = extent.unwrap_or([x, y, x, y]);
        Some([x0.min(x), y0.min(y), x1.max(x), y1.max(y)])
    });
    let Some([x0, y0, x1, y1]) = extent else { return corner };
    let (x, y) = ((x0 + x1 - side).div_euclid(2), (y0 + y1 - side).div_euclid(2));
    let keeps_away = taken.iter().all(|other| (other.0 - x).abs() >= side || (other.1 - y).abs() >= side);
    if keeps_away && held(cells, (x, y), side).count() as u64 == count { (x, y) } else { corner }
}

/// The cells in a square, of `cells` that are sorted by x.
fn held(cells: &[Place], corner: Place, side: i64) -> impl Iterator<Item = &Place> {
    let from = cells.partition_point(|cell| cell.0 < corner.0);
    let in_reach = cells[from..].iter().take_while(move |cell| cell.0 <= corner.0 + side);
    in_reach.filter(move |cell| covers(corner, side, **cell))
}

/// Numbers in a row of places: adding to a range and finding the largest take time logarithmic in their
/// number.
struct SegmentTree {
    places: usize,
    /// By node: the amount added to all of it, and the largest number below it, that amount included.
    nodes: Vec<(i64, i64)>,
}

impl SegmentTree {
    fn new(places: usize) -> Self {
        let places = places.next_power_of_two();
        Self { places, nodes: vec![(0, 0); 2 * places] }
    }

    fn add(&mut self, range: std::ops::Range<usize>, amount: i64) {
        if !range.is_empty() {
            self.add_below(1, 0..self.places, &range, amount);
        }
    }

    fn add_below(
        &mut self,
        node: usize,
        own: std::ops::Range<usize>,
        range: &std::ops::Range<usize>,
        amount: i64,
    ) {
        if range.start <= own.start && own.end <= range.end {
            self.nodes[node].0 += amount;
            self.nodes[node].1 += amount;
            return;
        }
        if range.end <= own.start || own.end <= range.start {
            return;
        }
        let middle = own.start.midpoint(own.end);
        self.add_below(2 * node, own.start..middle, range, amount);
        self.add_below(2 * node + 1, middle..own.end, range, amount);
        self.nodes[node].1 = self.nodes[node].0 + self.nodes[2 * node].1.max(self.nodes[2 * node + 1].1);
    }

    /// The largest number and the first place that has it.
    fn most(&self) -> (i64, usize) {
        let mut node = 1;
        while node < self.places {
            node *= 2;
            if self.nodes[node + 1].1 > self.nodes[node].1 {
                node += 1;
            }
        }
        (self.nodes[1].1, node - self.places)
    }
}
