//! One field of a slide, shown to a model as a run would show it.

use std::sync::Arc;

use detector::{BatchView, WindowResult};
use merger::{Layout, Mosaic, Region, RegionSettings};
use tiler::{StreamSettings, Survey, WindowStream};
use wsi_types::{ClassId, DetectorIndex, Level0Point, RgbBuffer, Stretch, Window};

use crate::{
    engine::{Engine, bad_slide},
    error::JobError,
    patches::tissue_share,
    prepare::survey_settings_of,
    slides::SlideEntry,
};

/// A field of a slide, and what a model answers to it.
pub struct Trial {
    /// The slide, its scale and its tissue.
    pub survey: Survey,
    /// Place of the field: a window of the plan.
    pub window: Window,
    /// Share of tissue in it, 0 to 1.
    pub tissue: f64,
    /// The pixels that the model was given.
    pub pixels: RgbBuffer,
    /// Ends between which it stretched them, if it wants percentiles of the slide.
    pub stretch: Option<Stretch>,
    /// Its answer, in px of the field.
    pub result: WindowResult,
}

impl Engine {
    /// Shows the first model one window of a slide's plan: the one whose centre is nearest to `at`, or the first of those
    /// with the most tissue.
    ///
    /// # Errors
    ///
    /// [`JobError::Input`] when the slide cannot be opened, has no window, or that window cannot be read;
    /// [`JobError::Again`] when the model stops.
    pub fn try_field(
        &self,
        slide: impl Into<SlideEntry>,
        at: Option<Level0Point>,
    ) -> Result<Trial, JobError> {
        let entry = slide.into();
        let survey = self.survey(entry.clone())?;
        let (window, tissue) = field(&survey, at)
            .ok_or_else(|| JobError::input(format!("no tissue was found: {}", entry.typed())))?;
        let pixels = read(&survey, &window).map_err(|reason| bad_slide(&entry, &reason))?;
        let detector = self.detectors().into_iter().next();
        let mut detector = detector.ok_or_else(|| JobError::fault("an engine without a model"))?;
        let (width, height) = (pixels.width(), pixels.height());
        let wanted = survey_settings_of(&entry, self.settings(), &self.recipe.maker.models.each);
        let stretch = self.stretches_of(&entry, &survey, &wanted)?.of_detector(DetectorIndex::FIRST);
        let batch = BatchView { height, width, windows: &[window.index], pixels: pixels.bytes(), stretch };
        let results = detector.detect(batch);
        let results = results.map_err(|error| JobError::again(format!("the model stopped: {error}")))?;
        let result = results.into_iter().next().ok_or_else(|| JobError::fault("no answer to a window"))?;
        Ok(Trial { survey, window, tissue, pixels, stretch, result })
    }
}

/// The window to look at, and its share of tissue.
fn field(survey: &Survey, at: Option<Level0Point>) -> Option<(Window, f64)> {
    let windows = survey.plans.first()?.windows().iter();
    let with_tissue = windows.map(|window| (*window, tissue_share(survey, &window.level0_box())));
    match at {
        Some(at) => with_tissue.min_by(|(a, _), (b, _)| {
            let [a, b] = [a, b].map(|window| (window.level0_box().center() - at).square_length());
            a.total_cmp(&b)
        }),
        // Of equal windows the first: `max_by` would take the last.
        None => with_tissue.rev().max_by(|a, b| a.1.total_cmp(&b.1)),
    }
}

fn read(survey: &Survey, window: &Window) -> Result<RgbBuffer, std::io::Error> {
    let plan = survey.plans.first().map(Arc::clone).ok_or_else(|| std::io::Error::other("it has no plan"))?;
    let reading = StreamSettings { threads: 0, ahead_windows: 0, memory_bytes: None };
    let mut stream = WindowStream::start(Arc::clone(&survey.slide), plan, vec![window.index], reading);
    let (width, height) = stream.window_size();
    let mut pixels = RgbBuffer::filled(width, height, [u8::MAX; 3]);
    match stream.next_into(pixels.bytes_mut()) {
        Some((_, Ok(()))) => Ok(pixels),
        Some((_, Err(fault))) => Err(std::io::Error::other(fault.reason)),
        None => Err(std::io::Error::other("the window was not read")),
    }
}

impl Trial {
    /// Areas of the answer on level 0, neither cleaned nor simplified; none of a model that answers objects. The kind of
    /// each is the number of its class.
    ///
    /// # Errors
    ///
    /// [`JobError::Fault`] when its map does not fit the window.
    pub fn areas(&self) -> Result<Vec<(ClassId, Region)>, JobError> {
        let Some(map) = &self.result.map else { return Ok(Vec::new()) };
        let layout = Layout::new(&[self.window], self.survey.extent(), self.survey.scale.mpp);
        let mut mosaic = Mosaic::new(Arc::new(layout.map_err(JobError::fault)?));
        mosaic.lay(self.window.index, map, |class| ClassId(class.0)).map_err(JobError::fault)?;
        let Some(painter) = mosaic.into_painter() else { return Ok(Vec::new()) };
        let regions = painter.regions(|class| class.0.to_string(), &RegionSettings::EXACT, 0).into_iter();
        Ok(regions.filter_map(|region| Some((ClassId(region.kind.parse().ok()?), region))).collect())
    }
}
