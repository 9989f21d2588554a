//! DETR kinds: a fixed number of queries, one answer each, duplicates already gone.
//!
//! | head | tensors | who |
//! | --- | --- | --- |
//! | rows | `[B, Q, 4+nc]`: box, then one probability per class | RT-DETR exported by Ultralytics |
//!
//! A box is centre x, centre y, width and height as fractions of the window.

use wsi_types::{Score, WindowBox};

use crate::{
    WindowFault,
    yolo::{Candidate, all_finite, check_probability},
};

/// Sides before the scores.
pub const BOX_COLUMNS: usize = 4;

/// Centres further out than this many windows are no fractions.
const FARTHEST: f32 = 2.0;

/// A window's size in px, and how answers become boxes in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fractions {
    width: f32,
    height: f32,
}

impl Fractions {
    /// Of a window of so many px.
    pub(crate) fn new(width: usize, height: usize) -> Self {
        Self { width: width as f32, height: height as f32 }
    }

    /// The box of centre, width and height as fractions.
    pub(crate) fn to_box(self, [x, y, width, height]: [f32; 4]) -> Result<WindowBox, WindowFault> {
        if x.abs() > FARTHEST || y.abs() > FARTHEST {
            return Err(WindowFault::BoxesInPx { x, y });
        }
        let (half_width, half_height) = (width.max(0.0) * 0.5, height.max(0.0) * 0.5);
        Ok(WindowBox::new(
            euclid::point2((x - half_width) * self.width, (y - half_height) * self.height),
            euclid::point2((x + half_width) * self.width, (y + half_height) * self.height),
        ))
    }
}

/// Appends each row of `[Q, 4+nc]` whose best score is greater than `floor` to `found`, in row order; of equal
/// classes the first.
///
/// # Errors
///
/// [`WindowFault`] when a number is NaN or infinite, a score no probability, or a box not in fractions.
pub(crate) fn row_candidates(
    rows: &[f32],
    classes: usize,
    window: Fractions,
    floor: f32,
    found: &mut Vec<Candidate>,
) -> Result<(), WindowFault> {
    for (query, row) in rows.chunks_exact(BOX_COLUMNS + classes).enumerate() {
        let (sides, scores) = row.split_at(BOX_COLUMNS);
        if !all_finite(row) {
            let part = if all_finite(sides) { "scores" } else { "boxes" };
            return Err(WindowFault::NotFinite { part });
        }
        let bbox = window.to_box([sides[0], sides[1], sides[2], sides[3]])?;
        let mut best: Option<(u16, f32)> = None;
        for (class, &score) in (0u16..).zip(scores) {
            check_probability(score)?;
            if best.is_none_or(|(_, best)| score > best) {
                best = Some((class, score));
            }
        }
        let passing = best.filter(|(_, score)| *score > floor);
        if let Some((class, score)) = passing.and_then(|(class, score)| Some((class, Score::new(score)?))) {
            found.push(Candidate { bbox, score, class, anchor: query as u32 });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(rows: &[f32], classes: usize) -> Result<Vec<Candidate>, WindowFault> {
        let mut found = Vec::new();
        row_candidates(rows, classes, Fractions::new(640, 320), 0.5, &mut found).map(|()| found)
    }

    #[test]
    fn rows_are_fractions_of_the_window() {
        let found = decode(&[0.5, 0.25, 0.1, 0.2, 0.3, 0.9, 0.1, 0.1, 0.1, 0.1, 0.5, 0.2], 2).unwrap();
        let bbox = WindowBox::new(euclid::point2(288., 48.), euclid::point2(352., 112.));
        assert_eq!(found.len(), 1, "a score at the floor does not pass");
        assert!(
            (found[0].bbox.min - bbox.min).length() < 1e-4 && (found[0].bbox.max - bbox.max).length() < 1e-4
        );
        assert_eq!((found[0].class, found[0].anchor), (1, 0));
    }

    #[test]
    fn px_and_logits_are_faults() {
        assert_eq!(decode(&[320., 40., 9., 9., 0.9], 1), Err(WindowFault::BoxesInPx { x: 320., y: 40. }));
        assert_eq!(decode(&[0.5, 0.5, 0.1, 0.1, -3.0], 1), Err(WindowFault::ScoreRange { score: -3.0 }));
        assert_eq!(decode(&[0.5, f32::NAN, 0.1, 0.1, 0.0], 1), Err(WindowFault::NotFinite { part: "boxes" }));
    }
}
