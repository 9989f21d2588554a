//! Results of one slide: a pure function of its survey, of the results of its windows, and of the rules.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use merger::{
    Border, Cell, Ground, Patch, Region, RegionFinder, RegionPainter, SeamAudit, audit_seams, drawn_regions,
    fusion::{Context, FusionSettings, apply_context, fuse_scales},
    mask::Mask,
};
use tiler::{Interest, Survey, TissueMask};
use wsi_types::{ClassId, DetectorIndex, Level0Box, Mpp, Score, WindowKey, wording::fixed};

use dataset::{Coverage, FailureCount, Outcome, ROI, ThresholdCount, WindowCounts, wording::counted};

use crate::{
    patches::take_patches,
    regions::{RegionGrid, Sources, regions_of, tissue_seen},
    rules::SlideRules,
    sightings::{Gathered, OfDetector, Sightings},
};

/// Results of one slide, in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct SlideAnswer {
    /// All cells, each once; each notes the smallest region it lies in.
    pub cells: Vec<Cell>,
    /// Tissue, areas a model found, dense places; each notes its cells and how much of it was seen. None when no
    /// window had a result.
    pub regions: Vec<Region>,
    /// Windows of the model that gives vectors, in order of window; none of other models.
    pub patches: Vec<Patch>,
    /// Windows of the plans, and how they ended.
    pub windows: WindowCounts,
    /// Windows without a result, by reason.
    pub failures: Vec<FailureCount>,
    /// Tissue found and tissue analysed.
    pub coverage: Coverage,
    /// The px of the tissue mask that every detector saw in a window with a result; `None`: all.
    pub seen: Option<Vec<bool>>,
    /// The tissue that every detector saw, where the density of neighbours is asked for.
    pub ground: Option<Ground>,
    /// Per detector: whether its windows show in its cells.
    pub audits: Vec<SeamAudit>,
    /// Per detector: its cells before they were fused.
    pub of_detectors: Vec<u64>,
    /// Detections that did not become cells, and cells that filters took out, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Notes for the user.
    pub warnings: Vec<String>,
}

impl SlideAnswer {
    /// Puts together the results of a slide's windows. A window that never came counts as failed for its
    /// neighbours.
    #[must_use]
    pub fn new(survey: &Survey, sightings: Sightings, rules: &SlideRules) -> Self {
        let Gathered { mut each, done, failed, unread, full } = sightings.finish();
        let windows =
            WindowCounts { planned: survey.windows(), done, failed: failed.len(), unread, full: full.len() };
        let audits: Vec<_> = each.iter().map(|of| audit_seams(&of.layout, &of.cells)).collect();
        let of_detectors = each.iter().map(|of| of.cells.len() as u64).collect();
        let of_windows = seen_boxes(&each, rules, &failed);
        let coarse: Vec<String> = each.iter().filter_map(|of| of.coarse.clone()).collect();
        let patches = take_patches(survey, &mut each);
        let mut found = Found::new(survey, each, rules);
        found.measure_distances(survey);
        let seen = seen(survey, &failed, &of_windows);
        let analysed = found.grid.covered_by_each(&of_windows);
        let ground = (rules.features.neighbours)
            .then(|| Ground::new(tissue_seen(&survey.mask, &found.grid, &analysed), found.grid.frame));
        let regions = match outcome(windows) {
            Outcome::Failed => Vec::new(),
            Outcome::Done | Outcome::Partial => found.regions(survey, &analysed, rules),
        };
        Self {
            warnings: full_windows(full, rules)
                .chain(warnings(&audits, &found.grid, rules))
                .chain(coarse)
                .chain(unseen_interest(survey, seen.as_deref(), &regions))
                .chain(counted_twice(&regions, &found.cells))
                .chain(shapeless(&found.cells, rules))
                .collect(),
            coverage: coverage(survey, seen.as_deref()),
            failures: count_failures(&failed),
            cells: found.cells,
            regions,
            patches,
            windows,
            seen,
            ground,
            audits,
            of_detectors,
            dropped: found.dropped,
        }
    }

    /// Outcome of the slide.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        outcome(self.windows)
    }

    /// Why there are no results, where there are none.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        let first = self.failures.first().filter(|_| self.outcome() == Outcome::Failed)?;
        Some(format!("no window gave a result: {}", first.reason))
    }
}

/// The cells alone, as [`SlideAnswer::new`] gives them but for their regions.
#[must_use]
pub fn cells_of(survey: &Survey, sightings: Sightings, rules: &SlideRules) -> Vec<Cell> {
    Found::new(survey, sightings.finish().each, rules).cells
}

fn outcome(windows: WindowCounts) -> Outcome {
    match windows {
        WindowCounts { failed: 0, .. } => Outcome::Done,
        WindowCounts { done: 0, .. } => Outcome::Failed,
        _ => Outcome::Partial,
    }
}

/// Findings of all detectors, as one.
struct Found {
    cells: Vec<Cell>,
    /// Areas of detections, then those of each detector's class maps.
    painters: Vec<RegionPainter>,
    dropped: BTreeMap<String, u64>,
    /// Where the regions are painted.
    grid: RegionGrid,
    /// What the ids of cells and regions are made from.
    slide_key: u64,
}

impl Found {
    fn new(survey: &Survey, each: Vec<OfDetector>, rules: &SlideRules) -> Self {
        let grid = RegionGrid::over(&survey.extent(), survey.scale.mpp);
        let mut found = Self {
            cells: Vec::new(),
            painters: Vec::new(),
            dropped: BTreeMap::new(),
            grid,
            slide_key: each.first().map_or(0, |first| first.layout.slide_key()),
        };
        let mut scales = Vec::with_capacity(each.len());
        let mut of_detections = RegionPainter::new(grid.frame, grid.size);
        for OfDetector { cells, painter, areas, dropped, .. } in each {
            dropped.into_iter().for_each(|(reason, count)| found.note(reason, count));
            of_detections.absorb(painter);
            found.painters.extend(areas);
            scales.push(cells);
        }
        found.painters.insert(0, of_detections);
        found.fuse(scales, survey, rules);
        for (measure, count) in rules.filter.apply(&mut found.cells, survey.scale.mpp) {
            found.note(&format!("cell filtered by {measure}"), count);
        }
        if let Some(interest) = &survey.interest {
            found.keep_within(interest, survey.scale.mpp);
        }
        found
    }

    /// Regions of a slide of which some px of the grid were `analysed`; each cell notes its own.
    fn regions(&mut self, survey: &Survey, analysed: &Mask, rules: &SlideRules) -> Vec<Region> {
        let sources = Sources {
            tissue: &survey.mask,
            all_tissue: &survey.tissue,
            interest: survey.interest.as_ref(),
            painted: &self.painters,
            grid: self.grid,
            analysed,
            class_names: &rules.class_names,
            slide_key: self.slide_key,
        };
        regions_of(&sources, rules, &mut self.cells)
    }

    /// Makes one list of the cells of all detectors.
    fn fuse(&mut self, mut scales: Vec<Vec<Cell>>, survey: &Survey, rules: &SlideRules) {
        let cell_detectors = rules.each.iter().filter(|detector| detector.has_objects).count();
        if scales.len() < 2 || cell_detectors < 2 && rules.fuse.scores().is_some() {
            self.cells = scales.into_iter().flatten().collect();
            return;
        }
        let before: u64 = scales.iter().map(|cells| cells.len() as u64).sum();
        if rules.fuse.scores().is_some() {
            let all = fuse_scales(&scales, survey.scale.mpp, &fusion_of_cells(rules));
            let views: u64 = all.iter().map(|fused| fused.scores.iter().flatten().count() as u64).sum();
            self.note("the same cell of another detector", views - all.len() as u64);
            self.note("fused, below the least score", before - views);
            self.cells = all.into_iter().map(|fused| fused.cell).collect();
        } else {
            self.cells = scales.swap_remove(0);
            self.note("a cell of a detector that gives context", before - self.cells.len() as u64);
            self.weigh_by_context(rules);
        }
    }

    /// Lets the regions of the further detectors weigh the cells of the first.
    fn weigh_by_context(&mut self, rules: &SlideRules) {
        let painters = self.painters.iter();
        let regions: Vec<Region> = painters
            .flat_map(|painter| painter.regions(|class| class.0.to_string(), &rules.region, self.slide_key))
            .collect();
        // Areas of class maps have no score: they are there.
        let contexts: Vec<Context> =
            (regions.iter()).map(|region| Context { score: region.score.unwrap_or(Score::ONE) }).collect();
        let (weight, outside) = (rules.context_weight, rules.context_outside);
        // Without a threshold of its own, what context leaves nothing of is gone.
        let least = rules.fusion.min_score.max(f32::MIN_POSITIVE);
        let vetoed = apply_context(&mut self.cells, &regions, &contexts, weight, outside, least);
        self.note("vetoed by its context", vetoed);
    }

    /// Keeps what lies in regions of interest or in bands around them: cells by their centroids, as for every region.
    fn keep_within(&mut self, interest: &Interest, mpp: Mpp) {
        let cover: Vec<_> = interest.cover().cloned().collect();
        let regions = drawn_regions(&cover, ROI, mpp, 0);
        let finder = RegionFinder::new(&regions);
        let before = self.cells.len();
        self.cells.retain(|cell| finder.holds(cell.centroid));
        self.note("outside of the regions of interest", (before - self.cells.len()) as u64);
        for painter in &mut self.painters {
            let (frame, size) = painter.grid();
            painter.keep_within(&RegionGrid { frame, size }.within(&cover));
        }
    }

    /// Notes in each cell how far it lies from the border of the regions of interest, where they have one.
    fn measure_distances(&mut self, survey: &Survey) {
        if let Some(border) = survey.interest.as_ref().and_then(|interest| Border::new(&interest.border)) {
            border.measure(&mut self.cells, survey.scale.mpp);
        }
    }

    /// Counts what went for a reason.
    fn note(&mut self, reason: &str, count: u64) {
        if count > 0 {
            *self.dropped.entry(reason.to_owned()).or_default() += count;
        }
    }
}

/// The settings of fusion, in which detectors that answer no objects have no say.
fn fusion_of_cells(rules: &SlideRules) -> FusionSettings {
    let mut settings = rules.fusion.clone();
    for (weight, detector) in settings.weights.iter_mut().zip(&rules.each) {
        if !detector.has_objects {
            *weight = 0.0;
        }
    }
    settings
}

/// Words of the warning of windows in which objects may be missing.
pub(crate) const FULL_ANSWER: &str = "the model gave as many answers as it can";

/// Names the windows in which a model gave as many answers as it can, and says what helps with it.
fn full_windows(full: Vec<WindowKey>, rules: &SlideRules) -> impl Iterator<Item = String> {
    let (of_one_size, others): (Vec<_>, Vec<_>) =
        full.into_iter().partition(|key| rules.each[key.detector.place()].is_of_one_size);
    [
        (others, "use smaller windows (--window)"),
        (of_one_size, "it takes one size of input only: export it for a smaller one, or for more answers"),
    ]
    .into_iter()
    .filter(|(windows, _)| !windows.is_empty())
    .map(|(windows, cure)| {
        let (count, named) = (windows.len(), first_windows(windows));
        format!("in {count} of its windows ({named}) {FULL_ANSWER}: objects may be missing there; {cure}")
    })
}

/// The first of some windows, by their places in the plan.
fn first_windows(mut windows: Vec<WindowKey>) -> String {
    const NAMED: usize = 8;
    windows.sort_unstable();
    let named: Vec<String> = windows.iter().take(NAMED).map(|key| key.window.0.to_string()).collect();
    let more = if windows.len() > NAMED { ", …" } else { "" };
    format!("{}{more}", named.join(", "))
}

fn warnings(audits: &[SeamAudit], grid: &RegionGrid, rules: &SlideRules) -> Vec<String> {
    let shown = audits.iter().filter(|audit| audit.grid_shows).map(|audit| {
        format!(
            "the window grid shows in the cells: {:.2} times as dense near seams as beside them, {:.2} times as large",
            audit.density_ratio, audit.size_ratio
        )
    });
    let has_regions = rules.dense.is_some() || !rules.region_classes.is_empty();
    shown.chain(grid.note().filter(|_| has_regions)).collect()
}

/// Says so where regions of interest reach beyond what windows were planned for.
fn unseen_interest(survey: &Survey, seen: Option<&[bool]>, regions: &[Region]) -> Vec<String> {
    let drawn = survey.interest.as_ref().map_or(0, |interest| interest.regions.len());
    let blank = regions.iter().filter(|region| region.kind == ROI && region.coverage == 0.0).count();
    let without_tissue = (blank > 0).then(|| {
        format!(
            "in {blank} of {} of interest no window looked: no tissue was found there, or the run looked elsewhere; run \
             with --no-tissue-mask to look at all of them",
            counted(drawn, "region")
        )
    });
    let Coverage { tissue_mm2, analysed_mm2, .. } = coverage(survey, seen);
    let elsewhere = (drawn > 0 && !survey.is_planned_whole && analysed_mm2 < tissue_mm2).then(|| {
        format!(
            "of {} mm² of tissue in the regions of interest the run looked at {}: its windows were planned for others",
            fixed(tissue_mm2, 3),
            fixed(analysed_mm2, 3)
        )
    });
    let bands = survey.interest.iter().flat_map(|interest| &interest.bands);
    let unseen_bands = bands.filter_map(|band| unseen_band(&band.kind(), regions));
    without_tissue.into_iter().chain(unseen_bands).chain(elsewhere).collect()
}

/// Says so where no window saw any part of a band.
fn unseen_band(kind: &str, regions: &[Region]) -> Option<String> {
    let mut parts = regions.iter().filter(|region| region.kind == kind).peekable();
    let is_unseen = parts.peek().is_some() && parts.all(|part| part.coverage == 0.0);
    is_unseen.then(|| {
        format!("in {kind} no window looked: no tissue was found there, or the run looked elsewhere")
    })
}

/// Says so where shapes are asked for and there is none.
fn shapeless(cells: &[Cell], rules: &SlideRules) -> Option<String> {
    let has_none =
        rules.features.shape && !cells.is_empty() && cells.iter().all(|cell| cell.outline.is_none());
    has_none.then(|| {
        "--features shape measures outlines, which the model does not draw: nucleus_orientation_deg and elongation are empty"
            .to_owned()
    })
}

/// Says so where regions of interest of one class overlap on cells, which the sums of that class then hold twice.
fn counted_twice(regions: &[Region], cells: &[Cell]) -> Vec<String> {
    let drawn: Vec<Region> = regions.iter().filter(|region| region.kind == ROI).cloned().collect();
    if drawn.len() < 2 {
        return Vec::new();
    }
    let finder = RegionFinder::new(&drawn);
    let mut twice: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    for cell in cells {
        let mut classes: Vec<_> = finder
            .all_at(cell.centroid)
            .into_iter()
            .map(|place| drawn[place].class_name.as_deref())
            .collect();
        classes.sort_unstable();
        let mut repeated: Vec<_> =
            classes.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        repeated.dedup();
        repeated.into_iter().for_each(|class| *twice.entry(class).or_default() += 1);
    }
    let told = twice.into_iter().map(|(class, cells)| {
        format!(
            "regions of interest of {} overlap: sums over them hold {}, and the area there, more than once",
            class.map_or_else(|| "no class".to_owned(), |class| format!("the class {class:?}")),
            counted(cells, "cell")
        )
    });
    told.collect()
}

/// Failed windows by reason and detector, most frequent first.
fn count_failures(failed: &[(WindowKey, String)]) -> Vec<FailureCount> {
    let mut by_reason: BTreeMap<(&str, usize), Vec<u32>> = BTreeMap::new();
    for (key, reason) in failed {
        by_reason.entry((reason, key.detector.place())).or_default().push(key.window.0);
    }
    let mut counts: Vec<_> = by_reason
        .into_iter()
        .map(|((reason, detector), mut windows)| {
            windows.sort_unstable();
            FailureCount { reason: reason.to_owned(), detector, windows }
        })
        .collect();
    counts.sort_by_key(|count| std::cmp::Reverse(count.windows.len()));
    counts
}

/// Per detector: the parts of the slide that its windows with a result saw, or decided if it answers class maps.
fn seen_boxes(
    each: &[OfDetector],
    rules: &SlideRules,
    failed: &[(WindowKey, String)],
) -> Vec<Vec<Level0Box>> {
    let failed: BTreeSet<WindowKey> = failed.iter().map(|(key, _)| *key).collect();
    let of_detectors = DetectorIndex::all(each.len()).zip(each).zip(&rules.each);
    let boxes = of_detectors.map(|((detector, of), rules)| {
        let windows = of.layout.windows().iter();
        let seen = windows.filter(|window| !failed.contains(&WindowKey::new(detector, window.index)));
        seen.map(|window| window.on_level0(if rules.is_semantic { &window.core } else { &window.rect }))
            .collect()
    });
    boxes.collect()
}

/// The px of the mask that each detector saw in at least one window with a result; `None` when all was planned and no
/// window failed.
fn seen(survey: &Survey, failed: &[(WindowKey, String)], boxes: &[Vec<Level0Box>]) -> Option<Vec<bool>> {
    if failed.is_empty() && survey.is_planned_whole {
        return None;
    }
    let each = boxes.iter().map(|boxes| seen_px(&survey.mask, boxes));
    each.reduce(|all, next| all.iter().zip(next).map(|(&all, next)| all && next).collect())
}

/// Tissue that was seen, at the mask's resolution.
fn coverage(survey: &Survey, seen: Option<&[bool]>) -> Coverage {
    let (tissue_mm2, bits) = (survey.tissue_mm2(), survey.mask.bits());
    let tissue = bits.iter().filter(|&&tissue| tissue).count();
    let fraction = match seen {
        Some(seen) if tissue > 0 => {
            let both = bits.iter().zip(seen).filter(|&(&tissue, &seen)| tissue && seen).count();
            both as f64 / tissue as f64
        }
        _ => 1.0,
    };
    Coverage { tissue_mm2, analysed_mm2: tissue_mm2 * fraction, fraction, absent_mm2: survey.absent_mm2() }
}

/// The px of the mask whose centres some of `boxes` hold.
fn seen_px(mask: &TissueMask, boxes: &[Level0Box]) -> Vec<bool> {
    let (width, height) = (mask.width() as usize, mask.height() as usize);
    let mut seen = vec![false; width * height];
    for area in boxes {
        let columns = centres_within(area.min.x, area.max.x, mask.downsample().0, width);
        for row in centres_within(area.min.y, area.max.y, mask.downsample().1, height) {
            seen[row * width..][columns.clone()].fill(true);
        }
    }
    seen
}

/// The px of `step` level-0 px each, of `end` along an axis, whose centres lie in `low..high`.
fn centres_within(low: f64, high: f64, step: f64, end: usize) -> Range<usize> {
    let first = (low / step - 0.5).ceil().max(0.0) as usize;
    let last = ((high / step - 0.5).ceil().max(0.0) as usize).min(end);
    first.min(last)..last
}

/// Steps between thresholds, per 1.
const THRESHOLD_STEPS: u32 = 20;

/// See [`ThresholdCount`]. Below the rules' own thresholds, down to `floor`, `cells_at` says which cells a threshold
/// gives.
///
/// # Errors
///
/// Errors of `cells_at`.
pub fn by_threshold<E>(
    cells: &[Cell],
    rules: &SlideRules,
    floor: f32,
    mut cells_at: impl FnMut(f32) -> Result<Vec<Cell>, E>,
) -> Result<Vec<ThresholdCount>, E> {
    let own = rules.highest_threshold();
    let mut counts = Vec::new();
    for min_score in (0..THRESHOLD_STEPS).map(|step| step as f32 / THRESHOLD_STEPS as f32) {
        let cells = if min_score >= own {
            let at_least = cells.iter().filter(|cell| cell.score.get() >= min_score);
            named_counts(at_least.map(|cell| (cell.class, 1)), rules)
        } else if min_score >= floor {
            class_counts(&cells_at(min_score)?, rules)
        } else {
            continue;
        };
        counts.push(ThresholdCount { min_score, cells });
    }
    Ok(counts)
}

/// Cells by name of their class.
#[must_use]
pub fn class_counts(cells: &[Cell], rules: &SlideRules) -> BTreeMap<String, u64> {
    named_counts(merger::cell::count_by_class(cells), rules)
}

/// Counts by name of all classes that are objects, be they 0.
pub fn named_counts(
    counts: impl IntoIterator<Item = (ClassId, u64)>,
    rules: &SlideRules,
) -> BTreeMap<String, u64> {
    let objects = rules.class_names.iter().filter(|(class, _)| !rules.region_classes.contains(class));
    let mut named: BTreeMap<String, u64> = objects.map(|(_, name)| (name.to_owned(), 0)).collect();
    for (class, count) in counts {
        *named.entry(rules.class_names.name(class).into_owned()).or_default() += count;
    }
    named
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use merger::{Layout, WindowOutcome};
    use tiler::{Overlap, PlanSettings, SurveySettings};
    use wsi_reader::MemorySlide;
    use wsi_types::{Detection, ModelClass, Mpp, Score, WindowBox, WindowIndex};

    use super::*;
    use crate::{
        models::{DetectorSpec, ModelSet},
        options::RunOptions,
        rules::MergeRules,
    };

    /// 512 × 256 px at 0.5 µm, two windows of 256 px side by side per detector.
    fn survey(detectors: usize) -> Survey {
        let mpp = Mpp::new(0.5).unwrap();
        let slide =
            MemorySlide::painted(&[(512, 256)], (128, 128), Mpp::new(0.5).ok(), |_, _, _| [200; 3]).unwrap();
        let plan = PlanSettings { window: 256, overlap: Overlap::Percent(0.0), ..PlanSettings::new(mpp) };
        let settings = SurveySettings { plans: vec![plan; detectors], ..SurveySettings::default() };
        Survey::new(Arc::new(slide), &settings).unwrap()
    }

    fn rules(detectors: usize, options: RunOptions) -> SlideRules {
        let spec = DetectorSpec { model: None, mpp: Mpp::new(0.5).ok() };
        let terms = detector::Manifest::without_model("m", &["cell", "gland"], None).merge_terms();
        let models = ModelSet::new(&vec![spec; detectors], vec![terms; detectors]).unwrap();
        MergeRules::new(&options, detectors).unwrap().for_models(&models, None).unwrap()
    }

    fn sightings(survey: &Survey, rules: &SlideRules) -> Sightings {
        let layouts = (survey.plans.iter())
            .map(|plan| Arc::new(Layout::new(plan.windows(), survey.extent(), survey.scale.mpp).unwrap()));
        Sightings::new(&layouts.collect::<Vec<_>>(), rules)
    }

    fn key(detector: u8, window: u32) -> WindowKey {
        WindowKey::new(DetectorIndex(detector), WindowIndex(window))
    }

    /// A square of 20 px at (x, 100) of the window.
    fn square(x: f32, class: u16, score: f32) -> Detection {
        let corner = wsi_types::WindowPoint::new(x, 100.0);
        let bbox = WindowBox::new(corner, corner + euclid::vec2(20.0, 20.0));
        Detection { bbox, class: ModelClass(class), score: Score::new(score).unwrap(), outline: None }
    }

    fn found(detections: impl IntoIterator<Item = Detection>) -> WindowOutcome {
        WindowOutcome::found(detections)
    }

    #[test]
    fn a_slide_without_failures_is_done_and_all_is_covered() {
        let (survey, rules) = (survey(1), rules(1, RunOptions::default()));
        let mut seen = sightings(&survey, &rules);
        seen.push(key(0, 1), found([square(100.0, 0, 0.9)])).unwrap();
        seen.push(key(0, 0), found([square(50.0, 0, 0.8), square(50.0, 0, 0.1)])).unwrap();
        let answer = SlideAnswer::new(&survey, seen, &rules);
        assert_eq!((answer.outcome(), answer.reason(), answer.seen.clone()), (Outcome::Done, None, None));
        let mut left: Vec<_> = answer.cells.iter().map(|cell| cell.bbox.min.x).collect();
        left.sort_by(f64::total_cmp);
        assert_eq!(left, [50.0, 356.0]);
        assert_eq!(answer.dropped, BTreeMap::from([("below the score threshold".to_owned(), 1)]));
        assert_eq!((answer.coverage.fraction, answer.of_detectors.clone()), (1.0, vec![2]));
        assert!(answer.cells.iter().all(|cell| cell.region == Some(answer.regions[0].id)), "all is tissue");
        assert_eq!(
            class_counts(&answer.cells, &rules),
            BTreeMap::from([("cell".into(), 2), ("gland".into(), 0)])
        );
    }

    #[test]
    fn windows_that_failed_are_counted_by_reason_and_leave_a_gap() {
        let (survey, rules) = (survey(1), rules(1, RunOptions::default()));
        let mut seen = sightings(&survey, &rules);
        seen.push(key(0, 0), WindowOutcome::Failed("torn".into())).unwrap();
        seen.push(key(0, 1), found([])).unwrap();
        let answer = SlideAnswer::new(&survey, seen, &rules);
        assert_eq!((answer.outcome(), answer.reason()), (Outcome::Partial, None));
        let torn = FailureCount { reason: "torn".into(), detector: 0, windows: vec![0] };
        assert_eq!((answer.failures.clone(), answer.windows.failed), (vec![torn], 1));
        // A mask of one px, whose centre is on the border of both: the second holds it.
        assert_eq!(answer.seen, Some(vec![true]));
        assert!((answer.regions[0].analysed_um2() / answer.regions[0].area_um2 - 0.5).abs() < 0.01);
    }

    #[test]
    fn windows_with_a_full_answer_are_counted_and_named() {
        let (survey, rules) = (survey(1), rules(1, RunOptions::default()));
        let mut seen = sightings(&survey, &rules);
        seen.push(key(0, 0), found([])).unwrap();
        seen.push(key(0, 1), WindowOutcome::Full(vec![square(100.0, 0, 0.9).into()])).unwrap();
        let answer = SlideAnswer::new(&survey, seen, &rules);
        let counts = WindowCounts { planned: 2, done: 2, full: 1, ..WindowCounts::default() };
        assert_eq!((answer.windows, answer.outcome(), answer.cells.len()), (counts, Outcome::Done, 1));
        let warning = &answer.warnings[0];
        assert!(warning.starts_with("in 1 of its windows (1) the model gave"), "{warning}");
        assert!(warning.ends_with("use smaller windows (--window)"), "{warning}");
    }

    /// A model that takes one size of input cannot have smaller windows.
    #[test]
    fn what_helps_with_full_windows_is_what_the_model_can_do() {
        let (survey, mut rules) = (survey(2), rules(2, RunOptions::default()));
        rules.each[1].is_of_one_size = true;
        let mut seen = sightings(&survey, &rules);
        for (detector, window) in [(0, 0), (0, 1), (1, 0)] {
            seen.push(key(detector, window), found([])).unwrap();
        }
        seen.push(key(1, 1), WindowOutcome::Full(vec![square(100.0, 0, 0.9).into()])).unwrap();
        let warning = SlideAnswer::new(&survey, seen, &rules).warnings.remove(0);
        assert!(warning.starts_with("in 1 of its windows (1) the model gave"), "{warning}");
        assert!(
            !warning.contains("--window") && warning.contains("export it for a smaller one"),
            "{warning}"
        );
    }

    #[test]
    fn a_slide_of_which_nothing_could_be_read_has_no_results_but_a_reason() {
        let (survey, rules) = (survey(1), rules(1, RunOptions::default()));
        let mut seen = sightings(&survey, &rules);
        seen.push(key(0, 0), WindowOutcome::Failed("torn".into())).unwrap();
        seen.push(key(0, 1), WindowOutcome::Failed("torn".into())).unwrap();
        let answer = SlideAnswer::new(&survey, seen, &rules);
        assert_eq!(answer.outcome(), Outcome::Failed);
        assert_eq!(answer.reason().as_deref(), Some("no window gave a result: torn"));
        assert!(answer.regions.is_empty() && answer.cells.is_empty() && answer.coverage.fraction == 0.0);
    }

    #[test]
    fn cells_of_two_detectors_are_fused_and_counted() {
        let options = RunOptions { fuse: Some("max".into()), ..RunOptions::default() };
        let (survey, rules) = (survey(2), rules(2, options));
        let mut seen = sightings(&survey, &rules);
        seen.push(key(0, 0), found([square(50.0, 0, 0.8)])).unwrap();
        seen.push(key(1, 0), found([square(52.0, 0, 0.6), square(150.0, 0, 0.7)])).unwrap();
        seen.push(key(0, 1), found([])).unwrap();
        seen.push(key(1, 1), WindowOutcome::Failed("torn".into())).unwrap();
        let answer = SlideAnswer::new(&survey, seen, &rules);
        assert_eq!((answer.cells.len(), answer.of_detectors.clone()), (2, vec![1, 2]));
        assert_eq!(answer.dropped["the same cell of another detector"], 1);
        assert_eq!(answer.failures[0].detector, 1);
    }

    #[test]
    fn detections_of_area_classes_become_regions() {
        let options = RunOptions {
            region_class: Some(vec!["gland".into()]),
            region_opening_um: Some(0.0),
            region_min_um2: Some(0.0),
            ..RunOptions::default()
        };
        let (survey, rules) = (survey(1), rules(1, options));
        let mut seen = sightings(&survey, &rules);
        seen.push(key(0, 0), found([square(50.0, 1, 0.8), square(52.0, 0, 0.9)])).unwrap();
        seen.push(key(0, 1), found([])).unwrap();
        let answer = SlideAnswer::new(&survey, seen, &rules);
        let kinds: Vec<_> = answer.regions.iter().map(|region| region.kind.as_str()).collect();
        assert_eq!((kinds, answer.cells.len()), (vec!["tissue", "gland"], 1));
        assert_eq!(answer.dropped["part of a region"], 1);
        assert_eq!(class_counts(&answer.cells, &rules), BTreeMap::from([("cell".into(), 1)]));
    }

    /// Rules for detectors of cells and of areas, in the order of `semantic`; areas as they are.
    fn rules_with_areas(semantic: &[bool]) -> SlideRules {
        let exact = RunOptions {
            region_closing_um: Some(0.0),
            region_opening_um: Some(0.0),
            region_min_um2: Some(0.0),
            ..RunOptions::default()
        };
        let spec = DetectorSpec { model: None, mpp: Mpp::new(0.5).ok() };
        let terms = semantic.iter().map(|&is_semantic| {
            let classes: &[&str] = if is_semantic { &["gland", "fat"] } else { &["cell"] };
            let mut manifest = detector::Manifest::without_model("m", classes, None);
            if is_semantic {
                manifest.head = detector::manifest::Head::Semantic { scores: None };
            }
            manifest.merge_terms()
        });
        let models = ModelSet::new(&vec![spec; semantic.len()], terms.collect()).unwrap();
        MergeRules::new(&exact, semantic.len()).unwrap().for_models(&models, None).unwrap()
    }

    /// A map of 64 × 64 places of 4 px; those left of a column are of class 0.
    fn map(before: usize) -> WindowOutcome {
        let places = (0..64 * 64).map(|place| (place % 64 < before).then_some(ModelClass(0)));
        WindowOutcome::Map(wsi_types::ClassMap::from_places(64, places).unwrap())
    }

    #[test]
    fn class_maps_become_regions_as_far_as_windows_gave_them() {
        let (survey, rules) = (survey(1), rules_with_areas(&[true]));
        let mut seen = sightings(&survey, &rules);
        seen.push(key(0, 0), map(32)).unwrap();
        seen.push(key(0, 1), WindowOutcome::Failed("torn".into())).unwrap();
        let answer = SlideAnswer::new(&survey, seen, &rules);
        assert_eq!((answer.outcome(), answer.cells.len()), (Outcome::Partial, 0));
        let [tissue, gland] = &answer.regions[..] else { panic!("{:?}", answer.regions) };
        assert_eq!((gland.kind.as_str(), gland.area_um2), ("gland", 128.0 * 256.0 * 0.25));
        assert_eq!((gland.coverage, gland.score), (1.0, None));
        assert!((tissue.coverage - 0.5).abs() < 0.01, "half of it was not seen: {}", tissue.coverage);
        assert_eq!(class_counts(&answer.cells, &rules), BTreeMap::new(), "no class is one of objects");
        assert!(sightings(&survey, &rules).push(key(0, 0), map(9).objects()).is_ok());
    }

    #[test]
    fn vectors_become_patches_as_far_as_windows_gave_them() {
        let mut manifest = detector::Manifest::without_model("m", &[], None);
        manifest.head = detector::manifest::Head::Embedding { dimensions: 2 };
        let spec = DetectorSpec { model: None, mpp: Mpp::new(0.5).ok() };
        let models = ModelSet::new(&[spec], vec![manifest.merge_terms()]).unwrap();
        let rules = MergeRules::new(&RunOptions::default(), 1).unwrap().for_models(&models, None).unwrap();
        let embedding = wsi_types::Embedding::from_halves([0x3c00, 0]).unwrap();
        for failed in [0, 1] {
            let survey = survey(1);
            let mut seen = sightings(&survey, &rules);
            seen.push(key(0, 1 - failed), WindowOutcome::Vector(embedding.clone())).unwrap();
            seen.push(key(0, failed), WindowOutcome::Failed("torn".into())).unwrap();
            let answer = SlideAnswer::new(&survey, seen, &rules);
            assert_eq!(
                (answer.outcome(), answer.cells.len(), answer.regions.len()),
                (Outcome::Partial, 0, 1)
            );
            let area = survey.plans[0].windows()[1 - failed as usize].level0_box();
            let window = WindowIndex(1 - failed);
            assert_eq!(answer.patches, [Patch { window, area, tissue: 1.0, embedding: embedding.clone() }]);
        }
    }

    #[test]
    fn cells_of_one_model_lie_in_the_areas_of_another() {
        let cells = || found([square(50.0, 0, 0.8), square(180.0, 0, 0.6)]);
        for order in [[false, true], [true, false]] {
            let (survey, rules) = (survey(2), rules_with_areas(&order));
            let (of_cells, of_areas) = (u8::from(order[0]), u8::from(order[1]));
            let mut seen = sightings(&survey, &rules);
            seen.push(key(of_cells, 0), cells()).unwrap();
            seen.push(key(of_areas, 0), map(32)).unwrap();
            seen.push(key(of_cells, 1), found([])).unwrap();
            seen.push(key(of_areas, 1), map(0)).unwrap();
            let answer = SlideAnswer::new(&survey, seen, &rules);
            let gland = answer.regions.iter().find(|region| region.kind == "gland").unwrap();
            let mut placed: Vec<_> = (answer.cells.iter())
                .map(|cell| (cell.bbox.min.x, cell.score.get(), cell.region == Some(gland.id)))
                .collect();
            placed.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert_eq!(placed, [(50.0, 0.8, true), (180.0, 0.6, false)]);
            assert_eq!(gland.cell_count(), 1);
            assert_eq!(class_counts(&answer.cells, &rules), BTreeMap::from([("cell".into(), 2)]));
        }
    }

    #[test]
    fn windows_in_any_order_settled_or_not_give_the_same_answer() {
        let (survey, rules) = (survey(1), rules(1, RunOptions::default()));
        let windows = [
            (0, [square(236.0, 0, 0.8), square(50.0, 0, 0.5)]),
            (1, [square(0.0, 0, 0.7), square(9.0, 1, 0.9)]),
        ];
        let mut forward = sightings(&survey, &rules);
        let mut backward = sightings(&survey, &rules);
        for (window, detections) in windows.clone() {
            forward.push(key(0, window), found(detections)).unwrap();
            forward.settle();
        }
        for (window, detections) in windows.into_iter().rev() {
            backward.push(key(0, window), found(detections.into_iter().rev())).unwrap();
        }
        let [mut forward, mut backward] =
            [forward, backward].map(|seen| SlideAnswer::new(&survey, seen, &rules));
        for answer in [&mut forward, &mut backward] {
            answer.cells.sort_by(merger::cell::content_order);
        }
        assert_eq!(forward, backward);
    }

    #[test]
    fn thresholds_above_the_rules_count_the_cells_and_below_ask_again() {
        let (survey, rules) = (survey(1), rules(1, RunOptions::default()));
        let mut seen = sightings(&survey, &rules);
        seen.push(key(0, 0), found([square(50.0, 0, 0.8), square(150.0, 0, 0.4)])).unwrap();
        seen.push(key(0, 1), found([])).unwrap();
        let cells = SlideAnswer::new(&survey, seen, &rules).cells;
        let mut asked = Vec::new();
        let counts = by_threshold(&cells, &rules, 0.15, |score| {
            asked.push(score);
            Ok::<_, ()>(Vec::new())
        });
        let counts = counts.unwrap();
        assert_eq!(asked, [0.15, 0.2]);
        assert_eq!((counts[0].min_score, counts.len()), (0.15, 17));
        let cells = [0.25, 0.45, 0.85]
            .map(|score| counts.iter().find(|count| count.min_score == score).unwrap().cells["cell"]);
        assert_eq!(cells, [2, 1, 0]);
    }

    #[test]
    fn a_window_that_no_plan_has_or_that_comes_twice_is_refused() {
        let (survey, rules) = (survey(1), rules(1, RunOptions::default()));
        let mut seen = sightings(&survey, &rules);
        assert!(seen.push(key(1, 0), found([])).is_err() && seen.push(key(0, 9), found([])).is_err());
        seen.push(key(0, 0), found([])).unwrap();
        assert!(seen.push(key(0, 0), WindowOutcome::Failed("late".into())).is_err());
        assert_eq!((seen.ended(), seen.done(), seen.failed().len()), (1, 1, 0));
    }
}
