//! A look of the model at a part of the field, merged by the rules of the merger.

use std::sync::Arc;

use detector::{BatchView, Detector, Manifest, PieceRect, Pieces, overlap_for};
use merger::{Cell, CellMerger, Layout, MergeSettings, PerClass, WindowOutcome};
use wsi_types::{GridRect, Level0Box, Mpp, Placement, RgbBuffer, Window, WindowIndex};

use crate::{
    LiveError,
    place::StageVector,
    quality::{Rank, Thresholds},
};

/// Rules for what is found in one look.
#[derive(Debug, Clone, PartialEq)]
pub struct LookSettings {
    /// Rules by which boxes of one look are one object; those of a run.
    pub merge: MergeSettings,
    /// µm per px of the field.
    pub mpp: Mpp,
}

impl LookSettings {
    /// Makes the rules that a run would have for this model, with answers down to the floor of `thresholds`.
    #[must_use]
    pub fn new(manifest: &Manifest, mpp: Mpp, thresholds: &Thresholds) -> Self {
        let usual = MergeSettings::default();
        let merge = MergeSettings {
            iou: PerClass::all(f64::from(manifest.nms_iou)),
            cross_class_iou: manifest.cross_class_iou.unwrap_or(usual.cross_class_iou),
            min_score: PerClass::all(thresholds.floor()),
            ..usual
        };
        Self { merge, mpp }
    }
}

/// Findings of one look, on the stage.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    /// The field.
    pub(crate) field: Level0Box,
    /// Parts of it that the model saw.
    pub(crate) areas: Vec<Level0Box>,
    pub(crate) cells: Vec<Cell>,
    /// Distance from a border at which a box touches it, px.
    pub(crate) border_px: f64,
    /// Width of the strip along a border in which cells are judged without their surroundings, px.
    pub(crate) rim_px: f64,
    /// The model gave as many answers as it can: cells may be missing.
    pub(crate) is_full: bool,
}

impl Look {
    /// How well a box is seen, in the part that sees it best.
    pub(crate) fn rank(&self, bbox: &Level0Box) -> Rank {
        let depths = self.areas.iter().map(|area| {
            let depth = (bbox.min - area.min).min(area.max - bbox.max);
            depth.x.min(depth.y)
        });
        let depth = depths.fold(f64::NEG_INFINITY, f64::max);
        if depth <= self.border_px {
            Rank::Cut
        } else if depth < self.rim_px {
            Rank::Rim
        } else {
            Rank::Deep
        }
    }

    /// `true` if the upper left corner of a box is in the field.
    pub(crate) fn shows_corner(&self, bbox: &Level0Box) -> bool {
        let depth = bbox.min - self.field.min;
        depth.x.min(depth.y) > self.border_px
    }

    /// `true` if a border within the field cuts a box: the field shows more of it, so this look tells nothing of it.
    pub(crate) fn is_cut_inside(&self, bbox: &Level0Box) -> bool {
        let mut seen = self.areas.iter().filter(|area| area.intersects(bbox)).peekable();
        seen.peek().is_some() && seen.all(|area| self.cuts_inside(area, bbox))
    }

    fn cuts_inside(&self, area: &Level0Box, bbox: &Level0Box) -> bool {
        let (low, high) = (bbox.min - area.min, area.max - bbox.max);
        let (more_low, more_high) = (area.min - self.field.min, self.field.max - area.max);
        let sides = [(low.x, more_low.x), (low.y, more_low.y), (high.x, more_high.x), (high.y, more_high.y)];
        sides.into_iter().any(|(depth, more)| depth <= self.border_px && more > self.border_px)
    }

    pub(crate) fn translate(&mut self, by: StageVector) {
        self.field = self.field.translate(by);
        self.areas.iter_mut().for_each(|area| *area = area.translate(by));
        for cell in &mut self.cells {
            cell.bbox = cell.bbox.translate(by);
            cell.outline.iter_mut().flatten().for_each(|point| *point += by);
        }
    }
}

/// Sizes of pictures that a model takes.
enum Input {
    /// Multiples of this, px.
    Multiples(u32),
    /// One size: the field is cut into these.
    Pieces(Pieces),
}

/// Looks at parts of fields.
pub(crate) struct Looker {
    detector: Box<dyn Detector>,
    settings: LookSettings,
    input: Input,
    size: (u32, u32),
    padded: (u32, u32),
    pixels: Vec<u8>,
}

impl Looker {
    /// Makes a looker for fields of `size` px that lie in buffers of `padded` px.
    ///
    /// # Errors
    ///
    /// [`LiveError::Detector`] when the model takes larger pictures only, [`LiveError::Merge`] for rules that cannot be.
    pub(crate) fn new(
        detector: Box<dyn Detector>,
        settings: LookSettings,
        size: (u32, u32),
        padded: (u32, u32),
    ) -> Result<Self, LiveError> {
        settings.merge.validate()?;
        let manifest = detector.manifest();
        let input = match manifest.fixed_input() {
            None => Input::Multiples(manifest.stride.max(1)),
            Some(piece) => Input::Pieces(pieces(manifest, settings.mpp, padded, piece)?),
        };
        Ok(Self { detector, settings, input, size, padded, pixels: Vec::new() })
    }

    /// Width of the border strip in which cells are judged without their surroundings, px.
    pub(crate) fn rim(&self) -> u32 {
        self.settings.merge.rim_px.ceil() as u32
    }

    /// Looks at the part of `field` that holds `owed` with its surroundings. The corner of the field is at `corner` of
    /// the stage.
    ///
    /// # Errors
    ///
    /// When the model does not run, or its answer is no answer.
    pub(crate) fn look(
        &mut self,
        field: &RgbBuffer,
        corner: StageVector,
        owed: &Level0Box,
    ) -> Result<Look, LiveError> {
        let rects = self.rects(&owed.translate(-corner));
        let (windows, indices): (Vec<Window>, Vec<WindowIndex>) = rects
            .iter()
            .zip(0..)
            .map(|(rect, index)| (window(rect, corner, index), WindowIndex(index)))
            .unzip();
        self.pixels.clear();
        rects.iter().for_each(|rect| cut(field, rect, &mut self.pixels));
        let (width, height) = rects.first().map_or((0, 0), |rect| (rect.width, rect.height));
        let batch = BatchView { height, width, windows: &indices, pixels: &self.pixels, stretch: None };
        let results = self.detector.detect(batch)?;
        let is_full = results.iter().any(|result| result.is_full);
        let whole = self.whole().translate(corner);
        let layout = Layout::new(&windows, whole, self.settings.mpp)?;
        let areas = layout.windows().iter().map(|window| window.extent).collect();
        let mut merger = CellMerger::new(Arc::new(layout), self.settings.merge.clone());
        for result in results {
            let found = result
                .outcome
                .map_err(|fault| LiveError::Detector(detector::DetectorError::Answer { fault }))?;
            merger.push(result.window, WindowOutcome::found(found))?;
        }
        let (cells, _) = merger.finish();
        let MergeSettings { border_px, rim_px, .. } = self.settings.merge;
        let mut look = Look { field: whole, areas, cells: Vec::new(), border_px, rim_px, is_full };
        look.cells = cells.into_iter().filter(|cell| !look.is_cut_inside(&cell.bbox)).collect();
        Ok(look)
    }

    fn whole(&self) -> Level0Box {
        Level0Box::from_size(euclid::size2(f64::from(self.size.0), f64::from(self.size.1)))
    }

    /// Pictures of one size that hold `owed`, in field px, with a rim around it.
    fn rects(&self, owed: &Level0Box) -> Vec<PieceRect> {
        let rim = f64::from(self.rim());
        let wanted = owed.inflate(rim, rim).intersection(&self.whole()).unwrap_or_else(|| self.whole());
        match &self.input {
            Input::Pieces(pieces) => {
                pieces.rects().iter().copied().filter(|rect| meets(rect, &wanted)).collect()
            }
            Input::Multiples(stride) => {
                let (left, width) = span((wanted.min.x, wanted.max.x), *stride, self.padded.0);
                let (top, height) = span((wanted.min.y, wanted.max.y), *stride, self.padded.1);
                vec![PieceRect { left, top, width, height }]
            }
        }
    }
}

fn pieces(manifest: &Manifest, mpp: Mpp, padded: (u32, u32), piece: (u32, u32)) -> Result<Pieces, LiveError> {
    let [padded, piece] = [padded, piece].map(|(width, height)| (width as usize, height as usize));
    let largest = manifest.max_object_um.map(|um| um / mpp.get());
    let stated = manifest.piece_overlap_px.map(|px| px as usize);
    let overlap = stated.unwrap_or_else(|| overlap_for(piece.0.min(piece.1), largest));
    Ok(Pieces::new(padded, piece, overlap, manifest.stride as usize)?)
}

/// Start and length, px, of the shortest multiple of `stride` that holds a span and lies within `side` px.
fn span((from, to): (f64, f64), stride: u32, side: u32) -> (usize, usize) {
    let (start, end) = (from.floor().max(0.0) as u32, (to.ceil() as u32).min(side));
    let length = end.saturating_sub(start).max(1).next_multiple_of(stride).min(side);
    (start.min(side - length) as usize, length as usize)
}

fn meets(rect: &PieceRect, area: &Level0Box) -> bool {
    let min = euclid::point2(rect.left as f64, rect.top as f64);
    Level0Box::new(min, min + euclid::vec2(rect.width as f64, rect.height as f64)).intersects(area)
}

fn window(rect: &PieceRect, corner: StageVector, index: u32) -> Window {
    let size = euclid::size2(rect.width as i64, rect.height as i64);
    Window {
        index: WindowIndex(index),
        rect: GridRect::new(euclid::point2(rect.left as i64, rect.top as i64), size),
        placement: Placement::new(1.0, 1.0, corner.x + rect.left as f64, corner.y + rect.top as f64),
    }
}

fn cut(field: &RgbBuffer, rect: &PieceRect, out: &mut Vec<u8>) {
    for y in rect.top..rect.top + rect.height {
        out.extend_from_slice(&field.row(y)[rect.left * 3..(rect.left + rect.width) * 3]);
    }
}

#[cfg(test)]
mod tests {
    use detector::BlobDetector;

    use super::*;

    #[test]
    fn a_span_is_a_multiple_within_the_field() {
        assert_eq!(span((10.2, 50.0), 32, 640), (10, 64));
        assert_eq!(span((600.0, 640.0), 32, 640), (576, 64));
        assert_eq!(span((-3.0, 700.0), 32, 640), (0, 640));
    }

    fn looker(size: (u32, u32), manifest: Manifest) -> Looker {
        let mpp = Mpp::new(0.5).unwrap();
        let settings = LookSettings::new(&manifest, mpp, &Thresholds::around(0.25));
        let padded = (size.0.next_multiple_of(32), size.1.next_multiple_of(32));
        Looker::new(Box::new(BlobDetector::with_manifest(manifest, 300)), settings, size, padded).unwrap()
    }

    fn area(x0: f64, y0: f64, x1: f64, y1: f64) -> Level0Box {
        Level0Box::new(euclid::point2(x0, y0), euclid::point2(x1, y1))
    }

    #[test]
    fn what_is_owed_is_looked_at_with_its_surroundings_and_placed_on_the_stage() {
        let mut looker = looker((300, 200), Manifest::without_model("blobs", &["blob"], None));
        let mut field = RgbBuffer::filled(320, 224, [255; 3]);
        for (x, y) in [(150, 100), (20, 20)] {
            (y..y + 6).for_each(|row| field.row_mut(row)[x * 3..(x + 6) * 3].fill(0));
        }
        let corner = euclid::vec2(1000.5, -40.0);
        let look = looker.look(&field, corner, &area(1140.5, 50.0, 1160.5, 70.0)).unwrap();
        let boxes: Vec<Level0Box> = look.cells.iter().map(|cell| cell.bbox).collect();
        assert_eq!(boxes, [area(1150.5, 60.0, 1156.5, 66.0)], "the other one was not looked at");
        assert_eq!(
            (look.areas.clone(), look.rank(&boxes[0])),
            (vec![area(1076.5, -14.0, 1224.5, 134.0)], Rank::Deep)
        );
    }

    #[test]
    fn a_model_of_one_size_gets_pieces_and_each_object_is_found_once() {
        let mut manifest = Manifest::without_model("blobs", &["blob"], None);
        (manifest.input.width, manifest.input.height) =
            (detector::manifest::Dim::Fixed(128), detector::manifest::Dim::Fixed(128));
        let mut looker = looker((320, 224), manifest);
        let mut field = RgbBuffer::filled(320, 224, [255; 3]);
        for (x, y) in [(60, 60), (124, 100), (200, 180)] {
            (y..y + 6).for_each(|row| field.row_mut(row)[x * 3..(x + 6) * 3].fill(0));
        }
        let look = looker.look(&field, StageVector::zero(), &area(0.0, 0.0, 320.0, 224.0)).unwrap();
        assert_eq!(look.cells.len(), 3);
        assert!(look.cells.iter().all(|cell| (cell.bbox.width(), cell.bbox.height()) == (6.0, 6.0)));
    }
}
