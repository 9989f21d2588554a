//! Lineage of the cells of a stored slide: the plan made again, and the raw detections that were kept.

use std::{collections::BTreeMap, path::PathBuf, sync::OnceLock};

use dataset::{Analysis, Dataset, RunAccount, SlideId, wording::counted};
use merger::WindowOutcome;
use tiler::{PlanSettings, Survey, SurveySettings, TissueSettings};
use viewer::{Lineage, RawDetection, WindowMap};
use wsi_reader::LinearMapping;
use wsi_types::{Detection, Level0Box, Level0Point, Mpp, Window};

/// The least agreement with a cell's box (shared area over common area) at which a raw
/// detection is shown with it.
const LEAST_IOU: f64 = 0.3;

/// Facts about the making of a slide's cells.
pub(super) struct StoredLineage {
    dataset: Dataset,
    id: SlideId,
    /// Windows without a result.
    failed: Vec<u32>,
    /// Inputs for planning the slide again; `None` if its windows are known.
    plan: Option<PlanAgain>,
    windows: OnceLock<Result<Vec<Window>, String>>,
}

/// Inputs that a plan was made from.
struct PlanAgain {
    /// Path of the slide.
    path: Option<PathBuf>,
    mapping: Option<LinearMapping>,
    settings: BTreeMap<String, String>,
    mpp: f64,
    model_mpp: f64,
    detectors: usize,
    /// Windows it must come to.
    planned: usize,
}

impl StoredLineage {
    pub(super) fn new(
        dataset: &Dataset,
        account: &RunAccount,
        analysis: &Analysis,
        path: Option<PathBuf>,
    ) -> Self {
        let plan = PlanAgain {
            path,
            mapping: account.settings.get("map_range").and_then(|text| text.parse().ok()),
            settings: account.settings.clone(),
            mpp: analysis.mpp,
            model_mpp: analysis.model_mpp,
            detectors: analysis.detectors.len().max(1),
            planned: analysis.windows.planned,
        };
        Self {
            dataset: dataset.clone(),
            id: account.slide.clone(),
            failed: analysis.failures.iter().flat_map(|failure| failure.windows.iter().copied()).collect(),
            plan: Some(plan),
            windows: OnceLock::new(),
        }
    }

    /// Of a slide at work, whose windows are known, per detector.
    pub(super) fn of_windows(
        dataset: &Dataset,
        id: &SlideId,
        windows: &[Vec<Window>],
        failed: Vec<u32>,
    ) -> Self {
        let windows = match windows {
            [only] => Ok(only.clone()),
            several => Err(of_several(several.len())),
        };
        Self { dataset: dataset.clone(), id: id.clone(), failed, plan: None, windows: windows.into() }
    }

    /// The windows of the plan, which is made again; it must come out as large.
    fn plan(&self) -> Result<&[Window], String> {
        let windows = self.windows.get_or_init(|| match &self.plan {
            Some(plan) => plan.windows(),
            None => Err("the windows are not known".into()),
        });
        windows.as_deref().map_err(Clone::clone)
    }
}

fn of_several(detectors: usize) -> String {
    format!("the cells are of {detectors} detectors, each with windows of its own")
}

impl PlanAgain {
    fn windows(&self) -> Result<Vec<Window>, String> {
        if self.detectors > 1 {
            return Err(of_several(self.detectors));
        }
        if self.settings.contains_key("looked_within") {
            return Err(
                "windows were planned within regions of interest, which the account does not hold".into()
            );
        }
        let path = self.path.as_ref().ok_or("the slide's file is needed and it is not known where it is")?;
        let slide = engine::open(path, self.mapping).map_err(|error| error.to_string())?;
        let [mpp, model_mpp] = [self.mpp, self.model_mpp].map(Mpp::new);
        let (window, stride): (u32, u32) = (self.setting("window_px")?, self.setting("model_stride_px")?);
        let plan = PlanSettings {
            window,
            overlap: self.setting("overlap")?,
            max_enlarge: self.setting("max_enlarge")?,
            // Windows of a size that the model prescribes need not be multiples of its stride.
            multiple_of: if window.is_multiple_of(stride.max(1)) { stride } else { 1 },
            max_object_um: self.setting("max_object_um").ok(),
            shrink_margin: self.setting("shrink_margin_px").ok(),
            ..PlanSettings::new(model_mpp.map_err(|error| error.to_string())?)
        };
        let settings = SurveySettings {
            // As the run had it, wherever that was from.
            scale: wsi_reader::GivenScale {
                otherwise: None,
                instead: Some(mpp.map_err(|error| error.to_string())?),
            },
            tissue: self.setting::<bool>("tissue_mask")?.then(TissueSettings::default),
            plans: vec![plan],
            ..SurveySettings::default()
        };
        let survey = Survey::new(slide, &settings).map_err(|error| error.to_string())?;
        let plan = survey.plans.first().ok_or("the survey has no plan")?;
        let (found, expected) = (plan.windows().len(), self.planned);
        if found != expected {
            return Err(format!(
                "the plan made again has {}, the run had {expected}",
                counted(found, "window")
            ));
        }
        Ok(plan.windows().to_vec())
    }

    fn setting<T: std::str::FromStr>(&self, name: &str) -> Result<T, String> {
        let text = self.settings.get(name).and_then(|text| text.parse().ok());
        text.ok_or_else(|| format!("the account does not tell {name} of the run"))
    }
}

impl Lineage for StoredLineage {
    fn windows(&self) -> Result<WindowMap, String> {
        let boxes = self.plan()?.iter().map(Window::level0_box);
        let boxes = boxes.map(|bbox| [bbox.min.x, bbox.min.y, bbox.max.x, bbox.max.y]);
        Ok(WindowMap { boxes: boxes.collect(), failed: self.failed.clone() })
    }

    fn raw(&self, windows: &[u32], bbox: &Level0Box) -> Result<Vec<RawDetection>, String> {
        let plan = self.plan()?;
        let mut found = Vec::new();
        engine::for_each_window(&self.dataset, &self.id, |key, outcome| {
            let window = plan.get(key.window.0 as usize).filter(|_| windows.contains(&key.window.0));
            if let (Some(window), WindowOutcome::Detections(seen) | WindowOutcome::Full(seen)) =
                (window, outcome)
            {
                let placed = seen.iter().map(|seen| placed(window, &seen.detection));
                found.extend(placed.filter(|(own, _)| iou(own, bbox) >= LEAST_IOU).map(|(_, raw)| raw));
            }
        })
        .map_err(|error| format!("raw detections cannot be read: {error}"))?;
        found.sort_by(|a, b| a.window.cmp(&b.window).then(b.score.total_cmp(&a.score)));
        Ok(found)
    }
}

/// A detection in level-0 px: its box, and what the page draws.
fn placed(window: &Window, detection: &Detection) -> (Level0Box, RawDetection) {
    let [min, max] = [detection.bbox.min, detection.bbox.max]
        .map(|corner| window.placement.transform_point(corner.to_f64()));
    let bbox = Level0Box::new(min, max);
    let ring = match &detection.outline {
        Some(outline) => {
            outline.iter().map(|point| window.placement.transform_point(point.to_f64())).collect()
        }
        None => vec![min, Level0Point::new(max.x, min.y), max, Level0Point::new(min.x, max.y)],
    };
    let raw = RawDetection {
        window: window.index.0,
        class: detection.class.0,
        score: detection.score.get(),
        ring: ring.into_iter().map(|point| [point.x, point.y]).collect(),
    };
    (bbox, raw)
}

fn iou(a: &Level0Box, b: &Level0Box) -> f64 {
    let shared = a.intersection(b).map_or(0.0, |both| both.area());
    let common = a.area() + b.area() - shared;
    if common > 0.0 { shared / common } else { 0.0 }
}

/// The rule that joined what several windows saw, in words; empty where the account
/// does not tell it.
pub(super) fn rule(settings: &BTreeMap<String, String>) -> String {
    let [Some(method), Some(metric), Some(iou)] =
        ["merge", "merge_metric", "merge_iou"].map(|name| settings.get(name).map(String::as_str))
    else {
        return String::new();
    };
    // In accounts of before, where the model's own was not noted.
    let least = if iou == "model" { "the model's own threshold" } else { iou };
    format!("{method}: detections of one class whose {metric} is at least {least} are one cell")
}
