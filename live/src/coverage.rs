//! What of the stage the model has looked at, and what it owes.

use std::collections::BTreeMap;

use wsi_types::{Level0Box, Level0Point};

use crate::quality::Rank;

/// Side of a square of the stage, px.
const SIDE: f64 = 16.0;

/// A square of the stage that was looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Square {
    /// The best look it had.
    rank: Rank,
    /// Looks of that rank.
    looks: u32,
    /// Frame of the last look.
    frame: u64,
}

/// Rules that say when a square is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Duty {
    /// Looks that each square gets at each rank.
    pub(crate) looks: u32,
    /// Frames after which a square is looked at again, when none is new.
    pub(crate) refresh: u64,
    /// Width of the border strip in which cells are judged without their surroundings, px.
    pub(crate) rim: u32,
}

/// The looks of a segment.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    squares: BTreeMap<(i32, i32), Square>,
}

impl Coverage {
    /// The smallest box around what is owed in a field that covers `field`, at frame `now`: squares that moved in or
    /// came away from the border first; if there are none, those that were last looked at long ago. `None`: nothing.
    pub(crate) fn owed(&self, field: &Level0Box, duty: &Duty, now: u64) -> Option<Level0Box> {
        let in_view = || squares_in(field).map(|key| (key, rank_in(field, centre(key), duty)));
        let new = in_view().filter(|&(key, rank)| self.is_new(key, rank, duty));
        let old = in_view().filter(|&(key, _)| self.is_old(key, duty, now));
        bounds(new.map(|(key, _)| key)).or_else(|| bounds(old.map(|(key, _)| key)))
    }

    /// `true` if the place was looked at, at this rank or a better one.
    #[cfg(test)]
    fn knows(&self, place: Level0Point, rank: Rank) -> bool {
        self.squares.get(&key(place)).is_some_and(|square| square.rank >= rank)
    }

    /// Notes that the model looked at `looked`.
    pub(crate) fn note(&mut self, looked: &Level0Box, duty: &Duty, now: u64) {
        for key in squares_in(looked) {
            let rank = rank_in(looked, centre(key), duty);
            let square = self.squares.entry(key).or_insert(Square { rank, looks: 0, frame: now });
            if rank > square.rank {
                *square = Square { rank, looks: 0, frame: now };
            }
            square.looks += u32::from(rank == square.rank);
            square.frame = now;
        }
    }

    fn is_new(&self, key: (i32, i32), rank: Rank, duty: &Duty) -> bool {
        self.squares
            .get(&key)
            .is_none_or(|square| rank > square.rank || rank == square.rank && square.looks < duty.looks)
    }

    fn is_old(&self, key: (i32, i32), duty: &Duty, now: u64) -> bool {
        self.squares.get(&key).is_some_and(|square| now.saturating_sub(square.frame) >= duty.refresh)
    }
}

/// Squares whose centre lies in `area`.
fn squares_in(area: &Level0Box) -> impl Iterator<Item = (i32, i32)> + use<> {
    let [x, y] = [(area.min.x, area.max.x), (area.min.y, area.max.y)]
        .map(|(from, to)| (from / SIDE - 0.5).ceil() as i32..=((to / SIDE - 0.5).ceil() as i32 - 1));
    y.flat_map(move |row| x.clone().map(move |column| (column, row)))
}

/// The rank of a look at `place` in a picture of `area`.
fn rank_in(area: &Level0Box, place: Level0Point, duty: &Duty) -> Rank {
    let depth = (place - area.min).min(area.max - place);
    if depth.x.min(depth.y) >= f64::from(duty.rim) { Rank::Deep } else { Rank::Rim }
}

fn centre((column, row): (i32, i32)) -> Level0Point {
    Level0Point::new((f64::from(column) + 0.5) * SIDE, (f64::from(row) + 0.5) * SIDE)
}

#[cfg(test)]
fn key(place: Level0Point) -> (i32, i32) {
    ((place.x / SIDE).floor() as i32, (place.y / SIDE).floor() as i32)
}

fn bounds(squares: impl Iterator<Item = (i32, i32)>) -> Option<Level0Box> {
    let half = euclid::vec2(SIDE / 2.0, SIDE / 2.0);
    squares
        .map(|key| Level0Box::new(centre(key) - half, centre(key) + half))
        .reduce(|one, other| one.union(&other))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUTY: Duty = Duty { looks: 2, refresh: 10, rim: 32 };

    fn area(x0: f64, y0: f64, x1: f64, y1: f64) -> Level0Box {
        Level0Box::new(euclid::point2(x0, y0), euclid::point2(x1, y1))
    }

    #[test]
    fn a_still_field_is_looked_at_as_often_as_asked_and_then_at_each_refresh() {
        let (mut coverage, field) = (Coverage::default(), area(0.0, 0.0, 320.0, 160.0));
        let looked: Vec<u64> = (0..25)
            .filter(|&now| {
                let owed = coverage.owed(&field, &DUTY, now);
                owed.iter().for_each(|_| coverage.note(&field, &DUTY, now));
                owed.is_some()
            })
            .collect();
        assert_eq!(looked, [0, 1, 11, 21]);
    }

    #[test]
    fn what_moves_in_is_owed_and_what_came_away_from_the_border() {
        let (mut coverage, field) = (Coverage::default(), area(0.0, 0.0, 320.0, 160.0));
        (0..2).for_each(|now| coverage.note(&field, &DUTY, now));
        let moved = area(16.0, 0.0, 336.0, 160.0);
        // New is the last column; deeper than before is what lay in the rim at the right.
        assert_eq!(coverage.owed(&moved, &DUTY, 2), Some(area(288.0, 0.0, 336.0, 160.0)));
        assert!(coverage.knows(euclid::point2(100.0, 80.0), Rank::Deep));
        assert!(!coverage.knows(euclid::point2(8.0, 80.0), Rank::Deep));
        assert!(!coverage.knows(euclid::point2(330.0, 80.0), Rank::Rim));
    }

    #[test]
    fn a_worse_look_takes_nothing_away() {
        let (mut coverage, field) = (Coverage::default(), area(0.0, 0.0, 320.0, 160.0));
        (0..2).for_each(|now| coverage.note(&field, &DUTY, now));
        coverage.note(&area(96.0, 0.0, 416.0, 160.0), &DUTY, 2);
        assert!(
            coverage.knows(euclid::point2(104.0, 80.0), Rank::Deep),
            "now at the border, but seen deep before"
        );
    }
}
