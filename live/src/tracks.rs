//! Cells of the stage, each with the looks that it had.
//!
//! Cells do not move, so a track has a place and no velocity. It stays when it leaves the field: the tracks of a segment
//! are its mosaic, and a cell that comes back into the field is the one that was counted before.

use std::{cmp::Ordering, collections::BTreeMap};

use merger::Cell;
use rstar::{AABB, RTree, primitives::GeomWithData};
use wsi_types::{ClassId, Level0Box, Level0Point};

use crate::{
    look::Look,
    place::StageVector,
    quality::{Rank, Thresholds},
};

/// Number of a track; of one that is gone it is not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrackId(pub u64);

/// Smallest weight of a look in the mean of a track: about the last eight looks count.
const LEAST_WEIGHT: f64 = 0.125;
/// Distance of centres up to which two whole boxes are one cell, as a share of the smaller box's mean side.
const NEAR: f64 = 0.5;
/// Share of the smaller box that two boxes share if one of them is cut, and they are one cell.
const SHARED: f64 = 0.5;
/// Error of a place, px, within which a sliver at the border still lies on its cell.
const SLIVER: f64 = 2.0;
/// Fewest cells that tell the place of the stage.
const FEWEST_WITNESSES: usize = 8;

/// A cell of the stage.
#[derive(Debug, Clone)]
pub(crate) struct Track {
    pub(crate) bbox: Level0Box,
    pub(crate) outline: Option<Box<[Level0Point]>>,
    rank: Rank,
    looks: u32,
    /// Mean over the looks of its rank, in which it may not have been seen.
    pub(crate) score: f64,
    /// Sum of scores by class.
    classes: BTreeMap<ClassId, f64>,
    /// Its upper left corner was in a field.
    has_corner: bool,
    pub(crate) is_shown: bool,
}

impl Track {
    fn new(cell: &Cell, rank: Rank, has_corner: bool) -> Self {
        let score = f64::from(cell.score.get());
        Self {
            bbox: cell.bbox,
            outline: cell.outline.clone(),
            rank,
            looks: 1,
            score,
            classes: BTreeMap::from([(cell.class, score)]),
            has_corner,
            is_shown: false,
        }
    }

    /// The class with most votes; the first of equals.
    pub(crate) fn class(&self) -> ClassId {
        let best = self.classes.iter().rev().max_by(|a, b| a.1.total_cmp(b.1));
        best.map_or(ClassId(0), |(class, _)| *class)
    }

    fn see(&mut self, cell: &Cell, rank: Rank, shows_corner: bool) {
        self.has_corner |= shows_corner;
        match rank.cmp(&self.rank) {
            Ordering::Less => return,
            Ordering::Greater => {
                *self = Self { is_shown: self.is_shown, ..Self::new(cell, rank, self.has_corner) };
                return;
            }
            Ordering::Equal => {}
        }
        let weight = self.next_weight();
        self.score += weight * (f64::from(cell.score.get()) - self.score);
        *self.classes.entry(cell.class).or_default() += f64::from(cell.score.get());
        if rank == Rank::Cut {
            // More of it may have come into view.
            self.bbox = self.bbox.union(&cell.bbox);
        } else {
            self.bbox = Level0Box::new(
                self.bbox.min.lerp(cell.bbox.min, weight),
                self.bbox.max.lerp(cell.bbox.max, weight),
            );
        }
        self.outline = cell.outline.clone().or(self.outline.take());
    }

    /// Notes a look of `rank` that did not find it.
    fn miss(&mut self, rank: Rank) {
        if rank > self.rank {
            (self.rank, self.looks, self.score) = (rank, 1, 0.0);
        } else {
            self.score -= self.next_weight() * self.score;
        }
    }

    fn next_weight(&mut self) -> f64 {
        self.looks = self.looks.saturating_add(1);
        (1.0 / f64::from(self.looks)).max(LEAST_WEIGHT)
    }

    fn judge(&mut self, thresholds: &Thresholds) {
        self.is_shown = self.score >= if self.is_shown { thresholds.lives } else { thresholds.born };
    }
}

type Centre = GeomWithData<[f64; 2], TrackId>;

/// The tracks of a segment.
#[derive(Default)]
pub(crate) struct Tracks {
    each: BTreeMap<TrackId, Track>,
    centres: RTree<Centre>,
    next: u64,
    /// Longest side of a box so far, px.
    longest: f64,
    /// Second tracks of one cell that the last look told of.
    absorbed: Vec<TrackId>,
}

impl Tracks {
    /// Tracks that continue the numbers of those of an earlier segment.
    pub(crate) fn after(earlier: &Self) -> Self {
        Self { next: earlier.next, ..Self::default() }
    }

    /// Tracks that went with the last look because another is of the same cell, which lives on.
    pub(crate) fn absorbed(&self) -> &[TrackId] {
        &self.absorbed
    }

    /// The cells with a mean score of at least `least` whose upper left corner was in view, in order of their numbers.
    ///
    /// A border of the stage that was seen cuts cells on all sides. To count all of them is to count the cells of a larger
    /// area; the corner is one point, and lies in or out (the counting frame of Gundersen, J. Microsc. 111, 1977).
    pub(crate) fn counted(&self, least: f64) -> impl Iterator<Item = (TrackId, &Track)> {
        let is_counted = move |track: &Track| track.score >= least && track.has_corner;
        self.each.iter().filter(move |(_, track)| is_counted(track)).map(|(id, track)| (*id, track))
    }

    /// Those that are shown whose centre lies in `area`, in order of their numbers.
    pub(crate) fn shown_in(&self, area: &Level0Box) -> Vec<(TrackId, &Track)> {
        let shown = self.centred_in(area).into_iter().filter_map(|id| Some((id, self.each.get(&id)?)));
        shown.filter(|(_, track)| track.is_shown).collect()
    }

    /// Takes a look at a part of the stage. Returns the distance by which what it shows lies off the known cells, px,
    /// which it was moved by before it was taken; 0 where too few are known.
    pub(crate) fn take(&mut self, look: &mut Look, thresholds: &Thresholds) -> StageVector {
        self.absorbed.clear();
        let pairs = self.pairs(look);
        let off = self.off(look, &pairs);
        look.translate(-off);
        let mut is_known = vec![false; look.cells.len()];
        for &(cell, id) in &pairs {
            is_known[cell] = true;
            let Cell { bbox, .. } = &look.cells[cell];
            self.change(id, |track| {
                track.see(&look.cells[cell], look.rank(bbox), look.shows_corner(bbox));
                track.judge(thresholds);
            });
        }
        self.miss(look, &pairs, thresholds);
        for cell in look.cells.iter().zip(is_known).filter(|(_, known)| !known).map(|(cell, _)| cell) {
            self.add(Track::new(cell, look.rank(&cell.bbox), look.shows_corner(&cell.bbox)), thresholds);
        }
        off
    }

    /// The cells of a look, by place in it, that are known: each with at most one track, nearest first.
    fn pairs(&self, look: &Look) -> Vec<(usize, TrackId)> {
        let mut near: Vec<(f64, usize, TrackId)> = Vec::new();
        for (place, cell) in look.cells.iter().enumerate() {
            let reach = 0.5 * (self.longest + cell.bbox.width().max(cell.bbox.height()));
            for id in self.centred_in(&cell.bbox.inflate(reach, reach)) {
                let track = &self.each[&id];
                let cut = [track.rank, look.rank(&cell.bbox)].map(|rank| rank == Rank::Cut);
                near.extend(distance(&track.bbox, &cell.bbox, cut).map(|distance| (distance, place, id)));
            }
        }
        near.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let mut is_taken = vec![false; look.cells.len()];
        let mut taken_tracks = std::collections::BTreeSet::new();
        near.retain(|&(_, place, id)| {
            let is_free = !is_taken[place] && !taken_tracks.contains(&id);
            if is_free {
                is_taken[place] = true;
                taken_tracks.insert(id);
            }
            is_free
        });
        near.into_iter().map(|(_, place, id)| (place, id)).collect()
    }

    /// The median distance of cells from their tracks, of those that were seen well both times.
    fn off(&self, look: &Look, pairs: &[(usize, TrackId)]) -> StageVector {
        let well = pairs.iter().filter(|(place, id)| {
            self.each[id].rank == Rank::Deep && look.rank(&look.cells[*place].bbox) == Rank::Deep
        });
        let offs: Vec<StageVector> =
            well.map(|(place, id)| look.cells[*place].bbox.center() - self.each[id].bbox.center()).collect();
        if offs.len() < FEWEST_WITNESSES {
            return StageVector::zero();
        }
        euclid::vec2(median(offs.iter().map(|off| off.x)), median(offs.iter().map(|off| off.y)))
    }

    /// Notes the look for tracks that it should have shown and did not. One that lies on a cell that was shown is a
    /// second track of that cell, from a place that was told less well: it goes.
    fn miss(&mut self, look: &Look, pairs: &[(usize, TrackId)], thresholds: &Thresholds) {
        let seen: std::collections::BTreeSet<TrackId> = pairs.iter().map(|(_, id)| *id).collect();
        let found = RTree::bulk_load(
            look.cells
                .iter()
                .zip(0..)
                .map(|(cell, place)| GeomWithData::new(cell.bbox.center().to_array(), place))
                .collect(),
        );
        let looked = look.areas.iter().flat_map(|area| self.centred_in(area));
        let unseen: std::collections::BTreeSet<TrackId> = looked.filter(|id| !seen.contains(id)).collect();
        for id in unseen {
            let Track { bbox, rank: known, .. } = self.each[&id];
            let rank = look.rank(&bbox);
            if rank < known || look.is_cut_inside(&bbox) {
                continue;
            }
            let nearest = found.nearest_neighbor(bbox.center().to_array());
            let is_second = nearest.is_some_and(|near: &GeomWithData<[f64; 2], usize>| {
                distance(&bbox, &look.cells[near.data].bbox, [known == Rank::Cut, false]).is_some()
            });
            if is_second {
                self.absorbed.push(id);
                self.remove(id);
                continue;
            }
            self.change(id, |track| {
                track.miss(rank);
                track.judge(thresholds);
            });
            if self.each[&id].score < f64::from(thresholds.floor()) {
                self.remove(id);
            }
        }
    }

    fn add(&mut self, mut track: Track, thresholds: &Thresholds) {
        let id = TrackId(self.next);
        self.next += 1;
        track.judge(thresholds);
        self.longest = self.longest.max(track.bbox.width()).max(track.bbox.height());
        self.centres.insert(centre(id, &track));
        self.each.insert(id, track);
    }

    fn remove(&mut self, id: TrackId) {
        if let Some(track) = self.each.remove(&id) {
            self.centres.remove(&centre(id, &track));
        }
    }

    fn change(&mut self, id: TrackId, change: impl FnOnce(&mut Track)) {
        let Some(track) = self.each.get_mut(&id) else { return };
        let before = centre(id, track);
        change(track);
        let after = centre(id, track);
        self.longest = self.longest.max(track.bbox.width()).max(track.bbox.height());
        if before != after {
            self.centres.remove(&before);
            self.centres.insert(after);
        }
    }

    /// Numbers of the tracks whose centre lies in `area`, ascending.
    fn centred_in(&self, area: &Level0Box) -> Vec<TrackId> {
        let envelope = AABB::from_corners(area.min.to_array(), area.max.to_array());
        let mut found: Vec<TrackId> =
            self.centres.locate_in_envelope(envelope).map(|centre| centre.data).collect();
        found.sort_unstable();
        found
    }
}

fn centre(id: TrackId, track: &Track) -> Centre {
    GeomWithData::new(track.bbox.center().to_array(), id)
}

/// Distance of the centres of two boxes that are one cell; `None` when they are not. `cut`: which of them a border cuts.
/// Two pieces of one cell may share a corner only.
fn distance(one: &Level0Box, other: &Level0Box, cut: [bool; 2]) -> Option<f64> {
    let distance = (one.center() - other.center()).length();
    let side = [one, other].map(|bbox| f64::midpoint(bbox.width(), bbox.height()));
    let shared = one.inflate(SLIVER, SLIVER).intersection(other).map_or(0.0, |shared| shared.area());
    let is_one = match cut {
        [true, true] => one.intersects(other),
        [false, false] => distance <= NEAR * side[0].min(side[1]),
        _ => shared >= SHARED * one.area().min(other.area()),
    };
    is_one.then_some(distance)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use wsi_types::Score;

    use super::*;

    const THRESHOLDS: Thresholds = Thresholds { born: 0.3, lives: 0.2 };

    fn area(x0: f64, y0: f64, x1: f64, y1: f64) -> Level0Box {
        Level0Box::new(euclid::point2(x0, y0), euclid::point2(x1, y1))
    }

    /// A look at `seen` px of the stage that finds boxes of 10 px at these places with these scores.
    fn look(seen: Level0Box, found: &[(f64, f64, f32)]) -> Look {
        let cells = found.iter().map(|&(x, y, score)| {
            let bbox = area(x, y, x + 10.0, y + 10.0).intersection(&seen).unwrap();
            Cell::new(0, ClassId(0), Score::new(score).unwrap(), bbox)
        });
        Look {
            field: seen,
            areas: vec![seen],
            cells: cells.collect(),
            border_px: 1.0,
            rim_px: 20.0,
            is_full: false,
        }
    }

    fn count(tracks: &Tracks) -> usize {
        tracks.each.values().filter(|track| track.is_shown).count()
    }

    #[test]
    fn noise_around_the_threshold_changes_nothing() {
        let (mut tracks, field) = (Tracks::default(), area(0.0, 0.0, 100.0, 100.0));
        let mut counts = Vec::new();
        for score in [0.27, 0.29, 0.33, 0.38, 0.24, 0.22, 0.26, 0.16, 0.15, 0.05, 0.05, 0.05] {
            tracks.take(&mut look(field, &[(50.0, 50.0, score)]), &THRESHOLDS);
            counts.push(count(&tracks));
        }
        assert_eq!(counts, [0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
    }

    #[test]
    fn a_cell_that_is_missed_once_lives_on_and_one_that_is_gone_does_not() {
        let (mut tracks, field) = (Tracks::default(), area(0.0, 0.0, 100.0, 100.0));
        for _ in 0..4 {
            tracks.take(&mut look(field, &[(50.0, 50.0, 0.8)]), &THRESHOLDS);
        }
        tracks.take(&mut look(field, &[]), &THRESHOLDS);
        assert_eq!(count(&tracks), 1);
        for _ in 0..20 {
            tracks.take(&mut look(field, &[]), &THRESHOLDS);
        }
        assert_eq!((count(&tracks), tracks.each.len(), tracks.centres.size()), (0, 0, 0));
    }

    #[test]
    fn a_cell_at_the_border_grows_into_view_as_one() {
        let mut tracks = Tracks::default();
        for (left, rank) in [(-94.0, Rank::Cut), (-91.0, Rank::Cut), (-86.0, Rank::Rim), (-50.0, Rank::Deep)]
        {
            let seen = area(left, 0.0, left + 100.0, 100.0);
            tracks.take(&mut look(seen, &[(0.0, 50.0, 0.8)]), &THRESHOLDS);
            let track = &tracks.each[&TrackId(0)];
            assert_eq!((count(&tracks), track.rank), (1, rank));
            assert_eq!(track.bbox, area(0.0, 50.0, (left + 100.0).min(10.0), 60.0));
        }
    }

    #[test]
    fn the_deeper_look_decides() {
        let mut tracks = Tracks::default();
        tracks.take(&mut look(area(0.0, 0.0, 100.0, 100.0), &[(5.0, 50.0, 0.9)]), &THRESHOLDS);
        assert_eq!(count(&tracks), 1, "seen in the rim");
        tracks.take(&mut look(area(-50.0, 0.0, 50.0, 100.0), &[]), &THRESHOLDS);
        assert_eq!(count(&tracks), 0, "not there when seen with its surroundings");
        tracks.take(&mut look(area(-50.0, 0.0, 50.0, 100.0), &[(5.0, 50.0, 0.9)]), &THRESHOLDS);
        assert_eq!(count(&tracks), 1);
        tracks.take(&mut look(area(0.0, 0.0, 100.0, 100.0), &[]), &THRESHOLDS);
        assert_eq!(count(&tracks), 1, "a look from the rim takes nothing away");
    }

    #[test]
    fn a_stage_that_drifted_is_put_back_by_its_cells() {
        let field = area(0.0, 0.0, 200.0, 200.0);
        let known: Vec<(f64, f64, f32)> = (0..9)
            .map(|at| (30.0 + f64::from(at % 3) * 50.0, 30.0 + f64::from(at / 3) * 50.0, 0.8))
            .collect();
        let drifted: Vec<_> = known.iter().map(|&(x, y, score)| (x + 2.0, y - 1.0, score)).collect();
        let mut tracks = Tracks::default();
        tracks.take(&mut look(field, &known), &THRESHOLDS);
        assert_eq!(tracks.take(&mut look(field, &drifted), &THRESHOLDS), euclid::vec2(2.0, -1.0));
        assert_eq!((count(&tracks), tracks.each[&TrackId(0)].bbox.min), (9, euclid::point2(30.0, 30.0)));
        assert_eq!(
            tracks.take(&mut look(field, &known[..3]), &THRESHOLDS),
            StageVector::zero(),
            "too few to tell"
        );
    }

    #[test]
    fn a_second_track_of_a_cell_goes() {
        let field = area(0.0, 0.0, 100.0, 100.0);
        let mut tracks = Tracks::default();
        tracks.take(&mut look(field, &[(50.0, 50.0, 0.8), (54.0, 50.0, 0.7)]), &THRESHOLDS);
        assert_eq!(count(&tracks), 2);
        tracks.take(&mut look(field, &[(50.0, 50.0, 0.8)]), &THRESHOLDS);
        assert_eq!((count(&tracks), tracks.centres.size()), (1, 1));
    }

    #[test]
    fn the_class_is_what_most_looks_say() {
        let field = area(0.0, 0.0, 100.0, 100.0);
        let mut tracks = Tracks::default();
        for class in [1, 0, 1] {
            let mut seen = look(field, &[(50.0, 50.0, 0.8)]);
            seen.cells[0].class = ClassId(class);
            tracks.take(&mut seen, &THRESHOLDS);
        }
        assert_eq!(tracks.each[&TrackId(0)].class(), ClassId(1));
    }
}
