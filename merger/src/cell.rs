//! A cell: one object of the slide, whatever the number of windows that saw it.

use std::{cmp::Ordering, collections::BTreeSet};

use serde::{Deserialize, Serialize};
use wsi_types::{ClassId, Level0Box, Level0Point, Score};

use crate::id::{MAX_ID, id_from, next_id};
use crate::stain::StainOd;
use crate::texture::Texture;

/// One object, counted once.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Id made from the slide's content id, the class and the place: the same every time, at most [`MAX_ID`].
    /// Unique within a slide once [`settle_ids`] has seen all its cells.
    pub id: u64,
    /// Its class.
    pub class: ClassId,
    /// Confidence of the model.
    pub score: Score,
    /// Its box, in level-0 px.
    pub bbox: Level0Box,
    /// Centre of mass of the outline, or the middle of the box, in level-0 px.
    pub centroid: Level0Point,
    /// Outline in level-0 px: a closed ring whose first point is not repeated. `None` when the model does not
    /// draw outlines.
    pub outline: Option<Box<[Level0Point]>>,
    /// Stains of the detection that stands for it, when the run measures stains.
    pub stains: Option<StainOd>,
    /// Texture of the same detection, when the run measures it.
    pub texture: Option<Box<Texture>>,
    /// The best other class that some window gave it.
    pub runner_up: Option<(ClassId, Score)>,
    /// Raw detections that are this object, at least 1.
    pub n_merged: u16,
    /// Lowest score among them.
    pub score_min: Score,
    /// Highest score among them.
    pub score_max: Score,
    /// Indices of the windows that saw it, ascending.
    pub windows: Vec<u32>,
    /// Distance from the centroid to the nearest inner window border, in µm; infinite when the plan has none
    /// nearby.
    pub seam_dist_um: f32,
    /// Bits for parts that may be missing; see [`edge`].
    pub edge_flag: u8,
    /// The id of the smallest region that its centroid lies in, once regions have been made
    /// ([`assign_cells`](crate::assign_cells)).
    pub region: Option<u64>,
    /// Distance from the centroid to the nearest border of the regions of interest, µm, negative inside; `None` without
    /// such regions ([`Border`](crate::Border)).
    pub distance_um: Option<f32>,
    /// Score of each of several detectors, by number; `None` for one that did not see it. Empty when there is
    /// only one.
    pub detector_scores: Box<[Option<Score>]>,
}

impl Cell {
    /// A cell that something other than our windows found: seen once and whole, without an outline, in the middle of its
    /// box. What is known beyond that is put in afterwards.
    #[must_use]
    pub fn new(id: u64, class: ClassId, score: Score, bbox: Level0Box) -> Self {
        Self {
            id,
            class,
            score,
            bbox,
            centroid: bbox.center(),
            outline: None,
            stains: None,
            texture: None,
            runner_up: None,
            n_merged: 1,
            score_min: score,
            score_max: score,
            windows: Vec::new(),
            seam_dist_um: f32::INFINITY,
            edge_flag: 0,
            region: None,
            distance_um: None,
            detector_scores: Box::default(),
        }
    }
}

/// Bits of [`Cell::edge_flag`].
pub mod edge {
    /// The slide ends where the box ends.
    pub const SLIDE: u8 = 1;
    /// A window cuts it, and no window was planned beyond.
    pub const PLAN: u8 = 2;
    /// A window cuts it, and those beyond failed.
    pub const FAILED: u8 = 4;
    /// A window cuts it, and none of the windows beyond saw it whole.
    pub const UNSEEN: u8 = 8;
    /// It was put together from pieces that several windows saw.
    pub const JOINED: u8 = 16;
}

/// Steps of the grid that centroids are rounded to for their id, per px.
const ID_STEPS_PER_PX: f64 = 8.0;

/// The id of a cell of class `class` at `centroid`, to an eighth of a px; see [`slide_key`](crate::id::slide_key).
#[must_use]
pub fn cell_id(slide_key: u64, class: ClassId, centroid: Level0Point) -> u64 {
    let steps = |value: f64| (value * ID_STEPS_PER_PX).round() as i64 as u64;
    let with_class = mix(slide_key ^ u64::from(class.0));
    id_from(mix(mix(with_class ^ steps(centroid.x)).wrapping_add(steps(centroid.y))))
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): one to one, and
/// every input bit reaches every output bit.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// Makes ids unique over all cells of one slide, in any order: of several cells with one id the first by
/// [`content_order`] keeps it, the others get the next free ones.
pub fn settle_ids(cells: &mut [Cell]) {
    // Other programs that make cells may not keep to the limit of ids.
    for cell in cells.iter_mut().filter(|cell| cell.id > MAX_ID) {
        cell.id = id_from(cell.id);
    }
    if are_unique(cells.iter().map(|cell| cell.id).collect()) {
        return;
    }
    let mut ids: Vec<(u64, u32)> = cells.iter().map(|cell| cell.id).zip(0..).collect();
    ids.sort_unstable_by(|a, b| {
        let content = || content_order(&cells[a.1 as usize], &cells[b.1 as usize]);
        a.0.cmp(&b.0).then_with(content)
    });
    let repeated: Vec<u32> =
        ids.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[1].1).collect();
    let mut taken: BTreeSet<u64> = ids.iter().map(|entry| entry.0).collect();
    for index in repeated {
        let cell = &mut cells[index as usize];
        while !taken.insert(cell.id) {
            cell.id = next_id(cell.id);
        }
    }
}

/// `true` if no id repeats. Plain numbers sort several times as fast as cells, and ids hardly ever repeat.
fn are_unique(mut ids: Vec<u64>) -> bool {
    ids.sort_unstable();
    ids.windows(2).all(|pair| pair[0] != pair[1])
}

/// A total order by content alone: place, class, score, windows.
#[must_use]
pub fn content_order(a: &Cell, b: &Cell) -> Ordering {
    box_order(&a.bbox, &b.bbox)
        .then_with(|| a.class.cmp(&b.class))
        .then_with(|| b.score.cmp(&a.score))
        .then_with(|| a.windows.cmp(&b.windows))
        .then_with(|| ring_order(ring(a), ring(b)))
}

/// The points of its outline, none without one.
fn ring(cell: &Cell) -> impl ExactSizeIterator<Item = Level0Point> {
    cell.outline.as_deref().unwrap_or_default().iter().copied()
}

/// Order by top, left, bottom, right.
pub(crate) fn box_order(a: &Level0Box, b: &Level0Box) -> Ordering {
    (a.min.y.total_cmp(&b.min.y))
        .then_with(|| a.min.x.total_cmp(&b.min.x))
        .then_with(|| a.max.y.total_cmp(&b.max.y))
        .then_with(|| a.max.x.total_cmp(&b.max.x))
}

/// Order point by point; shorter before longer.
pub(crate) fn ring_order(
    a: impl ExactSizeIterator<Item = Level0Point>,
    b: impl ExactSizeIterator<Item = Level0Point>,
) -> Ordering {
    let by_length = a.len().cmp(&b.len());
    let mut by_point = a.zip(b).map(|(p, q)| p.y.total_cmp(&q.y).then_with(|| p.x.total_cmp(&q.x)));
    by_point.find(|order| order.is_ne()).unwrap_or(by_length)
}

/// Number of cells of each class, by class.
#[must_use]
pub fn count_by_class(cells: &[Cell]) -> std::collections::BTreeMap<ClassId, u64> {
    let mut counts = std::collections::BTreeMap::new();
    for cell in cells {
        *counts.entry(cell.class).or_insert(0) += 1;
    }
    counts
}

/// Number of raw detections that came in, and of those with each outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MergeCounts {
    /// Detections handed in.
    pub raw: u64,
    /// Left out: below the least score.
    pub below_score: u64,
    /// Left out: a coordinate is NaN or infinite.
    pub not_finite: u64,
    /// Left out: a box without area.
    pub no_area: u64,
    /// Left out: outside its window or the slide.
    pub outside: u64,
    /// Cut ones dropped for a view that saw the object whole.
    pub yielded: u64,
    /// Further views of an object, and second boxes on it, of the same class.
    pub same_class: u64,
    /// The same, of another class.
    pub other_class: u64,
    /// Cut ones, and ones in the rim of their windows, where a better view found nothing.
    pub unconfirmed: u64,
    /// Pieces that were put together with another piece.
    pub joined_pieces: u64,
    /// Cells written.
    pub cells: u64,
    /// Cells put together from pieces: larger than the overlap. Where models
    /// give boxes, their box is the pieces' common one.
    pub joined_cells: u64,
    /// Cells that no window saw whole and nothing completes.
    pub incomplete_cells: u64,
}

impl MergeCounts {
    /// `true` if every raw detection is accounted for.
    #[must_use]
    pub fn balance(&self) -> bool {
        let left_out = self.below_score + self.not_finite + self.no_area + self.outside;
        let merged = self.yielded + self.same_class + self.other_class + self.joined_pieces;
        self.raw == left_out + merged + self.unconfirmed + self.cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::slide_key;

    /// Worked out by another program: a changed id would part tables from what was noted about their cells.
    #[test]
    fn ids_stay_what_they_were() {
        assert_eq!(mix(0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(cell_id(0, ClassId(0), Level0Point::zero()), 1_249_383_295_688_599);
        for x in [1234.5, 1234.56, 1234.44] {
            let at = Level0Point::new(x, -0.125);
            assert_eq!(cell_id(slide_key("s1"), ClassId(2), at), 2_823_671_791_991_083, "x = {x}");
        }
    }
}
