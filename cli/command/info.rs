//! `slidemill info`: what is known of a slide without analysing it.

use std::{fmt::Write as _, path::Path, sync::Arc};

use engine::{ByteSize, RunOptions, Settings, fetched_by_run, plan_settings};
use serde::Serialize;
use tiler::{Doubt, Examination, PlanCost, PlanError, Survey, SurveyError, Tissue, TissueScale, WantedStain};
use wsi_reader::{Fetched, GivenScale, Scale, Slide, SlideFiles, SlideInfo};
use wsi_types::{LevelIndex, TileId};

use super::plan::about;
use crate::{
    args,
    exit::{Exit, Failure},
    progress::{counted, fixed, grouped},
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
    /// The scale that the nuclei tell; absent where they tell none.
    #[serde(skip_serializing_if = "Option::is_none")]
    tissue_scale: Option<TissueScale>,
    /// Why results of the slide are to be doubted, in words.
    doubts: Vec<String>,
    /// What `run --stage` copies of it; absent where it copies nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    to_copy: Option<ToCopy>,
    /// What it costs to fetch all of level 0; absent for a slide that lies on no server.
    #[serde(skip_serializing_if = "Option::is_none")]
    level_0_from_server: Option<Fetched>,
    /// About what a run with the bundled model asks the server for; absent where there is no plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    run_from_server: Option<Fetched>,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<&'a std::collections::BTreeMap<String, String>>,
}

/// The files of a slide.
#[derive(Serialize)]
struct ToCopy {
    files: usize,
    bytes: u64,
}

impl ToCopy {
    fn of(slide: &Path) -> Option<Self> {
        let files = SlideFiles::of(slide).ok()?;
        Some(Self { files: files.count(), bytes: files.bytes() })
    }
}

/// Prints what is known of a slide.
///
/// # Errors
///
/// A usage failure when `--mpp` is no pixel size, an input failure when the
/// slide cannot be opened.
pub fn info(args: &args::Info) -> anyhow::Result<Exit> {
    let options = RunOptions { mpp: args.mpp, override_mpp: args.override_mpp, ..RunOptions::default() };
    let settings = Settings::new(options)?;
    let given = settings.given_scale();
    if wsi_reader::is_address(&args.slide) {
        // A run asks for this too. What it cannot read is told where the slide is opened.
        let _ = wsi_reader::content_id(&args.slide);
    }
    let slide = super::open(&args.slide, args.map_range)?;
    let mut info = slide.info().clone();
    info.scale = wsi_reader::resolve_scale(&info, given);
    let Seen { plan, scale, examination, run_from_server } = look(Arc::clone(&slide), &settings, given)?;
    info.scale = scale.map_or(info.scale, Ok);
    let doubts = examination.doubts(info.scale.as_ref().ok().map(|scale| scale.mpp), WantedStain::He);
    let level_0_from_server = cost_of_level_0(slide.as_ref());
    let to_copy = ToCopy::of(&args.slide);
    if args.json {
        let properties = args.properties.then_some(&info.properties);
        let plan_problem = plan.as_ref().and_then(|plan| plan.as_ref().err()).map(ToString::to_string);
        let tissue_scale = examination.scale.ok();
        let doubts = doubts.iter().map(ToString::to_string).collect();
        let plan = plan.and_then(Result::ok);
        let report = Report {
            info: &info,
            plan,
            plan_problem,
            tissue_scale,
            doubts,
            to_copy,
            level_0_from_server,
            run_from_server,
            properties,
        };
        outln!("{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        out!("{}", describe(&info, plan.as_ref()))?;
        if let Some(ToCopy { files, bytes }) = to_copy {
            outln!(
                "{:<12}{}, {}; `run --stage DIR` copies them",
                "files",
                counted(files, "file"),
                ByteSize(bytes)
            )?;
        }
        if let Some(cost) = level_0_from_server {
            outln!("{:<12}{}", "server", describe_fetching(cost, run_from_server))?;
        }
        out!("{}", describe_tissue(&examination, &doubts))?;
        if let Some(note) = given.note(slide.info()) {
            outln!("{:<12}{note}", "note")?;
        }
        if args.properties {
            for (name, value) in &info.properties {
                outln!("  {name} = {value}")?;
            }
        }
    }
    Ok(Exit::Done)
}

/// Findings on a slide.
struct Seen {
    /// Cost of a run with the bundled model, or why there can be none; `None` without a scale.
    plan: Option<Result<PlanCost, PlanError>>,
    /// The scale a run would use, where there is one and a plan.
    scale: Option<Scale>,
    examination: Examination,
    run_from_server: Option<Fetched>,
}

fn look(slide: Arc<dyn Slide>, settings: &Settings, given: GivenScale) -> anyhow::Result<Seen> {
    let models = settings.models()?;
    let wanted = plan_settings(settings, &models, given);
    Ok(match Survey::new(Arc::clone(&slide), &wanted) {
        Ok(survey) => Seen {
            plan: Some(Ok(survey.plans[0].cost())),
            scale: Some(survey.scale.clone()),
            run_from_server: fetched_by_run(&survey),
            examination: survey.examination,
        },
        Err(SurveyError::Plan { source, tissue }) => {
            let scale = wanted.scale_of(slide.as_ref()).ok();
            let examination = tissue.examine(slide.as_ref());
            Seen { plan: Some(Err(source)), scale, examination, run_from_server: None }
        }
        Err(error @ SurveyError::Interest(_)) => return Err(Failure::input(error)),
        Err(SurveyError::Scale(_) | SurveyError::NoEstimate { .. }) => {
            let tissue = Tissue::find(slide.as_ref(), None, wanted.tissue.as_ref());
            let examination = tissue.examine(slide.as_ref());
            Seen { plan: None, scale: None, examination, run_from_server: None }
        }
    })
}

/// Scale that the nuclei suggest, and doubts, in words.
fn describe_tissue(examination: &Examination, doubts: &[Doubt]) -> String {
    let nuclei = match examination.scale {
        Ok(scale) => format!("as large as at {scale}"),
        Err(why) => format!("tell no scale: {why}"),
    };
    let doubts = doubts.iter().map(|doubt| format!("{:<12}{doubt}\n", "doubtful"));
    format!("{:<12}{nuclei}\n{}", "nuclei", doubts.collect::<String>())
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
        info.icc_profile_bytes
            .map_or_else(|| "none".into(), |bytes| format!("ICC, {}", counted(bytes as usize, "byte"))),
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
        "{} with the bundled model, {} mm² of tissue in {} mm², {} Mpx to infer{ratio}",
        counted(cost.windows as usize, "window"),
        fixed(cost.tissue_mm2, 2),
        fixed(cost.slide_mm2, 2),
        grouped(cost.inferred_px.div_ceil(1_000_000)),
    )
}

/// What it costs to fetch all of level 0; `None` for a slide that lies on no server.
fn cost_of_level_0(slide: &dyn Slide) -> Option<Fetched> {
    let grid = slide.info().pyramid.base().tiles;
    let places = (0..grid.rows()).flat_map(|row| (0..grid.columns()).map(move |column| (row, column)));
    slide.cost_of(&mut places.map(|(row, column)| TileId { level: LevelIndex(0), row, column }))
}

fn describe_fetching(Fetched { requests, bytes }: Fetched, run: Option<Fetched>) -> String {
    let requests = counted(requests as usize, "request");
    let run = run.map_or_else(
        || "what a run asks for is unknown".to_owned(),
        |run| format!("a run with the bundled model asks for {}", about(run)),
    );
    format!("all of level 0 is {} in {requests}; {run}", ByteSize(bytes))
}

fn millimetres(info: &SlideInfo) -> String {
    let Ok(scale) = &info.scale else { return String::new() };
    let base = info.pyramid.base();
    let [width, height] = [base.width(), base.height()].map(|px| scale.mpp.times(f64::from(px)) / 1000.0);
    format!(", {width:.2} × {height:.2} mm")
}
