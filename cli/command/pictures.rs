//! `slidemill tissue` and `slidemill thumbnail`: PNGs of a slide.

use report::draw::write_png;
use tiler::{Plan, TissueMask, TissueSettings};
use wsi_reader::Overview;

use crate::{
    args, bundled,
    exit::{Exit, Failure},
    prepare::plan_settings_for,
    settings::Settings,
};

/// Draws mask and plan over the slide.
///
/// # Errors
///
/// An input failure when the slide cannot be planned, an output failure when
/// the picture cannot be written.
pub fn tissue(args: args::Tissue) -> anyhow::Result<Exit> {
    let settings = Settings::new(args.options)?;
    let slide = wsi_reader::with_reduced_levels(super::open(&args.slide, settings.map_range)?);
    let scale = wsi_reader::resolve_scale(slide.info(), settings.mpp.map(wsi_types::Mpp::get)).map_err(
        |problem| Failure::input(format!("{problem}; give it with --mpp: {}", args.slide.display())),
    )?;
    let mask = if settings.tissue_mask {
        TissueMask::compute(slide.as_ref(), Some(scale.mpp), &TissueSettings::default())
    } else {
        TissueMask::full(slide.info())
    };
    let manifest = bundled::manifest(&settings)?;
    let plan = plan_settings_for(&settings, &manifest, manifest.mpp.unwrap_or(scale.mpp));
    let plan = Plan::new(&slide.info().pyramid, scale.mpp, &mask, &plan).map_err(Failure::input)?;
    let overview = Overview::whole(slide.as_ref(), args.size);
    write_png(&args.out, &tiler::draw_plan(&overview.pixels, &mask, &plan))?;
    let cost = plan.cost();
    println!("{:.2} mm² of tissue, {} windows: {}", cost.tissue_mm2, cost.windows, args.out.display());
    Ok(Exit::Done)
}

/// Writes a small picture of a slide.
///
/// # Errors
///
/// An input failure when the slide cannot be read, an output failure when the
/// picture cannot be written.
pub fn thumbnail(args: &args::Thumbnail) -> anyhow::Result<Exit> {
    let slide = super::open(&args.slide, args.map_range)?;
    let overview = Overview::whole(slide.as_ref(), args.size);
    write_png(&args.out, &overview.pixels)?;
    for fault in &overview.faults {
        eprintln!("slidemill: {}", fault.error);
    }
    Ok(if overview.faults.is_empty() { Exit::Done } else { Exit::Incomplete })
}
