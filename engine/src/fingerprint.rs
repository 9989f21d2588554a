//! What of settings, models and slide can change a result: the lists whose hash a fingerprint is.

use wsi_reader::{Scale, SlideInfo};

use crate::{made_with::MadeWith, models::ModelSet, opening, settings::Settings};

/// Everything that can change the results of a job, but for what is the slides' own.
#[must_use]
pub(crate) fn of_job(settings: &Settings, models: &ModelSet) -> MadeWith {
    of_windows(settings, models).with(&of_cells(settings, models))
}

/// What of that can change what a window gives.
pub(crate) fn of_windows(settings: &Settings, models: &ModelSet) -> MadeWith {
    let of_models = [
        ("model_sha256", models.facts().sha256),
        ("model_mpp", models.mpps()),
        ("slidemill", env!("CARGO_PKG_VERSION").to_owned()),
        // In place of the settings' own: a model that takes one size only decides where nothing is given.
        ("window_px", opening::windows(settings, models)),
    ];
    MadeWith::new(settings.detection_relevant().into_iter().chain(of_models))
}

/// What of that counts after the windows.
pub(crate) fn of_cells(settings: &Settings, models: &ModelSet) -> MadeWith {
    MadeWith::new(settings.merging.result_relevant(models))
}

/// What is a slide's own: its content, its scale, and how its samples become 8 bits.
pub(crate) fn of_slide(content: &str, scale: &Scale, info: &SlideInfo) -> MadeWith {
    let always = [("slide_content", content.to_owned()), ("mpp", scale.mpp.get().to_string())];
    // Of slides it applies to alone: the others are what they were without it.
    let mapping = info.mapping.map(|mapping| ("map_range", mapping.to_string()));
    MadeWith::new(always.into_iter().chain(mapping))
}
