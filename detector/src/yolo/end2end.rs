//! End-to-end heads: `[K, 6]` or `[K, 6+M]` per window, one row per answer, duplicates already gone.
//!
//! A row is x0, y0, x1, y1 in window px, score, class, then M mask coefficients. Models fill unused rows
//! with scores of 0.

use wsi_types::{Score, WindowBox};

use super::{Candidate, detect::all_finite};
use crate::WindowFault;

/// The columns before the mask coefficients.
pub const COLUMNS: usize = 6;

/// Appends every row whose score is greater than `floor` to `found`, in row order; the row's number is the
/// candidate's anchor.
///
/// # Errors
///
/// [`WindowFault`] when a number is NaN or infinite, a score is not a probability, or a passing row names a
/// class outside `classes`.
pub fn candidates(
    rows: &[f32],
    columns: usize,
    classes: usize,
    floor: f32,
    found: &mut Vec<Candidate>,
) -> Result<(), WindowFault> {
    for (anchor, row) in rows.chunks_exact(columns.max(COLUMNS)).enumerate() {
        if !all_finite(&row[..COLUMNS]) {
            return Err(WindowFault::NotFinite { part: if row[4].is_finite() { "boxes" } else { "scores" } });
        }
        let [x0, y0, x1, y1, score, class] = [0, 1, 2, 3, 4, 5].map(|column| row[column]);
        super::check_probability(score)?;
        if let Some(passing) = Score::new(score).filter(|_| score > floor) {
            let bbox = WindowBox::new(
                euclid::point2(x0.min(x1), y0.min(y1)),
                euclid::point2(x0.max(x1), y0.max(y1)),
            );
            let class = class_of(class, classes)?;
            found.push(Candidate { bbox, score: passing, class, anchor: anchor as u32 });
        }
    }
    Ok(())
}

fn class_of(value: f32, classes: usize) -> Result<u16, WindowFault> {
    let whole = value.fract() == 0.0 && value >= 0.0 && (value as usize) < classes;
    if !whole {
        let last = classes.saturating_sub(1);
        return Err(WindowFault::NoSuchClass { class: value.to_string(), last });
    }
    Ok(value as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(rows: &[f32]) -> Result<Vec<Candidate>, WindowFault> {
        let mut found = Vec::new();
        candidates(rows, 6, 2, 0.5, &mut found).map(|()| found)
    }

    #[test]
    fn rows_above_the_floor_are_kept_in_order() {
        let rows = [1.0, 2.0, 3.0, 4.0, 0.9, 1.0, 9.0, 8.0, 5.0, 6.0, 0.6, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 7.0];
        let found = decode(&rows).unwrap();
        assert_eq!(found.iter().map(|c| (c.class, c.anchor)).collect::<Vec<_>>(), [(1, 0), (0, 1)]);
        assert_eq!(found[1].bbox, WindowBox::new(euclid::point2(5.0, 6.0), euclid::point2(9.0, 8.0)));
    }

    #[test]
    fn wild_rows_are_faults() {
        assert_eq!(
            decode(&[f32::NAN, 0.0, 1.0, 1.0, 0.1, 0.0]),
            Err(WindowFault::NotFinite { part: "boxes" })
        );
        assert_eq!(
            decode(&[0.0, 0.0, 1.0, 1.0, f32::NAN, 0.0]),
            Err(WindowFault::NotFinite { part: "scores" })
        );
        assert!(matches!(
            decode(&[0.0, 0.0, 1.0, 1.0, 0.9, 2.0]),
            Err(WindowFault::NoSuchClass { last: 1, .. })
        ));
        assert!(decode(&[0.0, 0.0, 1.0, 1.0, 0.9, 0.5]).is_err());
        assert_eq!(decode(&[0.0, 0.0, 1.0, 1.0, 7.0, 0.0]), Err(WindowFault::ScoreRange { score: 7.0 }));
    }
}
