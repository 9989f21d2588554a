//! Comparison of the cells a run found with those painted.

use eval::{
    matching::{Candidates, Classes, Criterion, Outcome, Question, Scene, optimal},
    objects::{Image, ImageId, Object, Role, Shape},
};
use wsi_types::{ClassId, Level0Point, Mpp};

use crate::{
    error::PaintError,
    micron::MPP,
    truth::{CellKind, Truth},
};

/// Largest distance of the centres of a found and a painted cell that are the same, µm: about the radius of a
/// lymphocyte.
pub const MATCH_DISTANCE_UM: f64 = 3.0;

/// Distance from a window border within which unmatched finds count as on a seam, µm.
const NEAR_SEAM_UM: f64 = 4.0;

/// Painted and found cells of one group, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Tally {
    /// Painted cells.
    pub painted: usize,
    /// Found cells.
    pub found: usize,
    /// Pairs of one painted and one found cell; no cell is in two pairs.
    pub matched: usize,
}

impl Tally {
    /// The share of found cells that were painted; 1 when none was found.
    #[must_use]
    pub fn precision(&self) -> f64 {
        share(self.matched, self.found)
    }

    /// The share of painted cells that were found; 1 when none was painted.
    #[must_use]
    pub fn recall(&self) -> f64 {
        share(self.matched, self.painted)
    }

    /// Cells found beyond those painted, as a share of those painted: 0.02 is
    /// two in a hundred too many, negative is too few. `None` when none was
    /// painted.
    #[must_use]
    pub fn count_error(&self) -> Option<f64> {
        (self.painted > 0).then(|| (self.found as f64 - self.painted as f64) / self.painted as f64)
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

/// Scores of a run over a painted slide.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Score {
    /// All cells.
    pub all: Tally,
    /// Cells whose box crosses a window border, and finds near one.
    pub on_seams: Tally,
    /// All other cells.
    pub off_seams: Tally,
    /// Cells on corners of four windows: number painted, and number of those matched.
    pub on_corners: (usize, usize),
    /// Per kind: number painted, and number of those matched.
    pub by_kind: Vec<(CellKind, usize, usize)>,
}

/// Pairs painted and found cells one to one and counts. `found` are centres on
/// level 0; their order does not matter to the result.
///
/// # Errors
///
/// When a coordinate of a centre is not a number.
pub fn score(truth: &Truth, found: &[Level0Point]) -> Result<Score, PaintError> {
    let finder = pair_off(truth, found)?;
    let mut score = Score {
        all: Tally::default(),
        on_seams: Tally::default(),
        off_seams: Tally::default(),
        on_corners: (0, 0),
        by_kind: CellKind::ALL.map(|kind| (kind, 0, 0)).to_vec(),
    };
    for (cell, partner) in truth.cells.iter().zip(&finder) {
        let matched = usize::from(partner.is_some());
        for tally in
            [&mut score.all, if truth.is_on_seam(cell) { &mut score.on_seams } else { &mut score.off_seams }]
        {
            tally.painted += 1;
            tally.found += matched;
            tally.matched += matched;
        }
        if truth.is_on_corner(cell) {
            score.on_corners.0 += 1;
            score.on_corners.1 += matched;
        }
        if let Some(row) = score.by_kind.iter_mut().find(|row| row.0 == cell.kind) {
            row.1 += 1;
            row.2 += matched;
        }
    }
    count_unmatched(truth, found, &finder, &mut score);
    Ok(score)
}

/// Counts finds that match no painted cell.
fn count_unmatched(truth: &Truth, found: &[Level0Point], finder: &[Option<usize>], score: &mut Score) {
    let mut matched = vec![false; found.len()];
    for &partner in finder.iter().flatten() {
        matched[partner] = true;
    }
    for (point, _) in found.iter().zip(&matched).filter(|(_, matched)| !**matched) {
        score.all.found += 1;
        let near = truth.seam_distance_um(*point) <= NEAR_SEAM_UM;
        if near { score.on_seams.found += 1 } else { score.off_seams.found += 1 }
    }
}

/// For each painted cell the place of its partner in `found`, by the rule of
/// `slidemill eval`: as many pairs as possible, and of those the closest.
fn pair_off(truth: &Truth, found: &[Level0Point]) -> Result<Vec<Option<usize>>, PaintError> {
    let painted: Vec<Object> = truth.cells.iter().map(|cell| dot(cell.centre)).collect();
    let found: Vec<Object> = found.iter().copied().map(dot).collect();
    let near = Criterion::DistanceUm(MATCH_DISTANCE_UM);
    let slide = Image { mpp: Mpp::new(MPP).ok(), ..Image::named("painted") };
    let candidates = Candidates::find(&found, &painted, near, &slide)?;
    let scene = Scene { predictions: &found, truth: &painted, candidates: &candidates };
    let (asked, ignored) = (vec![true; found.len()], vec![false; painted.len()]);
    let question = Question { asked: &asked, ignored: &ignored, classes: Classes::Same };
    let mut finder = vec![None; painted.len()];
    for (place, outcome) in optimal(scene, question, near.threshold()).iter().enumerate() {
        if let Outcome::Hit(painted) = *outcome {
            finder[painted as usize] = Some(place);
        }
    }
    Ok(finder)
}

fn dot(centre: Level0Point) -> Object {
    Object {
        id: 0,
        image: ImageId(0),
        class: ClassId(0),
        score: None,
        shape: Shape::Point(centre),
        role: Role::Object,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{micron::VectorUm, truth::PaintedCell};

    fn truth(cells: &[(f64, f64, CellKind)]) -> Truth {
        let cells = cells.iter().map(|&(x, y, kind)| PaintedCell {
            centre: Level0Point::new(x, y),
            radii_um: (3.0, 3.0),
            axis: VectorUm::new(1.0, 0.0),
            kind,
            dab_od: 0.0,
            dab_ring_od: 0.0,
        });
        Truth { cells: cells.collect(), seam_step_px: 2048.0 }
    }

    fn points(found: &[(f64, f64)]) -> Vec<Level0Point> {
        found.iter().map(|&(x, y)| Level0Point::new(x, y)).collect()
    }

    #[test]
    fn a_cell_counted_twice_costs_precision_not_recall() {
        let truth = truth(&[(100.0, 100.0, CellKind::Tumour), (2048.0, 700.0, CellKind::Stromal)]);
        let got = score(&truth, &points(&[(101.0, 100.0), (2046.0, 700.0), (2053.0, 700.0)])).unwrap();
        assert_eq!(got.all, Tally { painted: 2, found: 3, matched: 2 });
        assert_eq!(got.on_seams, Tally { painted: 1, found: 2, matched: 1 });
        assert_eq!(got.off_seams, Tally { painted: 1, found: 1, matched: 1 });
        assert_eq!((got.all.recall(), got.all.count_error()), (1.0, Some(0.5)));
        assert!((got.all.precision() - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn three_microns_are_a_match_and_more_are_not() {
        let truth = truth(&[(100.0, 100.0, CellKind::Tumour)]);
        assert_eq!(score(&truth, &points(&[(112.0, 100.0)])).unwrap().all.matched, 1);
        assert_eq!(score(&truth, &points(&[(112.1, 100.0)])).unwrap().all.matched, 0);
    }

    #[test]
    fn the_closest_pair_goes_first() {
        // One find lies between two painted cells, nearer to the second.
        let kinds = [(100.0, 100.0, CellKind::Lymphocyte), (110.0, 100.0, CellKind::Tumour)];
        let got = score(&truth(&kinds), &points(&[(106.0, 100.0)])).unwrap();
        let matched = [CellKind::Lymphocyte, CellKind::Tumour]
            .map(|kind| got.by_kind.iter().find(|row| row.0 == kind).map(|row| row.2));
        assert_eq!(matched, [Some(0), Some(1)]);
    }

    #[test]
    fn the_order_of_finds_does_not_matter() {
        let cells: Vec<_> = (0..40).map(|i| (f64::from(i) * 8.0, 50.0, CellKind::Lymphocyte)).collect();
        let mut found: Vec<_> = (0..40).map(|i| (f64::from(i) * 8.0 + 4.0, 50.0)).collect();
        let forward = score(&truth(&cells), &points(&found)).unwrap();
        found.reverse();
        assert_eq!(forward, score(&truth(&cells), &points(&found)).unwrap());
    }

    #[test]
    fn corners_are_counted() {
        let truth = truth(&[(2048.0, 4096.0, CellKind::Lymphocyte), (2048.0, 4300.0, CellKind::Lymphocyte)]);
        assert_eq!(score(&truth, &points(&[(2047.0, 4095.0)])).unwrap().on_corners, (1, 1));
        assert_eq!(score(&truth, &[]).unwrap().on_corners, (1, 0));
        assert_eq!(score(&truth, &[]).unwrap().all.precision(), 1.0);
    }
}
