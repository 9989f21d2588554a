//! The ends between which the pixels of a slide are stretched for each model of a job that wants its percentiles.

use std::fmt;

use tiler::{NoPercentiles, SurveySettings, WantedStretch, tissue_stretch};
use wsi_reader::Slide;
use wsi_types::{DetectorIndex, Mpp, Stretch};

use crate::models::SetModel;

/// Ends of a slide for each detector, in their order; `None` for a model that wants none.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Stretches(Vec<Option<Stretch>>);

impl Stretches {
    /// Finds those of a slide with level-0 px of `mpp` and with reduced levels. Of a job whose models want none nothing is
    /// read.
    ///
    /// # Errors
    ///
    /// [`NoPercentiles`] when the slide does not tell them.
    pub(crate) fn of(
        slide: &dyn Slide,
        mpp: Mpp,
        wanted: &SurveySettings,
        models: &[SetModel],
    ) -> Result<Self, NoPercentiles> {
        let each = models.iter().zip(&wanted.plans).map(|(model, plan)| {
            let percentiles = model.terms.normalisation.percentiles;
            let wanted_by = |percentiles| WantedStretch {
                model_mpp: plan.model_mpp,
                max_enlarge: plan.max_enlarge,
                percentiles,
            };
            let found = percentiles.map(wanted_by);
            found.map(|found| tissue_stretch(slide, mpp, wanted.tissue.as_ref(), &found)).transpose()
        });
        each.collect::<Result<_, _>>().map(Self)
    }

    /// The ends for a detector.
    pub(crate) fn of_detector(&self, detector: DetectorIndex) -> Option<Stretch> {
        self.0.get(usize::from(detector.0)).copied().flatten()
    }

    /// All in words; `None` where no model wants any.
    pub(crate) fn in_words(&self) -> Option<String> {
        self.0.iter().any(Option::is_some).then(|| self.to_string())
    }
}

impl fmt::Display for Stretches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each: Vec<String> = self
            .0
            .iter()
            .map(|stretch| stretch.map_or_else(|| "none".to_owned(), |stretch| stretch.to_string()))
            .collect();
        f.write_str(&each.join(" + "))
    }
}
