//! `slidemill tissue` and `slidemill thumbnail`: pictures of a slide.

use dataset::wording::{counted, fixed};
use engine::{Settings, plan_settings};
use tiler::{Survey, SurveyError};
use whole_file::Inputs;
use wsi_reader::{Overview, files_of_slide, without_secrets};

use crate::{
    args,
    exit::{Exit, Failure},
    machine,
};

/// Draws mask and plan over the slide.
///
/// # Errors
///
/// An input failure when the slide cannot be planned, an output failure when
/// the picture cannot be written.
pub fn tissue(args: args::Tissue) -> anyhow::Result<Exit> {
    let settings = Settings::on(&machine(), args.options.0)?;
    let mut inputs = Inputs::new(files_of_slide(&args.slide));
    inputs.extend(settings.detectors.iter().filter_map(|detector| detector.model.as_ref()));
    super::spare(&inputs, args.out.path())?;
    let models = settings.models()?;
    let slide = super::open(&args.slide, settings.map_range)?;
    let survey =
        Survey::new(slide, &plan_settings(&settings, &models, settings.given_scale())).map_err(|error| {
            let hint = if matches!(error, SurveyError::Scale(_)) { "; give it with --mpp" } else { "" };
            Failure::input(format!("{error}{hint}: {}", without_secrets(&args.slide).display()))
        })?;
    let overview = Overview::whole(survey.slide.as_ref(), args.size);
    // The sharpest plan comes first: its windows are the smallest.
    args.out.write(&tiler::draw_plan(&overview.pixels, &survey.mask, &survey.plans[0]))?;
    let windows: Vec<_> = survey.plans.iter().map(|plan| counted(plan.windows().len(), "window")).collect();
    let (tissue_mm2, windows) = (fixed(survey.tissue_mm2(), 2), windows.join(" + "));
    outln!("{tissue_mm2} mm² of tissue, {windows}: {}", args.out.path().display())?;
    Ok(Exit::Done)
}

/// Writes a small picture of a slide.
///
/// # Errors
///
/// An input failure when the slide cannot be read, an output failure when the
/// picture cannot be written.
pub fn thumbnail(args: &args::Thumbnail) -> anyhow::Result<Exit> {
    super::spare(&Inputs::new(files_of_slide(&args.slide)), args.out.path())?;
    let slide = super::open(&args.slide, args.map_range)?;
    let overview = Overview::whole(slide.as_ref(), args.size);
    args.out.write(&overview.pixels)?;
    for fault in &overview.faults {
        errln!("slidemill: {}", fault.error);
    }
    Ok(if overview.faults.is_empty() { Exit::Done } else { Exit::Incomplete })
}
