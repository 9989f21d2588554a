//! Heads with an objectness: `[N, 5+nc]` per window, one row per place of the grids.
//!
//! A row is centre x, centre y, width, height, objectness, then one score per class; an object's score is
//! objectness × its best class (the first of equals). YOLOv5 and YOLOv7 export boxes in window px. YOLOX
//! exports them relative to the places of its grids, stride by stride, row by row: centre = (place + answer) ×
//! stride, side = exp(answer) × stride (Ge et al. 2021).

use wsi_types::{Score, WindowBox};

use super::{Candidate, detect::all_finite};
use crate::WindowFault;

/// The columns before the class scores.
pub const COLUMNS: usize = 5;

/// The rows of one window.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// `rows × (5 + classes)` numbers.
    pub data: &'a [f32],
    /// Classes; at least one.
    pub classes: usize,
}

impl Rows<'_> {
    /// Appends every row whose score is greater than `floor` to `found`, in row order; `places` decodes boxes that
    /// are relative to grids.
    ///
    /// # Errors
    ///
    /// [`WindowFault`] when a number is NaN or infinite, or a score is not a probability.
    pub fn candidates(
        &self,
        places: Option<&[Place]>,
        floor: f32,
        found: &mut Vec<Candidate>,
    ) -> Result<(), WindowFault> {
        for (anchor, row) in self.data.chunks_exact(COLUMNS + self.classes).enumerate() {
            if !all_finite(row) {
                let part = if all_finite(&row[..4]) { "scores" } else { "boxes" };
                return Err(WindowFault::NotFinite { part });
            }
            let (class, best) = best_of(&row[COLUMNS..]);
            super::check_probability(row[4])?;
            super::check_probability(best)?;
            let score = row[4] * best;
            let Some(score) = Score::new(score).filter(|_| score > floor) else { continue };
            let sides = [row[0], row[1], row[2], row[3]];
            let sides =
                places.and_then(|places| places.get(anchor)).map_or(sides, |place| place.decode(sides));
            if !all_finite(&sides) {
                return Err(WindowFault::NotFinite { part: "boxes" });
            }
            found.push(Candidate { bbox: centred(sides), score, class, anchor: anchor as u32 });
        }
        Ok(())
    }
}

/// The best value and its place; the first of equals.
fn best_of(scores: &[f32]) -> (u16, f32) {
    let first = (0, scores.first().copied().unwrap_or_default());
    scores
        .iter()
        .zip(0u16..)
        .fold(first, |best, (&score, class)| if score > best.1 { (class, score) } else { best })
}

/// Centre, width and height as a box; negative sides are 0.
fn centred([x, y, width, height]: [f32; 4]) -> WindowBox {
    let (half_width, half_height) = (width.max(0.0) * 0.5, height.max(0.0) * 0.5);
    WindowBox::new(
        euclid::point2(x - half_width, y - half_height),
        euclid::point2(x + half_width, y + half_height),
    )
}

/// A place of a grid: column, row and stride, px.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    column: f32,
    row: f32,
    stride: f32,
}

impl Place {
    /// The places of the grids over a window, in the order of rows: stride 8, 16, 32, and 64 where `rows`
    /// asks for it. `None` when neither set of grids has `rows` places.
    #[must_use]
    pub fn all(width: usize, height: usize, rows: usize) -> Option<Vec<Self>> {
        let sets = [&[8, 16, 32][..], &[8, 16, 32, 64]];
        let strides = sets.into_iter().find(|strides| {
            let places = strides.iter().map(|&stride| width.div_ceil(stride) * height.div_ceil(stride));
            places.sum::<usize>() == rows
        })?;
        let all = strides.iter().flat_map(|&stride| {
            let (columns, rows) = (width.div_ceil(stride), height.div_ceil(stride));
            (0..rows).flat_map(move |row| {
                (0..columns).map(move |column| Self {
                    column: column as f32,
                    row: row as f32,
                    stride: stride as f32,
                })
            })
        });
        Some(all.collect())
    }

    fn decode(&self, [x, y, width, height]: [f32; 4]) -> [f32; 4] {
        [
            (x + self.column) * self.stride,
            (y + self.row) * self.stride,
            width.exp() * self.stride,
            height.exp() * self.stride,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(rows: &[f32], classes: usize) -> Result<Vec<Candidate>, WindowFault> {
        let mut found = Vec::new();
        Rows { data: rows, classes }.candidates(None, 0.25, &mut found).map(|()| found)
    }

    #[test]
    fn the_score_is_objectness_times_the_best_class() {
        let rows = [[10., 20., 4., 6., 0.8, 0.5, 0.9], [0., 0., 1., 1., 0.9, 0.2, 0.2]].concat();
        let found = decode(&rows, 2).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].class, found[0].anchor), (1, 0));
        assert!((found[0].score.get() - 0.72).abs() < 1e-6);
        assert_eq!(found[0].bbox, WindowBox::new(euclid::point2(8., 17.), euclid::point2(12., 23.)));
    }

    #[test]
    fn wild_rows_are_faults() {
        assert_eq!(
            decode(&[1., 1., 1., 1., f32::NAN, 0.], 1),
            Err(WindowFault::NotFinite { part: "scores" })
        );
        assert_eq!(
            decode(&[f32::INFINITY, 1., 1., 1., 0., 0.], 1),
            Err(WindowFault::NotFinite { part: "boxes" })
        );
        assert_eq!(decode(&[1., 1., 1., 1., 4.5, 0.9], 1), Err(WindowFault::ScoreRange { score: 4.5 }));
    }

    #[test]
    fn places_go_stride_by_stride_and_row_by_row() {
        // 64 × 32 px: grids of 8 × 4, 4 × 2 and 2 × 1.
        let places = Place::all(64, 32, 42).unwrap();
        assert_eq!(places[9], Place { column: 1., row: 1., stride: 8. });
        assert_eq!(places[32 + 5], Place { column: 1., row: 1., stride: 16. });
        assert_eq!(places[41], Place { column: 1., row: 0., stride: 32. });
        assert_eq!(places[9].decode([0.5, 0.25, 0.0, 1.0]), [12., 10., 8., 8. * 1f32.exp()]);
        assert_eq!(Place::all(64, 32, 43).unwrap().len(), 43);
        assert!(Place::all(64, 32, 41).is_none());
    }
}
