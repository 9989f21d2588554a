//! Several detectors over one slide, such as one model at two scales: each looks
//! through a plan of its own, and the cells of all become one table.
//!
//! The windows of all plans travel through the same stages. A [`WindowIndex`]
//! says in its upper bits which detector is meant; those of the first are the
//! places in its plan, as with a single one.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use detector::{Answers, BatchView, ClassInfo, Detector, DetectorError, Manifest, WindowResult};
use wsi_types::{ClassId, Mpp, WindowIndex};

use crate::{
    account::ModelFacts,
    bundled,
    exit::Failure,
    ledger::StoredModel,
    merging::SlideRules,
    prepare::rules_for,
    settings::{DetectorSpec, Settings},
};

/// Bits of a window's place in its plan: no plan has more
/// ([`merger::Layout::new`]).
const PLACE_BITS: u32 = 26;
/// Detectors a run may have.
pub const MOST_DETECTORS: usize = 8;

/// The window `place` of the plan of detector `detector`.
#[must_use]
pub fn tagged(detector: usize, place: WindowIndex) -> WindowIndex {
    WindowIndex((detector as u32) << PLACE_BITS | place.0)
}

/// Which detector, and which window of its plan.
#[must_use]
pub fn untagged(window: WindowIndex) -> (usize, WindowIndex) {
    ((window.0 >> PLACE_BITS) as usize, WindowIndex(window.0 & ((1 << PLACE_BITS) - 1)))
}

/// One detector of a job.
#[derive(Debug, Clone)]
pub struct JobDetector {
    /// What its model promises, with the classes of all detectors.
    pub manifest: Manifest,
    /// µm per px of its windows.
    pub mpp: Mpp,
    /// How its detections become cells.
    pub rules: Arc<SlideRules>,
    /// Which class each of the model's own is among those of all detectors.
    pub classes: Vec<ClassId>,
}

/// What the detectors of a job promise together.
#[derive(Debug, Clone)]
pub struct Detectors {
    /// One manifest for all: names and hashes joined, the classes of all.
    pub manifest: Manifest,
    /// Each of them.
    pub each: Vec<JobDetector>,
    /// Their manifests as the models give them.
    own: Vec<Manifest>,
}

/// What an account says of a model that promises `manifest`.
#[must_use]
pub fn model_facts(manifest: &Manifest) -> ModelFacts {
    ModelFacts {
        name: manifest.name.clone(),
        version: manifest.version.clone().unwrap_or_default(),
        sha256: manifest.sha256.clone(),
    }
}

impl Detectors {
    /// Of models that are at hand.
    ///
    /// # Errors
    ///
    /// A usage failure when one cannot be used, or settings and model disagree.
    pub fn of(settings: &Settings) -> anyhow::Result<Self> {
        let manifests = settings
            .detectors
            .iter()
            .map(|spec| Ok(bundled::describe(spec.model.as_deref())?.manifest))
            .collect::<anyhow::Result<Vec<_>>>()?;
        Self::with(settings, manifests)
    }

    /// Of models of which only the manifests are at hand, one per detector of the
    /// settings.
    ///
    /// # Errors
    ///
    /// As [`Detectors::of`].
    pub fn with(settings: &Settings, manifests: Vec<Manifest>) -> anyhow::Result<Self> {
        let classes = all_classes(&manifests);
        let each = settings
            .detectors
            .iter()
            .zip(&manifests)
            .map(|(spec, own)| job_detector(settings, spec, own, &classes))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let first = manifests.first().context("a run has a detector")?.clone();
        let joined = |of: fn(&Manifest) -> &str| {
            let mut parts: Vec<&str> = manifests.iter().map(of).collect();
            parts.dedup();
            parts.join("+")
        };
        let manifest = Manifest {
            name: joined(|manifest| &manifest.name),
            sha256: joined(|manifest| &manifest.sha256),
            classes: classes.iter().map(|name| class_of(&first, name)).collect(),
            ..first
        };
        Ok(Self { manifest, each, own: manifests })
    }

    /// What merging again needs to know of each model.
    #[must_use]
    pub fn stored(&self) -> Vec<StoredModel> {
        self.own.iter().map(StoredModel::of).collect()
    }

    /// µm per px of each, for hashes and provenance.
    #[must_use]
    pub fn mpps(&self) -> String {
        self.each.iter().map(|detector| detector.mpp.get().to_string()).collect::<Vec<_>>().join("+")
    }
}

/// The classes of all models by name, each once, in their order.
fn all_classes(manifests: &[Manifest]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for class in manifests.iter().flat_map(|manifest| &manifest.classes) {
        if !names.contains(&class.name) {
            names.push(class.name.clone());
        }
    }
    names
}

fn class_of(manifest: &Manifest, name: &str) -> ClassInfo {
    let own = manifest.classes.iter().find(|class| class.name == name);
    own.cloned().unwrap_or_else(|| ClassInfo::named(name))
}

fn job_detector(
    settings: &Settings,
    spec: &DetectorSpec,
    own: &Manifest,
    classes: &[String],
) -> anyhow::Result<JobDetector> {
    let mpp = spec.mpp.or(own.mpp).ok_or_else(|| {
        Failure::usage(
            "the model does not say at which µm/px it works; add `mpp = 0.25` (or what it was trained at) to a \
             TOML manifest beside it",
        )
    })?;
    let manifest =
        Manifest { classes: classes.iter().map(|name| class_of(own, name)).collect(), ..own.clone() };
    let place = |class: &ClassInfo| classes.iter().position(|name| *name == class.name).unwrap_or_default();
    Ok(JobDetector {
        mpp,
        rules: rules_for(settings, &manifest)?,
        classes: own.classes.iter().map(|class| ClassId(place(class) as u16)).collect(),
        manifest,
    })
}

/// Opens the models of all detectors as one, which gives each batch to the one
/// whose windows it holds.
///
/// # Errors
///
/// A usage failure when a model cannot be used, or its device not be had.
pub fn open(
    settings: &Settings,
    detectors: &Detectors,
    score_floor: f32,
) -> anyhow::Result<Box<dyn Detector>> {
    let mut all = settings
        .detectors
        .iter()
        .zip(&detectors.each)
        .map(|(spec, each)| open_one(settings, spec.model.as_deref(), each, score_floor))
        .collect::<anyhow::Result<Vec<_>>>()?;
    Ok(if all.len() == 1 { all.remove(0) } else { Box::new(Several { all }) })
}

fn open_one(
    settings: &Settings,
    model: Option<&Path>,
    detector: &JobDetector,
    score_floor: f32,
) -> anyhow::Result<Box<dyn Detector>> {
    Ok(Box::new(bundled::open(settings, model, &detector.manifest, score_floor)?))
}

/// Detectors side by side on the same devices.
struct Several {
    /// By their number; at least one.
    all: Vec<Box<dyn Detector>>,
}

impl Several {
    /// Batches never mix detectors. One without windows is anybody's.
    fn of(&mut self, batch: &BatchView<'_>) -> &mut dyn Detector {
        let number = batch.windows.first().map_or(0, |&window| untagged(window).0);
        let last = self.all.len() - 1;
        &mut *self.all[number.min(last)]
    }
}

impl Detector for Several {
    fn manifest(&self) -> &Manifest {
        self.all[0].manifest()
    }

    fn detect(&mut self, batch: BatchView<'_>) -> Result<Vec<WindowResult>, DetectorError> {
        self.of(&batch).detect(batch)
    }

    fn infer(&mut self, batch: BatchView<'_>) -> Result<Box<dyn Answers>, DetectorError> {
        self.of(&batch).infer(batch)
    }

    fn split(self: Box<Self>) -> Vec<Box<dyn Detector>> {
        let mut lanes: Vec<Vec<Box<dyn Detector>>> = Vec::new();
        for detector in self.all {
            for (lane, part) in detector.split().into_iter().enumerate() {
                if lanes.len() <= lane {
                    lanes.push(Vec::new());
                }
                lanes[lane].push(part);
            }
        }
        lanes.into_iter().map(|all| Box::new(Self { all }) as Box<dyn Detector>).collect()
    }

    fn device_used(&self) -> String {
        self.all[0].device_used()
    }
}

#[cfg(test)]
mod tests {
    use detector::ScriptedDetector;

    use super::*;

    #[test]
    fn a_batch_goes_to_the_detector_of_its_windows() {
        let scripted = |score: f32| {
            let found = move |_, _: &[u8]| {
                vec![wsi_types::Detection {
                    bbox: wsi_types::WindowBox::new(euclid::point2(0.0, 0.0), euclid::point2(1.0, 1.0)),
                    class: ClassId(0),
                    score: wsi_types::Score::new(score).unwrap(),
                    outline: None,
                }]
            };
            Box::new(ScriptedDetector::new(&["cell"], found)) as Box<dyn Detector>
        };
        let several = Box::new(Several { all: vec![scripted(0.25), scripted(0.5)] });
        let mut lanes = several.split();
        assert_eq!(lanes.len(), 1);
        for (detector, expected) in [(1, 0.5), (0, 0.25)] {
            let windows = [tagged(detector, WindowIndex(7))];
            let batch = BatchView { height: 1, width: 1, windows: &windows, pixels: &[0; 3] };
            let answers = lanes[0].infer(batch).unwrap().decode();
            assert_eq!(answers[0].window, windows[0]);
            assert_eq!(answers[0].outcome.as_ref().unwrap()[0].score.get(), expected);
        }
    }

    #[test]
    fn classes_of_two_models_are_one_list() {
        let first = Manifest::without_model("a", &["tumour", "stroma"], Mpp::new(0.25).ok());
        let second = Manifest::without_model("b", &["stroma", "gland"], Mpp::new(0.5).ok());
        let spec = DetectorSpec { model: None, mpp: None };
        let mut settings = Settings::new(crate::settings::RunOptions::default()).unwrap();
        settings.detectors = vec![spec.clone(), spec];
        let detectors = Detectors::with(&settings, vec![first, second]).unwrap();
        let names: Vec<_> = detectors.manifest.classes.iter().map(|class| class.name.as_str()).collect();
        assert_eq!((names, detectors.manifest.name.as_str()), (vec!["tumour", "stroma", "gland"], "a+b"));
        assert_eq!(detectors.each[1].classes, [ClassId(1), ClassId(2)]);
        assert_eq!(detectors.each[1].mpp.get(), 0.5);
    }

    #[test]
    fn a_tag_comes_off_and_the_first_detector_has_none() {
        let window = WindowIndex(123_456);
        assert_eq!(tagged(0, window), window);
        assert_eq!(untagged(tagged(3, window)), (3, window));
    }
}
