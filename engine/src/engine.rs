//! Models at hand, and what they answer of a slide.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crossbeam_channel::{RecvTimeoutError, bounded};
use dataset::hex;
use detector::{Detector, Manifest};
use merger::ClassNames;
use tiler::{Survey, SurveySettings};
use wsi_reader::{GivenScale, Slide};
use wsi_types::wording::with_causes;

use crate::{
    answer::SlideAnswer,
    bundled,
    collect::{begun, retired, so_far},
    error::JobError,
    events::{Event, Watch},
    fingerprint,
    models::{ModelSet, SetModel},
    opening::Opener,
    pipeline::{self, Coming, Step},
    prepare::{Facts, Preparation, Prepared, SlideError, dyes_of, survey_settings, survey_settings_of},
    rules::DetectorRules,
    settings::Settings,
    shared::Shared,
    sightings::Sightings,
    slides::SlideEntry,
    store::Maker,
    stretching::Stretches,
    work::{Recipe, Stop, score_floor},
    work_time::WorkTime,
};

/// Settings and opened models. Any number of slides and jobs can be run with one engine, from any thread; two
/// engines in one process do not disturb each other.
pub struct Engine {
    pub(crate) recipe: Arc<Recipe>,
    detectors: Vec<Shared>,
}

/// A model that is handed in.
pub enum Model {
    /// An ONNX file, with the TOML beside it, or the name of a bundled model.
    File(PathBuf),
    /// An ONNX file in memory.
    Bytes {
        /// Name of the model if it does not state one itself.
        name: String,
        /// The file.
        onnx: Vec<u8>,
        /// The text of its TOML manifest; empty for none.
        manifest: String,
    },
    /// Anything that finds objects in windows.
    Detector(Box<dyn Detector>),
}

impl From<Box<dyn Detector>> for Model {
    fn from(detector: Box<dyn Detector>) -> Self {
        Self::Detector(detector)
    }
}

impl Engine {
    /// Opens the models that the settings name, once.
    ///
    /// # Errors
    ///
    /// [`JobError::Usage`] when settings and models disagree, a model cannot be used, or its device not be had;
    /// [`JobError::SilentModel`] when it does not come back from its first window.
    pub fn open(settings: &Settings) -> Result<Self, JobError> {
        // Some devices build their own engine of the model first, which takes many minutes.
        const TIMES: u32 = 6;
        let patience = Duration::from_secs(settings.slide_timeout_secs) * TIMES;
        let settings = settings.clone();
        let (opened_in, opened) = bounded(1);
        pipeline::spawn("open the models", move || {
            // Nobody takes it who gave up waiting.
            let _ = opened_in.send(Self::open_here(&settings));
        })?;
        match opened.recv_timeout(patience) {
            Ok(opened) => opened,
            Err(RecvTimeoutError::Timeout) => Err(JobError::SilentModel { patience }),
            Err(RecvTimeoutError::Disconnected) => {
                Err(JobError::fault("the thread that opens the models ended early"))
            }
        }
    }

    fn open_here(settings: &Settings) -> Result<Self, JobError> {
        let models = settings.models()?;
        // Before models are opened, which takes longer.
        let rules = settings.merging.for_models(&models, settings.window_iou)?;
        let opener = Opener { settings, rules: &rules, score_floor: score_floor(settings, &models) };
        let specs = settings.detectors.iter().zip(&models.each).zip(&rules.each);
        let opened = specs.map(|((spec, model), of_detector)| {
            opener.open(model, of_detector, |opening| opening.open(spec.model.as_deref()))
        });
        let opened = opened.collect::<Result<_, JobError>>()?;
        Self::new(settings, models, opened)
    }

    /// An engine with models that are handed in, one for each detector of the settings.
    ///
    /// A [`Model::Detector`] decides itself which answers are detections; what is below the settings' thresholds is
    /// dropped later.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn with_models(
        settings: &Settings,
        models: impl IntoIterator<Item = Model>,
    ) -> Result<Self, JobError> {
        let described: Vec<Described> =
            models.into_iter().map(Described::new).collect::<Result<_, JobError>>()?;
        let terms = described.iter().map(|model| model.manifest.merge_terms()).collect();
        let set = ModelSet::new(&settings.detectors, terms)?;
        let rules = settings.merging.for_models(&set, settings.window_iou)?;
        let opener = Opener { settings, rules: &rules, score_floor: score_floor(settings, &set) };
        let known = set.each.iter().zip(&rules.each);
        let opened = described
            .into_iter()
            .zip(known)
            .map(|(described, (model, of_detector))| described.open(&opener, model, of_detector));
        let opened = opened.collect::<Result<_, JobError>>()?;
        Self::new(settings, set, opened)
    }

    fn new(
        settings: &Settings,
        models: ModelSet,
        detectors: Vec<Box<dyn Detector>>,
    ) -> Result<Self, JobError> {
        let detectors: Vec<_> = detectors.into_iter().map(Shared::new).collect();
        let device = detectors.first().map_or_else(String::new, |first| first.device().to_owned());
        let rules = settings.merging.for_models(&models, settings.window_iou)?;
        let maker = Maker { models, device, rules };
        Ok(Self { recipe: Arc::new(Recipe { settings: settings.clone(), maker }), detectors })
    }

    /// The settings it was opened with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.recipe.settings
    }

    /// Manifests of its models, in order of the detectors.
    pub fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.detectors.iter().map(Shared::manifest)
    }

    /// Names of the classes of all its models, in order of the [`wsi_types::ClassId`]s in answers.
    #[must_use]
    pub fn class_names(&self) -> &ClassNames {
        &self.recipe.maker.models.classes
    }

    /// Device that the models run on, in words: the one that `auto` took, for instance.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.recipe.maker.device
    }

    /// What was found about the devices while they were opened and the user should know, in words.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        self.detectors.iter().flat_map(Shared::notes).map(String::as_str)
    }

    /// Settings that [`Survey::new`] needs to plan a slide as this engine does.
    #[must_use]
    pub fn survey_settings(&self) -> SurveySettings {
        plan_settings(self.settings(), &self.recipe.maker.models, self.settings().given_scale())
    }

    /// Plans a slide without running a model.
    ///
    /// # Errors
    ///
    /// [`JobError::Input`] when it cannot be opened or planned.
    pub fn survey(&self, slide: impl Into<SlideEntry>) -> Result<Survey, JobError> {
        self.survey_of(&slide.into())
    }

    fn survey_of(&self, entry: &SlideEntry) -> Result<Survey, JobError> {
        let (settings, models) = (self.settings(), &self.recipe.maker.models);
        let slide = entry.open(settings.map_range).map_err(|error| bad_slide(entry, &error))?;
        Survey::new(slide, &survey_settings_of(entry, settings, &models.each))
            .map_err(|error| bad_slide(entry, &error))
    }

    /// Finds all cells and regions of a slide, in memory: a path, or a slide that is open already
    /// ([`SlideEntry::from_slide`]). Nothing is written.
    ///
    /// Windows that cannot be read are no error: the answer names them and says what of the tissue was seen.
    ///
    /// # Errors
    ///
    /// [`JobError::Input`] when the slide cannot be opened or planned, [`JobError::Again`] when a model stops,
    /// [`JobError::Silent`] when it or the slide hangs.
    pub fn analyse(
        &self,
        slide: impl Into<SlideEntry>,
        watch: &mut dyn Watch,
    ) -> Result<SlideAnswer, JobError> {
        let entry = slide.into();
        let time = WorkTime::start();
        let content = entry.content().map_err(|error| bad_slide(&entry, &error))?;
        let (id, content) = (entry.id_with(&content), hex(&content));
        let survey = self.survey_of(&entry)?;
        let dyes = dyes_of(self.settings(), survey.slide.as_ref())
            .map_err(|error| bad_slide(&entry, &SlideError::Stains(error)))?;
        let models = &self.recipe.maker.models;
        let wanted = survey_settings_of(&entry, self.settings(), &models.each);
        let stretches = self.stretches_of(&entry, &survey, &wanted)?;
        let info = survey.slide.info();
        let own = fingerprint::of_slide(&content, &survey.scale, info, dyes.as_ref(), &stretches);
        let interest = fingerprint::of_looked(&wanted).with(&fingerprint::of_counted(&wanted));
        let made_with = fingerprint::of_job(self.settings(), models).with(&own).with(&interest);
        let facts = Facts::new(&entry, &id, &content, survey, made_with, time)?;
        let facts = facts
            .with_scale_note(entry.given_scale(self.settings()))
            .with_dyes(dyes)
            .with_stretches(stretches);
        let prepared = Prepared {
            todo: facts.all_windows(),
            sightings: Sightings::new(&facts.layouts, &self.recipe.maker.rules),
            facts,
            held: None,
        };
        self.answer(prepared, watch)
    }

    /// Ends between which the pixels of a slide are stretched, for models that want that.
    ///
    /// # Errors
    ///
    /// [`JobError::Input`] when the slide does not tell them.
    pub(crate) fn stretches_of(
        &self,
        entry: &SlideEntry,
        survey: &Survey,
        wanted: &SurveySettings,
    ) -> Result<Stretches, JobError> {
        let models = &self.recipe.maker.models.each;
        Stretches::of(survey.slide.as_ref(), survey.scale.mpp, wanted, models)
            .map_err(|error| bad_slide(entry, &SlideError::Stretch(error)))
    }

    fn answer(&self, prepared: Prepared, watch: &mut dyn Watch) -> Result<SlideAnswer, JobError> {
        let source: pipeline::Source = Box::new(move |out, _| {
            // Nobody takes it where the model could not be started.
            let _ = out.send(Coming::Slide(Preparation::Ready(Box::new(prepared))));
        });
        let mut current = None;
        pipeline::run(self.settings(), self.detectors(), &Stop::new(), source, |step| {
            match step {
                Step::Begin(prepared) => {
                    begun(watch, &prepared.facts, 0);
                    current = Some(prepared);
                }
                Step::Windows(ended, _) => {
                    if let Some(prepared) = &mut current {
                        for (window, outcome) in ended {
                            prepared.sightings.push(window, outcome)?;
                        }
                        prepared.sightings.settle();
                        watch.tell(&so_far(&prepared.facts, &prepared.sightings));
                    }
                }
                Step::Retired(device) => {
                    watch.tell(&retired(current.as_ref().map(|prepared| &prepared.facts), &device));
                }
                Step::End(..) | Step::Cut | Step::NotRun(..) | Step::Copying(_) => {}
            }
            Ok(())
        })?;
        let Prepared { facts, sightings, .. } =
            *current.ok_or_else(|| JobError::fault("a slide that never began"))?;
        let answer = SlideAnswer::new(&facts.survey, sightings, &self.recipe.maker.rules);
        watch.tell(&Event::SlideFinished {
            slide: facts.id,
            name: facts.entry.name(),
            doubts: facts.doubts,
            outcome: answer.outcome(),
            cells: answer.cells.len() as u64,
            analysed_mm2: answer.coverage.analysed_mm2,
            failed_windows: answer.windows.failed,
            elapsed_secs: facts.time.secs(),
        });
        Ok(answer)
    }

    /// Its detectors, in order, to be run on one's own windows. What a job runs meanwhile takes turns with them.
    #[must_use]
    pub fn detectors(&self) -> Vec<Box<dyn Detector>> {
        self.detectors.iter().map(Shared::lend).collect()
    }
}

/// Settings that [`Survey::new`] needs for slides whose scale may be `given`, from these settings and models.
#[must_use]
pub fn plan_settings(settings: &Settings, models: &ModelSet, given: GivenScale) -> SurveySettings {
    survey_settings(settings, &models.each, given)
}

pub(crate) fn bad_slide(entry: &SlideEntry, error: &dyn std::error::Error) -> JobError {
    JobError::input(format!("{}: {}", with_causes(error), entry.typed()))
}

/// A model that was handed in, and what it promises.
struct Described {
    manifest: Manifest,
    model: Model,
}

impl Described {
    fn new(model: Model) -> Result<Self, JobError> {
        let manifest = match &model {
            Model::File(path) => bundled::describe(Some(path))?.manifest,
            Model::Bytes { name, onnx, manifest } => {
                detector::describe_bytes(name, onnx, manifest).map_err(JobError::usage)?.manifest
            }
            Model::Detector(detector) => detector.manifest().clone(),
        };
        Ok(Self { manifest, model })
    }

    fn open(
        self,
        opener: &Opener<'_>,
        known: &SetModel,
        of_detector: &DetectorRules,
    ) -> Result<Box<dyn Detector>, JobError> {
        match self.model {
            Model::File(path) => opener.open(known, of_detector, |opening| opening.open(Some(&path))),
            Model::Bytes { name, onnx, manifest } => {
                opener.open(known, of_detector, |opening| opening.open_bytes(&name, &onnx, &manifest))
            }
            Model::Detector(detector) => Ok(detector),
        }
    }
}

/// Opens a slide that a program has no path of.
impl From<Arc<dyn Slide>> for SlideEntry {
    /// Its id stands for all slides without a name: of two in one job, give each its own with
    /// [`SlideEntry::from_slide`].
    fn from(slide: Arc<dyn Slide>) -> Self {
        Self::from_slide(dataset::SlideId::from_content(&[0; 32]), slide)
    }
}
