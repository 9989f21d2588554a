//! Makes one answer of the detections in the pieces of a window, by the rule by which windows of a slide are
//! merged.

use std::{cmp::Ordering, sync::Arc};

use detector::{Piece, PieceRect, Stitch};
use merger::{Cell, CellMerger, Layout, WindowOutcome};
use wsi_types::{
    ClassId, Detection, GridRect, Level0Box, ModelClass, Mpp, Placement, Window, WindowBox, WindowIndex,
};

use crate::rules::DetectorRules;

/// Merges pieces as [`CellMerger`] merges windows: the window is their slide, its px are level 0. An object
/// that the window's own border cuts is as whole as it can be here; the merge across windows does the rest.
pub(crate) struct SeamStitch {
    rules: DetectorRules,
    region_classes: Arc<Vec<ClassId>>,
    mpp: Mpp,
}

impl SeamStitch {
    /// Makes a stitch with the rules of a detector whose windows have `mpp`. Detections of `region_classes`
    /// are areas: they are only moved to their place in the window, like areas of windows in a slide.
    pub(crate) fn new(rules: DetectorRules, region_classes: Arc<Vec<ClassId>>, mpp: Mpp) -> Self {
        Self { rules, region_classes, mpp }
    }

    fn class_of(&self, class: ModelClass) -> ClassId {
        self.rules.classes.get(usize::from(class.0)).copied().unwrap_or(ClassId(class.0))
    }

    fn own_class(&self, class: ClassId) -> ModelClass {
        let place = self.rules.classes.iter().position(|&own| own == class);
        ModelClass(place.map_or(class.0, |place| place as u16))
    }

    fn detection(&self, cell: &Cell) -> Detection {
        let outline =
            cell.outline.as_deref().map(|ring| ring.iter().map(|point| point.cast().cast_unit()).collect());
        Detection {
            bbox: cell.bbox.cast().cast_unit(),
            class: self.own_class(cell.class),
            score: cell.score,
            outline,
        }
    }
}

impl Stitch for SeamStitch {
    fn stitch(&self, width: usize, height: usize, pieces: Vec<Piece>) -> Result<Vec<Detection>, String> {
        let windows: Vec<Window> =
            pieces.iter().zip(0..).map(|(piece, index)| as_window(&piece.rect, index)).collect();
        let extent = Level0Box::from_size(euclid::size2(width as f64, height as f64));
        let layout = Layout::new(&windows, extent, self.mpp).map_err(|error| error.to_string())?;
        let merger = CellMerger::new(Arc::new(layout), self.rules.merge.clone());
        let mut merger = merger.with_classes(self.rules.classes.clone());
        let mut found = Vec::new();
        for (window, Piece { rect, detections }) in windows.iter().zip(pieces) {
            let is_area = |d: &Detection| self.region_classes.contains(&self.class_of(d.class));
            let (areas, objects): (Vec<_>, Vec<_>) = detections.into_iter().partition(is_area);
            found.extend(areas.into_iter().map(|area| moved(area, &rect)));
            merger.push(window.index, WindowOutcome::found(objects)).map_err(|error| error.to_string())?;
        }
        let (cells, _) = merger.finish();
        found.extend(cells.iter().map(|cell| self.detection(cell)));
        found.sort_by(best_first);
        Ok(found)
    }
}

/// Makes a window of a piece: the window it was cut from is its slide.
fn as_window(rect: &PieceRect, index: u32) -> Window {
    let corner = euclid::point2(rect.left as i64, rect.top as i64);
    Window {
        index: WindowIndex(index),
        rect: GridRect::new(corner, euclid::size2(rect.width as i64, rect.height as i64)),
        placement: Placement::new(1.0, 1.0, rect.left as f64, rect.top as f64),
    }
}

/// Moves a detection of a piece to its place in the window.
fn moved(detection: Detection, rect: &PieceRect) -> Detection {
    let by = euclid::vec2(rect.left as f32, rect.top as f32);
    let outline = detection.outline.map(|ring| ring.iter().map(|&point| point + by).collect());
    Detection { bbox: detection.bbox.translate(by), outline, ..detection }
}

/// Orders by score, best first; then top to bottom, left to right, and by class.
fn best_first(a: &Detection, b: &Detection) -> Ordering {
    let corners = |bbox: &WindowBox| [bbox.min.y, bbox.min.x, bbox.max.y, bbox.max.x];
    let by_box = || {
        let pairs = corners(&a.bbox).into_iter().zip(corners(&b.bbox));
        pairs.fold(Ordering::Equal, |order, (x, y)| order.then_with(|| x.total_cmp(&y)))
    };
    b.score.cmp(&a.score).then_with(by_box).then_with(|| a.class.cmp(&b.class))
}

#[cfg(test)]
mod tests {
    use detector::{BatchView, BlobDetector, Detector as _, InPieces, Pieces};
    use merger::MergeSettings;
    use proptest::prelude::*;
    use tiler::{Batch, Batcher, Overlap, Plan, PlanSettings, StreamSettings, TissueMask, WindowStream};
    use wsi_reader::{MemorySlide, Slide};

    use super::*;

    fn mpp() -> Mpp {
        Mpp::new(0.5).unwrap()
    }

    fn rules() -> DetectorRules {
        DetectorRules {
            merge: MergeSettings { rim_px: 8.0, ..MergeSettings::default() },
            classes: vec![ClassId(0)],
            is_semantic: false,
            has_objects: true,
            is_of_one_size: false,
        }
    }

    type Boxes = Vec<[i64; 4]>;

    fn sorted(boxes: impl IntoIterator<Item = WindowBox>) -> Boxes {
        let whole = |b: WindowBox| [b.min.x, b.min.y, b.max.x, b.max.y].map(|side| side.round() as i64);
        let mut boxes: Boxes = boxes.into_iter().map(whole).collect();
        boxes.sort_unstable();
        boxes
    }

    /// Detections in a window given to a detector that cuts it.
    fn in_pieces(pixels: &[u8], side: usize, piece: usize, overlap: usize) -> Boxes {
        let pieces = Pieces::new((side, side), (piece, piece), overlap, 1).unwrap();
        let stitch = SeamStitch::new(rules(), Arc::default(), mpp());
        let mut detector = InPieces::new(Box::new(BlobDetector::new(300)), pieces, Arc::new(stitch));
        let windows = [WindowIndex(0)];
        let batch = BatchView { height: side, width: side, windows: &windows, pixels, stretch: None };
        let found = detector.detect(batch).unwrap().remove(0).outcome.unwrap();
        sorted(found.into_iter().map(|detection| detection.bbox))
    }

    /// Cells of a slide with that size, planned, read and merged with windows of the size of the pieces.
    fn in_windows(pixels: &[u8], side: usize, piece: usize, overlap: usize) -> Boxes {
        let painted = pixels.to_vec();
        let at = move |_, x: u32, y: u32| {
            let start = (y as usize * side + x as usize) * 3;
            [painted[start], painted[start + 1], painted[start + 2]]
        };
        let size = (side as u32, side as u32);
        let slide: Arc<dyn Slide> =
            Arc::new(MemorySlide::painted(&[size], (32, 32), Some(mpp()), at).unwrap());
        let settings = PlanSettings {
            window: piece as u32,
            overlap: Overlap::Px(overlap as u32),
            multiple_of: 1,
            ..PlanSettings::new(mpp())
        };
        let info = slide.info();
        let plan = Plan::new(&info.pyramid, mpp(), &TissueMask::full(info), &settings).unwrap();
        let extent = Level0Box::from_size(euclid::size2(side as f64, side as f64));
        let layout = Layout::new(plan.windows(), extent, mpp()).unwrap();
        let mut merger = CellMerger::new(Arc::new(layout), rules().merge).with_classes(rules().classes);
        let wanted = plan.windows().iter().map(|window| window.index).collect();
        let reading = StreamSettings { threads: 0, ahead_windows: 0, memory_bytes: None };
        let mut stream = WindowStream::start(slide, Arc::new(plan), wanted, reading);
        let (mut batch, mut faults) = (Batch::default(), Vec::new());
        while Batcher::new(3).fill(&mut stream, &mut batch, &mut faults) {
            let Batch { height, width, windows, pixels } = &batch;
            let view = BatchView { height: *height, width: *width, windows, pixels, stretch: None };
            for result in BlobDetector::new(300).detect(view).unwrap() {
                merger.push(result.window, WindowOutcome::found(result.outcome.unwrap())).unwrap();
            }
        }
        assert!(faults.is_empty());
        sorted(merger.finish().0.iter().map(|cell| cell.bbox.cast().cast_unit()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        /// Cut inside the detector or planned as windows of that size, the same objects are found, each once.
        #[test]
        fn pieces_give_what_windows_of_their_size_give(
            steps in 1usize..4,
            piece in 48usize..80,
            blobs in proptest::collection::vec((0usize..200, 0usize..200, 2usize..14, 2usize..14), 0..40),
        ) {
            let overlap = piece / 2;
            let side = piece + steps * (piece - overlap);
            let mut pixels = vec![255; side * side * 3];
            for (x, y, width, height) in blobs {
                for row in y..(y + height).min(side) {
                    let (start, end) = (x.min(side), (x + width).min(side));
                    pixels[(row * side + start) * 3..(row * side + end) * 3].fill(20);
                }
            }
            prop_assert_eq!(in_pieces(&pixels, side, piece, overlap), in_windows(&pixels, side, piece, overlap));
        }
    }

    #[test]
    fn areas_are_moved_and_not_merged() {
        let area = |x: f32| Detection {
            bbox: WindowBox::new(euclid::point2(x, 0.0), euclid::point2(x + 10.0, 10.0)),
            class: ModelClass(0),
            score: wsi_types::Score::new(0.5).unwrap(),
            outline: None,
        };
        let piece =
            |left, detections| Piece { rect: PieceRect { left, top: 0, width: 32, height: 32 }, detections };
        let both = vec![piece(0, vec![area(20.0)]), piece(16, vec![area(4.0)])];
        let stitched = |areas: &[ClassId]| {
            let stitch = SeamStitch::new(rules(), Arc::new(areas.to_vec()), mpp());
            stitch.stitch(48, 32, both.clone()).unwrap().len()
        };
        assert_eq!((stitched(&[ClassId(0)]), stitched(&[])), (2, 1));
    }
}
