//! Results of the windows of one slide so far, in any order: objects go to a merger per detector, areas to
//! the painter of regions, class maps to a mosaic; vectors are kept as they are.

use std::{collections::BTreeMap, sync::Arc};

use merger::{
    Cell, CellMerger, Layout, MergeCounts, MergeError, Mosaic, RegionPainter, Sighting, WindowOutcome, place,
};
use wsi_types::{ClassId, Embedding, WindowIndex, WindowKey};

use crate::{
    regions::RegionGrid,
    rules::{DetectorRules, SlideRules},
};

/// Results of the windows of all detectors. Memory holds detections that a later window could still change,
/// and final cells.
pub struct Sightings {
    /// Results per detector.
    each: Vec<Gathering>,
    done: usize,
    failed: Vec<(WindowKey, String)>,
    /// Number of failed windows that may be read another time.
    unread: usize,
    full: Vec<WindowKey>,
}

impl Sightings {
    /// Makes an empty collection for the slide with the plans `layouts`, one per detector.
    #[must_use]
    pub fn new(layouts: &[Arc<Layout>], rules: &SlideRules) -> Self {
        let each = layouts.iter().zip(&rules.each).map(|(layout, detector)| {
            Gathering::new(Arc::clone(layout), detector, Arc::clone(&rules.region_classes))
        });
        Self { each: each.collect(), done: 0, failed: Vec::new(), unread: 0, full: Vec::new() }
    }

    /// Takes the outcome of a window.
    ///
    /// # Errors
    ///
    /// [`MergeError`] for a window that is in no plan or that came before, and for a class map that does not fit those of
    /// other windows; the outcome is not counted then.
    pub fn push(&mut self, key: WindowKey, outcome: WindowOutcome) -> Result<(), MergeError> {
        let gathering = self.each.get_mut(key.detector.place());
        let gathering = gathering.ok_or(MergeError::UnknownWindow(key.to_bits()))?;
        let failed = match &outcome {
            WindowOutcome::Detections(_)
            | WindowOutcome::Full(_)
            | WindowOutcome::Map(_)
            | WindowOutcome::Vector(_) => None,
            WindowOutcome::Failed(reason) | WindowOutcome::Unread(reason) => Some(reason.clone()),
        };
        let is_unread = matches!(outcome, WindowOutcome::Unread(_));
        let is_full = matches!(outcome, WindowOutcome::Full(_));
        gathering.push(key.window, outcome)?;
        match failed {
            Some(reason) => self.failed.push((key, reason)),
            None => self.done += 1,
        }
        self.full.extend(is_full.then_some(key));
        self.unread += usize::from(is_unread);
        Ok(())
    }

    /// Sets cells apart that no later window can change, which frees the detections that they were made of.
    pub fn settle(&mut self) {
        self.each.iter_mut().for_each(Gathering::settle);
    }

    /// Windows with a result, even without any detection.
    #[must_use]
    pub fn done(&self) -> usize {
        self.done
    }

    /// Windows without a result, with the reasons.
    #[must_use]
    pub fn failed(&self) -> &[(WindowKey, String)] {
        &self.failed
    }

    /// Windows that ended, with or without a result.
    #[must_use]
    pub fn ended(&self) -> usize {
        self.done + self.failed.len()
    }

    /// Number of cells set apart so far, of the detector with most of them.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.each.iter().map(|gathering| gathering.cells.len() as u64).max().unwrap_or(0)
    }

    /// Returns all cells of each detector; windows that never came count as failed.
    pub(crate) fn finish(self) -> Gathered {
        Gathered {
            each: self.each.into_iter().map(Gathering::finish).collect(),
            done: self.done,
            failed: self.failed,
            unread: self.unread,
            full: self.full,
        }
    }
}

/// Results of all windows.
pub(crate) struct Gathered {
    /// Results per detector.
    pub(crate) each: Vec<OfDetector>,
    /// Number of windows with a result.
    pub(crate) done: usize,
    /// Windows without a result, with the reasons.
    pub(crate) failed: Vec<(WindowKey, String)>,
    /// Number of these that may be read another time.
    pub(crate) unread: usize,
    /// Windows for which the model gave as many answers as it can.
    pub(crate) full: Vec<WindowKey>,
}

/// Results of all windows of one detector.
pub(crate) struct OfDetector {
    pub(crate) layout: Arc<Layout>,
    pub(crate) cells: Vec<Cell>,
    /// Detections that are areas.
    pub(crate) painter: RegionPainter,
    /// Areas of its class maps; `None` if it answers none.
    pub(crate) areas: Option<RegionPainter>,
    /// Note for the user if these are coarser than the maps.
    pub(crate) coarse: Option<String>,
    /// Vectors of its windows, in order of window; none if it gives none.
    pub(crate) vectors: BTreeMap<WindowIndex, Embedding>,
    /// Raw detections that did not become rows of their own, by reason.
    pub(crate) dropped: BTreeMap<&'static str, u64>,
}

/// Results of one detector on one slide so far.
struct Gathering {
    layout: Arc<Layout>,
    merger: CellMerger,
    painter: RegionPainter,
    mosaic: Mosaic,
    vectors: BTreeMap<WindowIndex, Embedding>,
    region_classes: Arc<Vec<ClassId>>,
    rules: DetectorRules,
    /// Cells that no later window can change.
    cells: Vec<Cell>,
    painted: u64,
}

impl Gathering {
    fn new(layout: Arc<Layout>, rules: &DetectorRules, region_classes: Arc<Vec<ClassId>>) -> Self {
        let grid = RegionGrid::over(layout.slide(), layout.mpp());
        let merger = CellMerger::new(Arc::clone(&layout), rules.merge.clone());
        Self {
            merger: merger.with_classes(rules.classes.clone()),
            painter: RegionPainter::new(grid.frame, grid.size),
            mosaic: Mosaic::new(Arc::clone(&layout)),
            vectors: BTreeMap::new(),
            layout,
            region_classes,
            rules: rules.clone(),
            cells: Vec::new(),
            painted: 0,
        }
    }

    fn push(&mut self, window: WindowIndex, outcome: WindowOutcome) -> Result<(), MergeError> {
        match outcome {
            WindowOutcome::Detections(all) | WindowOutcome::Full(all) if !self.region_classes.is_empty() => {
                let (areas, objects): (Vec<_>, Vec<_>) = all.into_iter().partition(|seen| self.is_area(seen));
                self.merger.push(window, WindowOutcome::Detections(objects))?;
                self.paint(window, areas);
                Ok(())
            }
            WindowOutcome::Map(map) => {
                self.merger.push(window, WindowOutcome::Detections(Vec::new()))?;
                let merger = &self.merger;
                self.mosaic.lay(window, &map, |class| merger.class_of(class))
            }
            WindowOutcome::Vector(vector) => {
                self.merger.push(window, WindowOutcome::Detections(Vec::new()))?;
                self.vectors.insert(window, vector);
                Ok(())
            }
            other => self.merger.push(window, other),
        }
    }

    fn is_area(&self, seen: &Sighting) -> bool {
        self.region_classes.contains(&self.merger.class_of(seen.detection.class))
    }

    fn paint(&mut self, window: WindowIndex, areas: Vec<Sighting>) {
        let windows = self.layout.windows();
        let Ok(slot) = windows.binary_search_by_key(&window, |planned| planned.index) else { return };
        for area in areas {
            let (class, score) = (self.merger.class_of(area.detection.class), area.detection.score);
            if score.get() < self.rules.merge.min_score.get(class) {
                continue;
            }
            if let Ok(placed) = place(&windows[slot], area, class, self.rules.merge.border_px) {
                self.painter.paint(&placed);
                self.painted += 1;
            }
        }
    }

    fn settle(&mut self) {
        self.cells.append(&mut self.merger.take_final());
    }

    fn finish(self) -> OfDetector {
        let (rest, report) = self.merger.finish();
        let mut cells = self.cells;
        cells.extend(rest);
        let dropped = dropped(&report.counts, self.painted);
        let coarse = self.mosaic.note();
        let areas = self.mosaic.into_painter();
        OfDetector {
            layout: self.layout,
            cells,
            painter: self.painter,
            areas,
            coarse,
            vectors: self.vectors,
            dropped,
        }
    }
}

/// Counts the raw detections that did not become rows of their own, by reason.
fn dropped(counts: &MergeCounts, painted: u64) -> BTreeMap<&'static str, u64> {
    let all = [
        ("below the score threshold", counts.below_score),
        ("not a finite box", counts.not_finite),
        ("a box without area", counts.no_area),
        ("outside the slide", counts.outside),
        ("cut by a window that another saw past", counts.yielded),
        ("another view of the same cell", counts.same_class),
        ("another class on the same cell", counts.other_class),
        ("at the rim of a window, where a better view found nothing", counts.unconfirmed),
        ("piece of a cell larger than the overlap", counts.joined_pieces),
        ("part of a region", painted),
    ];
    all.into_iter().filter(|&(_, count)| count > 0).collect()
}
