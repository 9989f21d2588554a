//! Windows larger than the model takes: cut into pieces, whose detections are merged into one answer again.
//!
//! ```text
//! window 2048 px ─► pieces of 640 px that overlap ─► model ─► pieces' detections ─► Stitch ─► window's detections
//! ```
//!
//! The pieces of all windows of a batch go to the model together. The rule that makes detections of two
//! pieces one object is not known here: a [`Stitch`] is handed in (see `docs/decisions`).

use std::sync::Arc;

use wsi_types::{CentreCrop, ClassMap, Detection, Steps, WindowIndex};

use crate::{Answers, BatchView, Detector, DetectorError, Manifest, WindowFault, WindowResult};

/// Place of a piece in its window, px.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PieceRect {
    /// First column.
    pub left: usize,
    /// First row.
    pub top: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// Detections of one piece.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// Place of the piece in its window.
    pub rect: PieceRect,
    /// Detections, px of the piece.
    pub detections: Vec<Detection>,
}

/// Makes the detections of a window out of those of its pieces.
pub trait Stitch: Send + Sync {
    /// The detections of a window of `width` × `height` px, in px of the window, each object once, best first. A
    /// function of the pieces alone, whatever their order.
    ///
    /// # Errors
    ///
    /// The reason that they cannot be merged, in words.
    fn stitch(&self, width: usize, height: usize, pieces: Vec<Piece>) -> Result<Vec<Detection>, String>;
}

/// Pieces that windows of one size are cut into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pieces {
    /// Width and height of the windows, px.
    window: (usize, usize),
    rects: Vec<PieceRect>,
}

impl Pieces {
    /// Cuts windows of `window` (width, height) px into pieces of `piece` px that share at least `overlap` px
    /// with the next. All lie within the window; their starts are multiples of `multiple_of`, the model's
    /// stride, except for the last of a row or column, which ends with the window.
    ///
    /// # Errors
    ///
    /// [`DetectorError::WindowSize`] when a window is smaller than a piece.
    pub fn new(
        window: (usize, usize),
        piece: (usize, usize),
        overlap: usize,
        multiple_of: usize,
    ) -> Result<Self, DetectorError> {
        if window.0 < piece.0 || window.1 < piece.1 || piece.0 == 0 || piece.1 == 0 {
            let expected = format!("{} × {} px, and larger windows in pieces", piece.0, piece.1);
            return Err(DetectorError::WindowSize { width: window.0, height: window.1, expected });
        }
        let columns = starts(window.0, piece.0, overlap, multiple_of);
        let rows = starts(window.1, piece.1, overlap, multiple_of);
        let places = rows.into_iter().flat_map(|top| columns.iter().map(move |&left| (left, top)));
        let rects = places.map(|(left, top)| PieceRect { left, top, width: piece.0, height: piece.1 });
        Ok(Self { window, rects: rects.collect() })
    }

    /// The pieces of a window, row by row.
    #[must_use]
    pub fn rects(&self) -> &[PieceRect] {
        &self.rects
    }

    /// The map of the window, of places as large as those of `first`, out of the maps of all pieces in order; `None` where
    /// they do not fit.
    fn joined(&self, first: &ClassMap, maps: &[&ClassMap]) -> Option<ClassMap> {
        let size = (first.columns(), first.rows());
        if maps.len() != self.rects.len() || maps.iter().any(|map| (map.columns(), map.rows()) != size) {
            return None;
        }
        let piece = self.rects.first()?;
        let px = first.px_per_place(piece.width as u32, piece.height as u32)? as usize;
        let (width, height) = self.window;
        if !width.is_multiple_of(px) || !height.is_multiple_of(px) {
            return None;
        }
        let across = CentreCrop::new(self.rects.iter().map(|rect| rect.left as i64), piece.width as i64);
        let down = CentreCrop::new(self.rects.iter().map(|rect| rect.top as i64), piece.height as i64);
        let (columns, steps) = (width / px, Steps(px as i64));
        let mut places = vec![None; columns * (height / px)];
        for (rect, map) in self.rects.iter().zip(maps) {
            let seen = map.places();
            let (left, top) = (rect.left as i64, rect.top as i64);
            for row in steps.centred_in(&down.part(top)) {
                let from = steps.place_in(row, top, steps) * map.columns() as usize;
                for column in steps.centred_in(&across.part(left)) {
                    places[row * columns + column] = seen[from + steps.place_in(column, left, steps)];
                }
            }
        }
        ClassMap::from_places(u32::try_from(columns).ok()?, places)
    }

    /// Copies the pieces of each window, one after the other, behind `out`.
    fn cut(&self, batch: BatchView<'_>, out: &mut Vec<u8>) {
        let row_bytes = self.window.0 * 3;
        for (_, pixels) in batch.iter() {
            for rect in &self.rects {
                for row in rect.top..rect.top + rect.height {
                    let start = row * row_bytes + rect.left * 3;
                    out.extend_from_slice(&pixels[start..start + rect.width * 3]);
                }
            }
        }
    }
}

/// Starts of pieces of `piece` px along a side of `side` px: equal steps, except for the last piece, which
/// ends with the side.
fn starts(side: usize, piece: usize, overlap: usize, multiple_of: usize) -> Vec<usize> {
    let room = side - piece;
    let longest_step = piece.saturating_sub(overlap).max(1);
    let aligned_step = longest_step / multiple_of.max(1) * multiple_of.max(1);
    // A model's stride may leave no room for a step.
    let step = if aligned_step > 0 { aligned_step } else { longest_step };
    (0..room).step_by(step).chain([room]).collect()
}

/// The overlap, px, that pieces of `side` px need so that objects of up to `largest` px are whole in one of them:
/// twice that, as windows have, but no more than half the side unless the objects themselves are larger. Half the
/// side where the model does not say how large its objects are.
#[must_use]
pub fn overlap_for(side: usize, largest: Option<f64>) -> usize {
    let half = side / 2;
    let Some(largest) = largest.filter(|largest| largest.is_finite() && *largest >= 0.0) else { return half };
    let largest = largest.ceil() as usize;
    largest.saturating_mul(2).min(half).max(largest.min(side * 3 / 4))
}

/// A detector whose model takes pieces of the windows it is given.
pub struct InPieces {
    inner: Box<dyn Detector>,
    pieces: Arc<Pieces>,
    stitch: Arc<dyn Stitch>,
    /// The pixels of a batch, cut.
    cut: Vec<u8>,
}

impl InPieces {
    /// Gives `inner` the `pieces` of each window, and their detections to `stitch`.
    #[must_use]
    pub fn new(inner: Box<dyn Detector>, pieces: Pieces, stitch: Arc<dyn Stitch>) -> Self {
        Self { inner, pieces: Arc::new(pieces), stitch, cut: Vec::new() }
    }

    fn check(&self, batch: &BatchView<'_>) -> Result<(), DetectorError> {
        batch.check()?;
        let (width, height) = self.pieces.window;
        if batch.windows.is_empty() || (batch.width, batch.height) == (width, height) {
            return Ok(());
        }
        let expected = format!("{width} × {height} px only");
        Err(DetectorError::WindowSize { width: batch.width, height: batch.height, expected })
    }
}

impl Detector for InPieces {
    fn manifest(&self) -> &Manifest {
        self.inner.manifest()
    }

    fn detect(&mut self, batch: BatchView<'_>) -> Result<Vec<WindowResult>, DetectorError> {
        self.infer(batch).map(Answers::decode)
    }

    fn infer(&mut self, batch: BatchView<'_>) -> Result<Box<dyn Answers>, DetectorError> {
        self.check(&batch)?;
        self.cut.clear();
        self.pieces.cut(batch, &mut self.cut);
        let count = (batch.windows.len() * self.pieces.rects.len()) as u32;
        let windows: Vec<WindowIndex> = (0..count).map(WindowIndex).collect();
        let (width, height) = self.pieces.rects.first().map_or((0, 0), |rect| (rect.width, rect.height));
        let answers = self.inner.infer(BatchView {
            height,
            width,
            windows: &windows,
            pixels: &self.cut,
            stretch: batch.stretch,
        })?;
        Ok(Box::new(PieceAnswers {
            answers,
            windows: batch.windows.to_vec(),
            pieces: Arc::clone(&self.pieces),
            stitch: Arc::clone(&self.stitch),
        }))
    }

    fn split(self: Box<Self>) -> Vec<Box<dyn Detector>> {
        let Self { inner, pieces, stitch, .. } = *self;
        let each = inner.split().into_iter().map(|inner| -> Box<dyn Detector> {
            let (pieces, stitch) = (Arc::clone(&pieces), Arc::clone(&stitch));
            Box::new(Self { inner, pieces, stitch, cut: Vec::new() })
        });
        each.collect()
    }

    fn device_used(&self) -> String {
        self.inner.device_used()
    }

    fn notes(&self) -> Vec<String> {
        self.inner.notes()
    }
}

/// Answers of the model to the pieces of a batch.
struct PieceAnswers {
    answers: Box<dyn Answers>,
    windows: Vec<WindowIndex>,
    pieces: Arc<Pieces>,
    stitch: Arc<dyn Stitch>,
}

impl Answers for PieceAnswers {
    fn decode(self: Box<Self>) -> Vec<WindowResult> {
        let Self { answers, windows, pieces, stitch } = *self;
        let mut results = answers.decode().into_iter();
        let by_window = windows.into_iter().map(|window| {
            let seen: Vec<WindowResult> = results.by_ref().take(pieces.rects.len()).collect();
            let is_full = seen.iter().any(|result| result.is_full);
            if seen.iter().any(|result| result.embedding.is_some()) {
                let reason = "a vector is of a whole window".to_owned();
                return WindowResult::new(window, Err(WindowFault::Pieces { reason }));
            }
            match whole_map(&pieces, &seen) {
                Some(Ok(map)) => WindowResult { map: Some(map), ..WindowResult::new(window, Ok(Vec::new())) },
                Some(Err(fault)) => WindowResult::new(window, Err(fault)),
                None => {
                    let outcome = stitched(&pieces, stitch.as_ref(), seen);
                    WindowResult { is_full, ..WindowResult::new(window, outcome) }
                }
            }
        });
        by_window.collect()
    }
}

/// The detections of a window; the first fault of a piece fails it.
fn stitched(
    pieces: &Pieces,
    stitch: &dyn Stitch,
    seen: Vec<WindowResult>,
) -> Result<Vec<Detection>, WindowFault> {
    let (width, height) = pieces.window;
    let all = with_places(pieces, seen)?;
    stitch.stitch(width, height, all).map_err(|reason| WindowFault::Pieces { reason })
}

/// The class map of a window out of those of its pieces, each of which decides its centre; `None` if the model answers
/// detections. The first fault of a piece fails the window.
fn whole_map(pieces: &Pieces, seen: &[WindowResult]) -> Option<Result<ClassMap, WindowFault>> {
    let maps: Vec<&ClassMap> = seen.iter().filter_map(|result| result.map.as_ref()).collect();
    let first = *maps.first()?;
    let fault = seen.iter().find_map(|result| result.outcome.as_ref().err());
    if let Some(fault) = fault {
        return Some(Err(fault.clone()));
    }
    let joined = pieces.joined(first, &maps);
    Some(joined.ok_or_else(|| {
        WindowFault::Pieces {
            reason: "their class maps are not of one size, or the window is no whole number of their places"
                .to_owned(),
        }
    }))
}

/// The pieces with their detections; the first fault fails the window.
fn with_places(pieces: &Pieces, seen: Vec<WindowResult>) -> Result<Vec<Piece>, WindowFault> {
    let placed = pieces.rects.iter().zip(seen);
    placed.map(|(&rect, result)| Ok(Piece { rect, detections: result.outcome? })).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wsi_types::{ModelClass, WindowBox};

    use super::*;
    use crate::{BlobDetector, ScriptedDetector};

    /// Moves detections to their window and merges none.
    struct Moved;

    impl Stitch for Moved {
        fn stitch(&self, _: usize, _: usize, pieces: Vec<Piece>) -> Result<Vec<Detection>, String> {
            let moved = pieces.into_iter().flat_map(|Piece { rect, detections }| {
                let by = euclid::vec2(rect.left as f32, rect.top as f32);
                detections.into_iter().map(move |d| Detection { bbox: d.bbox.translate(by), ..d })
            });
            Ok(moved.collect())
        }
    }

    #[test]
    fn pieces_are_cut_where_they_lie_and_come_back_to_their_window() {
        let pieces = Pieces::new((64, 48), (32, 24), 8, 1).unwrap();
        assert_eq!(pieces.rects().len(), 9);
        let mut detector = InPieces::new(Box::new(BlobDetector::new(300)), pieces, Arc::new(Moved));
        // Two windows, each with one dark square in the middle of a piece of its own.
        let mut pixels = vec![255; 2 * 64 * 48 * 3];
        for (window, x, y) in [(0, 38, 4), (1, 6, 30)] {
            for row in y..y + 5 {
                let start = ((window * 48 + row) * 64 + x) * 3;
                pixels[start..start + 4 * 3].fill(0);
            }
        }
        let windows = [WindowIndex(7), WindowIndex(3)];
        let batch = BatchView { height: 48, width: 64, windows: &windows, pixels: &pixels, stretch: None };
        let results = detector.detect(batch).unwrap();
        assert_eq!(results.iter().map(|result| result.window.0).collect::<Vec<_>>(), [7, 3]);
        for (result, (x, y)) in results.iter().zip([(38.0, 4.0), (6.0, 30.0)]) {
            let mut boxes: Vec<_> = result.outcome.as_ref().unwrap().iter().map(|d| d.bbox).collect();
            boxes.dedup();
            assert_eq!(boxes, [WindowBox::new(euclid::point2(x, y), euclid::point2(x + 4.0, y + 5.0))]);
        }
    }

    #[test]
    fn a_window_is_full_when_a_piece_is_and_fails_when_a_piece_does() {
        struct Odd(Manifest);
        impl Detector for Odd {
            fn manifest(&self) -> &Manifest {
                &self.0
            }
            fn detect(&mut self, batch: BatchView<'_>) -> Result<Vec<WindowResult>, DetectorError> {
                let answers = batch.iter().map(|(window, pixels)| match pixels[0] {
                    0 => WindowResult { is_full: true, ..WindowResult::new(window, Ok(vec![])) },
                    1 => WindowResult::new(window, Err(WindowFault::NoOutput)),
                    _ => WindowResult::new(window, Ok(vec![])),
                });
                Ok(answers.collect())
            }
            fn split(self: Box<Self>) -> Vec<Box<dyn Detector>> {
                vec![self]
            }
        }
        let pieces = Pieces::new((2, 1), (1, 1), 0, 1).unwrap();
        let odd = Box::new(Odd(Manifest::without_model("odd", &["a"], None)));
        let detector = Box::new(InPieces::new(odd, pieces, Arc::new(Moved)));
        let mut lane = detector.split().remove(0);
        let windows = [0, 1, 2].map(WindowIndex);
        let pixels = [[9; 3], [0; 3], [9; 3], [9; 3], [1; 3], [9; 3]].concat();
        let batch = BatchView { height: 1, width: 2, windows: &windows, pixels: &pixels, stretch: None };
        let results = lane.infer(batch).unwrap().decode();
        assert!(results[0].is_full && !results[1].is_full);
        assert_eq!(results[2].outcome, Err(WindowFault::NoOutput));
    }

    /// Says at each place of 2 px how bright it is, and at the borders of its input something else.
    struct Bright(Manifest);

    impl Detector for Bright {
        fn manifest(&self) -> &Manifest {
            &self.0
        }
        fn detect(&mut self, batch: BatchView<'_>) -> Result<Vec<WindowResult>, DetectorError> {
            let (columns, rows) = (batch.width / 2, batch.height / 2);
            let answers = batch.iter().map(|(window, pixels)| {
                let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (column, row)));
                let classes = places.map(|(column, row)| {
                    let is_border = column == 0 || row == 0 || column + 1 == columns || row + 1 == rows;
                    let class = pixels[(row * 2 * batch.width + column * 2) * 3];
                    (!is_border).then_some(ModelClass(class.into()))
                });
                let map = ClassMap::from_places(columns as u32, classes);
                WindowResult { map, ..WindowResult::new(window, Ok(vec![])) }
            });
            Ok(answers.collect())
        }
        fn split(self: Box<Self>) -> Vec<Box<dyn Detector>> {
            vec![self]
        }
    }

    #[test]
    fn the_map_of_a_window_is_that_of_the_centres_of_its_pieces() {
        let (width, height) = (28, 20);
        let mut pixels = vec![0; width * height * 3];
        for (place, pixel) in pixels.chunks_exact_mut(3).enumerate() {
            pixel[0] = (place * 7 % 251) as u8;
        }
        let pieces = Pieces::new((width, height), (12, 12), 4, 2).unwrap();
        let bright = Box::new(Bright(Manifest::without_model("bright", &["a"], None)));
        let mut detector = InPieces::new(bright, pieces, Arc::new(Moved));
        let batch = BatchView { height, width, windows: &[WindowIndex(4)], pixels: &pixels, stretch: None };
        let result = detector.detect(batch).unwrap().remove(0);
        let expected = (0..height / 2).flat_map(|row| (0..width / 2).map(move |column| (column, row)));
        let expected: Vec<_> = expected
            .map(|(column, row)| {
                let is_border = column == 0 || row == 0 || column + 1 == width / 2 || row + 1 == height / 2;
                let class = (row * 2 * width + column * 2) * 7 % 251;
                (!is_border).then_some(ModelClass(class as u16))
            })
            .collect();
        assert_eq!((result.outcome, result.map.unwrap().places()), (Ok(vec![]), expected));
    }

    #[test]
    fn windows_of_another_size_are_refused() {
        let message = Pieces::new((512, 512), (640, 640), 64, 32).unwrap_err().to_string();
        assert_eq!(
            message,
            "windows are 512 × 512 px, but the model takes 640 × 640 px, and larger windows in pieces"
        );
        let pieces = Pieces::new((64, 64), (32, 32), 8, 1).unwrap();
        let scripted = ScriptedDetector::new(&["a"], |_, _| vec![]);
        let mut detector = InPieces::new(Box::new(scripted), pieces, Arc::new(Moved));
        let batch = BatchView {
            height: 32,
            width: 32,
            windows: &[WindowIndex(0)],
            pixels: &[0; 32 * 32 * 3],
            stretch: None,
        };
        assert!(matches!(detector.detect(batch), Err(DetectorError::WindowSize { .. })));
        let nothing = BatchView { height: 0, width: 0, windows: &[], pixels: &[], stretch: None };
        assert_eq!(detector.detect(nothing).unwrap(), []);
    }

    #[test]
    fn overlap_is_twice_the_largest_object_as_far_as_there_is_room() {
        assert_eq!(overlap_for(640, Some(80.0)), 160);
        assert_eq!(overlap_for(256, Some(80.0)), 128);
        assert_eq!(overlap_for(256, Some(150.2)), 151);
        assert_eq!(overlap_for(256, Some(900.0)), 192);
        assert_eq!(overlap_for(256, None), 128);
    }

    proptest! {
        #[test]
        fn pieces_cover_the_window_and_share_what_is_asked(
            piece in 8usize..200, more in 0usize..900, overlap in 0usize..120, multiple in 1usize..33,
        ) {
            let starts = starts(piece + more, piece, overlap, multiple);
            prop_assert_eq!((starts[0], starts[starts.len() - 1]), (0, more));
            if overlap < piece {
                for pair in starts.windows(2) {
                    prop_assert!(pair[0] < pair[1] && pair[0] + piece >= pair[1] + overlap, "{:?}", starts);
                }
            }
            if overlap + multiple <= piece {
                let inner = &starts[..starts.len() - 1];
                prop_assert!(inner.iter().all(|start| start % multiple == 0));
            }
        }
    }
}
