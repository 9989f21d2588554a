//! Merging of the detections of windows, in any order, into cells that are returned as soon as they are
//! final.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wsi_types::{ClassId, ClassMap, Detection, Embedding, ModelClass, WindowIndex};

use crate::MergeError;
use crate::arena::{Arena, At};
use crate::cell::{Cell, MergeCounts};
use crate::geometry::inflate;
use crate::layout::Layout;
use crate::near::NearIndex;
use crate::place::{RawCell, Sighting, Unplaceable, place};
use crate::seam::{Coverage, Resolver, View, reach, tie};
use crate::settings::MergeSettings;

/// Result of one window.
#[derive(Debug, Clone, PartialEq)]
pub enum WindowOutcome {
    /// Detections of the model, in window px.
    Detections(Vec<Sighting>),
    /// The same, from a model that gave as many answers as it can: there may be more objects.
    Full(Vec<Sighting>),
    /// The class at each place, from a model that finds areas and no objects.
    Map(ClassMap),
    /// The vector of the window, from a model that gives vectors and no objects.
    Vector(Embedding),
    /// The window could not be read or inferred, with the reason. Its neighbours then keep the objects they
    /// saw cut.
    Failed(String),
    /// The same, for a reason that may pass: a disk or file server failed.
    Unread(String),
}

impl WindowOutcome {
    /// Detections without measured stains.
    #[must_use]
    pub fn found(detections: impl IntoIterator<Item = Detection>) -> Self {
        Self::Detections(detections.into_iter().map(Sighting::from).collect())
    }

    /// The same as far as objects go: without a map or vector.
    #[must_use]
    pub fn objects(self) -> Self {
        match self {
            Self::Map(_) | Self::Vector(_) => Self::Detections(Vec::new()),
            other => other,
        }
    }
}

/// Report on merging one slide.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct MergeReport {
    /// Raw detections by outcome.
    pub counts: MergeCounts,
    /// Windows handed in with detections, or with an empty list of them.
    pub windows_done: u64,
    /// Windows handed in as failed, ascending.
    pub windows_failed: Vec<u32>,
    /// Windows never handed in, ascending; treated as failed.
    pub windows_missing: Vec<u32>,
}

/// State of one window of the plan.
enum Stage {
    /// Not yet handed in.
    Awaited,
    /// Handed in; a window nearby is still awaited, so its detections must be found by place.
    Open(NearIndex),
    /// Handed in, and so are all windows nearby.
    Closed,
}

/// Merges the detections of one slide.
///
/// Windows come in any order. The cells are a pure function of the set of
/// windows and their detections; memory holds those components that an awaited
/// window could still change.
pub struct CellMerger {
    layout: Arc<Layout>,
    settings: MergeSettings,
    /// Class of the job for each of the model's own classes; classes past the end keep their number.
    classes: Vec<ClassId>,
    stages: Vec<Stage>,
    /// Per slot: `true` if it gave detections.
    done: Vec<bool>,
    /// Per slot: number of windows nearby, itself included, that are awaited.
    awaited_near: Vec<u32>,
    arena: Arena,
    /// Members of the components that are final.
    ready: Vec<At>,
    resolver: Resolver,
    report: MergeReport,
}

impl CellMerger {
    /// A merger for the plan that `layout` describes. `settings` must have been
    /// [validated](MergeSettings::validate).
    #[must_use]
    pub fn new(layout: Arc<Layout>, settings: MergeSettings) -> Self {
        let count = layout.windows().len();
        let awaited_near = (0..).take(count).map(|slot| layout.neighbours(slot).len() as u32).collect();
        Self {
            layout,
            settings,
            classes: Vec::new(),
            stages: std::iter::repeat_with(|| Stage::Awaited).take(count).collect(),
            done: vec![false; count],
            awaited_near,
            arena: Arena::new(count),
            ready: Vec::new(),
            resolver: Resolver::default(),
            report: MergeReport::default(),
        }
    }

    /// The same merger for a model whose own classes are `classes` in the list of the job.
    #[must_use]
    pub fn with_classes(self, classes: Vec<ClassId>) -> Self {
        Self { classes, ..self }
    }

    /// The class of the job for a class of the model.
    #[must_use]
    pub fn class_of(&self, class: ModelClass) -> ClassId {
        class_in(&self.classes, class)
    }

    /// Takes the result of `window`.
    ///
    /// # Errors
    ///
    /// [`MergeError::UnknownWindow`] or [`MergeError::Repeated`]; nothing has
    /// changed then.
    pub fn push(&mut self, window: WindowIndex, outcome: WindowOutcome) -> Result<(), MergeError> {
        let slot = self.layout.slot(window).ok_or(MergeError::UnknownWindow(window.0))?;
        if !matches!(self.stages[slot as usize], Stage::Awaited) {
            return Err(MergeError::Repeated(window.0));
        }
        let cells = match outcome {
            WindowOutcome::Detections(detections) | WindowOutcome::Full(detections) => {
                self.done[slot as usize] = true;
                self.report.windows_done += 1;
                self.place_all(slot, detections)
            }
            WindowOutcome::Map(_) | WindowOutcome::Vector(_) => {
                self.done[slot as usize] = true;
                self.report.windows_done += 1;
                Vec::new()
            }
            WindowOutcome::Failed(_) | WindowOutcome::Unread(_) => {
                self.report.windows_failed.push(window.0);
                Vec::new()
            }
        };
        self.open(slot, cells);
        self.close_around(slot);
        Ok(())
    }

    /// The cells that no awaited window can change any more, without those returned before.
    pub fn take_final(&mut self) -> Vec<Cell> {
        let coverage = Coverage { layout: &self.layout, done: &self.done, settings: &self.settings };
        let mut cells = Vec::with_capacity(self.ready.len());
        for member in self.ready.drain(..) {
            self.arena.take_component(member, self.resolver.component());
            self.resolver.resolve(&coverage, &mut self.report.counts, &mut cells);
        }
        cells
    }

    /// The remaining cells, with windows still awaited counted as failed, and the report over all.
    #[must_use]
    pub fn finish(mut self) -> (Vec<Cell>, MergeReport) {
        for slot in (0..).take(self.stages.len()) {
            if matches!(self.stages[slot as usize], Stage::Awaited) {
                self.report.windows_missing.push(self.layout.window(slot).index.0);
                self.open(slot, Vec::new());
                self.close_around(slot);
            }
        }
        let cells = self.take_final();
        self.report.windows_failed.sort_unstable();
        (cells, self.report)
    }

    /// Number of detections that are held because an awaited window could still change their outcome.
    #[must_use]
    pub fn held(&self) -> usize {
        self.arena.len()
    }

    fn place_all(&mut self, slot: u32, detections: Vec<Sighting>) -> Vec<RawCell> {
        let window = self.layout.window(slot);
        let counts = &mut self.report.counts;
        counts.raw += detections.len() as u64;
        let mut cells = Vec::with_capacity(detections.len());
        for seen in detections {
            let class = class_in(&self.classes, seen.detection.class);
            if !self.settings.takes(class, seen.detection.score) {
                counts.below_score += 1;
                continue;
            }
            match place(window, seen, class, self.settings.border_px) {
                Ok(cell) => cells.push(cell),
                Err(Unplaceable::NotFinite) => counts.not_finite += 1,
                Err(Unplaceable::NoArea) => counts.no_area += 1,
                Err(Unplaceable::Outside) => counts.outside += 1,
            }
        }
        cells
    }

    /// Adds the cells of one window and ties them to each other and to those of
    /// the windows nearby.
    fn open(&mut self, slot: u32, mut cells: Vec<RawCell>) {
        let window = self.layout.window(slot);
        let boxes = cells.iter().map(|cell| View { cell, window }.reaches(&self.settings));
        let (index, order) = NearIndex::in_order(boxes);
        let in_order = order.iter().map(|&number| cells[number as usize].lift()).collect();
        self.arena.add(slot, in_order);
        self.stages[slot as usize] = Stage::Open(index);
        let layout = Arc::clone(&self.layout);
        for &near in layout.neighbours(slot) {
            self.tie_windows(slot, near);
        }
    }

    fn tie_windows(&mut self, slot: u32, near: u32) {
        let (Stage::Open(index), Stage::Open(near_index)) =
            (&self.stages[slot as usize], &self.stages[near as usize])
        else {
            return;
        };
        let (window, near_window) = (self.layout.window(slot), self.layout.window(near));
        let (arena, settings) = (&mut self.arena, &self.settings);
        let tie_two = |place: u32, near_place: u32| {
            let (a, b) = (At { slot, place }, At { slot: near, place: near_place });
            arena.unite_if(a, b, |first, second| {
                let (first, second) =
                    (View { cell: first, window }, View { cell: second, window: near_window });
                tie(&first, &second, settings).is_some()
            });
        };
        if slot == near {
            index.pairs_within(tie_two);
        } else {
            let zone = inflate(&near_window.extent, reach(near_window, settings));
            index.pairs(near_index, &zone, tie_two);
        }
    }

    /// Notes that `slot` is no longer awaited, and closes the windows nearby
    /// for which it was the last one.
    fn close_around(&mut self, slot: u32) {
        for &near in self.layout.neighbours(slot) {
            let awaited = &mut self.awaited_near[near as usize];
            *awaited -= 1;
            if *awaited == 0 {
                self.stages[near as usize] = Stage::Closed;
                self.arena.close(near, &mut self.ready);
            }
        }
    }
}

/// The class in `classes` for a class of the model; one past their end keeps its number.
fn class_in(classes: &[ClassId], class: ModelClass) -> ClassId {
    classes.get(usize::from(class.0)).copied().unwrap_or(ClassId(class.0))
}
