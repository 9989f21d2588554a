//! `slidemill info`: what is known of a slide without analysing it.

use std::{fmt::Write as _, sync::Arc};

use engine::{RunOptions, Settings, plan_settings};
use serde::Serialize;
use tiler::{PlanCost, PlanError, Survey, SurveyError};
use wsi_reader::{Scale, Slide, SlideInfo};

use crate::{
    args,
    exit::Exit,
    progress::{counted, grouped},
};

/// Everything `info` knows, as `--json` prints it.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    info: &'a SlideInfo,
    /// With the bundled model; absent when the scale is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<PlanCost>,
    /// Why there is no plan although the scale is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan_problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<&'a std::collections::BTreeMap<String, String>>,
}

/// Prints what is known of a slide.
///
/// # Errors
///
/// A usage failure when `--mpp` is no pixel size, an input failure when the
/// slide cannot be opened.
pub fn info(args: &args::Info) -> anyhow::Result<Exit> {
    let settings = Settings::new(RunOptions { mpp: args.mpp, ..RunOptions::default() })?;
    let slide = super::open(&args.slide, args.map_range)?;
    let mut info = slide.info().clone();
    info.scale = wsi_reader::resolve_scale(&info, args.mpp);
    let plan = cost(Arc::clone(&slide), &settings)?;
    if args.json {
        let properties = args.properties.then_some(&info.properties);
        let plan_problem = plan.as_ref().and_then(|plan| plan.as_ref().err()).map(ToString::to_string);
        let report = Report { info: &info, plan: plan.and_then(Result::ok), plan_problem, properties };
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", describe(&info, plan.as_ref()));
        if args.properties {
            for (name, value) in &info.properties {
                println!("  {name} = {value}");
            }
        }
    }
    Ok(Exit::Done)
}

/// What a run with the bundled model would cost, or why there can be none.
fn cost(slide: Arc<dyn Slide>, settings: &Settings) -> anyhow::Result<Option<Result<PlanCost, PlanError>>> {
    let models = settings.models()?;
    Ok(match Survey::new(slide, &plan_settings(settings, &models, settings.mpp)) {
        Ok(survey) => Some(Ok(survey.plans[0].cost())),
        Err(SurveyError::Plan { source, .. }) => Some(Err(source)),
        Err(SurveyError::Scale(_)) => None,
    })
}

fn describe(info: &SlideInfo, plan: Option<&Result<PlanCost, PlanError>>) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<12}{value}");
    };
    let base = info.pyramid.base();
    line("format", format!("{}, read by {}", info.format, info.backend));
    line("size", format!("{} × {} px{}", base.width(), base.height(), millimetres(info)));
    line(
        "scale",
        match &info.scale {
            Ok(Scale { mpp, source }) => format!("{mpp} ({source})"),
            Err(problem) => format!("not known: {problem}; a run needs --mpp"),
        },
    );
    if let Some(mapping) = info.mapping {
        line("samples", format!("mapped to 8 bits from {mapping}, as stated"));
    }
    line("objective", info.objective.map_or_else(|| "not stated".into(), |power| power.to_string()));
    for (index, level) in info.pyramid.levels().iter().enumerate() {
        let tiles = level.tiles;
        line(
            &format!("level {index}"),
            format!(
                "{} × {} px, downsample {:.4}, tiles {} × {}, {}",
                level.width(),
                level.height(),
                level.mean_downsample(),
                tiles.tile_width,
                tiles.tile_height,
                info.compression.get(index).map_or("?", String::as_str)
            ),
        );
    }
    if let Some(bounds) = info.bounds {
        line(
            "scanned",
            format!("{} × {} px from ({}, {})", bounds.width(), bounds.height(), bounds.min.x, bounds.min.y),
        );
    }
    let images: Vec<_> = info
        .associated
        .iter()
        .map(|image| format!("{} {} × {}", image.name, image.width, image.height))
        .collect();
    line("images", if images.is_empty() { "none".into() } else { images.join(", ") });
    line(
        "profile",
        info.icc_profile_bytes.map_or_else(|| "none".into(), |bytes| format!("ICC, {bytes} bytes")),
    );
    for remark in &info.remarks {
        line("note", remark.clone());
    }
    match plan {
        Some(Ok(cost)) => line("plan", describe_cost(cost)),
        Some(Err(problem)) => line("plan", format!("none with the bundled model: {problem}")),
        None => {}
    }
    text
}

fn describe_cost(cost: &PlanCost) -> String {
    let ratio = cost
        .inferred_per_tissue_px
        .map_or_else(String::new, |ratio| format!(", {ratio:.2} px per tissue px"));
    format!(
        "{} with the bundled model, {:.2} mm² of tissue in {:.2} mm², {} Mpx to infer{ratio}",
        counted(cost.windows as usize, "window"),
        cost.tissue_mm2,
        cost.slide_mm2,
        grouped(cost.inferred_px.div_ceil(1_000_000)),
    )
}

fn millimetres(info: &SlideInfo) -> String {
    let Ok(scale) = &info.scale else { return String::new() };
    let side = |px: u32| scale.mpp.times(f64::from(px)) / 1000.0;
    format!(", {:.2} × {:.2} mm", side(info.pyramid.base().width()), side(info.pyramid.base().height()))
}
