//! Takes the raw detections of one slide as they come: objects to the merger,
//! areas to the painter of regions.

use std::sync::Arc;

use merger::{
    Cell, CellMerger, Layout, MergeError, MergeReport, RegionPainter, Sighting, WindowOutcome, place,
};
use wsi_types::{ClassId, WindowIndex};

use crate::{detectors::JobDetector, merging::SlideRules, regions::RegionGrid};

/// What one detector found on one slide so far. Windows come in any order.
pub struct Gathering {
    layout: Arc<Layout>,
    rules: Arc<SlideRules>,
    /// Which class each of the model's own is.
    classes: Vec<ClassId>,
    merger: CellMerger,
    painter: RegionPainter,
    painted: u64,
}

/// What all windows came to.
pub struct Gathered {
    /// Cells not taken before.
    pub cells: Vec<Cell>,
    /// What became of detections that are objects.
    pub report: MergeReport,
    /// Those that are areas.
    pub painter: RegionPainter,
    /// How many those are.
    pub painted: u64,
}

impl Gathering {
    /// Nothing yet, of the slide that `layout` describes.
    #[must_use]
    pub fn new(layout: Arc<Layout>, detector: &JobDetector) -> Self {
        Self::with_rules(layout, detector, Arc::clone(&detector.rules))
    }

    /// The same with other rules than the detector's own.
    #[must_use]
    pub fn with_rules(layout: Arc<Layout>, detector: &JobDetector, rules: Arc<SlideRules>) -> Self {
        let grid = RegionGrid::over(layout.slide(), layout.mpp());
        Self {
            merger: CellMerger::new(Arc::clone(&layout), rules.merge.clone()),
            painter: RegionPainter::new(grid.frame, grid.size),
            painted: 0,
            classes: detector.classes.clone(),
            layout,
            rules,
        }
    }

    /// Takes what became of `window`.
    ///
    /// # Errors
    ///
    /// As [`CellMerger::push`].
    pub fn push(&mut self, window: WindowIndex, mut outcome: WindowOutcome) -> Result<(), MergeError> {
        if let WindowOutcome::Detections(all) = &mut outcome {
            for Sighting { detection, .. } in all {
                let own = usize::from(detection.class.0);
                detection.class = self.classes.get(own).copied().unwrap_or(detection.class);
            }
        }
        match outcome {
            WindowOutcome::Detections(all) if !self.rules.region_classes.is_empty() => {
                let is_area = |seen: &Sighting| self.rules.region_classes.contains(&seen.detection.class);
                let (areas, objects): (Vec<_>, Vec<_>) = all.into_iter().partition(is_area);
                self.merger.push(window, WindowOutcome::Detections(objects))?;
                self.paint(window, areas);
                Ok(())
            }
            other => self.merger.push(window, other),
        }
    }

    fn paint(&mut self, window: WindowIndex, areas: Vec<Sighting>) {
        let windows = self.layout.windows();
        let Ok(slot) = windows.binary_search_by_key(&window, |planned| planned.index) else { return };
        let least = &self.rules.merge.min_score;
        let counts =
            |Sighting { detection, .. }: &Sighting| detection.score.get() >= least.get(detection.class);
        for area in areas.into_iter().filter(counts) {
            if let Ok(placed) = place(&windows[slot], area, self.rules.merge.border_px) {
                self.painter.paint(&placed);
                self.painted += 1;
            }
        }
    }

    /// Cells that no window to come can change, those given before left out.
    pub fn take_final(&mut self) -> Vec<Cell> {
        self.merger.take_final()
    }

    /// What is left, windows that never came counting as failed.
    #[must_use]
    pub fn finish(self) -> Gathered {
        let (cells, report) = self.merger.finish();
        Gathered { cells, report, painter: self.painter, painted: self.painted }
    }
}
