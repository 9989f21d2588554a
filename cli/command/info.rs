//! `slidemill info`: what is known of a slide without analysing it.

use std::fmt::Write as _;

use serde::Serialize;
use tiler::{Plan, PlanCost, TissueMask, TissueSettings};
use wsi_reader::{Scale, SlideInfo};

use crate::{
    args, bundled,
    exit::Exit,
    prepare::plan_settings_for,
    progress::{counted, grouped},
    settings::{RunOptions, Settings},
};

/// Everything `info` knows, as `--json` prints it.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    info: &'a SlideInfo,
    /// With the bundled model; absent when the scale is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<PlanCost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<&'a std::collections::BTreeMap<String, String>>,
}

/// Prints what is known of a slide.
///
/// # Errors
///
/// An input failure when it cannot be opened.
pub fn info(args: &args::Info) -> anyhow::Result<Exit> {
    let slide = super::open(&args.slide)?;
    let mut info = slide.info().clone();
    if args.mpp.is_some() {
        info.scale = wsi_reader::resolve_scale(&info, args.mpp);
    }
    let plan = match &info.scale {
        Ok(scale) => {
            let settings = Settings::new(RunOptions::default())?;
            let manifest = bundled::manifest(&settings)?;
            let settings = plan_settings_for(&settings, &manifest, manifest.mpp.unwrap_or(scale.mpp));
            let mask = TissueMask::compute(slide.as_ref(), Some(scale.mpp), &TissueSettings::default())?;
            Plan::new(&info.pyramid, scale.mpp, &mask, &settings).ok().map(|plan| plan.cost())
        }
        Err(_) => None,
    };
    if args.json {
        let properties = args.properties.then_some(&info.properties);
        println!("{}", serde_json::to_string_pretty(&Report { info: &info, plan, properties })?);
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

fn describe(info: &SlideInfo, plan: Option<&PlanCost>) -> String {
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
    if let Some(cost) = plan {
        line(
            "plan",
            format!(
                "{} with the bundled model, {:.2} mm² of tissue in {:.2} mm², {} Mpx to infer{}",
                counted(cost.windows as usize, "window"),
                cost.tissue_mm2,
                cost.slide_mm2,
                grouped(cost.inferred_px.div_ceil(1_000_000)),
                cost.inferred_per_tissue_px
                    .map_or_else(String::new, |ratio| format!(", {ratio:.2} px per tissue px")),
            ),
        );
    }
    text
}

fn millimetres(info: &SlideInfo) -> String {
    let Ok(scale) = &info.scale else { return String::new() };
    let side = |px: u32| scale.mpp.times(f64::from(px)) / 1000.0;
    format!(", {:.2} × {:.2} mm", side(info.pyramid.base().width()), side(info.pyramid.base().height()))
}
