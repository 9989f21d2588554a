//! The detect head: `[4+nc, N]` per window, one column per anchor.
//!
//! The head of YOLOv8 and YOLO11: no objectness row, scores already squashed, one class per box (the best;
//! the first of equals). A score must be *greater* than the floor.

use wsi_types::{Score, WindowBox};

use crate::WindowFault;

/// One answer above the floor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Box in window px, finite, `min <= max`.
    pub bbox: WindowBox,
    /// Score, greater than the floor.
    pub score: Score,
    /// The best class.
    pub class: u16,
    /// Column of the answer.
    pub anchor: u32,
}

/// The raw answers for one window.
#[derive(Debug, Clone, Copy)]
pub struct RawHead<'a> {
    rows: &'a [f32],
    classes: usize,
    anchors: usize,
}

/// Anchors looked at together: their best scores stay in the first-level cache while the class rows stream
/// past.
const BLOCK: usize = 2048;

impl<'a> RawHead<'a> {
    /// Rows before the scores.
    const BOX_ROWS: usize = 4;

    /// `rows`: `[4 + classes + more, anchors]`; `None` when there are fewer.
    #[must_use]
    pub fn new(rows: &'a [f32], classes: usize, anchors: usize) -> Option<Self> {
        let needed = Self::BOX_ROWS.checked_add(classes)?.checked_mul(anchors)?;
        (classes > 0 && rows.len() >= needed).then_some(Self { rows, classes, anchors })
    }

    fn row(&self, row: usize) -> &'a [f32] {
        &self.rows[row * self.anchors..][..self.anchors]
    }

    /// Appends every anchor whose best score is greater than `floor` to `found`, in anchor order.
    ///
    /// Each number is read once, except in the columns that pass.
    ///
    /// # Errors
    ///
    /// [`WindowFault::NotFinite`] when any score or box, passing or not, is NaN or infinite, and
    /// [`WindowFault::ScoreRange`] when a best score is not a probability: such a model run is broken as a
    /// whole.
    pub fn candidates(&self, floor: f32, found: &mut Vec<Candidate>) -> Result<(), WindowFault> {
        for row in 0..Self::BOX_ROWS {
            if !all_finite(self.row(row)) {
                return Err(WindowFault::NotFinite { part: "boxes" });
            }
        }
        let mut best = [0f32; BLOCK];
        for start in (0..self.anchors).step_by(BLOCK) {
            let best = &mut best[..BLOCK.min(self.anchors - start)];
            if !self.best_scores(start, best) {
                return Err(WindowFault::NotFinite { part: "scores" });
            }
            if let Some(&score) = best.iter().find(|score| super::check_probability(**score).is_err()) {
                return Err(WindowFault::ScoreRange { score });
            }
            let passing = best.iter().enumerate().filter(|(_, score)| **score > floor);
            found.extend(passing.filter_map(|(i, &score)| self.candidate(start + i, score)));
        }
        Ok(())
    }

    /// Writes the best score of each anchor from `start` on into `best`; `false` when any score is not
    /// finite.
    fn best_scores(&self, start: usize, best: &mut [f32]) -> bool {
        let len = best.len();
        best.copy_from_slice(&self.row(Self::BOX_ROWS)[start..][..len]);
        let mut finite = all_finite(best);
        for class in 1..self.classes {
            let scores = &self.row(Self::BOX_ROWS + class)[start..][..len];
            let mut wild = 0u32;
            for (best, &score) in best.iter_mut().zip(scores) {
                wild |= not_finite(score);
                *best = if score > *best { score } else { *best };
            }
            finite &= wild == 0;
        }
        finite
    }

    /// The answer of one anchor; `None` only for a score of NaN, which was refused before.
    fn candidate(&self, anchor: usize, score: f32) -> Option<Candidate> {
        let class = (0..self.classes)
            .find(|class| self.row(Self::BOX_ROWS + class)[anchor] == score)
            .unwrap_or_default();
        let [x, y, width, height] = [0, 1, 2, 3].map(|row| self.row(row)[anchor]);
        let (half_width, half_height) = (width.max(0.0) * 0.5, height.max(0.0) * 0.5);
        Some(Candidate {
            bbox: WindowBox::new(
                euclid::point2(x - half_width, y - half_height),
                euclid::point2(x + half_width, y + half_height),
            ),
            score: Score::new(score)?,
            class: class as u16,
            anchor: anchor as u32,
        })
    }
}

/// All ones for NaN and infinities, else 0: an integer comparison, so that rows are checked in vectors.
fn not_finite(value: f32) -> u32 {
    const EXPONENT: u32 = 0x7f80_0000;
    u32::from(value.to_bits() & EXPONENT == EXPONENT).wrapping_neg()
}

/// `true` if no value is NaN or infinite.
pub(crate) fn all_finite(values: &[f32]) -> bool {
    values.iter().fold(0, |wild, &value| wild | not_finite(value)) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Rows of anchors given column by column.
    fn rows(columns: &[&[f32]]) -> Vec<f32> {
        (0..columns[0].len()).flat_map(|row| columns.iter().map(move |column| column[row])).collect()
    }

    fn decode(columns: &[&[f32]], floor: f32) -> Result<Vec<Candidate>, WindowFault> {
        let rows = rows(columns);
        let mut found = Vec::new();
        let head = RawHead::new(&rows, columns[0].len() - 4, columns.len()).unwrap();
        head.candidates(floor, &mut found).map(|()| found)
    }

    #[test]
    fn the_best_class_wins_and_the_first_of_equals() {
        let found =
            decode(&[&[10.0, 20.0, 4.0, 6.0, 0.2, 0.9, 0.9], &[0.0, 0.0, 1.0, 1.0, 0.25, 0.1, 0.0]], 0.25);
        let bbox = WindowBox::new(euclid::point2(8.0, 17.0), euclid::point2(12.0, 23.0));
        assert_eq!(found, Ok(vec![Candidate { bbox, score: Score::new(0.9).unwrap(), class: 1, anchor: 0 }]));
    }

    #[test]
    fn nan_anywhere_is_a_fault_never_an_empty_list() {
        let nan = f32::NAN;
        let fault = |part| Err(WindowFault::NotFinite { part });
        assert_eq!(decode(&[&[0.0, 0.0, 1.0, 1.0, nan]], 0.5), fault("scores"));
        assert_eq!(decode(&[&[0.0, 0.0, 1.0, 1.0, 0.0, nan]], 0.5), fault("scores"));
        assert_eq!(decode(&[&[0.0, 0.0, 1.0, f32::INFINITY, 0.0]], 0.5), fault("boxes"));
    }

    #[test]
    fn logits_are_a_fault_never_sure_cells() {
        let score = |score| decode(&[&[5.0, 5.0, 2.0, 2.0, score]], 0.5);
        assert_eq!(score(3.5), Err(WindowFault::ScoreRange { score: 3.5 }));
        assert_eq!(score(-4.0), Err(WindowFault::ScoreRange { score: -4.0 }));
        assert_eq!(score(1.004).unwrap()[0].score.get(), 1.0);
    }

    #[test]
    fn negative_sizes_become_empty_boxes() {
        let found = decode(&[&[5.0, 5.0, -2.0, 4.0, 1.0]], 0.5).unwrap();
        assert_eq!(found[0].bbox, WindowBox::new(euclid::point2(5.0, 3.0), euclid::point2(5.0, 7.0)));
    }

    #[test]
    fn too_few_rows_are_no_head() {
        assert!(RawHead::new(&[0.0; 11], 2, 2).is_none());
        assert!(RawHead::new(&[0.0; 12], 2, 2).is_some());
        assert!(RawHead::new(&[], 0, 0).is_none());
        assert!(RawHead::new(&[0.0; 12], usize::MAX, 2).is_none());
    }

    proptest! {
        /// Blocks must not show: every anchor count gives the result of a plain loop.
        #[test]
        fn blocks_do_not_show(anchors in 1usize..5000, classes in 1usize..4, seed in any::<u32>()) {
            let noise = (0..(4 + classes) * anchors)
                .map(|i| (i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8);
            let rows: Vec<f32> = noise.map(|bits| bits as f32 / 16_777_216.0).collect();
            let mut found = Vec::new();
            RawHead::new(&rows, classes, anchors).unwrap().candidates(0.9, &mut found).unwrap();
            let plain: Vec<(u32, f32)> = (0..anchors)
                .map(|a| (a as u32, (0..classes).map(|c| rows[(4 + c) * anchors + a]).fold(0.0, f32::max)))
                .filter(|(_, score)| *score > 0.9)
                .collect();
            prop_assert_eq!(found.iter().map(|c| (c.anchor, c.score.get())).collect::<Vec<_>>(), plain);
        }
    }
}
