//! `OUT/.slidemill/plan.json`: what a job consists of, so that many machines can
//! each do a part of it. It holds paths: it is private.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use dataset::{Dataset, Outcome, RunAccount, SlideId};
use serde::{Deserialize, Serialize};
use tiler::Survey;
use wsi_reader::{Fetched, LinearMapping, OpenError, SlideFiles};
use wsi_types::{Mpp, RegionsOfInterest, wording::with_causes};

use crate::{
    bundled,
    error::JobError,
    fingerprint,
    made_with::MadeWith,
    models::ModelSet,
    options::RunOptions,
    prepare::survey_settings_of,
    settings::Settings,
    shard::{Shard, balance},
    slides::SlideEntry,
    staging::Staging,
};

/// A job as planned.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobPlan {
    /// Version of slidemill that planned it.
    pub slidemill: String,
    /// SHA-256 of `settings`.
    pub settings_sha256: String,
    /// All that can change a result, but for what is the slides' own.
    pub settings: MadeWith,
    /// Options as typed, for the runs of its parts.
    pub options: RunOptions,
    /// In the order of the job.
    pub slides: Vec<PlannedSlide>,
}

/// A slide of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedSlide {
    /// Names it in outputs.
    pub slide: SlideId,
    /// Path of its file, absolute.
    #[serde(with = "crate::os_path")]
    pub path: PathBuf,
    /// Given by the user.
    pub id: Option<SlideId>,
    /// Given by the user, µm per level-0 px.
    pub mpp: Option<f64>,
    /// Given by the user in place of what the file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub override_mpp: Option<f64>,
    /// Given by the user: how samples of more than 8 bits become 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_range: Option<LinearMapping>,
    /// Given by the user: the frame of a DICOM picture of several, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<u32>,
    /// Further columns of the list, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, String>,
    /// Drawn by the user: where windows are planned and cells counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<RegionsOfInterest>,
    /// Of the file, be it on a disk or on a server; `None` if that is not known.
    pub bytes: Option<u64>,
    /// About what a run will ask the slide's server for; `None` for a slide on a disk, and if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_server: Option<Fetched>,
    /// Bytes that a run copies to the folder of `--stage` before it reads the slide; `None` without that folder, and if
    /// they are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_copy: Option<u64>,
    /// Of level 0; 0 for a slide that cannot be opened.
    pub area_mm2: f64,
    /// Why it will fail, if that is known already.
    pub problem: Option<String>,
}

/// The path by which the jobs of a plan find a slide, wherever they start.
fn place_for_others(path: &Path) -> PathBuf {
    if wsi_reader::is_address(path) {
        return path.to_owned();
    }
    let place = std::fs::canonicalize(path).or_else(|_| std::path::absolute(path));
    place.unwrap_or_else(|_| path.to_owned())
}

impl PlannedSlide {
    fn new(
        entry: &SlideEntry,
        settings: &Settings,
        models: &ModelSet,
        dataset: &Dataset,
    ) -> Result<Self, JobError> {
        let path = place_for_others(&entry.path);
        // As in a run, before it is opened: a server is asked for it too.
        let content = entry.content();
        let (seen, problem) = match Seen::new(entry, settings, models) {
            Ok(seen) => (seen, None),
            Err(reason) => (Seen::nothing_of(entry), Some(reason)),
        };
        let Seen { area_mm2, bytes, from_server, to_copy } = seen;
        let slide = match content {
            Ok(content) => Ok(entry.id_with(&content)),
            // As the run of this plan calls it, which gets that path.
            Err(_) => entry.clone().moved_to(&path).id_of_unreadable(dataset),
        };
        let slide = slide.map_err(|error| {
            JobError::output(format!("cannot name a slide that cannot be read: {error}: {}", entry.typed()))
        })?;
        Ok(Self {
            slide,
            path,
            id: entry.id.clone(),
            mpp: entry.mpp.map(Mpp::get),
            override_mpp: entry.override_mpp.map(Mpp::get),
            map_range: entry.map_range,
            frame: entry.frame,
            columns: entry.columns.clone(),
            within: entry.within.clone(),
            bytes,
            from_server,
            to_copy,
            area_mm2,
            problem,
        })
    }

    /// `true` if it lies on a server.
    #[must_use]
    pub fn is_on_server(&self) -> bool {
        wsi_reader::is_address(&self.path)
    }

    /// Weight for balancing the parts: area in 1/1000 mm², rounded up.
    #[must_use]
    pub fn weight(&self) -> u64 {
        (self.area_mm2 * 1000.0).ceil() as u64
    }

    fn entry(&self) -> SlideEntry {
        let mut entry = SlideEntry::at(self.path.clone());
        entry.id.clone_from(&self.id);
        entry.mpp = self.mpp.and_then(|value| Mpp::new(value).ok());
        entry.override_mpp = self.override_mpp.and_then(|value| Mpp::new(value).ok());
        entry.map_range = self.map_range;
        entry.frame = self.frame;
        entry.columns.clone_from(&self.columns);
        entry.within.clone_from(&self.within);
        entry
    }
}

/// Work that a planned slide still needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkLeft {
    /// It was not run yet.
    All,
    /// A table or picture is missing or has another size than was written, in words; the same command makes all of them
    /// again.
    Lost(String),
    /// Windows failed; the same command tries those that may be read now.
    Windows,
    /// It failed; the same command tries it again.
    Failed,
    /// Its results were made with other settings than planned, which differ by these.
    OtherSettings(String),
}

/// What a look at a slide tells of the work that it will be.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Seen {
    area_mm2: f64,
    bytes: Option<u64>,
    from_server: Option<Fetched>,
    to_copy: Option<u64>,
}

impl Seen {
    /// Opens a slide; one on a server is surveyed too, as its tissue decides what is fetched. Else the reason why it will
    /// fail.
    fn new(entry: &SlideEntry, settings: &Settings, models: &ModelSet) -> Result<Self, String> {
        let to_copy = settings.staging.as_ref().map(|staging| ToCopy::of(entry, staging)).transpose()?;
        let slide = match (entry.open(settings.map_range), &to_copy) {
            // It is read once it is copied.
            (Err(OpenError::Unsupported { .. }), Some(to_copy)) if wsi_reader::is_address(&entry.path) => {
                return Ok(to_copy.seen(Self::default()));
            }
            (opened, _) => opened.map_err(|error| with_causes(&error))?,
        };
        let wanted = survey_settings_of(entry, settings, &models.each);
        let scale = wanted.scale_of(slide.as_ref()).map_err(|error| error.to_string())?;
        let base = slide.info().pyramid.base();
        let [width_mm, height_mm] =
            [base.width(), base.height()].map(|px| f64::from(px) * scale.mpp.get() / 1000.0);
        let seen = Self { area_mm2: width_mm * height_mm, ..Self::nothing_of(entry) };
        if let Some(to_copy) = to_copy {
            return Ok(to_copy.seen(seen));
        }
        let Some(object) = slide.on_server() else { return Ok(seen) };
        // A plan names what will fail before a pixel is read; what the survey finds, a run tells.
        let from_server = Survey::new(slide, &wanted).ok().and_then(|survey| fetched_by_run(&survey));
        Ok(Self { bytes: Some(object.bytes), from_server, ..seen })
    }

    /// What is known of a slide without opening it.
    fn nothing_of(entry: &SlideEntry) -> Self {
        Self { bytes: std::fs::metadata(&entry.path).is_ok().then(|| entry.bytes()), ..Self::default() }
    }
}

/// What a copy of a slide costs.
#[derive(Debug, Clone, Copy)]
struct ToCopy {
    bytes: u64,
    from_server: Option<Fetched>,
}

impl ToCopy {
    /// Else the reason why it cannot be copied.
    fn of(entry: &SlideEntry, staging: &Staging) -> Result<Self, String> {
        let files = SlideFiles::of(&entry.path).map_err(|error| with_causes(&error))?;
        let from_server = files.cost().map_err(|error| with_causes(&error))?;
        match staging.refusal(files.bytes()) {
            Some(refusal) => Err(refusal),
            None => Ok(Self { bytes: files.bytes(), from_server }),
        }
    }

    fn seen(self, seen: Seen) -> Seen {
        let bytes = Some(self.bytes);
        Seen { bytes, to_copy: bytes, from_server: self.from_server, ..seen }
    }
}

/// About what a run asks a slide's server for, if this process asked for nothing but what surveying the slide needs;
/// `None` for a slide that lies on no server.
#[must_use]
pub fn fetched_by_run(survey: &Survey) -> Option<Fetched> {
    Some(survey.slide.on_server()?.fetched + survey.cost_of_windows()?)
}

impl JobPlan {
    /// Looks at all slides of a job that will write to `dataset`.
    ///
    /// # Errors
    ///
    /// A usage failure when the options or the model cannot be used, an output failure when the dataset cannot be written.
    pub fn new(slides: &[SlideEntry], mut options: RunOptions, dataset: &Dataset) -> Result<Self, JobError> {
        // Other machines start in other folders.
        options.stage = options.stage.map(|stage| std::path::absolute(&stage).unwrap_or(stage));
        options.model = options.model.map(bundled::from_any_folder);
        for detector in options.detector.iter_mut().flatten() {
            detector.model = detector.model.take().map(bundled::from_any_folder);
        }
        let settings = Settings::new(options.clone())?;
        let models = settings.models()?;
        let made_with = fingerprint::of_job(&settings, &models);
        Ok(Self {
            slidemill: env!("CARGO_PKG_VERSION").into(),
            settings_sha256: made_with.fingerprint(),
            settings: made_with,
            options,
            slides: slides
                .iter()
                .map(|entry| PlannedSlide::new(entry, &settings, &models, dataset))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Writes the plan.
    ///
    /// # Errors
    ///
    /// An output failure when it cannot be written.
    pub fn write(&self, dataset: &Dataset) -> Result<(), JobError> {
        let _held = dataset.hold_lists();
        self.write_held(dataset)
    }

    fn write_held(&self, dataset: &Dataset) -> Result<(), JobError> {
        let path = dataset.plan();
        dataset
            .write(&path, &serde_json::to_vec_pretty(self).map_err(JobError::fault)?)
            .map_err(|error| JobError::output(format!("cannot write the plan: {error}: {}", path.display())))
    }

    /// Takes slides out of the plan of a dataset, if it has one.
    ///
    /// # Errors
    ///
    /// As those of [`read`](Self::read) and [`write`](Self::write).
    pub(crate) fn remove(dataset: &Dataset, ids: &[SlideId]) -> Result<(), JobError> {
        let _held = dataset.hold_lists();
        if !dataset.plan().exists() {
            return Ok(());
        }
        let mut plan = Self::read(dataset)?;
        plan.slides.retain(|planned| !ids.contains(&planned.slide));
        plan.write_held(dataset)
    }

    /// Reads the plan of a dataset.
    ///
    /// # Errors
    ///
    /// A usage failure when there is none or it cannot be read.
    pub fn read(dataset: &Dataset) -> Result<Self, JobError> {
        let path = dataset.plan();
        let bytes = std::fs::read(&path).map_err(|error| {
            let found = match error.kind() {
                ErrorKind::NotFound => "no plan is here; `slidemill plan SLIDES… -o OUT` makes one".into(),
                _ => format!("cannot read the plan: {error}"),
            };
            JobError::usage(format!("{found}: {}", dataset.root().display()))
        })?;
        serde_json::from_slice(&bytes)
            .map_err(|error| JobError::usage(format!("cannot read the plan: {error}: {}", path.display())))
    }

    /// The slides of a part of the job, or of all of it.
    #[must_use]
    pub fn entries(&self, shard: Option<Shard>) -> Vec<SlideEntry> {
        let Some(shard) = shard else { return self.slides.iter().map(PlannedSlide::entry).collect() };
        let parts = self.parts(shard.of());
        let mine = self.slides.iter().filter(|planned| parts[&planned.slide] == shard.index());
        mine.map(PlannedSlide::entry).collect()
    }

    /// The part, of `of`, that each slide is in, from 0. Copies are in that of their twin, which need not wait for it.
    #[must_use]
    pub fn parts(&self, of: usize) -> BTreeMap<&SlideId, usize> {
        let weights: Vec<u64> = self.once().map(PlannedSlide::weight).collect();
        self.once().map(|planned| &planned.slide).zip(balance(&weights, of)).collect()
    }

    /// Its slides in the order of the job, without copies: of files that are one slide, the first.
    pub fn once(&self) -> impl Iterator<Item = &PlannedSlide> {
        let mut seen = BTreeSet::new();
        self.slides.iter().filter(move |planned| seen.insert(&planned.slide))
    }

    /// Files that are copies of others of the job.
    #[must_use]
    pub fn copies(&self) -> usize {
        self.slides.len() - self.once().count()
    }

    /// Work that is left of each slide, in the order of the job.
    #[must_use]
    pub fn left(&self, dataset: &Dataset) -> Vec<(&PlannedSlide, Option<WorkLeft>)> {
        self.once().map(|planned| (planned, self.left_of(dataset, &planned.slide))).collect()
    }

    fn left_of(&self, dataset: &Dataset, slide: &SlideId) -> Option<WorkLeft> {
        let Ok(account) = RunAccount::read(&dataset.account(slide)) else { return Some(WorkLeft::All) };
        let changed = self.settings.differences(&account.settings.clone().into());
        match account.outcome {
            Outcome::Failed => Some(WorkLeft::Failed),
            _ if !changed.is_empty() => Some(WorkLeft::OtherSettings(changed.to_string())),
            _ => match (account.lost_file(dataset.root()), account.outcome) {
                (Some(lost), _) => Some(WorkLeft::Lost(lost)),
                (None, Outcome::Partial) => Some(WorkLeft::Windows),
                (None, _) => None,
            },
        }
    }

    /// Numbers, from 1, of the parts of `of` that have work left.
    #[must_use]
    pub fn parts_left(&self, dataset: &Dataset, of: usize) -> Vec<usize> {
        let left = self.parts(of).into_iter().filter(|(slide, _)| self.left_of(dataset, slide).is_some());
        left.map(|(_, part)| part + 1).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Refuses settings that would change planned results.
    ///
    /// # Errors
    ///
    /// A usage failure with what differs.
    pub fn check(&self, settings: &Settings) -> Result<(), JobError> {
        let models =
            settings.models().map_err(|error| JobError::usage(format!("the planned model: {error}")))?;
        let changed = fingerprint::of_job(settings, &models).differences(&self.settings);
        if changed.is_empty() {
            return Ok(());
        }
        Err(JobError::usage(format!(
            "these settings are not those of the plan ({changed}); leave them out, or plan the job again"
        )))
    }
}
