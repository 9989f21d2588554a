//! Short ways to write windows, boxes and detections in tests.

use wsi_types::{
    ClassId, Detection, GridRect, Level0Box, Level0Point, ModelClass, Placement, Score, Window, WindowBox,
    WindowIndex,
};

/// `columns` × `rows` windows of `size` px, one every `stride` px, level 0 and
/// grid being the same; indices row by row.
pub(crate) fn grid_windows(columns: u32, rows: u32, size: i64, stride: i64) -> Vec<Window> {
    let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (column, row)));
    cells
        .zip(0..)
        .map(|((column, row), index)| {
            let (x, y) = (i64::from(column) * stride, i64::from(row) * stride);
            Window {
                index: WindowIndex(index),
                rect: GridRect::new(euclid::point2(x, y), euclid::size2(size, size)),
                placement: Placement::new(1.0, 1.0, x as f64, y as f64),
            }
        })
        .collect()
}

pub(crate) fn level0(x0: f64, y0: f64, x1: f64, y1: f64) -> Level0Box {
    Level0Box::new(Level0Point::new(x0, y0), Level0Point::new(x1, y1))
}

pub(crate) fn ring(points: &[(f64, f64)]) -> Vec<Level0Point> {
    points.iter().map(|&(x, y)| Level0Point::new(x, y)).collect()
}

pub(crate) fn detection(x0: f32, y0: f32, x1: f32, y1: f32, score: f32) -> Detection {
    Detection {
        bbox: WindowBox::new(euclid::point2(x0, y0), euclid::point2(x1, y1)),
        class: ModelClass(0),
        score: Score::new(score).unwrap_or_else(|| panic!("score {score}")),
        outline: None,
    }
}

pub(crate) fn cell(bbox: Level0Box, class: u16, score: f32) -> crate::Cell {
    let score = Score::new(score).unwrap_or_else(|| panic!("score {score}"));
    crate::Cell { windows: vec![0], ..crate::Cell::new(0, ClassId(class), score, bbox) }
}
